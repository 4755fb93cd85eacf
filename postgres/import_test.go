package postgres_test

import (
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// history returns events of some streams, in turn, recorded long ago.
func history(streams, each int) []event.Event {
	ids := make([]uuid.UUID, streams)
	for i := range ids {
		ids[i] = uuid.New()
	}
	var all []event.Event
	for version := range each {
		for i, id := range ids {
			e := newOrder()
			e.AggregateType, e.AggregateID, e.AggregateVersion = "Order", id, uint64(version)+1
			e.RecordedAt = time.Date(2020, 1, 1, 0, 0, version, 0, time.UTC)
			if i%2 == 0 {
				e.TenantID, e.Metadata, e.CausationID = "acme", event.Metadata{"n": int64(i)}, event.NewID()
			}
			all = append(all, e)
		}
	}
	return all
}

func sequence(events []event.Event) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	store, events := newStore(t), history(60, 100)
	first := appendTo(t, store, orders(), 1).Position
	stored, err := store.Import(t.Context(), sequence(events))
	require.NoError(t, err)
	require.Equal(t, len(events), stored)
	got := readAll(t, store, eventstore.Query{After: first})
	require.Len(t, got, len(events))
	for i, e := range events {
		want := eventstore.Place(e, eventstore.StreamOf(e), e.AggregateVersion, got[i].Position, e.RecordedAt)
		require.Equal(t, want, got[i])
	}
	stored, err = store.Import(t.Context(), sequence(events))
	require.NoError(t, err, "again")
	require.Zero(t, stored)
	appendTo(t, store, eventstore.StreamOf(events[0]), 1) // goes on behind it
}

func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	store, events := newStore(t), history(30, 200)
	cut := errors.New("cut")
	stored, err := store.Import(t.Context(), func(yield func(event.Event, error) bool) {
		for _, e := range events[:5500] {
			if !yield(e, nil) {
				return
			}
		}
		yield(event.Event{}, cut)
	})
	require.ErrorIs(t, err, cut)
	require.Equal(t, 5000, stored)
	stored, err = store.Import(t.Context(), sequence(events))
	require.NoError(t, err)
	require.Equal(t, 1000, stored)
	require.Len(t, readAll(t, store, eventstore.Query{}), len(events))
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	store, events := newStore(t), history(1, 3)
	_, err := store.Import(t.Context(), sequence(events[1:]))
	require.ErrorIs(t, err, eventstore.ErrConflict, "a hole")
	noVersion := events[0]
	noVersion.AggregateVersion = 0
	_, err = store.Import(t.Context(), sequence([]event.Event{noVersion}))
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.ErrorContains(t, err, "aggregate_version")
	large := events[0]
	large.Data = make([]byte, 2<<20)
	_, err = store.Import(t.Context(), sequence([]event.Event{large}))
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	_, err = store.Import(t.Context(), sequence(events))
	require.NoError(t, err)
	moved := events[0]
	moved.AggregateID = uuid.New()
	_, err = store.Import(t.Context(), sequence([]event.Event{moved}))
	require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
	taken := newOrder()
	taken.TenantID, taken.AggregateType, taken.AggregateID, taken.AggregateVersion = events[0].TenantID, "Order", events[0].AggregateID, 2
	_, err = store.Import(t.Context(), sequence([]event.Event{taken}))
	require.ErrorIs(t, err, eventstore.ErrConflict)
	require.Len(t, readAll(t, store, eventstore.Query{}), 3)
}

// Events without a recorded-at time are recorded now, by the store's clock.
func TestImportClock(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	at := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
	config.Now = func() time.Time { return at }
	store, events := open(t, config), history(1, 1)
	events[0].RecordedAt = time.Time{}
	_, err := store.Import(t.Context(), sequence(events))
	require.NoError(t, err)
	require.Equal(t, at, readAll(t, store, eventstore.Query{})[0].RecordedAt)
}

// An import holds back the head like every writer.
func TestImportBesideWriters(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	done := make(chan error, 1)
	events := history(100, 100)
	go func() {
		_, err := store.Import(t.Context(), sequence(events))
		done <- err
	}()
	var seen uint64
	total := 0
	for running := true; running; {
		select {
		case err := <-done:
			require.NoError(t, err)
			running = false
		default:
		}
		appendTo(t, store, orders(), 1)
		for _, e := range readAll(t, store, eventstore.Query{After: seen}) {
			require.Greater(t, e.Position, seen)
			seen = e.Position
			total++
		}
	}
	total += len(readAll(t, store, eventstore.Query{After: seen}))
	require.Len(t, readAll(t, store, eventstore.Query{}), total)
}
