// gRPC's interoperability test cases on grpc-go: `grpc_go call HOST:PORT`, which prints the name of each that has
// passed, or `grpc_go serve`, which prints its port and ends with its standard input; over TLS with the PEMs of the
// folder TLS, if there is one.
//
// It is built on Debian's golang-google-grpc-dev, whose own copy of the contract knows fewer fields than ours: those
// are written and read as unknown ones.
// Source: grpc/grpc, doc/interop-test-descriptions.md
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	pb "google.golang.org/grpc/test/grpc_testing"
)

const (
	initialKey  = "x-grpc-test-echo-initial"
	trailingKey = "x-grpc-test-echo-trailing-bin"
	special     = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
)

var (
	sent     = []int{27182, 8, 1828, 45904}
	answered = []int{31415, 9, 2653, 58979}
)

func zeros(size int) *pb.Payload { return &pb.Payload{Body: make([]byte, size)} }

func large() *pb.SimpleRequest {
	return &pb.SimpleRequest{ResponseSize: 314159, Payload: zeros(271828)}
}

func sizes(wanted ...int) (parameters []*pb.ResponseParameters) {
	for _, size := range wanted {
		parameters = append(parameters, &pb.ResponseParameters{Size: int32(size)})
	}
	return
}

func turn(request, response int) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{ResponseParameters: sizes(response), Payload: zeros(request)}
}

// The unknown fields: response_compressed (6), response_status (7) and expect_compressed (8), all shorter than 128.

func boolValue(field, value byte) []byte { return []byte{field<<3 | 2, 2, 1 << 3, value} }

func echoStatus(message string) []byte {
	head := []byte{7<<3 | 2, byte(4 + len(message)), 1 << 3, byte(codes.Unknown), 2<<3 | 2, byte(len(message))}
	return append(head, message...)
}

func askedStatus(unknown []byte) error {
	if len(unknown) < 6 || unknown[0] != 7<<3|2 {
		return nil
	}
	return status.Error(codes.Code(unknown[3]), string(unknown[6:]))
}

// The client.

func must(ok bool, said ...interface{}) {
	if !ok {
		panic(fmt.Sprint(said...))
	}
}

func refused(err error, code codes.Code) {
	must(status.Code(err) == code, err)
}

func unary(stub pb.TestServiceClient, request *pb.SimpleRequest, options ...grpc.CallOption) {
	response, err := stub.UnaryCall(context.Background(), request, options...)
	must(err == nil, err)
	must(bytes.Equal(response.Payload.Body, make([]byte, 314159)), len(response.Payload.Body))
}

func talk(stub pb.TestServiceClient, ctx context.Context) pb.TestService_FullDuplexCallClient {
	call, err := stub.FullDuplexCall(ctx)
	must(err == nil, err)
	return call
}

func upload(stub pb.TestServiceClient, compressed byte, options []grpc.CallOption, wanted ...int) (int32, error) {
	call, err := stub.StreamingInputCall(context.Background(), options...)
	must(err == nil, err)
	for _, size := range wanted {
		request := &pb.StreamingInputCallRequest{Payload: zeros(size)}
		if compressed < 2 {
			request.XXX_unrecognized = boolValue(2, compressed)
		}
		if call.Send(request) != nil {
			break
		}
	}
	response, err := call.CloseAndRecv()
	return response.GetAggregatedPayloadSize(), err
}

func echoed(initial, trailing metadata.MD) {
	must(initial.Get(initialKey)[0] == "test_initial_metadata_value", initial)
	must(trailing.Get(trailingKey)[0] == "\xab\xab\xab", trailing)
}

// both sides have a certificate of one CA, and ask the other's; nil where there is no TLS
func security() credentials.TransportCredentials {
	folder := os.Getenv("TLS")
	if folder == "" {
		return nil
	}
	file := func(name string) string { return filepath.Join(folder, name+".pem") }
	pair, err := tls.LoadX509KeyPair(file("certificate"), file("key"))
	must(err == nil, err)
	ca, err := ioutil.ReadFile(file("ca"))
	must(err == nil, err)
	trusted := x509.NewCertPool()
	must(trusted.AppendCertsFromPEM(ca))
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      trusted,
		ClientCAs:    trusted,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	})
}

