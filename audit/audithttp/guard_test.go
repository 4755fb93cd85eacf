package audithttp_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestNewRefusesWhatItCannotServeWith(t *testing.T) {
	t.Parallel()
	whole := newService(t).config
	for field, spoil := range map[string]func(*audithttp.Config){
		"authenticate":       func(c *audithttp.Config) { c.Authenticate = nil },
		"log":                func(c *audithttp.Config) { c.Log = nil },
		"recorder":           func(c *audithttp.Config) { c.Recorder = nil },
		"activity":           func(c *audithttp.Config) { c.Activity = audit.ActivityReader{} },
		"prefix":             func(c *audithttp.Config) { c.Prefix = "v1" },
		"cursor_keys[1]":     func(c *audithttp.Config) { c.CursorKeys = append(c.CursorKeys, []byte("short")) },
		"allowed_origins[0]": func(c *audithttp.Config) { c.AllowedOrigins = []string{"*"} },
		"max_body_bytes":     func(c *audithttp.Config) { c.MaxBodyBytes = -1 },
		"timeout":            func(c *audithttp.Config) { c.Timeout = -1 },
	} {
		config := whole
		spoil(&config)
		handler, err := audithttp.New(config)
		var bad *event.InvalidError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, field, bad.Field)
		assert.Nil(t, handler)
	}
	for _, prefix := range []string{"/", "/a/", "/a b", "/a?b", "/a%2Fb"} {
		config := whole
		config.Prefix = prefix
		_, err := audithttp.New(config)
		require.ErrorIs(t, err, event.ErrInvalid, prefix)
	}
	for _, origin := range []string{"null", "example.com", "https://example.com/", "https://a.example.com/x"} {
		config := whole
		config.AllowedOrigins = []string{origin}
		_, err := audithttp.New(config)
		require.ErrorIs(t, err, event.ErrInvalid, origin)
	}
}

func TestNothingIsServedToNobody(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, route := range audithttp.Routes() {
		if route.Public {
			continue
		}
		target := strings.NewReplacer("{id}", "x", "{type}", "x", "{correlation}", "x").Replace(route.Path)
		for _, token := range []string{"", "mallory", "ghost"} {
			got := s.do(route.Method, target, "", as(token))
			s.refused(got, http.StatusUnauthorized, "unauthenticated")
			assert.Equal(t, `Bearer realm="audit"`, got.Header().Get("WWW-Authenticate"))
			assert.NotContains(t, got.Body.String(), "credential")
		}
		s.refused(s.do(route.Method, target, "", as("stray")), http.StatusForbidden, "tenant-required")
	}
	assert.Empty(t, s.store.log.Records())
}

func TestALogWithoutTenantsIsServedWhole(t *testing.T) {
	t.Parallel()
	s := newService(t, configured(func(c *audithttp.Config) { c.WithoutTenants = true }))
	s.seed(t, "", 2)
	s.seed(t, "acme", 1)
	assert.Len(t, s.page("/v1/audit/records", as("stray")).Data, 3)
	assert.Len(t, s.page("/v1/audit/actors/user:u0/activity", as("stray")).Data, 2)
	assert.Len(t, s.page("/v1/audit/records").Data, 1, "a principal with a tenant sees that tenant")
	assert.Equal(t, http.StatusCreated, s.post("/v1/audit/records", newRecord, as("stray")).Code)
}

