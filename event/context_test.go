package event_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

func TestEmptyContext(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	assert.Zero(t, event.OriginFrom(ctx))
	assert.Zero(t, event.ActorFrom(ctx))
	assert.Zero(t, event.TenantFrom(ctx))
	assert.Zero(t, event.CorrelationFrom(ctx))
	assert.Zero(t, event.CausationFrom(ctx))
	assert.Nil(t, event.MetadataFrom(ctx))
}

func TestContextCarries(t *testing.T) {
	t.Parallel()
	correlation, causation := event.NewID(), event.NewID()
	outer := event.WithActor(t.Context(), event.User("alice"))
	ctx := event.WithMetadata(event.WithCausation(event.WithCorrelation(event.WithTenant(outer, "acme"), correlation), causation),
		event.Metadata{"request": "r1"})

	assert.Equal(t, event.User("alice"), event.ActorFrom(ctx))
	assert.Equal(t, event.TenantID("acme"), event.TenantFrom(ctx))
	assert.Equal(t, correlation, event.CorrelationFrom(ctx))
	assert.Equal(t, causation, event.CausationFrom(ctx))
	assert.Equal(t, event.Metadata{"request": "r1"}, event.MetadataFrom(ctx))
	assert.Equal(t, event.Origin{ActorID: event.User("alice")}, event.OriginFrom(outer), "the outer context is as it was")

	inner := event.WithActor(ctx, event.System("job"))
	assert.Equal(t, event.System("job"), event.ActorFrom(inner))
	assert.Equal(t, event.TenantID("acme"), event.TenantFrom(inner))
	assert.Equal(t, event.Origin{TenantID: "x"}, event.OriginFrom(event.WithOrigin(inner, event.Origin{TenantID: "x"})))
}

func TestContextMetadataIsCopied(t *testing.T) {
	t.Parallel()
	given := event.Metadata{"a": 1, "b": 1}
	outer := event.WithMetadata(t.Context(), given)
	inner := event.WithMetadata(outer, event.Metadata{"b": 2, "c": 2})
	given["a"] = "changed"
	event.MetadataFrom(outer)["a"] = "changed"
	assert.Equal(t, event.Metadata{"a": 1, "b": 1}, event.MetadataFrom(outer))
	assert.Equal(t, event.Metadata{"a": 1, "b": 2, "c": 2}, event.MetadataFrom(inner))
}

func TestWithCause(t *testing.T) {
	t.Parallel()
	cause := event.Event{ID: event.NewID(), CorrelationID: event.NewID(), TenantID: "acme", ActorID: event.User("alice")}
	ctx := event.WithCause(event.WithActor(t.Context(), event.System("mailer")), cause)
	assert.Equal(t, event.Origin{
		ActorID: event.System("mailer"), TenantID: "acme", CorrelationID: cause.CorrelationID, CausationID: cause.ID,
	}, event.OriginFrom(ctx))
	ctx = event.WithCause(event.WithTenant(t.Context(), "other"), cause)
	assert.Equal(t, event.TenantID("other"), event.TenantFrom(ctx), "a tenant that is named stays")
}

func TestNewStampsFromContext(t *testing.T) {
	t.Parallel()
	origin := event.Origin{
		ActorID: event.User("alice"), TenantID: "acme", CorrelationID: event.NewID(), CausationID: event.NewID(),
		Metadata: event.Metadata{"request": "r1"},
	}
	now := time.Date(2025, 1, 1, 1, 0, 0, 1999, time.FixedZone("CET", 3600))
	e, err := event.NewWith(event.WithOrigin(t.Context(), origin), event.JSON{}, now, Created{Title: "Plan"})
	require.NoError(t, err)
	require.NoError(t, e.Validate())
	assert.Equal(t, now.UnixMilli(), milliseconds(e.ID))
	e.ID = uuid.Nil
	assert.Equal(t, event.Event{
		Type: "DocumentCreated", SchemaVersion: 1, Data: []byte(`{"title":"Plan"}`),
		TenantID: "acme", ActorID: event.User("alice"), CorrelationID: origin.CorrelationID, CausationID: origin.CausationID,
		OccurredAt: time.Date(2025, 1, 1, 0, 0, 0, 1000, time.UTC), Metadata: event.Metadata{"request": "r1"},
	}, e)
}

