// grpc-go's example services Greeter and RouteGuide, with its reflection: prints its port, and ends with its
// standard input. Source: grpc/grpc-go, examples/features/reflection
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	hello "google.golang.org/grpc/examples/helloworld/helloworld"
	route "google.golang.org/grpc/examples/route_guide/routeguide"
	"google.golang.org/grpc/reflection"
)

type greeter struct{ hello.UnimplementedGreeterServer }

func (greeter) SayHello(_ context.Context, in *hello.HelloRequest) (*hello.HelloReply, error) {
	return &hello.HelloReply{Message: "Hello " + in.GetName()}, nil
}

type guide struct{ route.UnimplementedRouteGuideServer }

func (guide) ListFeatures(in *route.Rectangle, stream grpc.ServerStreamingServer[route.Feature]) error {
	for _, point := range []*route.Point{in.GetLo(), in.GetHi()} {
		if err := stream.Send(&route.Feature{Name: "corner", Location: point}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	hello.RegisterGreeterServer(server, greeter{})
	route.RegisterRouteGuideServer(server, guide{})
	reflection.Register(server)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	server.Serve(listener)
}
