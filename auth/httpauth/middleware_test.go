package httpauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestContextOfARequest(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *httpauth.Config) { c.TrustedProxies = auth.Proxies{netip.MustParsePrefix("192.0.2.0/24")} })
	response := s.do(request("/", "Authorization", "Bearer "+token(t, map[string]any{"act": map[string]string{"sub": "support"}}),
		"X-Request-Id", "req-1", "Traceparent", traceparent, "User-Agent", "curl/8", "X-Forwarded-For", "6.6.6.6, 198.51.100.1"))
	require.Equal(t, http.StatusNoContent, response.Code)
	assert.Equal(t, "req-1", response.Header().Get("X-Request-Id"))
	assert.Equal(t, event.Origin{
		ActorID: event.User("support"), TenantID: "acme",
		CorrelationID: uuid.MustParse("4bf92f35-77b3-4da6-a3ce-929d0e0e4736"),
		Metadata: event.Metadata{
			audit.KeyRequest: "req-1", audit.KeyTraceparent: traceparent, audit.KeySourceAddress: "198.51.100.1", audit.KeyUserAgent: "curl/8",
			audit.KeyOnBehalfOf: "user:alice", auth.KeyMethod: "jwt", auth.KeyToken: "t1",
		},
	}, event.OriginFrom(s.seen))
	handled := s.logs.FilterMessage("handled").All()
	require.Len(t, handled, 1)
	assert.Equal(t, map[string]any{
		"actor_id": "user:support", "on_behalf_of": "user:alice", "tenant_id": "acme", "request_id": "req-1",
		"correlation_id": "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
	}, handled[0].ContextMap())
}

func TestAPIKeyHeader(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	text, key, err := s.keys.Issue(t.Context(), auth.Principal{ActorID: event.Service("mailer"), TenantID: "acme"}, time.Time{})
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, s.do(request("/", "X-Api-Key", text)).Code)
	assert.Equal(t, event.Service("mailer"), event.ActorFrom(s.seen))
	require.NoError(t, s.keys.Revoke(t.Context(), key.ID))
	s.called = 0
	record := s.refused(t, s.do(request("/", "X-Api-Key", text)), auth.Revoked)
	assert.Equal(t, key.ID, record.Metadata()[auth.KeyKeyID])
	assert.Equal(t, "api_key", record.Entity().ID)

	s = serve(t, func(c *httpauth.Config) { c.APIKeyHeader = "api-token"; c.Bearer = nil })
	response := s.do(request("/", "Api-Token", "x"))
	s.refused(t, response, auth.Malformed)
	assert.Equal(t, []string{`ApiKey realm="api", header="Api-Token"`}, response.Header().Values("WWW-Authenticate"))

	s = serve(t, func(c *httpauth.Config) { c.APIKey = nil })
	response = s.do(request("/", "Authorization", "Bearer "+token(t, nil), "X-Api-Key", "means something else here"))
	assert.Equal(t, http.StatusNoContent, response.Code)
}

func TestMissingCredential(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *httpauth.Config) { c.Realm = "tasks" })
	response := s.do(request("/"))
	p := body(t, response)
	assert.Equal(t, http.StatusUnauthorized, p.Status)
	assert.Equal(t, "A credential is needed.", p.Detail)
	assert.Equal(t, []string{`Bearer realm="tasks"`, `ApiKey realm="tasks", header="X-Api-Key"`}, response.Header().Values("WWW-Authenticate"))
	assert.Empty(t, s.records(t), "whoever presents nothing has not failed")
	assert.Zero(t, s.called)
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *httpauth.Config) { c.AllowAnonymous = true })
	require.Equal(t, http.StatusNoContent, s.do(request("/")).Code)
	assert.Equal(t, event.Anonymous, event.ActorFrom(s.seen))
	s.called = 0
	s.refused(t, s.do(bearer("x.y.z")), auth.Malformed)

	p := body(t, s.do(request("/create")))
	assert.Equal(t, http.StatusUnauthorized, p.Status, "who is nobody has to log in")
	records := s.records(t)
	require.Len(t, records, 2)
	assert.Equal(t, auth.ActionDenied, records[1].Action())
	assert.Equal(t, event.Anonymous, records[1].ActorID())
}

func TestRequirePermission(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	allowed := request("/create", "Authorization", "Bearer "+token(t, map[string]any{"scope": "task:create"}))
	require.Equal(t, http.StatusOK, s.do(allowed).Code)
	assert.Equal(t, 1, s.called)

	response := s.do(request("/create", "Authorization", "Bearer "+token(t, nil)))
	p := body(t, response)
	assert.Equal(t, http.StatusForbidden, p.Status)
	assert.Equal(t, httpauth.CodeInsufficientScope, p.Code)
	assert.Equal(t, []string{`Bearer realm="api", error="insufficient_scope", scope="task:create"`}, response.Header().Values("WWW-Authenticate"))
	assert.Equal(t, 1, s.called)
	records := s.records(t)
	require.Len(t, records, 1)
	assert.Equal(t, audit.Denied, records[0].Outcome())
	assert.Equal(t, event.User("alice"), records[0].ActorID())
	assert.Equal(t, event.TenantID("acme"), records[0].TenantID())
	assert.Equal(t, p.RequestID, records[0].Request().ID)
}

func TestRequirePrincipal(t *testing.T) {
	t.Parallel()
	called := 0
	s := serve(t, func(c *httpauth.Config) { c.AllowAnonymous = true })
	handler := s.middleware.Handler(httpauth.RequirePrincipal(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ })))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, request("/"))
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.NotEmpty(t, w.Header().Get("WWW-Authenticate"))
	assert.Zero(t, called)
	handler.ServeHTTP(httptest.NewRecorder(), bearer(token(t, nil)))
	assert.Equal(t, 1, called)
}