func TestMethodsThatChangeAreNotAllowed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for target, allow := range map[string]string{
		"/v1/audit/records":                   "GET, HEAD, POST, OPTIONS",
		"/v1/audit/records/" + id(1).String(): "GET, HEAD, OPTIONS",
		"/v1/audit/records:batch":             "POST, OPTIONS",
		"/v1/audit":                           "GET, HEAD, OPTIONS",
		"/v1/audit/docs":                      "GET, HEAD, OPTIONS",
		"/v1/audit/entities/a/b/records":      "GET, HEAD, OPTIONS",
	} {
		for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace, "SEARCH"} {
			got := s.do(method, target, "")
			s.refused(got, http.StatusMethodNotAllowed, "method-not-allowed")
			assert.Equal(t, allow, got.Header().Get("Allow"), target)
		}
		got := s.do(http.MethodOptions, target, "", as(""))
		assert.Equal(t, http.StatusNoContent, got.Code)
		assert.Equal(t, allow, got.Header().Get("Allow"))
	}
	s.refused(s.post("/v1/audit", newRecord), http.StatusMethodNotAllowed, "method-not-allowed")
	s.refused(s.post("/v1/audit/records/"+id(1).String(), newRecord), http.StatusMethodNotAllowed, "method-not-allowed")
	for _, target := range []string{"/v1/auditx", "/v1", "/", "/v1/audit/", "/v1/audit/nothing", "/v1/audit/records/", "/v1/audit/Records"} {
		s.refused(s.get(target), http.StatusNotFound, "not-found")
		s.refused(s.do(http.MethodOptions, target, ""), http.StatusNotFound, "not-found")
	}
	s.seed(t, "acme", 1)
	head, get := s.do(http.MethodHead, "/v1/audit/records", ""), s.get("/v1/audit/records?action=document.viewed")
	assert.Equal(t, http.StatusOK, head.Code)
	assert.Equal(t, get.Header().Get("Content-Type"), head.Header().Get("Content-Type"))
	assert.Len(t, s.records("audit.records.read"), 2, "a HEAD counts as reading")
}

func TestAnotherTenantsDataIsNowhere(t *testing.T) {
	t.Parallel()
	s := newService(t)
	d := draft("globex", 0)
	d.ID, d.Entity, d.CorrelationID, d.ActorID, d.Action = id(66), audit.EntityRef{Type: "Plan", ID: "secret"}, id(67), "user:spy", "secret.plan"
	_, err := s.log.Append(t.Context(), d)
	require.NoError(t, err)
	for _, target := range []string{
		"/v1/audit/records", "/v1/audit/records?actor_id=user:spy", "/v1/audit/records?entity_id=secret", "/v1/audit/records?correlation_id=" + id(67).String(),
		"/v1/audit/records/" + id(66).String(), "/v1/audit/entities/Plan/secret/records", "/v1/audit/actors/user:spy/activity",
		"/v1/audit/traces/" + id(67).String(), "/v1/audit/actions",
	} {
		for _, kind := range []string{"application/json", "*/*", "application/x-ndjson, */*;q=0.1", "text/csv, */*;q=0.1"} {
			got := s.get(target, accepting(kind))
			body := strings.ReplaceAll(got.Body.String(), id(66).String(), "")
			assert.NotContains(t, body, "globex")
			if got.Code == http.StatusOK {
				assert.NotContains(t, strings.ReplaceAll(body, "filter.", ""), "secret.plan")
			}
		}
	}
	assert.Len(t, s.page("/v1/audit/records?actor_id=user:spy", as("bob")).Data, 1)
}

func TestAForgedActorIsOfNoUse(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, forged := range []string{"actor_id", "tenant_id", "on_behalf_of", "X-Actor-Id"} {
		p := s.refused(s.post("/v1/audit/records?"+url.QueryEscape(forged)+"=user:root", newRecord), http.StatusBadRequest, "unknown-parameter")
		assert.Equal(t, forged, p.Errors[0].Parameter)
	}
	got := s.post("/v1/audit/records", newRecord, with("X-Actor-Id", "user:root"), with("X-Tenant-Id", "globex"), with("X-User", "root"),
		with("X-On-Behalf-Of", "user:root"), with("X-Forwarded-For", "10.0.0.1"), with("X-Request-Id", "evil\nid"), with("Traceparent", "00-0-0-0"))
	require.Equal(t, http.StatusCreated, got.Code)
	record := s.store.log.Records()[0]
	assert.Equal(t, event.ActorID("user:alice"), record.ActorID())
	assert.Equal(t, event.TenantID("acme"), record.TenantID())
	assert.Empty(t, record.OnBehalfOf())
	assert.Equal(t, "192.0.2.1", record.Request().SourceAddress)
	assert.NotContains(t, record.Request().ID, "evil")
	assert.Empty(t, record.Request().Traceparent)
}

