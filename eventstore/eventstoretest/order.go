package eventstoretest

import (
	"context"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// Version n stands before n+1; an event appended after another was read stands
// after it.
func streamOrder() []clause {
	return []clause{
		{Name: "version n stands before n+1", Check: versionsInOrder},
		{Name: "an effect stands after the cause that was read", Check: effectsAfterCauses},
	}
}

func versionsInOrder(t T, s subject) {
	const writers, appends = 6, 8
	streams := []eventstore.Stream{s.stream(), s.stream(), s.stream()}
	ctx, cancel := s.patiently(t)
	defer cancel()
	requireNone(t, promisetest.Race(writers, func(i int) error {
		for n := range appends {
			a, b := streams[(i+n)%3], streams[(i+n+1)%3]
			if _, err := s.Append(ctx, to(a, eventstore.Any(), drafts(2)...), to(b, eventstore.Any(), draft())); err != nil {
				return err
			}
		}
		return nil
	}))
	versions := make(map[eventstore.Stream]uint64)
	for _, e := range s.readAll(t, eventstore.Query{}) {
		versions[eventstore.StreamOf(e)]++
		require.Equal(t, versions[eventstore.StreamOf(e)], e.AggregateVersion, "in the log")
	}
	for _, stream := range streams {
		stored := s.read(t, stream)
		require.Len(t, stored, int(versions[stream]))
		require.Equal(t, oneTo(len(stored)), versionsOf(stored), "in the stream")
	}
}

func effectsAfterCauses(t T, s subject) {
	const writers, effects = 4, 15
	s.seed(t, 1)
	ctx, cancel := s.patiently(t)
	defer cancel()
	requireNone(t, promisetest.Race(writers, func(int) error {
		for range effects {
			if err := s.causeEffect(ctx); err != nil {
				return err
			}
		}
		return nil
	}))
	all := s.readAll(t, eventstore.Query{})
	require.Len(t, all, 1+writers*effects)
	seen := make(map[uuid.UUID]bool)
	for _, e := range all {
		require.True(t, e.CausationID == uuid.Nil || seen[e.CausationID], "event at %d stands before its cause", e.Position)
		seen[e.ID] = true
	}
}

// causeEffect appends an event that was caused by the newest that it sees.
func (s subject) causeEffect(ctx context.Context) error {
	newest, err := collect(s.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward, Limit: 1}))
	if err != nil {
		return err
	}
	effect := draft()
	for _, cause := range newest {
		effect = effect.CausedBy(cause)
	}
	_, err = s.Append(ctx, to(s.stream(), eventstore.NoStream(), []event.Event{effect}...))
	return err
}
