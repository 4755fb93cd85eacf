package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

func fromAddress(ctx context.Context, address string) context.Context {
	return event.WithMetadata(ctx, event.Metadata{
		audit.KeySourceAddress: address, audit.KeyRequest: "r1", audit.KeyUserAgent: "curl", audit.KeyTraceparent: "tp",
	})
}

func TestFailedIsRecorded(t *testing.T) {
	t.Parallel()
	log, now := &logbook{}, newClock()
	r := newRecorder(t, log, auth.RecorderConfig{Now: now.Now})
	correlation := uuid.New()
	ctx := event.WithCorrelation(auth.With(fromAddress(t.Context(), "192.0.2.1"), alice), correlation)
	require.NoError(t, r.Failed(ctx, auth.KindBearer, &auth.CredentialError{Reason: auth.Expired, Method: "jwt", KeyID: "k1"}))

	d := log.only(t).Draft()
	assert.Equal(t, auth.ActionFailed, d.Action)
	assert.Equal(t, audit.Failure, d.Outcome)
	assert.Equal(t, event.Anonymous, d.ActorID, "whoever failed is nobody, whatever the context says")
	assert.Empty(t, d.TenantID)
	assert.Equal(t, audit.EntityRef{Type: auth.EntityAuthentication, ID: "jwt"}, d.Entity)
	assert.Equal(t, "credential refused: expired", d.Reason)
	assert.Equal(t, event.Metadata{auth.KeyReason: "expired", auth.KeyKeyID: "k1"}, d.Metadata)
	assert.Equal(t, audit.Request{ID: "r1", Traceparent: "tp", SourceAddress: "192.0.2.1", UserAgent: "curl"}, d.Request)
	assert.Equal(t, correlation, d.CorrelationID)
	assert.Equal(t, now.Now(), d.OccurredAt)
	assert.Equal(t, event.Origin{}, log.origins[0], "a log fills nothing in from the context")
}

func TestFailedWithAnErrorOfSomebodyElse(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{})
	require.NoError(t, r.Failed(t.Context(), "", fmt.Errorf("secret-token: %w", auth.ErrUnauthenticated)))
	d := log.only(t).Draft()
	assert.Equal(t, "credential refused: not_accepted", d.Reason)
	assert.Equal(t, "unknown", d.Entity.ID)
	assert.NotContains(t, fmt.Sprint(d), "secret-token")
}

func TestRecorderGoesOnWithoutTheCaller(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.Failed(ctx, "bearer", auth.ErrUnauthenticated))
	require.NoError(t, log.ctxErr)
	log.only(t)
}

func TestFloodIsCounted(t *testing.T) {
	t.Parallel()
	log, now := &logbook{}, newClock()
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 3, Now: now.Now})
	ctx := fromAddress(t.Context(), "192.0.2.1")
	for i := range 100 {
		reason := auth.Expired
		if i%2 == 0 {
			reason = auth.Signature
		}
		now.pass(100 * time.Millisecond)
		require.NoError(t, r.Failed(ctx, "bearer", &auth.CredentialError{Reason: reason}))
	}
	assert.Len(t, log.all(), 3, "the first three one by one")
	first := now.Now().Add(-96 * 100 * time.Millisecond)

	now.pass(time.Minute)
	require.NoError(t, r.Failed(fromAddress(t.Context(), "198.51.100.7"), "bearer", &auth.CredentialError{Reason: auth.Issuer}))
	records := log.all()
	require.Len(t, records, 5)
	d := records[3].Draft()
	assert.Equal(t, auth.ActionFailed, d.Action)
	assert.Equal(t, audit.Failure, d.Outcome)
	assert.Equal(t, "192.0.2.1", d.Request.SourceAddress)
	assert.Equal(t, "refused 97 times", d.Reason)
	assert.Equal(t, event.Metadata{
		auth.KeyCount: int64(97), auth.KeyReasons: "expired: 49, signature: 48",
		auth.KeyFirstAt: first.Format(time.RFC3339Nano),
		auth.KeyLastAt:  now.Now().Add(-time.Minute).Format(time.RFC3339Nano),
	}, d.Metadata)
	assert.Equal(t, "198.51.100.7", records[4].Request().SourceAddress)
}

func TestFloodFromManySources(t *testing.T) {
	t.Parallel()
	log, now := &logbook{}, newClock()
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 2, MaxSources: 5, Now: now.Now})
	for i := range 50 {
		for range 10 {
			ctx := fromAddress(t.Context(), fmt.Sprintf("192.0.2.%d", i))
			require.NoError(t, r.Failed(ctx, "bearer", &auth.CredentialError{Reason: auth.Reason(fmt.Sprintf("r%d", i))}))
		}
	}
	require.NoError(t, r.Flush(t.Context()))
	records := log.all()
	assert.Len(t, records, (5+1)*(2+1), "the stated limit is reached, and not exceeded")
	total := 0
	for _, record := range records {
		count, counted := record.Metadata()[auth.KeyCount].(int64)
		if !counted {
			count = 1
		}
		if count > 100 {
			assert.Empty(t, record.Request().SourceAddress, "many sources in one have no address")
			assert.Contains(t, record.Metadata()[auth.KeyReasons], "others: ")
		}
		total += int(count)
	}
	assert.Equal(t, 500, total, "none is lost")
	require.NoError(t, r.Flush(t.Context()))
	assert.Len(t, log.all(), len(records), "flushing twice stores nothing twice")
}

