package eventstoretest

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Limits are stated and typed: Limits, ErrTooLarge, ErrInvalid.
func limits() []clause {
	return []clause{
		{Name: "what is as large as it may be is stored", Check: atTheLimit},
		{Name: "what is larger is refused as too large", Check: beyondTheLimit},
		{Name: "what is invalid is refused and the field is named", Check: invalidFields},
		{Name: "an event that says it belongs elsewhere is refused", Check: misplaced},
		{Name: "an append has to make sense", Check: senselessAppends},
	}
}

// jsonOf returns a JSON text of n bytes.
func jsonOf(n int) []byte {
	return append(append([]byte{'"'}, bytes.Repeat([]byte("x"), n-2)...), '"')
}

func atTheLimit(t T, s subject) {
	limits := s.Limits()
	require.Positive(t, limits.PayloadBytes)
	require.Positive(t, limits.EventsPerAppend)
	require.Positive(t, limits.StreamsPerAppend)

	e := draft()
	e.Data = jsonOf(limits.PayloadBytes)
	stream := s.stream()
	s.append(t, stream, eventstore.NoStream(), e)
	require.Equal(t, e.Data, s.readN(t, stream, 1)[0].Data)

	e = draft()
	e.Metadata = event.Metadata{"k": strings.Repeat("x", event.MaxMetadataBytes-len(`{"k":""}`))}
	stream = s.stream()
	s.append(t, stream, eventstore.NoStream(), e)
	require.Equal(t, e.Metadata, s.readN(t, stream, 1)[0].Metadata)

	stream = s.stream()
	s.append(t, stream, eventstore.NoStream(), drafts(limits.EventsPerAppend)...)
	require.Equal(t, oneTo(limits.EventsPerAppend), versionsOf(s.read(t, stream)))

	appends := make([]eventstore.Append, limits.StreamsPerAppend)
	for i := range appends {
		appends[i] = to(s.stream(), eventstore.NoStream(), draft())
	}
	_, err := s.Append(t.Context(), appends...)
	require.NoError(t, err)
	require.Len(t, s.read(t, appends[len(appends)-1].Stream), 1)
}

func beyondTheLimit(t T, s subject) {
	limits := s.Limits()
	payload, metadata := draft(), draft()
	payload.Data = jsonOf(limits.PayloadBytes + 1)
	metadata.Metadata = event.Metadata{"k": strings.Repeat("x", event.MaxMetadataBytes)}
	streams := make([]eventstore.Append, limits.StreamsPerAppend+1)
	for i := range streams {
		streams[i] = to(s.stream(), eventstore.NoStream(), draft())
	}
	for name, c := range map[string]struct {
		appends []eventstore.Append
		unit    string
		limit   int
	}{
		"payload":  {[]eventstore.Append{to(s.stream(), eventstore.Any(), draft(), payload)}, "bytes", limits.PayloadBytes},
		"metadata": {[]eventstore.Append{to(s.stream(), eventstore.Any(), draft(), metadata)}, "bytes", event.MaxMetadataBytes},
		"events":   {[]eventstore.Append{to(s.stream(), eventstore.Any(), drafts(limits.EventsPerAppend+1)...)}, "events", limits.EventsPerAppend},
		"streams":  {streams, "streams", limits.StreamsPerAppend},
	} {
		s.requireUnchanged(t, func() {
			_, err := s.Append(t.Context(), c.appends...)
			var tooLarge *event.TooLargeError
			require.ErrorAs(t, err, &tooLarge, name)
			require.ErrorIs(t, err, eventstore.ErrTooLarge, name)
			require.Equal(t, c.unit, tooLarge.Unit, name)
			require.Equal(t, c.limit, tooLarge.Limit, name)
			require.Greater(t, tooLarge.Size, tooLarge.Limit, name)
		})
	}
}

