package eventstoretest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// subject is the store that a clause is about.
type subject struct {
	eventstore.Store

	tenant event.TenantID          // of the streams that the clause makes
	bound  bool                    // whether the store takes no other tenant
	other  func() eventstore.Store // the same data, opened once more
	held   func(ctx context.Context, store eventstore.Store, appends ...eventstore.Append) (Held, error)

	patience time.Duration // for what has to happen by itself
}

func (s *suite) subject(t *testing.T, open Factory) subject {
	t.Helper()
	store := open(t)
	sub := subject{Store: store, tenant: s.tenant, bound: s.tenant != "", other: func() eventstore.Store { return store }, held: s.held, patience: s.patience}
	if sub.tenant == "" {
		sub.tenant = event.TenantID("tenant-" + event.NewID().String())
	}
	if s.second != nil {
		sub.other = func() eventstore.Store { return s.second(t, store) }
	}
	return sub
}

// stream returns a stream that nobody has written to.
func (s subject) stream() eventstore.Stream {
	return eventstore.Stream{TenantID: s.tenant, AggregateType: "Order", AggregateID: event.NewID()}
}

// firstOfMay is when things happen in this suite, give or take.
func firstOfMay() time.Time { return time.Date(2026, time.May, 1, 12, 0, 0, 123456000, time.UTC) }

// draft returns an event that no stream has.
func draft() event.Event {
	id := event.NewID()
	return event.Event{
		ID: id, Type: "OrderPlaced", SchemaVersion: 1,
		ActorID: "user:550e8400", CorrelationID: id, OccurredAt: firstOfMay(),
		Data: []byte(`{"amount":4200}`),
	}
}

func drafts(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = draft()
	}
	return events
}

// to is an append to one stream.
func to(stream eventstore.Stream, expected eventstore.Expectation, events ...event.Event) eventstore.Append {
	return eventstore.Append{Stream: stream, Expected: expected, Events: events}
}

// append stores events in a stream, or fails the test.
func (s subject) append(t T, stream eventstore.Stream, expected eventstore.Expectation, events ...event.Event) eventstore.Result {
	t.Helper()
	result, err := s.Append(t.Context(), to(stream, expected, events...))
	require.NoError(t, err)
	return result
}

// seed stores n events in a new stream.
func (s subject) seed(t T, n int) eventstore.Stream {
	t.Helper()
	stream := s.stream()
	s.append(t, stream, eventstore.NoStream(), drafts(n)...)
	return stream
}

func (s subject) head(t T) uint64 {
	t.Helper()
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	return head
}

func (s subject) read(t T, stream eventstore.Stream) []event.Event {
	t.Helper()
	events, err := collect(s.ReadStream(t.Context(), stream, eventstore.StreamQuery{}))
	require.NoError(t, err)
	return events
}

// readN reads a stream that must have n events.
func (s subject) readN(t T, stream eventstore.Stream, n int) []event.Event {
	t.Helper()
	events := s.read(t, stream)
	require.Len(t, events, n)
	return events
}

func (s subject) readAll(t T, query eventstore.Query) []event.Event {
	t.Helper()
	events, err := collect(s.ReadAll(t.Context(), query))
	require.NoError(t, err)
	return events
}

// requireUnchanged requires that f stores nothing and moves nothing.
func (s subject) requireUnchanged(t T, f func()) {
	t.Helper()
	head, log := s.head(t), s.readAll(t, eventstore.Query{})
	f()
	require.Equal(t, head, s.head(t), "the head moved")
	require.Equal(t, log, s.readAll(t, eventstore.Query{}), "something was stored")
}

// collect reads a sequence to its end.
func collect(events iter.Seq2[event.Event, error]) ([]event.Event, error) {
	var all []event.Event
	for e, err := range events {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// requireStored requires that got are the events of an append as the store has
// to keep them: in their place, recorded when the result says.
func requireStored(t T, stream eventstore.Stream, base uint64, result eventstore.Result, want, got []event.Event) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, e := range want {
		placed := eventstore.Place(e, stream, base+uint64(i)+1, got[i].Position, result.RecordedAt)
		require.Equal(t, placed, got[i])
	}
}

func idsOf(events []event.Event) []uuid.UUID {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}

func versionsOf(events []event.Event) []uint64 {
	versions := make([]uint64, len(events))
	for i, e := range events {
		versions[i] = e.AggregateVersion
	}
	return versions
}

// oneTo returns 1, 2, 3 … n.
func oneTo(n int) []uint64 {
	numbers := make([]uint64, n)
	for i := range numbers {
		numbers[i] = uint64(i) + 1
	}
	return numbers
}

func reversed(events []event.Event) []event.Event {
	backward := slices.Clone(events)
	slices.Reverse(backward)
	return backward
}

// patiently returns a context for what has to happen by itself.
func (s subject) patiently(t T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), s.patience)
}

// requireNone requires that no racer failed.
func requireNone(t T, errs []error) {
	t.Helper()
	require.NoError(t, errors.Join(errs...))
}