func TestTextsCannotBreakOutOfTheirLines(t *testing.T) {
	t.Parallel()
	s := newService(t)
	body := `{"action":"a","entity":{"type":"T","id":"</script><script>"},"correlation_id":"` + id(5).String() + `","metadata":{"x":"one\nfake: user:root deleted\r\n\u001b[2J\u2028","k\u001b":"v"}}`
	s.refused(s.post("/v1/audit/records", body), http.StatusBadRequest, "invalid-field")
	body = strings.Replace(body, `k\u001b`, "k", 1)
	require.Equal(t, http.StatusCreated, s.post("/v1/audit/records", body).Code)
	lines := s.get("/v1/audit/records?entity_type=T", accepting("application/x-ndjson")).Body.String()
	assert.Equal(t, 2, strings.Count(lines, "\n"), "one record, one trailer")
	for _, raw := range []string{"\x1b", "\r", "<script>", "\u2028"} {
		assert.NotContains(t, lines, raw)
	}
	text := s.get("/v1/audit/traces/"+id(5).String(), accepting("text/plain")).Body.String()
	assert.Equal(t, 2, strings.Count(text, "\n"))
	csv := s.get("/v1/audit/records?entity_type=T", accepting("text/csv")).Body.String()
	assert.Equal(t, 2, strings.Count(csv, "\n"))
}

func TestReadingIsRecordedOrNothingIsRead(t *testing.T) {
	t.Parallel()
	down := false
	s := newService(t, func(m *making) {
		m.store.broken = func() error {
			if down {
				return eventstore.ErrUnavailable
			}
			return nil
		}
	})
	s.seed(t, "acme", 3)
	trace := "/v1/audit/traces/" + id(1).String()
	targets := []string{"/v1/audit/records", "/v1/audit/records/" + id(1).String(), "/v1/audit/entities/Document/d0/records", "/v1/audit/actors/user:u0/activity", trace, "/v1/audit/actions"}
	down = true
	for _, target := range targets {
		got := s.get(target)
		p := s.refused(got, http.StatusServiceUnavailable, "reading-not-recorded")
		assert.Equal(t, "5", got.Header().Get("Retry-After"))
		assert.NotContains(t, p.Detail, "unavailable")
		assert.NotContains(t, got.Body.String(), "document.viewed")
	}
	for _, kind := range []string{"text/csv", "application/x-ndjson"} {
		s.refused(s.get("/v1/audit/records", accepting(kind)), http.StatusServiceUnavailable, "reading-not-recorded")
	}
	s.refused(s.post("/v1/audit/records", newRecord), http.StatusServiceUnavailable, "log-unavailable")
	require.NotEmpty(t, s.reports.all(), "the operator hears of it")
	down = false
	before := len(s.store.log.Records())
	for _, target := range targets {
		s.get(target)
	}
	recorded := s.store.log.Records()[before:]
	require.Len(t, recorded, len(targets))
	var actions []string
	for _, r := range recorded {
		actions = append(actions, r.Action())
		assert.Equal(t, event.ActorID("user:alice"), r.ActorID())
		assert.Equal(t, audit.EntityRef{Type: "AuditLog", ID: "acme"}, r.Entity())
	}
	assert.Equal(t, []string{"audit.records.read", "audit.record.read", "audit.records.read", "audit.activity.read", "audit.trace.read", "audit.actions.read"}, actions)
}

func TestHooksThatRefusePanicOrBlock(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for _, c := range []struct {
		name         string
		hook         audit.BeforeAppend
		status, read int
		code         string
	}{
		{"veto", func(context.Context, *audit.Draft) error { return errors.New("not on Sundays") }, 422, 503, "vetoed"},
		{"panic", func(context.Context, *audit.Draft) error { panic("password is hunter2") }, 500, 503, "internal"},
		{"block", func(context.Context, *audit.Draft) error { <-release; return nil }, 503, 503, "timeout"},
		{"change", func(_ context.Context, d *audit.Draft) error { d.ActorID = "user:root"; return nil }, 422, 503, "vetoed"},
	} {
		s := newService(t, hooked(c.hook), func(m *making) {
			if m.log.HookTimeout = time.Minute; c.name == "block" {
				m.log.HookTimeout = 20 * time.Millisecond
			}
		})
		got := s.post("/v1/audit/records", newRecord)
		p := s.refused(got, c.status, c.code)
		assert.NotContains(t, got.Body.String(), "hunter2", c.name)
		switch c.name {
		case "veto":
			assert.Equal(t, "not on Sundays", p.Detail)
		case "panic":
			assert.Contains(t, s.reports.all()[0].Error(), "hunter2", "the operator is told")
		}
		s.refused(s.get("/v1/audit/records"), c.read, "reading-not-recorded")
		assert.Empty(t, s.store.log.Records())
	}
}

