package projection_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// later does something after a while, as another process would.
func later(d time.Duration, f func()) { time.AfterFunc(d, f) }

func TestAwaitAnOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.has(t, v1, registry.Live, nil, 5)
		require.NoError(t, d.Await(t.Context(), v1), "nothing is ordered")

		require.NoError(t, d.Rebuild(t.Context(), v1, "new column"))
		later(2*time.Minute, func() { d.change(t, v1, func(r *registry.Record) { r.Order = registry.Order{} }) })
		began := time.Now()
		require.NoError(t, d.Await(t.Context(), v1))
		assert.InDelta(t, 2*time.Minute, time.Since(began), float64(2*time.Second))
	})
}

func TestAwaitAnOrderThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.has(t, v1, registry.Live, ordered(registry.Rebuild), 5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := d.Await(ctx, v1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, projection.ErrOrdered)
		var pending *projection.OrderedError
		require.ErrorAs(t, err, &pending)
		assert.Equal(t, registry.Rebuild, pending.Order.Kind)

		d.change(t, v1, func(r *registry.Record) { r.Order.Problem = "its table is another program's" })
		require.ErrorIs(t, d.Await(t.Context(), v1), projection.ErrRefused)

		require.ErrorIs(t, d.Await(t.Context(), v2), registry.ErrNotFound)
		ended, end := context.WithCancel(t.Context())
		end()
		require.ErrorIs(t, d.Await(ended, v1), context.Canceled)
	})
}

// A failover of the database does not end a wait.
func TestAwaitThroughAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.has(t, v1, registry.Live, nil, 5)
		d.record.breakWith(eventstore.ErrUnavailable)
		later(time.Minute, func() { d.record.breakWith(nil) })
		require.NoError(t, d.Await(t.Context(), v1))

		d.record.breakWith(eventstore.ErrUnavailable)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := d.Await(ctx, v1)
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		d.record.breakWith(eventstore.ErrClosed)
		require.ErrorIs(t, d.Await(t.Context(), v1), eventstore.ErrClosed)
	})
}

// What was waited for is said even if the store noticed first that ctx ended.
func TestAwaitThatEndsDuringALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.has(t, v1, registry.Live, ordered(registry.Rebuild), 5)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d.record.looks = func(n int) {
			if n == 2 {
				cancel()
			}
		}
		err := d.Await(ctx, v1)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, projection.ErrOrdered)
	})
}

// A wait looks often at first, and then once a second.
func TestAwaitLooksMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.has(t, v1, registry.Live, ordered(registry.Rebuild), 5)
		looks := 0
		d.record.looks = func(int) { looks++ }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.Error(t, d.Await(ctx, v1))
		assert.InDelta(t, 3600, looks, 300)
	})
}

// move moves a lane of a version to a position.
func (d *desk) move(t *testing.T, name registry.Name, lane int, to uint64) {
	t.Helper()
	key := checkpoint.Key{Projection: name.Projection, Version: name.Version, Lane: lane}
	c, err := d.Checkpoints().Load(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, d.Checkpoints().Move(t.Context(), key, checkpoint.Move{From: c.Position, To: to, StoreID: d.ID()}))
}

func TestWaitForAllLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.has(t, v1, registry.Live, func(r *registry.Record) { r.Lanes = 3 }, 9, 3)
		later(time.Minute, func() { d.move(t, v1, 1, 7) })
		later(2*time.Minute, func() { d.move(t, v1, 2, 8) })
		began := time.Now()
		require.NoError(t, d.WaitFor(t.Context(), v1, 7))
		assert.InDelta(t, 2*time.Minute, time.Since(began), float64(2*time.Second))

		d.change(t, v1, paused)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := d.WaitFor(ctx, v1, 8)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var behind *projection.NotCaughtUpError
		require.ErrorAs(t, err, &behind)
		assert.Equal(t, projection.NotCaughtUpError{Name: v1, State: registry.Live, Position: 7, Target: 8, Paused: true}, *behind)
	})
}

// A version that does not run any more does not come any further.
func TestWaitForAVersionThatDoesNotRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.ErrorIs(t, d.WaitFor(t.Context(), v1, 1), registry.ErrNotFound)
	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := d.AwaitCaughtUp(brief, v1)
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.ErrorIs(t, err, context.DeadlineExceeded, "until then it waits for a runner that makes the version known")
	d.has(t, v1, registry.Replaced, nil, 5)
	require.NoError(t, d.WaitFor(t.Context(), v1, 5))
	require.ErrorIs(t, d.AwaitCaughtUp(t.Context(), v1), projection.ErrNotRunning, "it cannot be switched to")
	require.ErrorIs(t, d.WaitFor(t.Context(), v1, 6), projection.ErrNotRunning)
	d.has(t, v2, registry.Retired, nil, 5)
	require.ErrorIs(t, d.WaitFor(t.Context(), v2, 5), projection.ErrNotRunning)
	require.ErrorIs(t, d.AwaitCaughtUp(t.Context(), v2), projection.ErrNotRunning)
}

func TestAwaitCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		noteOn(t, d.Store, uuid.New(), 9)
		d.has(t, v2, registry.Building, ordered(registry.Rebuild), 0, 0)
		for i, step := range []func(){
			func() { d.change(t, v2, func(r *registry.Record) { r.Order = registry.Order{} }) },
			func() { d.move(t, v2, 0, 9) },
			func() { d.move(t, v2, 1, 9) },
			func() { d.change(t, v2, func(r *registry.Record) { r.State = registry.CaughtUp }) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := d.AwaitCaughtUp(ctx, v2)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded, i)
			if i == 0 {
				require.ErrorIs(t, err, projection.ErrOrdered)
			} else {
				require.ErrorIs(t, err, projection.ErrNotCaughtUp, i)
			}
			step()
		}
		require.NoError(t, d.AwaitCaughtUp(t.Context(), v2))
		noteOn(t, d.Store, uuid.New(), 1)
		began := time.Now()
		require.NoError(t, d.AwaitCaughtUp(t.Context(), v2), "it can be switched to")
		assert.Zero(t, time.Since(began))

		d.change(t, v2, func(r *registry.Record) { r.State = registry.Live })
		later(time.Minute, func() { d.move(t, v2, 0, 10); d.move(t, v2, 1, 10) })
		require.NoError(t, d.AwaitCaughtUp(t.Context(), v2))
		assert.GreaterOrEqual(t, time.Since(began), time.Minute)

		d.change(t, v2, func(r *registry.Record) {
			ordered(registry.Rebuild)(r)
			r.Order.Problem = "its table is another program's"
		})
		require.ErrorIs(t, d.AwaitCaughtUp(t.Context(), v2), projection.ErrRefused)
	})
}

func TestWaitsOfAStoreThatIsClosed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Building, nil, 5)
	require.NoError(t, d.Close())
	require.ErrorIs(t, d.AwaitCaughtUp(t.Context(), v1), eventstore.ErrClosed)
	require.ErrorIs(t, d.WaitFor(t.Context(), v1, 1), eventstore.ErrClosed)
}
