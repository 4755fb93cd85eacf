package eventstoretest

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// An append of one or more streams with their events is stored whole or not at
// all.
func atomicAppends() []clause {
	return []clause{
		{Name: "several streams are stored whole", Check: storedWhole},
		{Name: "a failed expectation on one stream stores nothing of the others", Check: conflictStoresNothing},
		{Name: "an event that is refused stores nothing of the others", Check: refusalStoresNothing},
		{Name: "a reader sees an append whole or not at all", Check: seenWhole},
	}
}

func storedWhole(t T, s subject) {
	a, b, c, checked := s.stream(), s.stream(), s.stream(), s.stream()
	as, bs, cs := drafts(3), drafts(1), drafts(2)
	result, err := s.Append(t.Context(), to(a, eventstore.NoStream(), as...), to(checked, eventstore.NoStream()),
		to(b, eventstore.Any(), bs...), to(c, eventstore.Exact(0), cs...))
	require.NoError(t, err)
	require.Equal(t, []uint64{3, 0, 1, 2}, result.Versions)
	requireStored(t, a, 0, result, as, s.read(t, a))
	requireStored(t, b, 0, result, bs, s.read(t, b))
	requireStored(t, c, 0, result, cs, s.read(t, c))
	require.Empty(t, s.read(t, checked))
	all := s.readAll(t, eventstore.Query{})
	require.Len(t, all, 6)
	require.Equal(t, all[5].Position, result.Position)
	require.Equal(t, s.head(t), result.Position)
}

func conflictStoresNothing(t T, s subject) {
	streams := []eventstore.Stream{s.seed(t, 1), s.seed(t, 1), s.seed(t, 1)}
	for failing := range streams {
		s.requireUnchanged(t, func() {
			appends := make([]eventstore.Append, len(streams))
			for i, stream := range streams {
				appends[i] = to(stream, eventstore.Exact(1), drafts(2)...)
			}
			appends[failing].Expected = eventstore.Exact(2)
			_, err := s.Append(t.Context(), appends...)
			require.ErrorIs(t, err, eventstore.ErrConflict)
		})
	}
}

func refusalStoresNothing(t T, s subject) {
	first, second := s.seed(t, 1), s.seed(t, 1)
	known := s.readN(t, first, 1)[0].ID
	for name, spoil := range map[string]func(e *event.Event){
		"no id":            func(e *event.Event) { e.ID = uuid.Nil },
		"no type":          func(e *event.Event) { e.Type = "" },
		"payload":          func(e *event.Event) { e.Data = make([]byte, s.Limits().PayloadBytes+1) },
		"metadata":         func(e *event.Event) { e.Metadata = event.Metadata{"c": make(chan int)} },
		"id that is known": func(e *event.Event) { e.ID = known },
	} {
		s.requireUnchanged(t, func() {
			events := drafts(3)
			spoil(&events[2])
			_, err := s.Append(t.Context(), to(first, eventstore.Any(), drafts(2)...), to(second, eventstore.Any(), events...))
			require.Error(t, err, name)
		})
	}
}

func seenWhole(t T, s subject) {
	const writers, appends, each = 4, 12, 5
	ctx, cancel := s.patiently(t)
	defer cancel()
	p := newPace(writers)
	requireNone(t, promisetest.Race(writers+2, func(i int) error {
		if i < writers {
			defer p.written()
			return s.writePairs(ctx, p, appends)
		}
		for last := false; !last; p.looked() {
			last = p.done()
			if err := s.lookForHalves(ctx, each); err != nil {
				cancel()
				return err
			}
		}
		return nil
	}))
	require.Len(t, s.readAll(t, eventstore.Query{}), writers*appends*each)
}

// writePairs appends n times to two streams at once, five events in all, which
// have the correlation in common.
func (s subject) writePairs(ctx context.Context, p *pace, n int) error {
	a, b := s.stream(), s.stream()
	for range n {
		correlation := event.NewID()
		events := drafts(5)
		for i := range events {
			events[i].CorrelationID = correlation
		}
		if _, err := s.Append(ctx, to(a, eventstore.Any(), events[:2]...), to(b, eventstore.Any(), events[2:]...)); err != nil {
			return err
		}
		p.wait(ctx)
	}
	return nil
}

func (s subject) lookForHalves(ctx context.Context, whole int) error {
	parts := make(map[uuid.UUID]int)
	for e, err := range s.ReadAll(ctx, eventstore.Query{}) {
		if err != nil {
			return err
		}
		parts[e.CorrelationID]++
	}
	for correlation, n := range parts {
		if n != whole {
			return fmt.Errorf("%d of %d events of append %s were visible", n, whole, correlation)
		}
	}
	return nil
}
