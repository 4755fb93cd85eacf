package grpcauth

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Metadata keys that are read, besides authorization, user-agent and, from
// trusted proxies, x-forwarded-for. No other key says who acts.
const (
	KeyAPIKey      = "x-api-key"
	KeyRequestID   = "x-request-id"
	KeyTraceparent = "traceparent"
)

// Config is how an [Interceptor] lets calls in. See [auth.GateConfig] for what
// the fields of the same name mean.
type Config struct {
	Bearer         auth.Authenticator
	APIKey         auth.Authenticator
	Recorder       *auth.Recorder // required
	AllowAnonymous bool
	TrustedProxies auth.Proxies
	Logger         *zap.Logger

	// APIKeyName is the metadata key of API keys. Default [KeyAPIKey].
	APIKeyName string
	// Permissions are what methods need, by full name:
	// "/tasks.v1.Tasks/Create". Others need a caller that is let in.
	Permissions map[string]auth.Permission
}

// Validate checks that everything required is there, and that methods are
// named in full. The error names the field.
func (c Config) Validate() error {
	if err := c.gate().Validate(); err != nil {
		return err
	}
	if c.APIKeyName != strings.ToLower(c.APIKeyName) || strings.HasSuffix(c.APIKeyName, "-bin") {
		return &event.InvalidError{Field: "api_key_name", Value: c.APIKeyName, Reason: `must be in lower case, and not end with "-bin"`}
	}
	if slices.Contains([]string{"authorization", "user-agent", "x-forwarded-for", KeyRequestID, KeyTraceparent}, c.APIKeyName) {
		return &event.InvalidError{Field: "api_key_name", Value: c.APIKeyName, Reason: "must not be a key that means something else: the credential would be written down"}
	}
	for method, permission := range c.Permissions {
		if !strings.HasPrefix(method, "/") || strings.Count(method, "/") != 2 {
			return &event.InvalidError{Field: "permissions", Value: method, Reason: `must name methods in full, like "/tasks.v1.Tasks/Create"`}
		}
		if permission == "" {
			return &event.InvalidError{Field: fmt.Sprintf("permissions[%s]", method), Reason: "must not be empty"}
		}
	}
	return nil
}

func (c Config) gate() auth.GateConfig {
	return auth.GateConfig{
		Bearer: c.Bearer, APIKey: c.APIKey, Recorder: c.Recorder,
		AllowAnonymous: c.AllowAnonymous, TrustedProxies: c.TrustedProxies, Logger: c.Logger,
	}
}

// Interceptor lets calls in, or answers them with a status: Unauthenticated,
// PermissionDenied, or Unavailable if a credential cannot be checked now or a
// refusal cannot be recorded. Errors of this module that a handler returns are
// turned into the same ([StatusOf]). It is safe for concurrent use.
type Interceptor struct {
	gate   *auth.Gate
	config Config
}

// New returns an interceptor. The error names the field of the config.
func New(config Config) (*Interceptor, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	gate, err := auth.NewGate(config.gate())
	if err != nil {
		return nil, err // Validate has checked it.
	}
	if config.APIKeyName == "" {
		config.APIKeyName = KeyAPIKey
	}
	config.Permissions = maps.Clone(config.Permissions)
	return &Interceptor{gate: gate, config: config}, nil
}

// Unary returns the interceptor of calls with one request and one answer.
func (i *Interceptor) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := i.enter(ctx, info.FullMethod)
		if err != nil {
			return nil, StatusOf(ctx, err)
		}
		answer, err := handler(ctx, request)
		return answer, StatusOf(ctx, err)
	}
}

// Stream returns the interceptor of calls that stream. Who acts is decided once,
// when a stream begins.
func (i *Interceptor) Stream() grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := i.enter(stream.Context(), info.FullMethod)
		if err != nil {
			return StatusOf(ctx, err)
		}
		return StatusOf(ctx, handler(server, entered{ServerStream: stream, ctx: ctx}))
	}
}

// entered is a stream with the context in which its caller acts.
type entered struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // a stream has a context; this one replaces it.
}

// Context returns the context in which the caller acts.
func (s entered) Context() context.Context { return s.ctx }

func (i *Interceptor) enter(ctx context.Context, method string) (context.Context, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	ctx, err := i.gate.Enter(ctx, auth.Arrival{
		Peer:        peerAddress(ctx),
		Forwarded:   sent.Get("x-forwarded-for"),
		RequestID:   sent.Get(KeyRequestID),
		Traceparent: sent.Get(KeyTraceparent),
		UserAgent:   strings.Join(sent.Get("user-agent"), " "),
	}, auth.Presented{
		Authorization: sent.Get("authorization"),
		APIKey:        i.apiKeys(sent),
	})
	if headerErr := grpc.SetHeader(ctx, metadata.Pairs(KeyRequestID, auth.RequestFrom(ctx).ID)); headerErr != nil {
		Logger(ctx).Debug("request id could not be sent", zap.Error(headerErr))
	}
	if err != nil {
		return ctx, err
	}
	if permission, needed := i.config.Permissions[method]; needed {
		return ctx, auth.Require(ctx, permission)
	}
	return ctx, nil
}

// apiKeys returns nothing if API keys are not used here.
func (i *Interceptor) apiKeys(sent metadata.MD) []string {
	if i.config.APIKey == nil {
		return nil
	}
	return sent.Get(i.config.APIKeyName)
}

func peerAddress(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return p.Addr.String()
}

// Logger returns the config's logger with the fields of the call that ctx
// belongs to: actor_id, on_behalf_of, tenant_id, request_id, correlation_id.
func Logger(ctx context.Context) *zap.Logger { return auth.Logger(ctx) }