func invalidFields(t T, s subject) {
	for _, c := range []struct {
		field string
		spoil func(e *event.Event)
	}{
		{"event_id", func(e *event.Event) { e.ID = uuid.Nil }},
		{"event_type", func(e *event.Event) { e.Type = "" }},
		{"schema_version", func(e *event.Event) { e.SchemaVersion = 0 }},
		{"schema_version", func(e *event.Event) { e.SchemaVersion = -1 }},
		{"actor_id", func(e *event.Event) { e.ActorID = "somebody" }},
		{"actor_id", func(e *event.Event) { e.ActorID = "user:" }},
		{"actor_id", func(e *event.Event) { e.ActorID = "users:1" }},
		{"occurred_at", func(e *event.Event) { e.OccurredAt = time.Time{} }},
		{"occurred_at", func(e *event.Event) { e.OccurredAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"occurred_at", func(e *event.Event) { e.OccurredAt = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"metadata.k", func(e *event.Event) { e.Metadata = event.Metadata{"k": struct{}{}} }},
		{"metadata.k", func(e *event.Event) { e.Metadata = event.Metadata{"k": math.NaN()} }},
		{"metadata.k", func(e *event.Event) { e.Metadata = event.Metadata{"k": "a\x00b"} }},
		{"metadata.k[1]", func(e *event.Event) { e.Metadata = event.Metadata{"k": []any{1, time.Second}} }},
	} {
		s.requireUnchanged(t, func() {
			events := drafts(2)
			c.spoil(&events[1])
			_, err := s.Append(t.Context(), to(s.stream(), eventstore.Any(), events...))
			require.ErrorIs(t, err, eventstore.ErrInvalid, c.field)
			require.Equal(t, c.field, fieldOf(err))
		})
	}
}

func misplaced(t T, s subject) {
	for field, spoil := range map[string]func(e *event.Event){
		"aggregate_type":    func(e *event.Event) { e.AggregateType = "Invoice" },
		"aggregate_id":      func(e *event.Event) { e.AggregateID = event.NewID() },
		"tenant_id":         func(e *event.Event) { e.TenantID = "another" },
		"aggregate_version": func(e *event.Event) { e.AggregateVersion = 7 },
	} {
		for _, expected := range []eventstore.Expectation{eventstore.Any(), eventstore.NoStream()} {
			s.requireUnchanged(t, func() {
				events := drafts(2)
				spoil(&events[1])
				_, err := s.Append(t.Context(), to(s.stream(), expected, events...))
				require.ErrorIs(t, err, eventstore.ErrInvalid, field)
				require.Equal(t, field, fieldOf(err))
			})
		}
	}
}

func senselessAppends(t T, s subject) {
	stream, e := s.stream(), draft()
	for name, c := range map[string]struct {
		appends []eventstore.Append
		want    error
	}{
		"no stream at all":       {nil, eventstore.ErrInvalid},
		"a stream without an id": {[]eventstore.Append{to(eventstore.Stream{TenantID: s.tenant, AggregateType: "Order"}, eventstore.Any(), draft())}, eventstore.ErrInvalid},
		"a stream without a type": {
			[]eventstore.Append{to(eventstore.Stream{TenantID: s.tenant, AggregateID: event.NewID()}, eventstore.Any(), draft())}, eventstore.ErrInvalid,
		},
		"a stream twice":            {[]eventstore.Append{to(stream, eventstore.Any(), draft()), to(stream, eventstore.Any(), draft())}, eventstore.ErrInvalid},
		"an event id twice":         {[]eventstore.Append{to(stream, eventstore.Any(), e, e)}, eventstore.ErrDuplicateEvent},
		"an event id in two places": {[]eventstore.Append{to(stream, eventstore.Any(), e), to(s.stream(), eventstore.Any(), e)}, eventstore.ErrDuplicateEvent},
	} {
		s.requireUnchanged(t, func() {
			_, err := s.Append(t.Context(), c.appends...)
			require.ErrorIs(t, err, c.want, name)
		})
	}
}
