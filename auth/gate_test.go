package auth_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

func named(prefix string) auth.Authenticator {
	return auth.AuthenticatorFunc(func(_ context.Context, credential string) (auth.Principal, error) {
		if name, ok := strings.CutPrefix(credential, prefix+"-"); ok {
			return auth.Principal{ActorID: event.User(name), TenantID: "acme"}, nil
		}
		return auth.Principal{}, &auth.CredentialError{Reason: auth.Unknown}
	})
}

func newGate(t *testing.T, log audit.Appender, change func(*auth.GateConfig)) *auth.Gate {
	t.Helper()
	config := auth.GateConfig{Bearer: named("token"), APIKey: named("key"), Recorder: newRecorder(t, log, auth.RecorderConfig{})}
	if change != nil {
		change(&config)
	}
	gate, err := auth.NewGate(config)
	require.NoError(t, err)
	return gate
}

func TestGateLetsIn(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	gate := newGate(t, log, nil)
	for actor, presented := range map[event.ActorID]auth.Presented{
		"user:a": {Authorization: []string{"Bearer token-a"}},
		"user:b": {Authorization: []string{"bearer  token-b"}},
		"user:c": {APIKey: []string{"key-c"}},
	} {
		ctx, err := gate.Enter(t.Context(), auth.Arrival{}, presented)
		require.NoError(t, err)
		assert.Equal(t, actor, event.ActorFrom(ctx))
		assert.Equal(t, event.TenantID("acme"), event.TenantFrom(ctx))
		assert.NotNil(t, auth.RecorderFrom(ctx))
	}
	assert.Empty(t, log.all())
}

func TestGateRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		presented auth.Presented
		reason    auth.Reason
		recorded  string // kind
	}{
		"nothing":            {auth.Presented{}, auth.Missing, ""},
		"two tokens":         {auth.Presented{Authorization: []string{"Bearer token-a", "Bearer token-a"}}, auth.Ambiguous, "several"},
		"token and key":      {auth.Presented{Authorization: []string{"Bearer token-a"}, APIKey: []string{"key-a"}}, auth.Ambiguous, "several"},
		"two keys":           {auth.Presented{APIKey: []string{"key-a", "key-a"}}, auth.Ambiguous, "several"},
		"another scheme":     {auth.Presented{Authorization: []string{"Basic YTpi"}}, auth.Scheme, "authorization"},
		"no scheme":          {auth.Presented{Authorization: []string{"token-a"}}, auth.Scheme, "authorization"},
		"no token":           {auth.Presented{Authorization: []string{"Bearer"}}, auth.Malformed, auth.KindBearer},
		"blank token":        {auth.Presented{Authorization: []string{"Bearer   "}}, auth.Malformed, auth.KindBearer},
		"empty header":       {auth.Presented{Authorization: []string{""}}, auth.Malformed, auth.KindBearer},
		"empty key":          {auth.Presented{APIKey: []string{""}}, auth.Malformed, auth.KindAPIKey},
		"control characters": {auth.Presented{Authorization: []string{"Bearer token-a\r\nX: y"}}, auth.Malformed, auth.KindBearer},
		"not ASCII":          {auth.Presented{APIKey: []string{"key-ä"}}, auth.Malformed, auth.KindAPIKey},
		"too large":          {auth.Presented{Authorization: []string{"Bearer " + strings.Repeat("a", 8<<10)}}, auth.TooLarge, auth.KindBearer},
		"wrong":              {auth.Presented{Authorization: []string{"Bearer key-a"}}, auth.Unknown, auth.KindBearer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &logbook{}
			ctx, err := newGate(t, log, nil).Enter(t.Context(), auth.Arrival{}, c.presented)
			assert.Equal(t, c.reason, reasonOf(t, err))
			_, known := auth.From(ctx)
			assert.False(t, known)
			assert.NotEmpty(t, auth.RequestFrom(ctx).ID, "the request has a name all the same")
			if c.recorded == "" {
				assert.Empty(t, log.all())
				return
			}
			assert.Equal(t, c.recorded, log.only(t).Entity().ID)
			assert.Equal(t, string(c.reason), log.only(t).Metadata()[auth.KeyReason])

			_, err = newGate(t, log, func(c *auth.GateConfig) { c.AllowAnonymous = true }).Enter(t.Context(), auth.Arrival{}, c.presented)
			require.ErrorIs(t, err, auth.ErrUnauthenticated, "never in as anonymous")
		})
	}
}

