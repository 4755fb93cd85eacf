package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/grpcauth"
	"github.com/evident-go/evident/auth/jwtauth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	check       = "/grpc.health.v1.Health/Check"
	watch       = "/grpc.health.v1.Health/Watch"
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

var (
	secret  = []byte("0123456789abcdef0123456789abcdef")
	errDown = errors.New("store is down")
)

func token(t *testing.T, change func(jwt.MapClaims)) string {
	t.Helper()
	c := jwt.MapClaims{"iss": "id", "aud": "health", "sub": "alice", "tenant_id": "acme", "exp": time.Now().Add(time.Hour).Unix()}
	if change != nil {
		change(c)
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
	require.NoError(t, err)
	return text
}

// probe answers with what a test wants, and keeps the context that it saw.
type probe struct {
	grpc_health_v1.UnimplementedHealthServer

	mu     sync.Mutex
	seen   context.Context
	called int
	err    error
}

func (h *probe) note(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen, h.called = ctx, h.called+1
	grpcauth.Logger(ctx).Info("handled")
	return h.err
}

func (h *probe) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, h.note(ctx)
}

func (h *probe) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	return errors.Join(h.note(stream.Context()), stream.Send(&grpc_health_v1.HealthCheckResponse{}))
}

type service struct {
	*probe

	client grpc_health_v1.HealthClient
	log    *audit.Log
	logs   *observer.ObservedLogs
	keys   *auth.APIKeys
}

func serve(t *testing.T, change func(*grpcauth.Config)) *service {
	t.Helper()
	s := &service{probe: &probe{}}
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s.log, err = audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	require.NoError(t, err)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	tokens, err := jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.HS256}, Issuer: "id", Audience: []string{"health"},
		Keys: jwtauth.Keys{{Algorithm: jwtauth.HS256, Material: secret}},
	})
	require.NoError(t, err)
	s.keys, err = auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{})
	require.NoError(t, err)
	core, logs := observer.New(zap.DebugLevel)
	s.logs = logs
	config := grpcauth.Config{Bearer: tokens, APIKey: s.keys, Recorder: recorder, Logger: zap.New(core)}
	if change != nil {
		change(&config)
	}
	interceptor, err := grpcauth.New(config)
	require.NoError(t, err)

	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(
		grpc.UnaryInterceptor(interceptor.Unary()), grpc.StreamInterceptor(interceptor.Stream()), grpc.MaxHeaderListSize(4<<20),
	)
	grpc_health_v1.RegisterHealthServer(server, s.probe)
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, server.Serve(listener)) })
	connection, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, connection.Close())
		server.Stop()
		running.Wait()
	})
	s.client = grpc_health_v1.NewHealthClient(connection)
	return s
}

// call calls the unary method and the streaming one, and returns both errors.
func (s *service) call(t *testing.T, pairs ...string) (unary, streaming error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), pairs...), 10*time.Second)
	defer cancel()
	_, unary = s.client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	stream, err := s.client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	_, streaming = stream.Recv()
	return unary, streaming
}

func (s *service) records(t *testing.T) []audit.ActivityRecord {
	t.Helper()
	var records []audit.ActivityRecord
	for record, err := range s.log.Recent(t.Context(), audit.Page{OldestFirst: true}) {
		require.NoError(t, err)
		records = append(records, record)
	}
	return records
}

func TestContextOfACall(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *grpcauth.Config) { c.TrustedProxies = auth.Proxies{netip.MustParsePrefix("0.0.0.0/0")} })
	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token(t, nil),
		"x-request-id", "req-1", "traceparent", traceparent, "x-forwarded-for", "6.6.6.6", "x-actor-id", "user:root")
	_, err := s.client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
	require.NoError(t, err)
	assert.Equal(t, []string{"req-1"}, header.Get("x-request-id"))
	origin := event.OriginFrom(s.seen)
	assert.Equal(t, event.User("alice"), origin.ActorID)
	assert.Equal(t, event.TenantID("acme"), origin.TenantID)
	assert.Equal(t, "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", origin.CorrelationID.String())
	assert.Equal(t, "req-1", origin.Metadata[audit.KeyRequest])
	assert.Contains(t, origin.Metadata[audit.KeyUserAgent], "grpc-go")
	assert.NotContains(t, origin.Metadata, audit.KeySourceAddress, "a peer without an address is no proxy")
	handled := s.logs.FilterMessage("handled").All()
	require.Len(t, handled, 1)
	assert.Equal(t, "user:alice", handled[0].ContextMap()["actor_id"])
}

