// grpc-go before an edge, from the descriptor set: `edge_go HOST:PORT FILE` makes the calls of edge_calls.mjs, and
// prints what came in the same way; over TLS with the PEMs of the folder TLS, if there is one.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func print(name string, value any) {
	line, err := json.Marshal([]any{name, value})
	must(err)
	fmt.Println(string(line))
}

type client struct {
	connection *grpc.ClientConn
	service    protoreflect.ServiceDescriptor
}

func connect(address, file string) client {
	text, err := os.ReadFile(file)
	must(err)
	var set descriptorpb.FileDescriptorSet
	must(proto.Unmarshal(text, &set))
	files, err := protodesc.NewFiles(&set)
	must(err)
	service, err := files.FindDescriptorByName("echo.v1.Echo")
	must(err)
	security := insecure.NewCredentials()
	if folder := os.Getenv("TLS"); folder != "" {
		security, err = credentials.NewClientTLSFromFile(filepath.Join(folder, "ca.pem"), "")
		must(err)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(security))
	must(err)
	return client{connection, service.(protoreflect.ServiceDescriptor)}
}

func (c client) method(name string) protoreflect.MethodDescriptor {
	return c.service.Methods().ByName(protoreflect.Name(name))
}

func (c client) request(name, text string) *dynamicpb.Message {
	message := dynamicpb.NewMessage(c.method(name).Input())
	must(protojson.Unmarshal([]byte(text), message))
	return message
}

func (c client) unary(ctx context.Context, name, text string, options ...grpc.CallOption) (*dynamicpb.Message, error) {
	reply := dynamicpb.NewMessage(c.method(name).Output())
	err := c.connection.Invoke(ctx, "/echo.v1.Echo/"+name, c.request(name, text), reply, options...)
	return reply, err
}

func (c client) stream(name string, texts ...string) []*dynamicpb.Message {
	method := c.method(name)
	description := &grpc.StreamDesc{ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient()}
	call, err := c.connection.NewStream(context.Background(), description, "/echo.v1.Echo/"+name)
	must(err)
	for _, text := range texts {
		must(call.SendMsg(c.request(name, text)))
	}
	must(call.CloseSend())
	var found []*dynamicpb.Message
	for {
		reply := dynamicpb.NewMessage(method.Output())
		err := call.RecvMsg(reply)
		if err == io.EOF {
			return found
		}
		must(err)
		found = append(found, reply)
		if !method.IsStreamingServer() {
			return found
		}
	}
}

func field(message *dynamicpb.Message, name string) protoreflect.Value {
	return message.Get(message.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func texts(messages []*dynamicpb.Message) (found []string) {
	for _, message := range messages {
		found = append(found, field(message, "string_field").String())
	}
	return
}

func main() {
	c := connect(os.Args[1], os.Args[2])
	background := context.Background()

	var initial, trailing metadata.MD
	given := metadata.AppendToOutgoingContext(background, "x-given", "one")
	reply, err := c.unary(given, "Unary", `{"stringField":"a"}`, grpc.Header(&initial), grpc.Trailer(&trailing))
	must(err)
	print("unary", field(reply, "string_field").String())
	print("metadata", []string{initial.Get("x-given")[0], trailing.Get("cost")[0]})

	print("server stream", texts(c.stream("ServerStream", `{"stringField":"b","int32Field":3}`)))
	letters := []string{`{"stringField":"x"}`, `{"stringField":"y"}`, `{"stringField":"z"}`}
	summary := c.stream("ClientStream", letters...)[0]
	var strs []string
	for list, index := field(summary, "strings").List(), 0; index < list.Len(); index++ {
		strs = append(strs, list.Get(index).String())
	}
	print("client stream", []any{field(summary, "count").Int(), strs})
	print("bidi", texts(c.stream("Bidi", letters...)))

	_, err = c.unary(background, "Fail", `{"code":9,"message":"schlecht: 100 % 🙈","details":true}`)
	failed := status.Convert(err)
	var types []string
	for _, detail := range failed.Proto().Details {
		types = append(types, detail.TypeUrl[strings.LastIndex(detail.TypeUrl, "/")+1:])
	}
	print("error", []any{failed.Code(), failed.Message(), types})

	soon, cancel := context.WithTimeout(background, 300*time.Millisecond)
	defer cancel()
	_, err = c.unary(soon, "Hang", "{}")
	print("deadline", status.Code(err))
}