func TestNewStartsAChain(t *testing.T) {
	t.Parallel()
	before := time.Now().Add(-time.Millisecond)
	e, err := event.New(t.Context(), Created{})
	require.NoError(t, err)
	assert.Equal(t, e.ID, e.CorrelationID)
	assert.Equal(t, uuid.Nil, e.CausationID)
	assert.WithinRange(t, e.OccurredAt, before, time.Now())
	assert.Equal(t, time.UTC, e.OccurredAt.Location())

	next, err := event.New(event.WithCause(context.WithoutCancel(t.Context()), e), Created{})
	require.NoError(t, err)
	assert.Equal(t, e.ID, next.CorrelationID)
	assert.Equal(t, e.ID, next.CausationID)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := event.New(t.Context(), nil)
	require.ErrorIs(t, err, event.ErrInvalid)

	_, err = event.New(t.Context(), Unencodable{C: make(chan int)})
	var encodeError *event.EncodeError
	require.ErrorAs(t, err, &encodeError)
	require.ErrorIs(t, err, event.ErrEncode)
	assert.Equal(t, "Unencodable", encodeError.Type)
	require.Error(t, encodeError.Unwrap())

	_, err = event.New(t.Context(), Disjointed{})
	require.ErrorIs(t, err, event.ErrDefinition)
}

func TestEventCopies(t *testing.T) {
	t.Parallel()
	e, err := event.New(event.WithMetadata(t.Context(), event.Metadata{"a": 1, "b": 1}), Created{})
	require.NoError(t, err)
	more := e.WithMetadata(event.Metadata{"b": 2})
	assert.Equal(t, event.Metadata{"a": 1, "b": 1}, e.Metadata)
	assert.Equal(t, event.Metadata{"a": 1, "b": 2}, more.Metadata)
	assert.Equal(t, e.ID, more.ID)

	cause := event.Event{ID: event.NewID(), CorrelationID: event.NewID()}
	caused := e.CausedBy(cause)
	assert.Equal(t, cause.CorrelationID, caused.CorrelationID)
	assert.Equal(t, cause.ID, caused.CausationID)
	assert.Equal(t, uuid.Nil, e.CausationID)
	assert.Equal(t, e.ID, e.CorrelationID)
}

func TestEventValidate(t *testing.T) {
	t.Parallel()
	valid, err := event.New(t.Context(), Created{})
	require.NoError(t, err)
	for field, spoil := range map[string]func(*event.Event){
		"event_id":       func(e *event.Event) { e.ID = uuid.Nil },
		"event_type":     func(e *event.Event) { e.Type = "" },
		"schema_version": func(e *event.Event) { e.SchemaVersion = 0 },
		"tenant_id":      func(e *event.Event) { e.TenantID = "\x00" },
		"actor_id":       func(e *event.Event) { e.ActorID = "somebody" },
		"occurred_at":    func(e *event.Event) { e.OccurredAt = time.Time{} },
	} {
		e := valid
		require.NoError(t, e.Validate())
		spoil(&e)
		var invalid *event.InvalidError
		require.ErrorAs(t, e.Validate(), &invalid, field)
		assert.Equal(t, field, invalid.Field)
	}
	for _, year := range []int{-1, 0, 10000} {
		e := valid
		e.OccurredAt = time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		require.ErrorIs(t, e.Validate(), event.ErrInvalid, "year %d", year)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	kept := event.Time(now)
	assert.Equal(t, now.UnixMicro(), kept.UnixMicro())
	assert.Zero(t, kept.Nanosecond()%1000)
	assert.Equal(t, kept.Round(0), kept, "no monotonic reading")
	assert.Equal(t, time.UnixMicro(kept.UnixMicro()).UTC(), kept, "comes back equal")
}