func TestGateWithOneKindOnly(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	gate := newGate(t, log, func(c *auth.GateConfig) { c.Bearer = nil })
	_, err := gate.Enter(t.Context(), auth.Arrival{}, auth.Presented{Authorization: []string{"Bearer token-a"}})
	assert.Equal(t, auth.Scheme, reasonOf(t, err))
	log.only(t)
}

func TestGateAnonymous(t *testing.T) {
	t.Parallel()
	gate := newGate(t, &logbook{}, func(c *auth.GateConfig) { c.AllowAnonymous = true })
	before := admin
	before.OnBehalfOf, before.Method = event.User("alice"), "jwt"
	ctx := auth.With(t.Context(), before)
	ctx, err := gate.Enter(ctx, auth.Arrival{}, auth.Presented{})
	require.NoError(t, err)
	assert.Equal(t, event.Anonymous, event.ActorFrom(ctx))
	assert.Empty(t, event.TenantFrom(ctx))
	_, known := auth.From(ctx)
	assert.False(t, known, "whoever was in the context before is gone")
	assert.NotContains(t, event.MetadataFrom(ctx), audit.KeyOnBehalfOf)
	assert.NotContains(t, event.MetadataFrom(ctx), auth.KeyMethod)
	require.ErrorIs(t, auth.Require(ctx, "task:create"), auth.ErrUnauthenticated)
}

func TestGateWithAuthenticatorsOfOnesOwn(t *testing.T) {
	t.Parallel()
	presented := auth.Presented{Authorization: []string{"Bearer x"}}
	for name, c := range map[string]struct {
		p    auth.Principal
		err  error
		want error
	}{
		"cannot tell":       {err: errDown, want: auth.ErrUnavailable},
		"nobody":            {want: auth.ErrUnauthenticated},
		"anonymous":         {p: auth.Principal{ActorID: event.Anonymous}, want: auth.ErrUnauthenticated},
		"says it is not":    {err: &auth.CredentialError{Reason: auth.Missing}, want: auth.ErrUnauthenticated},
		"plain refusal":     {err: fmt.Errorf("no: %w", auth.ErrUnauthenticated), want: auth.ErrUnauthenticated},
		"already a verdict": {err: fmt.Errorf("%w: x", auth.ErrUnavailable), want: auth.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &logbook{}
			gate := newGate(t, log, func(g *auth.GateConfig) {
				g.AllowAnonymous = true
				g.Bearer = auth.AuthenticatorFunc(func(context.Context, string) (auth.Principal, error) { return c.p, c.err })
			})
			_, err := gate.Enter(t.Context(), auth.Arrival{}, presented)
			require.ErrorIs(t, err, c.want)
			if c.want == auth.ErrUnauthenticated { //nolint:errorlint // the table's own value.
				log.only(t)
			}
		})
	}
}

func TestGateFailsClosed(t *testing.T) {
	t.Parallel()
	gate := newGate(t, &logbook{down: true}, nil)
	_, err := gate.Enter(t.Context(), auth.Arrival{}, auth.Presented{Authorization: []string{"Bearer wrong"}})
	require.ErrorIs(t, err, auth.ErrNotRecorded)
	_, err = gate.Enter(t.Context(), auth.Arrival{}, auth.Presented{Authorization: []string{"Bearer token-a"}})
	require.NoError(t, err)
}