func TestPanicsNeverLeak(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*audithttp.Config){
		"authenticate": func(c *audithttp.Config) {
			c.Authenticate = func(*http.Request) (auth.Principal, error) { panic("hunter2") }
		},
		"rate limit": func(c *audithttp.Config) {
			c.RateLimit = func(*http.Request, auth.Principal) (time.Duration, bool) { panic(errors.New("hunter2")) }
		},
		"source": func(c *audithttp.Config) { c.SourceAddress = func(*http.Request) string { panic("hunter2") } },
		"report": func(c *audithttp.Config) {
			c.Report = func(context.Context, error) { panic("hunter2") }
			c.Authenticate = func(*http.Request) (auth.Principal, error) { panic("hunter2") }
		},
	} {
		s := newService(t, configured(set))
		got := s.get("/v1/audit/records")
		p := s.refused(got, http.StatusInternalServerError, "internal")
		assert.NotContains(t, got.Body.String(), "hunter2", name)
		assert.Empty(t, p.Detail)
	}
}

// stuck is a finder that fails, or that waits for the end of its context.
type stuck struct {
	audit.Finder

	err error
}

func (f stuck) Find(ctx context.Context, _ audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		if f.err != nil {
			yield(audit.ActivityRecord{}, f.err)
			return
		}
		<-ctx.Done()
		yield(audit.ActivityRecord{}, ctx.Err())
	}
}

func TestErrorsOfTheLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{nil, 503, "timeout"},
		{eventstore.ErrUnavailable, 503, "log-unavailable"},
		{eventstore.ErrFull, 503, "log-unavailable"},
		{eventstore.ErrClosed, 503, "log-unavailable"},
		{eventstore.ErrReadOnly, 503, "log-unavailable"},
		{&eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}, 503, "timeout"},
		{&eventstore.TenantError{Bound: "a", Given: "b"}, 403, "tenant-required"},
		{errors.New("disk at /var/secret"), 500, "internal"},
	} {
		s := newService(t, func(m *making) {
			m.finder = stuck{m.store.log, c.err}
			m.config.Timeout = 50 * time.Millisecond
		})
		for _, target := range []string{"/v1/audit/records", "/v1/audit/records/" + id(1).String(), "/v1/audit/traces/" + id(1).String()} {
			got := s.get(target)
			p := s.refused(got, c.status, c.code)
			assert.Empty(t, p.Detail)
			assert.NotContains(t, got.Body.String(), "secret")
		}
	}
}