func TestUnrecordedRefusalIsUnavailable(t *testing.T) {
	t.Parallel()
	recorder, err := auth.NewRecorder(brokenLog{}, auth.RecorderConfig{})
	require.NoError(t, err)
	s := serve(t, func(c *httpauth.Config) { c.Recorder = recorder })
	for _, r := range []*http.Request{bearer("x.y.z"), request("/create", "Authorization", "Bearer "+token(t, nil))} {
		response := s.do(r)
		p := body(t, response)
		assert.Equal(t, http.StatusServiceUnavailable, p.Status)
		assert.Equal(t, httpauth.CodeLogUnavailable, p.Code)
		assert.Equal(t, "The request cannot be answered now.", p.Detail, "nobody learns whether the credential was good")
		assert.Equal(t, "5", response.Header().Get("Retry-After"))
		assert.Empty(t, response.Header().Values("WWW-Authenticate"))
	}
	assert.Zero(t, s.called)
	assert.Equal(t, http.StatusNoContent, s.do(bearer(token(t, nil))).Code)
}

func TestCredentialsThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *httpauth.Config) {
		c.Bearer = auth.AuthenticatorFunc(func(context.Context, string) (auth.Principal, error) { return auth.Principal{}, errDown })
	})
	p := body(t, s.do(bearer("x")))
	assert.Equal(t, http.StatusServiceUnavailable, p.Status)
	assert.Equal(t, httpauth.CodeUnavailable, p.Code)
	assert.Empty(t, s.records(t))
}

func TestProblemOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		detail string
	}{
		{&auth.DeniedError{Reason: "internal detail"}, 403, "You may not do this."},
		{&auth.DeniedError{Permission: "a:b"}, 403, "The permission a:b is missing."},
		{fmt.Errorf("x: %w", auth.ErrUnauthenticated), 401, "The credential was refused."},
		{&auth.CredentialError{Reason: auth.NotYetValid, Err: errors.New("internal detail")}, 401, "The credential was refused: not yet valid."},
		{&auth.RecordError{Refusal: aggregate.ErrNotFound, Err: errDown}, 503, "The request cannot be answered now."},
		{&aggregate.NotFoundError{}, 404, "There is no such thing."},
		{fmt.Errorf("save: %w", &event.InvalidError{Field: "title", Reason: "must not be empty"}), 400, "invalid title: must not be empty"},
		{&event.TooLargeError{Field: "title", Size: 9, Limit: 8, Unit: "bytes"}, 413, "title has 9 bytes, the limit is 8"},
		{fmt.Errorf("save: %w", &eventstore.ConflictError{}), 409, "Somebody else has changed it. Look at it again."},
		{&aggregate.ContentionError{Err: &eventstore.ConflictError{}}, 409, "Somebody else has changed it. Look at it again."},
		{eventstore.ErrUnavailable, 503, "The request cannot be answered now."},
		{errors.New("internal detail"), 500, ""},
	} {
		p := httpauth.ProblemOf(c.err)
		assert.Equal(t, c.status, p.Status)
		assert.Equal(t, c.detail, p.Detail)
	}
	w := httptest.NewRecorder()
	httpauth.WriteProblem(w, request("/"), &auth.DeniedError{})
	assert.Equal(t, []string{"Bearer"}, w.Header().Values("WWW-Authenticate"), "without a middleware, too")
	httpauth.WriteProblem(brokenWriter{w}, request("/"), errDown)
}

type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errDown }

func TestPrincipal(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	p, err := s.middleware.Principal(bearer(token(t, nil)))
	require.NoError(t, err)
	assert.Equal(t, event.User("alice"), p.ActorID)
	_, err = s.middleware.Principal(request("/"))
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	_, err = s.middleware.Principal(bearer("x.y.z"))
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	assert.Len(t, s.records(t), 1)

	require.Equal(t, http.StatusNoContent, s.do(bearer(token(t, nil))).Code)
	p, err = s.middleware.Principal(bearer("x.y.z").WithContext(s.seen))
	require.NoError(t, err, "who has come through the handler is known")
	assert.Equal(t, event.User("alice"), p.ActorID)
	other := serve(t, nil)
	_, err = other.middleware.Principal(bearer("x.y.z").WithContext(s.seen))
	require.ErrorIs(t, err, auth.ErrUnauthenticated, "another middleware looks for itself")

	s = serve(t, func(c *httpauth.Config) { c.AllowAnonymous = true })
	_, err = s.middleware.Principal(request("/"))
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	for field, c := range map[string]httpauth.Config{
		"bearer":         {Recorder: recorder},
		"recorder":       {APIKey: s.keys},
		"api_key_header": {APIKey: s.keys, Recorder: recorder, APIKeyHeader: "a b"},
		"credential":     {APIKey: s.keys, Recorder: recorder, APIKeyHeader: "x-request-ID"}, // it would be stored with every event
		"authorization":  {APIKey: s.keys, Recorder: recorder, APIKeyHeader: "authorization"},
		"too long":       {APIKey: s.keys, Recorder: recorder, APIKeyHeader: strings.Repeat("a", 200)},
		"realm":          {APIKey: s.keys, Recorder: recorder, Realm: `a"b`},
	} {
		_, err := httpauth.New(c)
		require.ErrorContains(t, err, field)
	}
}