func call(address string) {
	secured := grpc.WithInsecure()
	if of := security(); of != nil {
		secured = grpc.WithTransportCredentials(of)
	}
	connection, err := grpc.Dial(address, secured)
	must(err == nil, err)
	stub := pb.NewTestServiceClient(connection)
	zipped := grpc.UseCompressor(gzip.Name)
	background := context.Background()
	cases := []struct {
		name string
		run  func()
	}{
		{"empty_unary", func() {
			_, err := stub.EmptyCall(background, &pb.Empty{})
			must(err == nil, err)
		}},
		{"large_unary", func() { unary(stub, large()) }},
		{"client_compressed_unary", func() {
			request := large()
			request.XXX_unrecognized = boolValue(8, 1)
			_, err := stub.UnaryCall(background, request)
			refused(err, codes.InvalidArgument)
			unary(stub, request, zipped)
			request.XXX_unrecognized = boolValue(8, 0)
			unary(stub, request)
		}},
		{"server_compressed_unary", func() {
			for _, value := range []byte{1, 0} {
				request := large()
				request.XXX_unrecognized = boolValue(6, value)
				unary(stub, request)
			}
		}},
		{"client_streaming", func() {
			size, err := upload(stub, 2, nil, sent...)
			must(err == nil && size == 74922, size, err)
		}},
		{"client_compressed_streaming", func() { // of a call, not of a message, as in Python
			_, err := upload(stub, 1, nil, 27182)
			refused(err, codes.InvalidArgument)
			size, err := upload(stub, 1, []grpc.CallOption{zipped}, 27182, 45904)
			must(err == nil && size == 73086, size, err)
		}},
		{"server_streaming", func() {
			call, err := stub.StreamingOutputCall(background, &pb.StreamingOutputCallRequest{ResponseParameters: sizes(answered...)})
			must(err == nil, err)
			for _, size := range answered {
				response, err := call.Recv()
				must(err == nil && len(response.Payload.Body) == size, err)
			}
			_, err = call.Recv()
			must(err == io.EOF, err)
		}},
		{"server_compressed_streaming", func() {
			first, second := sizes(31415)[0], sizes(92653)[0]
			first.XXX_unrecognized, second.XXX_unrecognized = boolValue(3, 1), boolValue(3, 0)
			parameters := []*pb.ResponseParameters{first, second}
			call, err := stub.StreamingOutputCall(background, &pb.StreamingOutputCallRequest{ResponseParameters: parameters})
			must(err == nil, err)
			for _, size := range []int{31415, 92653} {
				response, err := call.Recv()
				must(err == nil && len(response.Payload.Body) == size, err)
			}
			_, err = call.Recv()
			must(err == io.EOF, err)
		}},
		{"ping_pong", func() {
			call := talk(stub, background)
			for index, size := range sent {
				must(call.Send(turn(size, answered[index])) == nil)
				response, err := call.Recv()
				must(err == nil && len(response.Payload.Body) == answered[index], err)
			}
			must(call.CloseSend() == nil)
			_, err := call.Recv()
			must(err == io.EOF, err)
		}},
		{"empty_stream", func() {
			call := talk(stub, background)
			must(call.CloseSend() == nil)
			_, err := call.Recv()
			must(err == io.EOF, err)
		}},
		{"custom_metadata", func() {
			pairs := metadata.Pairs(initialKey, "test_initial_metadata_value", trailingKey, "\xab\xab\xab")
			ctx := metadata.NewOutgoingContext(background, pairs)
			var initial, trailing metadata.MD
			_, err := stub.UnaryCall(ctx, large(), grpc.Header(&initial), grpc.Trailer(&trailing))
			must(err == nil, err)
			echoed(initial, trailing)
			call := talk(stub, ctx)
			must(call.Send(turn(271828, 314159)) == nil && call.CloseSend() == nil)
			_, err = call.Recv()
			must(err == nil, err)
			_, err = call.Recv()
			must(err == io.EOF, err)
			initial, _ = call.Header()
			echoed(initial, call.Trailer())
		}},
		{"status_code_and_message", func() {
			request := &pb.SimpleRequest{XXX_unrecognized: echoStatus("test status message")}
			_, err := stub.UnaryCall(background, request)
			must(status.Convert(err).Message() == "test status message", err)
			call := talk(stub, background)
			must(call.Send(&pb.StreamingOutputCallRequest{XXX_unrecognized: request.XXX_unrecognized}) == nil)
			must(call.CloseSend() == nil)
			_, err = call.Recv()
			must(status.Convert(err).Message() == "test status message", err)
			refused(err, codes.Unknown)
		}},
		{"special_status_message", func() {
			_, err := stub.UnaryCall(background, &pb.SimpleRequest{XXX_unrecognized: echoStatus(special)})
			must(status.Convert(err).Message() == special, err)
			refused(err, codes.Unknown)
		}},
		{"unimplemented_method", func() {
			method := "/grpc.testing.TestService/UnimplementedCall"
			refused(connection.Invoke(background, method, &pb.Empty{}, &pb.Empty{}), codes.Unimplemented)
		}},
		{"unimplemented_service", func() {
			method := "/grpc.testing.UnimplementedService/UnimplementedCall"
			refused(connection.Invoke(background, method, &pb.Empty{}, &pb.Empty{}), codes.Unimplemented)
		}},
		{"cancel_after_begin", func() {
			ctx, cancel := context.WithCancel(background)
			call, err := stub.StreamingInputCall(ctx)
			must(err == nil, err)
			cancel()
			_, err = call.CloseAndRecv()
			refused(err, codes.Canceled)
		}},
		{"cancel_after_first_response", func() {
			ctx, cancel := context.WithCancel(background)
			call := talk(stub, ctx)
			must(call.Send(turn(27182, 31415)) == nil)
			_, err := call.Recv()
			must(err == nil, err)
			cancel()
			_, err = call.Recv()
			refused(err, codes.Canceled)
		}},
		{"timeout_on_sleeping_server", func() {
			ctx, cancel := context.WithTimeout(background, time.Millisecond)
			defer cancel()
			call, err := stub.FullDuplexCall(ctx)
			if err == nil {
				call.Send(&pb.StreamingOutputCallRequest{Payload: zeros(27182)})
				_, err = call.Recv()
			}
			refused(err, codes.DeadlineExceeded)
		}},
		{"concurrent_large_unary", func() {
			var group sync.WaitGroup
			for count := 0; count < 100; count++ {
				group.Add(1)
				go func() { defer group.Done(); unary(stub, large()) }()
			}
			group.Wait()
		}},
	}
	for _, each := range cases {
		each.run()
		fmt.Println(each.name)
	}
}

