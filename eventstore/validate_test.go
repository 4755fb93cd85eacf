package eventstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	d := eventstore.DefaultLimits()
	require.NoError(t, d.Validate())
	assert.Equal(t, d, eventstore.Limits{}.OrDefault())
	own := eventstore.Limits{PayloadBytes: 1, EventsPerAppend: 2, StreamsPerAppend: 3}
	assert.Equal(t, own, own.OrDefault())
	for field, bad := range map[string]eventstore.Limits{
		"limits.payload_bytes":      {PayloadBytes: -1},
		"limits.events_per_append":  {EventsPerAppend: -1},
		"limits.streams_per_append": {StreamsPerAppend: -1},
	} {
		var invalid *event.InvalidError
		require.ErrorAs(t, bad.Validate(), &invalid)
		assert.Equal(t, field, invalid.Field)
	}
}

// placed returns an event that is valid, the n-th of its kind.
func placed(n byte) event.Event {
	return event.Event{ID: uuid.UUID{0: 1, 15: n}, Type: "OrderPlaced", SchemaVersion: 1, OccurredAt: noon(), Data: []byte(`{}`)}
}

func TestCheckAppendsTakesWhatIsRight(t *testing.T) {
	t.Parallel()
	inPlace := placed(1)
	inPlace.AggregateType, inPlace.AggregateID, inPlace.AggregateVersion = "Order", orderStream().AggregateID, 8
	another := orderStream()
	another.TenantID = "acme"
	ofTenant := placed(2)
	ofTenant.TenantID = "acme"
	for name, appends := range map[string][]eventstore.Append{
		"without events":        {{Stream: orderStream()}},
		"an event in its place": {{Stream: orderStream(), Expected: eventstore.Exact(7), Events: []event.Event{inPlace}}},
		"two streams":           {{Stream: orderStream(), Events: []event.Event{placed(1)}}, {Stream: another, Events: []event.Event{ofTenant, placed(3)}}},
	} {
		require.NoError(t, eventstore.CheckAppends(eventstore.DefaultLimits(), appends), name)
	}
}

func TestCheckAppendsNamesWhatIsInvalid(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(appends *[]eventstore.Append){
		"appends":           func(a *[]eventstore.Append) { *a = nil },
		"aggregate_type":    func(a *[]eventstore.Append) { (*a)[0].Stream.AggregateType = "" },
		"aggregate_id":      func(a *[]eventstore.Append) { (*a)[0].Stream.AggregateID = uuid.Nil },
		"tenant_id":         func(a *[]eventstore.Append) { (*a)[0].Stream.TenantID = "a\x00" },
		"event_id":          func(a *[]eventstore.Append) { (*a)[0].Events[1].ID = uuid.Nil },
		"event_type":        func(a *[]eventstore.Append) { (*a)[0].Events[1].Type = "" },
		"schema_version":    func(a *[]eventstore.Append) { (*a)[0].Events[1].SchemaVersion = 0 },
		"actor_id":          func(a *[]eventstore.Append) { (*a)[0].Events[1].ActorID = "nobody" },
		"occurred_at":       func(a *[]eventstore.Append) { (*a)[0].Events[1].OccurredAt = time.Time{} },
		"aggregate_version": func(a *[]eventstore.Append) { (*a)[0].Events[1].AggregateVersion = 4 },
	} {
		appends := []eventstore.Append{{Stream: orderStream(), Expected: eventstore.Exact(1), Events: []event.Event{placed(1), placed(2)}}}
		spoil(&appends)
		var invalid *event.InvalidError
		require.ErrorAs(t, eventstore.CheckAppends(eventstore.DefaultLimits(), appends), &invalid, field)
		assert.Equal(t, field, invalid.Field)
	}
}

func TestCheckAppendsRefusesWhatBelongsElsewhere(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(e *event.Event){
		"aggregate_type":    func(e *event.Event) { e.AggregateType = "Invoice" },
		"aggregate_id":      func(e *event.Event) { e.AggregateID = uuid.UUID{9} },
		"tenant_id":         func(e *event.Event) { e.TenantID = "acme" },
		"aggregate_version": func(e *event.Event) { e.AggregateVersion = 1 },
	} {
		e := placed(1)
		spoil(&e)
		var invalid *event.InvalidError
		err := eventstore.CheckAppends(eventstore.DefaultLimits(), []eventstore.Append{{Stream: orderStream(), Events: []event.Event{e}}})
		require.ErrorAs(t, err, &invalid, field)
		assert.Equal(t, field, invalid.Field)
	}
}