func TestTooMuchIsRefusedBeforeItIsLookedAt(t *testing.T) {
	t.Parallel()
	asked := 0
	s := newService(t, configured(func(c *audithttp.Config) {
		c.Authenticate = func(r *http.Request) (auth.Principal, error) { asked++; return authenticate(r) }
	}))
	s.refused(s.get("/v1/audit/records?actor_id="+strings.Repeat("x", 8<<10)), http.StatusRequestURITooLong, "target-too-long")
	s.refused(s.get("/v1/audit/entities/x/"+strings.Repeat("x", 8<<10)+"/records"), http.StatusRequestURITooLong, "target-too-long")
	s.refused(s.get("/v1/audit/records", with("X-Large", strings.Repeat("x", 1<<20))), http.StatusRequestHeaderFieldsTooLarge, "headers-too-large")
	s.refused(s.get("/v1/audit/records", with("X-Many", strings.Split(strings.Repeat("x", 101), "")...)), http.StatusRequestHeaderFieldsTooLarge, "headers-too-large")
	assert.Zero(t, asked)
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	now := start
	limit, err := audithttp.PerPrincipalAt(0.5, 2, func() time.Time { return now })
	require.NoError(t, err)
	s := newService(t, configured(func(c *audithttp.Config) { c.RateLimit = limit }))
	for range 2 {
		assert.Equal(t, http.StatusOK, s.get("/v1/audit/records").Code)
	}
	got := s.get("/v1/audit/records")
	s.refused(got, http.StatusTooManyRequests, "rate-limited")
	assert.Equal(t, "2", got.Header().Get("Retry-After"))
	s.refused(s.get("/v1/audit/records"), http.StatusTooManyRequests, "rate-limited")
	assert.Equal(t, http.StatusOK, s.get("/v1/audit/records", as("bob")).Code, "each principal has its own")
	now = now.Add(2 * time.Second)
	assert.Equal(t, http.StatusOK, s.get("/v1/audit/records").Code, "what was refused costs nothing")
	for _, bad := range []struct {
		rate  float64
		burst int
	}{{0, 1}, {-1, 1}, {1, 0}} {
		_, err := audithttp.PerPrincipal(bad.rate, bad.burst)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	limit, err = audithttp.PerPrincipal(1, 1)
	require.NoError(t, err)
	_, ok := limit(nil, auth.Principal{})
	assert.True(t, ok)
}

func TestPagesOfOtherOriginsAreLetInByListOnly(t *testing.T) {
	t.Parallel()
	closed, open := newService(t), newService(t, configured(func(c *audithttp.Config) { c.AllowedOrigins = []string{"https://console.example.com"} }))
	preflight := func(s *service, origin string) answer {
		return s.do(http.MethodOptions, "/v1/audit/records", "", as(""), with("Origin", origin), with("Access-Control-Request-Method", "POST"))
	}
	for _, got := range []answer{
		closed.get("/v1/audit/records", with("Origin", "https://console.example.com")), preflight(closed, "https://console.example.com"),
		open.get("/v1/audit/records", with("Origin", "https://evil.example.com")), preflight(open, "null"), preflight(open, "https://console.example.com.evil"),
	} {
		for name := range got.Header() {
			assert.False(t, strings.HasPrefix(name, "Access-Control-"), name)
		}
	}
	got := open.get("/v1/audit/records", with("Origin", "https://console.example.com"))
	assert.Equal(t, "https://console.example.com", got.Header().Get("Access-Control-Allow-Origin"))
	assert.Contains(t, got.Header().Values("Vary"), "Origin")
	assert.Empty(t, got.Header().Get("Access-Control-Allow-Credentials"))
	pre := preflight(open, "https://console.example.com")
	assert.Equal(t, "GET, HEAD, POST, OPTIONS", pre.Header().Get("Access-Control-Allow-Methods"))
	assert.Contains(t, pre.Header().Get("Access-Control-Allow-Headers"), "Idempotency-Key")
}

func TestMountedInAMuxOfARealServer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	_, err := s.log.Append(t.Context(), audit.Draft{TenantID: "acme", Action: "a", Entity: audit.EntityRef{Type: "File", ID: "a/b//c"}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/v1/audit", s.handler)
	mux.Handle("/v1/audit/", s.handler)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, path := range []string{"", "/records:batch", "/entities/File/a%2Fb%2F%2Fc/records"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/audit"+path, http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer alice")
		got, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		want := http.StatusOK
		if path == "/records:batch" {
			want = http.StatusMethodNotAllowed
		}
		assert.Equal(t, want, got.StatusCode, path)
	}
}

func TestWhatTheMiddlewareSaidOfTheRequestIsKept(t *testing.T) {
	t.Parallel()
	s := newService(t)
	inner := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := event.WithMetadata(event.WithCorrelation(r.Context(), id(3)), event.Metadata{
			audit.KeyRequest: "from-the-gate", audit.KeySourceAddress: "203.0.113.9", audit.KeyUserAgent: "browser",
		})
		inner.ServeHTTP(w, r.WithContext(ctx))
	})
	got := s.post("/v1/audit/records", newRecord, with("X-Request-Id", "from-the-client"))
	require.Equal(t, http.StatusCreated, got.Code)
	assert.Equal(t, "from-the-gate", got.Header().Get("X-Request-Id"))
	record := s.store.log.Records()[0]
	assert.Equal(t, id(3), record.CorrelationID())
	assert.Equal(t, audit.Request{ID: "from-the-gate", SourceAddress: "203.0.113.9", UserAgent: "browser"}, record.Request())
}
