// Package grpcauth lets gRPC calls in, as package httpauth does with HTTP
// requests: with the same credentials, the same context, the same records.
//
//	interceptor, err := grpcauth.New(grpcauth.Config{
//		Bearer:      tokens,
//		Recorder:    recorder,
//		Permissions: map[string]auth.Permission{"/tasks.v1.Tasks/Create": "task:create"},
//	})
//	…
//	server := grpc.NewServer(
//		grpc.UnaryInterceptor(interceptor.Unary()),
//		grpc.StreamInterceptor(interceptor.Stream()),
//	)
package grpcauth
