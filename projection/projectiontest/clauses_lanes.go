package projectiontest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// brisk is quick with a lease so short that others notice soon what was decided.
func brisk(projections ...projection.Projection) projection.Config {
	config := quick(projections...)
	config.LeaseTTL = 2 * time.Second
	return config
}

// laned is a ledger's projection in several lanes.
type laned struct {
	projection.Projection

	lanes int
}

// Lanes implements [projection.Laned].
func (l laned) Lanes() int { return l.lanes }

// Prepare implements [projection.Preparer].
func (l laned) Prepare(ctx context.Context, tx projection.Tx) error {
	if p, ok := l.Projection.(projection.Preparer); ok {
		return p.Prepare(ctx, tx) // a decorator.
	}
	return nil
}

// order asks for something, as a command does, and waits until it is done or
// refused.
func (h Harness) order(t T, name registry.Name, o registry.Order) registry.Record {
	o.Reason, o.At = "test", time.Now()
	h.change(t, name, func(r *registry.Record) { r.Order = o })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := h.progress().Registry().Load(t.Context(), name)
		require.NoError(t, err)
		if !r.Ordered() {
			return r
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			require.Fail(t, "order was not carried out")
		}
	}
}

// change changes what is decided about a projection.
func (h Harness) change(t T, name registry.Name, f func(*registry.Record)) {
	for {
		r, err := h.progress().Registry().Load(t.Context(), name)
		require.NoError(t, err)
		f(&r)
		if _, err = h.progress().Registry().Save(t.Context(), r); !errors.Is(err, registry.ErrChanged) {
			require.NoError(t, err)
			return
		}
	}
}

// appendMixed stores rounds of one event for each of so many streams.
func (h Harness) appendMixed(t T, streams, rounds int) (last uint64) {
	ids := make([]uuid.UUID, streams)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for range rounds {
		for _, id := range ids {
			last = h.append(t, id, 1)
		}
	}
	return last
}

// inOrder notes events in the order in which handlers saw them, by stream.
type inOrder struct {
	mu   sync.Mutex
	seen map[uuid.UUID][]uint64
}

func (s *inOrder) hook(_ context.Context, e event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[uuid.UUID][]uint64)
	}
	s.seen[e.AggregateID] = append(s.seen[e.AggregateID], e.Position)
	return nil
}

func (s *inOrder) check(t T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, positions := range s.seen {
		assert.True(t, slices.IsSorted(slices.Compact(positions)), "stream %s: %v", id, positions)
	}
}

func lanes() []clause {
	return []clause{
		{Name: "lanes share the events, and keep the order of each stream", Check: func(t T, h Harness) {
			var seen inOrder
			ledger := h.NewLedger(t, "ledger", seen.hook)
			last := h.appendMixed(t, 20, 5)
			r := h.runner(t, quick(laned{ledger.Projection, 4}))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			assert.Equal(t, h.stored(t), sorted(ledger.positions(t)))
			seen.check(t)
			list, err := h.progress().Checkpoints().List(t.Context(), "ledger")
			require.NoError(t, err)
			require.Len(t, list, 4)
			for _, c := range list {
				assert.Equal(t, last, c.Position)
			}
		}},
		{Name: "their number is changed at run time, and no event comes twice or is passed over", Check: func(t T, h Harness) {
			var seen inOrder
			ledger := h.NewLedger(t, "ledger", seen.hook)
			name := registry.Name{Projection: "ledger", Version: 1}
			last := h.appendMixed(t, 10, 5)
			config := brisk(laned{ledger.Projection, 2})
			config.BatchSize = 3
			one, other := h.runner(t, config), h.runner(t, config)
			stopOne, stopOther := start(t, one), start(t, other)
			require.NoError(t, one.WaitFor(t.Context(), "ledger", last))
			for _, n := range []int{5, 1, 3} {
				h.appendMixed(t, 10, 2)
				r := h.order(t, name, registry.Order{Kind: registry.ChangeLanes, Lanes: n})
				assert.Equal(t, n, r.Lanes)
				last = h.appendMixed(t, 10, 2)
			}
			require.NoError(t, other.WaitFor(t.Context(), "ledger", last))
			require.NoError(t, stopOne())
			require.NoError(t, stopOther())
			assert.Equal(t, h.stored(t), sorted(ledger.positions(t)))
			seen.check(t)
		}},
		{Name: "a poison event parks its sequence in its lane", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 3)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.appendMixed(t, 10, 3)
			r := h.runner(t, quick(laned{ledger.Projection, 4}))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			assert.Equal(t, []uint64{3, 13, 23}, positionsOf(h.letters(t, "ledger")))
			bad.heal()
			done, err := r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			assert.Equal(t, 3, done.Applied)
			assert.Equal(t, h.stored(t), sorted(ledger.positions(t)))
		}},
	}
}

func sorted(positions []uint64) []uint64 { return slices.Sorted(slices.Values(positions)) }

func decisions() []clause {
	name := registry.Name{Projection: "ledger", Version: 1}
	return []clause{
		{Name: "the first version is live, and what is decided is kept", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			r, err := h.progress().Registry().Load(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, registry.Live, r.State)
			assert.Equal(t, 1, r.Lanes)
			assert.True(t, r.Finished)
		}},
		{Name: "a pause stops every runner and outlives them", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, brisk(ledger.Projection))
			stop := start(t, r)
			require.NoError(t, r.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 1)))
			h.change(t, name, func(r *registry.Record) { r.Pause = registry.Pause{Reason: "why", At: time.Now()} })
			h.waitForState(t, r, "ledger", projection.Paused)
			require.NoError(t, stop())
			last := h.append(t, uuid.New(), 2)
			require.ErrorIs(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()), projection.ErrInactive)
			assert.Len(t, ledger.positions(t), 1)
			h.change(t, name, func(r *registry.Record) { r.Pause = registry.Pause{} })
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, last, h.checkpoint(t, "ledger"))
		}},
		{Name: "a rebuild is carried out while runners run", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			one, other := h.runner(t, brisk(laned{ledger.Projection, 2})), h.runner(t, brisk(laned{ledger.Projection, 2}))
			stopOne, stopOther := start(t, one), start(t, other)
			last := h.appendMixed(t, 5, 5)
			require.NoError(t, one.WaitFor(t.Context(), "ledger", last))
			h.order(t, name, registry.Order{Kind: registry.Rebuild})
			last = h.appendMixed(t, 5, 1)
			require.NoError(t, one.WaitFor(t.Context(), "ledger", last))
			require.NoError(t, stopOne())
			require.NoError(t, stopOther())
			assert.Equal(t, h.stored(t), sorted(ledger.positions(t)))
		}},
		{Name: "what cannot be done is refused with the reason, and the projection goes on", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, brisk(ledger.Projection))
			stop := start(t, r)
			require.NoError(t, r.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 1)))
			refused := h.order(t, name, registry.Order{Kind: registry.Retire})
			assert.Contains(t, refused.Order.Problem, "is live and cannot be retired")
			require.NoError(t, r.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 1)))
			require.NoError(t, stop())
		}},
	}
}
