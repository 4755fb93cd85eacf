package audithttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// All denials in a log have one name, whatever was asked for, and say where the
// request came from.
func TestDenialsAreRecordedAsDenials(t *testing.T) {
	t.Parallel()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s := newService(t)
	s.refused(s.get("/v1/audit/records", as("poor"), with("X-Request-Id", "r-1"), with("Traceparent", trace), with("User-Agent", "curl")),
		http.StatusForbidden, "insufficient-scope")
	s.refused(s.post("/v1/audit/records", newRecord, as("reader")), http.StatusForbidden, "insufficient-scope")
	records := s.store.log.Records()
	require.Len(t, records, 2)
	for i, want := range []struct {
		actor event.ActorID
		scope auth.Permission
	}{{"user:poor", audithttp.Read}, {"user:reader", audithttp.Write}} {
		assert.Equal(t, auth.ActionDenied, records[i].Action())
		assert.Equal(t, audit.Denied, records[i].Outcome())
		assert.Equal(t, want.actor, records[i].ActorID())
		assert.Equal(t, event.TenantID("acme"), records[i].TenantID())
		assert.Equal(t, audit.EntityRef{Type: auth.EntityPermission, ID: string(want.scope)}, records[i].Entity())
		assert.Equal(t, string(want.scope), records[i].Metadata()[auth.KeyPermission])
	}
	assert.Equal(t, audit.Request{ID: "r-1", Traceparent: trace, SourceAddress: "192.0.2.1", UserAgent: "curl"}, records[0].Request())
}

func TestTheSourceOfADenialIsTheConfigs(t *testing.T) {
	t.Parallel()
	s := newService(t, configured(func(c *audithttp.Config) {
		c.SourceAddress = func(*http.Request) string { return "203.0.113.9" }
	}))
	s.refused(s.get("/v1/audit/records", as("poor")), http.StatusForbidden, "insufficient-scope")
	assert.Equal(t, "203.0.113.9", s.records(auth.ActionDenied)[0].Request().SourceAddress)
}

func TestAFloodOfDenialsIsCounted(t *testing.T) {
	t.Parallel()
	s := newService(t, func(m *making) { m.recorder.Burst = 3 })
	for range 20 {
		s.refused(s.get("/v1/audit/records", as("poor")), http.StatusForbidden, "insufficient-scope")
	}
	assert.Len(t, s.records(auth.ActionDenied), 3)
	require.NoError(t, s.config.Recorder.Flush(t.Context()))
	denied := s.records(auth.ActionDenied)
	require.Len(t, denied, 4)
	assert.Equal(t, int64(17), denied[3].Metadata()[auth.KeyCount])
}

func TestADenialThatCannotBeRecordedIsNone(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]setting{
		"store": func(m *making) { m.store.broken = func() error { return eventstore.ErrUnavailable } },
		"hook":  hooked(func(context.Context, *audit.Draft) error { return errors.New("not on Sundays") }),
	} {
		s := newService(t, broken)
		got := s.get("/v1/audit/records", as("poor"))
		p := s.refused(got, http.StatusServiceUnavailable, "log-unavailable")
		assert.Equal(t, "5", got.Header().Get("Retry-After"), name)
		assert.Empty(t, p.Detail, name)
		require.Len(t, s.reports.all(), 1, "the operator hears of it")
		require.ErrorIs(t, s.reports.all()[0], auth.ErrNotRecorded)
	}
}

func TestErrorsOfTheAuthenticator(t *testing.T) {
	t.Parallel()
	denied, refused := &auth.DeniedError{Reason: "locked"}, &auth.CredentialError{Reason: auth.Expired}
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{refused, http.StatusUnauthorized, "unauthenticated"},
		{errors.New("secret"), http.StatusUnauthorized, "unauthenticated"},
		{denied, http.StatusForbidden, "insufficient-scope"},
		{&auth.RecordError{Refusal: denied, Err: eventstore.ErrUnavailable}, http.StatusServiceUnavailable, "log-unavailable"},
		{&auth.RecordError{Refusal: refused, Err: eventstore.ErrUnavailable}, http.StatusServiceUnavailable, "log-unavailable"},
		{fmt.Errorf("%w: secret", auth.ErrUnavailable), http.StatusServiceUnavailable, "unavailable"},
		{eventstore.ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
	} {
		s := newService(t, configured(func(config *audithttp.Config) {
			config.Authenticate = func(*http.Request) (auth.Principal, error) { return auth.Principal{}, c.err }
		}))
		got := s.get("/v1/audit/records")
		p := s.refused(got, c.status, c.code)
		assert.Empty(t, p.Detail)
		assert.NotContains(t, got.Body.String(), "secret")
		assert.Equal(t, c.status == http.StatusServiceUnavailable, got.Header().Get("Retry-After") == "5")
		require.Len(t, s.reports.all(), 1)
		require.ErrorIs(t, s.reports.all()[0], c.err)
		assert.Empty(t, s.store.log.Records())
	}
}