func TestSourcesAreNetworks(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 1})
	for _, address := range []string{
		"2001:db8::1", "2001:db8::ffff", "2001:db8:0:0:1::", // one /64
		"2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "", "@",
	} {
		require.NoError(t, r.Failed(fromAddress(t.Context(), address), "bearer", auth.ErrUnauthenticated))
	}
	assert.Len(t, log.all(), 5)
}

func TestDenialsAreCountedByActor(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 2})
	ctx := auth.WithRecorder(t.Context(), r)
	for range 5 {
		require.Error(t, auth.Require(auth.With(ctx, bob), "task:delete"))
		require.Error(t, auth.Require(auth.With(ctx, alice), "task:delete"))
		require.Error(t, auth.Require(ctx, "task:delete"))
	}
	assert.Len(t, log.all(), 6)
	require.NoError(t, r.Flush(t.Context()))
	records := log.all()[6:]
	require.Len(t, records, 3)
	actors := map[event.ActorID]event.TenantID{}
	for _, record := range records {
		assert.Equal(t, auth.ActionDenied, record.Action())
		assert.Equal(t, audit.Denied, record.Outcome())
		assert.Equal(t, int64(3), record.Metadata()[auth.KeyCount])
		actors[record.ActorID()] = record.TenantID()
	}
	assert.Equal(t, map[event.ActorID]event.TenantID{event.User("bob"): "acme", event.User("alice"): "acme", event.Anonymous: ""}, actors)
}

func TestWhatCannotBeStoredIsCounted(t *testing.T) {
	t.Parallel()
	log, now := &logbook{down: true}, newClock()
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 2, MaxSources: 1, Now: now.Now})
	for range 5 {
		require.ErrorIs(t, r.Failed(t.Context(), "bearer", auth.ErrUnauthenticated), errDown, "each is told, the share is not used up")
	}
	require.ErrorIs(t, r.Flush(t.Context()), errDown)
	now.pass(2 * time.Minute)
	require.ErrorIs(t, r.Failed(fromAddress(t.Context(), "192.0.2.1"), "bearer", auth.ErrUnauthenticated), errDown)
	log.setDown(false)
	require.NoError(t, r.Flush(t.Context()))
	total := int64(0)
	for _, record := range log.all() {
		total += record.Metadata()[auth.KeyCount].(int64)
	}
	assert.Equal(t, int64(6), total)
}

func TestALogThatIsDownIsTriedOnce(t *testing.T) {
	t.Parallel()
	log, now := &logbook{}, newClock()
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 1, Now: now.Now})
	for i := range 20 {
		for range 2 {
			require.NoError(t, r.Failed(fromAddress(t.Context(), fmt.Sprintf("192.0.2.%d", i)), "bearer", auth.ErrUnauthenticated))
		}
	}
	log.setDown(true)
	tried := log.attempts()
	require.ErrorIs(t, r.Flush(t.Context()), errDown)
	assert.Equal(t, tried+1, log.attempts())
	now.pass(2 * time.Minute)
	require.ErrorIs(t, r.Failed(t.Context(), "bearer", auth.ErrUnauthenticated), errDown)
	assert.Equal(t, tried+3, log.attempts(), "once for what is due, once for what is new")
	log.setDown(false)
	require.NoError(t, r.Flush(t.Context()))
	assert.Len(t, log.all(), 20+20+1, "nothing is lost")
}

func TestRunStoresCountsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		r := newRecorder(t, log, auth.RecorderConfig{Burst: 1, Window: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		for range 3 {
			require.NoError(t, r.Failed(ctx, "bearer", auth.ErrUnauthenticated))
		}
		assert.Len(t, log.all(), 1)
		<-time.After(2*time.Minute + time.Second) // simulated time
		synctest.Wait()
		assert.Len(t, log.all(), 2)
		log.setDown(true)
		for range 2 {
			_ = r.Failed(ctx, "bearer", auth.ErrUnauthenticated)
		}
		<-time.After(3 * time.Minute)
		log.setDown(false)
		cancel()
		require.NoError(t, <-done)
		require.Len(t, log.all(), 3, "what is left is stored at the end")
		assert.Equal(t, int64(2), log.all()[2].Metadata()[auth.KeyCount])
	})
}

func TestRecorderUnderRace(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 3, MaxSources: 4, Window: time.Nanosecond})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				assert.NoError(t, r.Failed(fromAddress(t.Context(), fmt.Sprintf("192.0.2.%d", (i+j)%6)), "bearer", auth.ErrUnauthenticated))
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Flush(t.Context()))
	total := 0
	for _, record := range log.all() {
		count, counted := record.Metadata()[auth.KeyCount].(int64)
		if !counted {
			count = 1
		}
		total += int(count)
	}
	assert.Equal(t, 1600, total)
}

