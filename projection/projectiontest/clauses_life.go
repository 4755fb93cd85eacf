package projectiontest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

func oneOwner() []clause {
	return []clause{
		{Name: "of two runners one waits, and takes over at once after a clean stop", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			config := quick(ledger.Projection)
			config.LeaseTTL = time.Hour
			one := h.runner(t, config)
			stopOne := start(t, one)
			require.NoError(t, one.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 3)))
			config.LeaseTTL = 100 * time.Millisecond
			other := h.runner(t, config)
			stopOther := start(t, other)
			h.waitForState(t, other, "ledger", projection.Waiting)
			require.NoError(t, stopOne())
			h.waitForState(t, other, "ledger", projection.Live)
			require.NoError(t, other.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 3)))
			require.NoError(t, stopOther())
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "whoever slept through the lease cannot move the checkpoint", Check: func(t T, h Harness) {
			asleep, wake := make(chan struct{}), make(chan struct{})
			wakeUp := sync.OnceFunc(func() { close(wake) })
			defer wakeUp()
			var first atomic.Bool
			ledger := newExternalLedger(t, "ledger", func(context.Context, event.Event) error {
				if first.CompareAndSwap(false, true) {
					close(asleep)
					<-wake
				}
				return nil
			})
			h.append(t, uuid.New(), 3)
			sleeper := quick(ledger.Projection)
			sleeper.LeaseTTL = time.Hour
			stop := start(t, h.runner(t, sleeper))
			<-asleep
			h.loseLease(t, "ledger")
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			before, err := h.progress().Checkpoints().List(t.Context(), "ledger")
			require.NoError(t, err)
			wakeUp()
			require.NoError(t, stop())
			after, err := h.progress().Checkpoints().List(t.Context(), "ledger")
			require.NoError(t, err)
			assert.Equal(t, before, after)
		}},
		{Name: "a move with an old fence is refused and the runner takes its turn again", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, quick(ledger.Projection))
			stop := start(t, r)
			require.NoError(t, r.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 1)))
			key := checkpoint.Key{Projection: "ledger", Version: 1}
			require.NoError(t, h.progress().Checkpoints().Move(t.Context(), key, checkpoint.Move{From: 1, To: 1, StoreID: h.Store.ID(), Fence: 1 << 40}))
			h.append(t, uuid.New(), 1)
			h.waitForState(t, r, "ledger", projection.Paused)
			require.NoError(t, stop())
			assert.Equal(t, []uint64{1}, ledger.positions(t)[:1])
			assert.Equal(t, uint64(1), h.checkpoint(t, "ledger"))
		}},
		{Name: "reset and redrive are refused while another process runs the projection", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, quick(ledger.Projection))
			stop := start(t, r)
			require.NoError(t, r.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 1)))
			require.ErrorIs(t, r.Reset(t.Context(), "ledger"), projection.ErrRunning)
			config := quick(ledger.Projection)
			config.Owner = "somebody else"
			other := h.runner(t, config)
			require.ErrorIs(t, other.Reset(t.Context(), "ledger"), lease.ErrHeld)
			_, err := other.Redrive(t.Context(), "ledger")
			require.ErrorIs(t, err, lease.ErrHeld)
			require.NoError(t, stop())
			require.NoError(t, other.Reset(t.Context(), "ledger"))
		}},
	}
}

func status() []clause {
	return []clause{
		{Name: "lag is measured against the head of the store", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, quick(ledger.Projection))
			h.append(t, uuid.New(), 4)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			h.append(t, uuid.New(), 3)
			s := h.statusOf(t, r, "ledger")
			assert.Equal(t, uint64(3), s.Lag(), "though nothing runs")
			assert.Equal(t, projection.Idle, s.State)
			assert.Positive(t, s.Behind)
			assert.InDelta(t, 4.0/7, s.Done(), 0.01)
			assert.Equal(t, uint64(4), s.Applied)
		}},
		{Name: "a paused projection says what is wrong and with which event", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(projection.AsInfrastructure(errHandler), 2)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 3)
			r := h.runner(t, quick(ledger.Projection))
			stop := start(t, r)
			h.waitForState(t, r, "ledger", projection.Paused)
			s := h.statusOf(t, r, "ledger")
			require.ErrorIs(t, s.LastError, errHandler)
			assert.Equal(t, uint64(2), s.ErrorAt)
			assert.NotZero(t, s.Heartbeat)
			bad.heal()
			require.NoError(t, r.WaitFor(t.Context(), "ledger", 3))
			assert.NoError(t, h.statusOf(t, r, "ledger").LastError)
			require.NoError(t, stop())
		}},
		{Name: "parked letters are counted", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 3)
			r := h.runner(t, quick(ledger.Projection))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			stats := h.statusOf(t, r, "ledger").DeadLetters
			assert.Equal(t, 1, stats.Sequences)
			assert.Equal(t, 3, stats.Letters)
			assert.NotZero(t, stats.Oldest)
		}},
	}
}