func TestCheckAppendsRefusesTheSameTwice(t *testing.T) {
	t.Parallel()
	another := orderStream()
	another.AggregateType = "Invoice"
	err := eventstore.CheckAppends(eventstore.DefaultLimits(), []eventstore.Append{{Stream: orderStream()}, {Stream: another}, {Stream: orderStream()}})
	var invalid *event.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, orderStream().String(), invalid.Value)

	for _, appends := range [][]eventstore.Append{
		{{Stream: another, Events: []event.Event{placed(1), placed(2), placed(1)}}},
		{{Stream: orderStream(), Events: []event.Event{placed(1)}}, {Stream: another, Events: []event.Event{placed(1)}}},
	} {
		var duplicate *eventstore.DuplicateEventError
		require.ErrorAs(t, eventstore.CheckAppends(eventstore.DefaultLimits(), appends), &duplicate)
		assert.Equal(t, eventstore.DuplicateEventError{EventID: placed(1).ID, Stream: another}, *duplicate)
	}
}

func TestCheckAppendsKeepsTheLimits(t *testing.T) {
	t.Parallel()
	limits := eventstore.Limits{PayloadBytes: 10, EventsPerAppend: 3, StreamsPerAppend: 2}
	streams := make([]eventstore.Append, 3)
	for i := range streams {
		streams[i] = eventstore.Append{Stream: eventstore.Stream{AggregateType: "Order", AggregateID: uuid.UUID{byte(i + 1)}}}
	}
	events := []event.Event{placed(1), placed(2), placed(3), placed(4)}
	full := placed(1)
	full.Data = []byte(strings.Repeat("1", 10))
	require.NoError(t, eventstore.CheckAppends(limits, streams[:2]))
	require.NoError(t, eventstore.CheckAppends(limits, []eventstore.Append{{Stream: orderStream(), Events: events[:3]}}))
	require.NoError(t, eventstore.CheckAppends(limits, []eventstore.Append{{Stream: orderStream(), Events: []event.Event{full}}}))

	large := full
	large.Data = slices.Concat(full.Data, []byte("1"))
	spread := slices.Clone(streams[:2])
	spread[0].Events, spread[1].Events = events[:2], events[2:]
	for name, c := range map[string]struct {
		appends []eventstore.Append
		want    event.TooLargeError
	}{
		"streams":          {streams, event.TooLargeError{Field: "append", Size: 3, Limit: 2, Unit: "streams"}},
		"events":           {spread, event.TooLargeError{Field: "append", Size: 4, Limit: 3, Unit: "events"}},
		"bytes of payload": {[]eventstore.Append{{Stream: orderStream(), Events: []event.Event{large}}}, event.TooLargeError{Field: "payload of OrderPlaced", Size: 11, Limit: 10, Unit: "bytes"}},
	} {
		err := eventstore.CheckAppends(limits, c.appends)
		tooLarge, ok := errors.AsType[*event.TooLargeError](err)
		require.True(t, ok, "%s: %v", name, err)
		assert.Equal(t, c.want, *tooLarge)
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	stream := eventstore.Stream{TenantID: "acme", AggregateType: "Order", AggregateID: uuid.UUID{1}}
	e := placed(1)
	e.OccurredAt = noon().Add(1999).In(time.FixedZone("east", 3600))
	got := eventstore.Place(e, stream, 3, 7, noon())
	assert.Equal(t, stream, eventstore.StreamOf(got))
	assert.Equal(t, uint64(3), got.AggregateVersion)
	assert.Equal(t, uint64(7), got.Position)
	assert.Equal(t, noon(), got.RecordedAt)
	assert.Equal(t, noon().Add(time.Microsecond), got.OccurredAt)
	assert.Equal(t, e.Data, got.Data)
}
