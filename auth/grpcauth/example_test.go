package grpcauth_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/grpcauth"
	"github.com/evident-go/evident/memory"
)

func Example() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	interceptor, err := grpcauth.New(grpcauth.Config{
		APIKey:      keys, // Bearer takes a jwtauth.Authenticator
		Recorder:    recorder,
		Permissions: map[string]auth.Permission{"/grpc.health.v1.Health/Watch": "health:watch"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(interceptor.Unary()), grpc.StreamInterceptor(interceptor.Stream()))
	defer server.Stop()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())

	_, err = interceptor.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/grpc.health.v1.Health/Check"}, nil)
	fmt.Println(err)
	// Output: rpc error: code = Unauthenticated desc = a credential is needed
}