// Whatever is refused, its record is one that a log takes.
func TestRecordsAreAlwaysValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringN(0, 600, 700), rapid.Custom(func(t *rapid.T) string {
			return string(rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(t, "bytes"))
		}))
		log := &logbook{}
		r, err := auth.NewRecorder(log, auth.RecorderConfig{Burst: 1})
		require.NoError(rt, err)
		ctx := event.WithMetadata(t.Context(), event.Metadata{
			audit.KeySourceAddress: text.Draw(rt, "address"), audit.KeyRequest: text.Draw(rt, "id"),
			audit.KeyUserAgent: text.Draw(rt, "agent"), audit.KeyTraceparent: text.Draw(rt, "trace"),
		})
		refused := &auth.CredentialError{
			Reason: auth.Reason(text.Draw(rt, "reason")), KeyID: text.Draw(rt, "key"), Method: text.Draw(rt, "method"),
		}
		denied := &auth.DeniedError{
			ActorID: event.User("a"), Reason: text.Draw(rt, "why"), Permission: auth.Permission(text.Draw(rt, "permission")),
		}
		for range 2 {
			require.NoError(rt, r.Failed(ctx, text.Draw(rt, "kind"), refused))
			require.NoError(rt, r.Denied(ctx, denied))
		}
		require.NoError(rt, r.Flush(ctx))
		require.Len(rt, log.all(), 4)
	})
}

func TestRecorderRefusesConfig(t *testing.T) {
	t.Parallel()
	_, err := auth.NewRecorder(nil, auth.RecorderConfig{})
	require.ErrorContains(t, err, "log")
	for field, config := range map[string]auth.RecorderConfig{
		"window": {Window: -1}, "burst": {Burst: -1}, "max_sources": {MaxSources: -1}, "timeout": {Timeout: -1},
	} {
		_, err := auth.NewRecorder(&logbook{}, config)
		require.ErrorContains(t, err, field)
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	assert.Equal(t, "not authenticated: no credential", (&auth.CredentialError{Reason: auth.Missing}).Error())
	assert.Equal(t, "not authenticated: credential refused (issuer): cause", (&auth.CredentialError{Reason: auth.Issuer, Err: cause}).Error())
	require.ErrorIs(t, &auth.CredentialError{Err: cause}, cause)
	assert.Equal(t, "user:a: not allowed: is no owner (Task/1)",
		(&auth.DeniedError{ActorID: "user:a", Reason: "is no owner", Entity: audit.EntityRef{Type: "Task", ID: "1"}}).Error())
}

// One record that stands for several says only what is true of all.
func TestCountedDenialsSayWhatAllShare(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 1})
	clerk := auth.Principal{ActorID: event.Service("clerk"), TenantID: "acme"}
	deny := func(onBehalfOf event.ActorID, address string) {
		clerk.OnBehalfOf = onBehalfOf
		ctx := auth.WithRecorder(auth.With(fromAddress(t.Context(), address), clerk), r)
		require.ErrorIs(t, auth.Require(ctx, "task:delete"), auth.ErrDenied)
	}
	for _, address := range []string{"192.0.2.1", "192.0.2.1", "198.51.100.7"} {
		deny(event.User("alice"), address)
		deny(event.User("bob"), "192.0.2.1")
	}
	require.NoError(t, r.Flush(t.Context()))
	got := map[event.ActorID]string{}
	for _, record := range log.all()[2:] {
		assert.Equal(t, int64(2), record.Metadata()[auth.KeyCount])
		got[record.OnBehalfOf()] = record.Request().SourceAddress
	}
	assert.Equal(t, map[event.ActorID]string{event.User("alice"): "", event.User("bob"): "192.0.2.1"}, got)
}

func TestCountedFailuresNameTheNetworkTheyShare(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 1})
	for i := range 4 {
		ctx := fromAddress(t.Context(), fmt.Sprintf("2001:db8::%d", i+1))
		require.NoError(t, r.Failed(ctx, "bearer", &auth.CredentialError{Reason: auth.Expired}))
	}
	require.NoError(t, r.Flush(t.Context()))
	assert.Equal(t, "2001:db8::/64", log.all()[1].Request().SourceAddress)
}

// Counts that wait for the log are no secret.
func TestCountsThatCannotBeStoredAreReported(t *testing.T) {
	t.Parallel()
	log, now := &logbook{}, newClock()
	var reported []error
	r := newRecorder(t, log, auth.RecorderConfig{Burst: 1, Now: now.Now, Report: func(_ context.Context, err error) {
		reported = append(reported, err)
	}})
	ctx := fromAddress(t.Context(), "192.0.2.1")
	for range 2 {
		require.NoError(t, r.Failed(ctx, "bearer", auth.ErrUnauthenticated))
	}
	log.setDown(true)
	now.pass(2 * time.Minute)
	require.ErrorIs(t, r.Failed(ctx, "bearer", auth.ErrUnauthenticated), errDown)
	require.Len(t, reported, 1, "the count; the refusal itself is an error of the call")
	require.ErrorIs(t, reported[0], errDown)
}