// The server.

type server struct{ pb.UnimplementedTestServiceServer }

func echo(ctx context.Context) (initial, trailing metadata.MD) {
	initial, trailing = metadata.MD{}, metadata.MD{}
	asked, _ := metadata.FromIncomingContext(ctx)
	initial.Append(initialKey, asked.Get(initialKey)...)
	trailing.Append(trailingKey, asked.Get(trailingKey)...)
	return
}

func (server) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

func (server) UnaryCall(ctx context.Context, request *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	initial, trailing := echo(ctx)
	grpc.SendHeader(ctx, initial)
	grpc.SetTrailer(ctx, trailing)
	return &pb.SimpleResponse{Payload: zeros(int(request.ResponseSize))}, askedStatus(request.XXX_unrecognized)
}

func (server) StreamingInputCall(call pb.TestService_StreamingInputCallServer) error {
	var size int32
	for {
		request, err := call.Recv()
		if err == io.EOF {
			return call.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: size})
		}
		if err != nil {
			return err
		}
		size += int32(len(request.Payload.Body))
	}
}

func (server) StreamingOutputCall(request *pb.StreamingOutputCallRequest, call pb.TestService_StreamingOutputCallServer) error {
	for _, each := range request.ResponseParameters {
		if err := call.Send(&pb.StreamingOutputCallResponse{Payload: zeros(int(each.Size))}); err != nil {
			return err
		}
	}
	return nil
}

func (s server) FullDuplexCall(call pb.TestService_FullDuplexCallServer) error {
	initial, trailing := echo(call.Context())
	call.SendHeader(initial)
	call.SetTrailer(trailing)
	for {
		request, err := call.Recv()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = askedStatus(request.XXX_unrecognized)
		}
		if err == nil {
			err = s.StreamingOutputCall(request, call)
		}
		if err != nil {
			return err
		}
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err == nil, err)
	var options []grpc.ServerOption
	if of := security(); of != nil {
		options = append(options, grpc.Creds(of))
	}
	running := grpc.NewServer(options...)
	pb.RegisterTestServiceServer(running, server{})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		ioutil.ReadAll(os.Stdin)
		running.Stop()
	}()
	must(running.Serve(listener) == nil)
}

func main() {
	if os.Args[1] == "serve" {
		serve()
	} else {
		call(os.Args[2])
	}
}