func TestGateRefusesConfig(t *testing.T) {
	t.Parallel()
	recorder := newRecorder(t, &logbook{}, auth.RecorderConfig{})
	for field, config := range map[string]auth.GateConfig{
		"bearer":             {Recorder: recorder},
		"recorder":           {Bearer: named("x")},
		"trusted_proxies[0]": {Bearer: named("x"), Recorder: recorder, TrustedProxies: auth.Proxies{{}}},
	} {
		_, err := auth.NewGate(config)
		require.ErrorContains(t, err, field)
	}
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func arrive(t *testing.T, a auth.Arrival) event.Origin {
	t.Helper()
	ctx, err := newGate(t, &logbook{}, nil).Enter(t.Context(), a, auth.Presented{APIKey: []string{"key-a"}})
	require.NoError(t, err)
	return event.OriginFrom(ctx)
}

func TestArrivalHonoursWhatIsWellFormed(t *testing.T) {
	t.Parallel()
	o := arrive(t, auth.Arrival{
		Peer: "192.0.2.1:1234", RequestID: []string{"Root=1-67891233-abcdef"}, Traceparent: []string{traceparent},
		UserAgent: "curl/8\x00" + strings.Repeat("é", 500),
	})
	assert.Equal(t, "Root=1-67891233-abcdef", o.Metadata[audit.KeyRequest])
	assert.Equal(t, traceparent, o.Metadata[audit.KeyTraceparent])
	assert.Equal(t, "192.0.2.1", o.Metadata[audit.KeySourceAddress])
	assert.Equal(t, uuid.MustParse("4bf92f35-77b3-4da6-a3ce-929d0e0e4736"), o.CorrelationID, "the trace's id")
	agent := o.Metadata[audit.KeyUserAgent].(string)
	assert.LessOrEqual(t, len(agent), auth.MaxUserAgentBytes)
	require.NoError(t, event.ValidateText("user_agent", agent, auth.MaxUserAgentBytes))
	assert.True(t, strings.HasPrefix(agent, "curl/8?éé"))

	o = arrive(t, auth.Arrival{Traceparent: []string{"cc" + traceparent[2:] + "-what-the-future-will-be-like"}})
	assert.Equal(t, traceparent, o.Metadata[audit.KeyTraceparent], "of a version to come, the known part")
}

func TestArrivalMakesNewWhatIsNot(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{
		nil,
		{""},
		{traceparent, traceparent},
		{strings.ToUpper(traceparent)},
		{traceparent + "-x"},
		{traceparent[1:]},
		{"ff" + traceparent[2:]},
		{"cc" + traceparent[2:] + "x"},
		{strings.Replace(traceparent, "-", "_", 1)},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01"},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"},
		{"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01"},
	} {
		o := arrive(t, auth.Arrival{Traceparent: bad, RequestID: []string{"r1"}})
		made := o.Metadata[audit.KeyTraceparent].(string)
		assert.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`, made)
		assert.Equal(t, strings.ReplaceAll(o.CorrelationID.String(), "-", ""), made[3:35])
		assert.Equal(t, o.CorrelationID, arrive(t, auth.Arrival{RequestID: []string{"r1"}}).CorrelationID, "the same request, the same correlation")
		assert.NotContains(t, o.Metadata, audit.KeySourceAddress)
		assert.NotContains(t, o.Metadata, audit.KeyUserAgent)
	}
	for _, bad := range [][]string{nil, {""}, {"a b"}, {"a\nb"}, {"é"}, {"a", "b"}, {strings.Repeat("a", 129)}, {"<script>"}} {
		o := arrive(t, auth.Arrival{RequestID: bad})
		id, err := uuid.Parse(o.Metadata[audit.KeyRequest].(string))
		require.NoError(t, err, "%q", bad)
		assert.Equal(t, id, o.CorrelationID)
	}
	given := uuid.New()
	assert.Equal(t, given, arrive(t, auth.Arrival{RequestID: []string{given.String()}}).CorrelationID)
	o := arrive(t, auth.Arrival{RequestID: []string{"bad id"}, Traceparent: []string{traceparent}})
	assert.Equal(t, "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", o.CorrelationID.String())
}

func TestSource(t *testing.T) {
	t.Parallel()
	proxies := auth.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:80", []string{"198.51.100.1"}, "192.0.2.1"}, // forged: the peer is no proxy
		{"10.0.0.1:80", nil, "10.0.0.1"},
		{"10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:80", []string{"6.6.6.6, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"}, // the first was written by the client
		{"10.0.0.1:80", []string{"6.6.6.6", "198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:80", []string{"6.6.6.6, garbage"}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"10.0.0.3"}, "10.0.0.3"},
		{"10.0.0.1:80", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"[fd00::1]:80", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"[::ffff:10.0.0.1]:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"10.0.0.1:80", []string{"6.6.6.6" + strings.Repeat(",10.0.0.1", 100)}, "10.0.0.1"}, // no end of hops
		{"@", []string{"198.51.100.1"}, ""},
		{"", nil, ""},
	} {
		assert.Equal(t, c.want, proxies.Source(c.peer, c.forwarded), "%v", c)
	}
	assert.Equal(t, "10.0.0.1", auth.Proxies(nil).Source("10.0.0.1:1", []string{"6.6.6.6"}))
}

// A header is not taken apart for a peer that is not believed, nor further than
// needed: anybody can send 1 MiB of commas.
func TestSourceOfAHugeHeader(t *testing.T) { //nolint:paralleltest // it counts what is allocated.
	huge := []string{strings.Repeat(",", 1<<20)}
	proxies := auth.Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	for _, peer := range []string{"192.0.2.1:80", "10.0.0.1:80"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = proxies.Source(peer, huge)
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), peer)
	}
}