func readYourWrites() []clause {
	return []clause{
		{Name: "after WaitFor the read model shows what was written", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, quick(ledger.Projection))
			stop := start(t, r)
			for range 20 {
				position := h.append(t, uuid.New(), 1)
				require.NoError(t, r.WaitFor(t.Context(), "ledger", position))
				got := ledger.positions(t)
				assert.Equal(t, position, got[len(got)-1])
			}
			require.NoError(t, stop())
		}},
		{Name: "it sees what another runner does, and ends with the context", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			position := h.append(t, uuid.New(), 1)
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			r := h.runner(t, quick(ledger.Projection))
			require.NoError(t, r.WaitFor(t.Context(), "ledger", position))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, r.WaitFor(ctx, "ledger", position+1), context.DeadlineExceeded)
			require.ErrorIs(t, r.WaitFor(ctx, "nobody", 1), projection.ErrUnknownProjection)
		}},
	}
}

func shutdown() []clause {
	return []clause{
		{Name: "the batch in hand is finished and its checkpoint saved", Check: func(t T, h Harness) {
			begun := make(chan struct{})
			finish := make(chan struct{})
			ledger := h.NewLedger(t, "ledger", func(_ context.Context, e event.Event) error {
				if e.Position == 1 {
					close(begun)
					<-finish
				}
				return nil
			})
			h.append(t, uuid.New(), 3)
			r := h.runner(t, quick(ledger.Projection))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			<-begun
			cancel()
			close(finish)
			require.NoError(t, <-done)
			assert.Equal(t, []uint64{1, 2, 3}, ledger.positions(t))
			assert.Equal(t, uint64(3), h.checkpoint(t, "ledger"))
			_, err := h.progress().Leases().Acquire(t.Context(), "projection/ledger v1", "next", time.Hour)
			assert.NoError(t, err, "the lease was released")
		}},
		{Name: "a batch that does not end in time is given up", Check: func(t T, h Harness) {
			ctx, cancel := context.WithCancel(t.Context())
			ledger := h.NewLedger(t, "ledger", func(ctx context.Context, e event.Event) error {
				if e.Position < 2 {
					return nil
				}
				cancel()
				<-ctx.Done()
				return ctx.Err()
			})
			h.append(t, uuid.New(), 3)
			config := quick(ledger.Projection)
			config.ShutdownTimeout = 20 * time.Millisecond
			require.NoError(t, h.runner(t, config).Run(ctx))
			assert.Less(t, h.checkpoint(t, "ledger"), uint64(2))
			assert.Empty(t, h.parked(t, "ledger"))
		}},
	}
}

// loseLease ends a projection's lease behind its owner's back, as the end of
// its time would.
func (h Harness) loseLease(t T, name string) {
	leases := h.progress().Leases()
	key := checkpoint.Key{Projection: name, Version: 1}
	_, err := leases.Acquire(t.Context(), "projection/"+key.String(), "thief", time.Minute)
	var held *lease.HeldError
	require.ErrorAs(t, err, &held)
	require.NoError(t, leases.Release(t.Context(), held.Lease))
}

func (h Harness) statusOf(t T, r *projection.Runner, name string) projection.Status {
	all, err := r.Status(t.Context())
	require.NoError(t, err)
	for _, s := range all {
		if s.Projection == name {
			return s
		}
	}
	require.Fail(t, "no such projection", name)
	return projection.Status{}
}

// waitForState blocks until a projection is in a state. The test's own
// deadline bounds it.
func (h Harness) waitForState(t T, r *projection.Runner, name string, want projection.State) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for h.statusOf(t, r, name).State != want {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			require.Fail(t, "state was not reached", "%s is not %s", name, want)
		}
	}
}
