package projection_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// hung is a store that answers nothing once it hangs, for a runner's loop; for
// everybody else it goes on.
type hung struct {
	projection.Store

	hangs chan struct{} // closed when it does
}

func (h hung) Head(ctx context.Context) (uint64, error) {
	select {
	case <-h.hangs:
		<-ctx.Done()
		return 0, ctx.Err()
	default:
		return h.Store.Head(ctx)
	}
}

// TestTrapADeadLoopNeverReadsAsLagZero has a loop that comes to a halt while
// others append: in its handler, and in the store. It had caught up with all
// that it has seen.
func TestTrapADeadLoopNeverReadsAsLagZero(t *testing.T) {
	t.Parallel()
	for name, inHandler := range map[string]bool{"in a handler": true, "in the store": false} {
		synctest.Test(t, func(t *testing.T) {
			store := openMemory(t)
			stuck, hangs := make(chan struct{}), make(chan struct{})
			p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
				if e.Position == 2 && inHandler {
					<-stuck
				}
				return nil
			}))
			config := projection.Config{Projections: []projection.Projection{p}}
			r := newRunner(t, hung{store, hangs}, config)
			stop := run(t, r)
			reach(t, r, note(t, store, "x"))
			if !inHandler {
				close(hangs)
			}
			note(t, store, "x")
			<-time.After(time.Minute)
			observer := newRunner(t, store, config) // another process, which runs nothing
			before, err := observer.Status(t.Context())
			require.NoError(t, err)
			assert.Equal(t, uint64(1), before[0].Lag(), name)
			for range 9 {
				note(t, store, "x")
			}
			<-time.After(time.Hour)
			after, err := observer.Status(t.Context())
			require.NoError(t, err)
			assert.Equal(t, uint64(10), after[0].Lag(), name)
			assert.Equal(t, time.Hour+time.Minute, after[0].Behind, name)
			assert.Less(t, after[0].Done(), 0.1, name)
			if inHandler { // the runner itself can be asked, too
				own, err := r.Status(t.Context())
				require.NoError(t, err)
				assert.Equal(t, uint64(10), own[0].Lag())
				assert.GreaterOrEqual(t, time.Since(own[0].Heartbeat), time.Hour, "nor does it look alive")
				close(stuck)
			}
			stop()
		})
	}
}

// TestTrapFiguresAreOfOneProjection has two projections and two versions of one,
// each with letters and lag of its own.
func TestTrapFiguresAreOfOneProjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		poison := func(n uint64) projection.Part {
			return projection.OnEvery(func(_ context.Context, e event.Event) error {
				if e.Position <= n {
					return projection.AsPoison(errBad)
				}
				return nil
			})
		}
		runUntil := func(p projection.Projection) *projection.Runner {
			r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{MaxAttempts: 1}})
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			return r
		}
		one, other, next := projection.New("one", 1, poison(1)), projection.New("other", 1, poison(3)), projection.New("one", 2, poison(2))
		for range 4 {
			note(t, store, "x")
		}
		ofOne := runUntil(one)
		<-time.After(time.Minute)
		ofOther := runUntil(other)
		<-time.After(time.Minute)
		ofNext := runUntil(next)
		for range 5 {
			note(t, store, "x")
		}
		<-time.After(time.Minute)
		runUntil(other)
		for _, c := range []struct {
			runner  *projection.Runner
			letters int
			lag     uint64
			oldest  time.Duration
		}{{ofOne, 1, 5, 3 * time.Minute}, {ofOther, 3, 0, 2 * time.Minute}, {ofNext, 2, 5, time.Minute}} {
			status, err := c.runner.Status(t.Context())
			require.NoError(t, err)
			s := status[0]
			assert.Equal(t, c.letters, s.DeadLetters.Letters)
			assert.Equal(t, c.letters, s.DeadLetters.Sequences)
			assert.Equal(t, c.oldest, time.Since(s.DeadLetters.Oldest))
			assert.Equal(t, c.lag, s.Lag())
			assert.Equal(t, uint64(9), s.Head)
		}
	})
}

// TestTrapOnlyWhatIsWantedMakesItLate has a projection of one type: events of
// others do not make it late, and its own do.
func TestTrapOnlyWhatIsWantedMakesItLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		behind := func() time.Duration {
			t.Helper()
			<-time.After(time.Minute)
			status, err := r.Status(t.Context())
			require.NoError(t, err)
			assert.NotZero(t, status[0].Lag())
			return status[0].Behind
		}
		appendAll(t, store, passed{}, passed{})
		assert.Zero(t, behind())
		note(t, store, "x")
		assert.Equal(t, time.Minute, behind())
	})
}