func TestStreamsAndAPIKeys(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	text, _, err := s.keys.Issue(t.Context(), auth.Principal{ActorID: event.Service("probe")}, time.Time{})
	require.NoError(t, err)
	unary, streaming := s.call(t, "x-api-key", text)
	require.NoError(t, unary)
	require.NoError(t, streaming)
	assert.Equal(t, 2, s.called)
	assert.Equal(t, event.Service("probe"), event.ActorFrom(s.seen))
	assert.Empty(t, s.records(t))
}

func TestAttacksOnCalls(t *testing.T) {
	t.Parallel()
	good := "Bearer " + token(t, nil)
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "root"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		pairs  []string
		reason auth.Reason
	}{
		"alg none":      {[]string{"authorization", "Bearer " + none}, auth.Algorithm},
		"expired":       {[]string{"authorization", "Bearer " + token(t, func(c jwt.MapClaims) { c["exp"] = 1 })}, auth.Expired},
		"wrong issuer":  {[]string{"authorization", "Bearer " + token(t, func(c jwt.MapClaims) { c["iss"] = "x" })}, auth.Issuer},
		"tampered":      {[]string{"authorization", good[:len(good)-3] + "AAA"}, auth.Signature},
		"two tokens":    {[]string{"authorization", good, "authorization", good}, auth.Ambiguous},
		"token and key": {[]string{"authorization", good, "x-api-key", "x"}, auth.Ambiguous},
		"huge":          {[]string{"authorization", "Bearer " + strings.Repeat("a", 1<<20)}, auth.TooLarge},
		"basic":         {[]string{"authorization", "Basic eDp5"}, auth.Scheme},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(c *grpcauth.Config) { c.AllowAnonymous = true })
			unary, streaming := s.call(t, c.pairs...)
			for _, err := range []error{unary, streaming} {
				assert.Equal(t, codes.Unauthenticated, status.Code(err))
				assert.Contains(t, status.Convert(err).Message(), strings.ReplaceAll(string(c.reason), "_", " "))
			}
			assert.Zero(t, s.called)
			records := s.records(t)
			require.Len(t, records, 2, "both attempts are recorded")
			for _, record := range records {
				assert.Equal(t, auth.ActionFailed, record.Action())
				assert.Equal(t, string(c.reason), record.Metadata()[auth.KeyReason])
				assert.Equal(t, event.Anonymous, record.ActorID())
			}
		})
	}
}

func TestMissingAndAnonymous(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	unary, streaming := s.call(t)
	assert.Equal(t, codes.Unauthenticated, status.Code(unary))
	assert.Equal(t, codes.Unauthenticated, status.Code(streaming))
	assert.Equal(t, "a credential is needed", status.Convert(unary).Message())
	assert.Empty(t, s.records(t))

	s = serve(t, func(c *grpcauth.Config) { c.AllowAnonymous = true })
	unary, streaming = s.call(t, "x-actor-id", "user:root")
	require.NoError(t, unary)
	require.NoError(t, streaming)
	assert.Equal(t, event.Anonymous, event.ActorFrom(s.seen))
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *grpcauth.Config) {
		c.Permissions = map[string]auth.Permission{check: "health:check", watch: "health:watch"}
	})
	unary, streaming := s.call(t, "authorization", "Bearer "+token(t, func(c jwt.MapClaims) { c["scope"] = "health:check" }))
	require.NoError(t, unary)
	assert.Equal(t, codes.PermissionDenied, status.Code(streaming))
	assert.Equal(t, "the permission health:watch is missing", status.Convert(streaming).Message())
	records := s.records(t)
	require.Len(t, records, 1)
	assert.Equal(t, audit.Denied, records[0].Outcome())
	assert.Equal(t, event.User("alice"), records[0].ActorID())
	assert.Equal(t, "health:watch", records[0].Metadata()[auth.KeyPermission])
}

type brokenLog struct{}

func (brokenLog) Append(context.Context, ...audit.Draft) (audit.Receipt, error) {
	return audit.Receipt{}, errDown
}

func TestUnrecordedRefusalIsUnavailable(t *testing.T) {
	t.Parallel()
	recorder, err := auth.NewRecorder(brokenLog{}, auth.RecorderConfig{})
	require.NoError(t, err)
	s := serve(t, func(c *grpcauth.Config) { c.Recorder = recorder })
	unary, streaming := s.call(t, "authorization", "Bearer x.y.z")
	assert.Equal(t, codes.Unavailable, status.Code(unary))
	assert.Equal(t, codes.Unavailable, status.Code(streaming))
}

func TestStatusOfHandlerErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want codes.Code
		err  error
	}{
		{codes.PermissionDenied, &auth.DeniedError{Reason: "internal detail"}},
		{codes.Unauthenticated, auth.ErrUnauthenticated},
		{codes.NotFound, &aggregate.NotFoundError{}},
		{codes.Unavailable, auth.ErrUnavailable},
		{codes.InvalidArgument, &event.InvalidError{Field: "title", Reason: "must not be empty"}},
		{codes.InvalidArgument, &event.TooLargeError{Field: "title"}},
		{codes.Aborted, &eventstore.ConflictError{}},
		{codes.Unavailable, eventstore.ErrUnavailable},
		{codes.Unknown, errDown},
		{codes.DataLoss, status.Error(codes.DataLoss, "own")},
	} {
		want := c.want
		s := serve(t, nil)
		s.err = c.err
		unary, streaming := s.call(t, "authorization", "Bearer "+token(t, nil))
		assert.Equal(t, want, status.Code(unary))
		assert.NotContains(t, unary.Error(), "internal detail")
		if streaming != nil { // the answer may come before the status
			assert.Equal(t, want, status.Code(streaming))
		}
	}
}

// What an authenticator or a log says by a status of its own is not the
// caller's answer.
func TestStatusOfOthersIsNotHandedOn(t *testing.T) {
	t.Parallel()
	elsewhere := status.Error(codes.NotFound, "keys at 10.0.0.7")
	for _, c := range []struct {
		want codes.Code
		err  error
	}{
		{codes.Unavailable, fmt.Errorf("%w: %w", auth.ErrUnavailable, elsewhere)},
		{codes.Unavailable, &auth.RecordError{Refusal: auth.ErrUnauthenticated, Err: elsewhere}},
		{codes.Unauthenticated, &auth.CredentialError{Reason: auth.Unknown, Err: elsewhere}},
	} {
		err := grpcauth.StatusOf(t.Context(), c.err)
		assert.Equal(t, c.want, status.Code(err), "%v", c.err)
		assert.NotContains(t, err.Error(), "10.0.0.7")
	}
	wrapped := fmt.Errorf("look up: %w", elsewhere)
	assert.Equal(t, wrapped, grpcauth.StatusOf(t.Context(), wrapped), "a handler's own is")
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	for field, c := range map[string]grpcauth.Config{
		"bearer":                     {Recorder: recorder},
		"api_key_name":               {APIKey: s.keys, Recorder: recorder, APIKeyName: "X-Key"},
		"credential":                 {APIKey: s.keys, Recorder: recorder, APIKeyName: "x-request-id"},
		`"-bin"`:                     {APIKey: s.keys, Recorder: recorder, APIKeyName: "key-bin"},
		"permissions":                {APIKey: s.keys, Recorder: recorder, Permissions: map[string]auth.Permission{"Check": "x"}},
		"permissions[" + check + "]": {APIKey: s.keys, Recorder: recorder, Permissions: map[string]auth.Permission{check: ""}},
	} {
		_, err := grpcauth.New(c)
		require.ErrorContains(t, err, field)
	}
}

func TestSourceOfACall(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	i, err := grpcauth.New(grpcauth.Config{
		APIKey: s.keys, Recorder: recorder, TrustedProxies: auth.Proxies{netip.MustParsePrefix("10.0.0.0/8")},
	})
	require.NoError(t, err)
	for address, want := range map[string]string{"10.0.0.1": "198.51.100.1", "192.0.2.1": "192.0.2.1"} {
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 80}})
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("x-forwarded-for", "6.6.6.6, 198.51.100.1", "x-api-key", "guessed"))
		_, err = i.Unary()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: check}, nil)
		assert.Equal(t, codes.Unauthenticated, status.Code(err))
		records := s.records(t)
		assert.Equal(t, want, records[len(records)-1].Request().SourceAddress)
	}
}

func TestWithoutATransport(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	i, err := grpcauth.New(grpcauth.Config{APIKey: s.keys, Recorder: recorder})
	require.NoError(t, err)
	_, err = i.Unary()(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: check}, nil)
	assert.Equal(t, codes.Unauthenticated, status.Code(err))
	require.NoError(t, grpcauth.StatusOf(t.Context(), nil))
}
