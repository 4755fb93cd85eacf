package projection_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

func TestEventsAreGathered(t *testing.T) {
	t.Parallel()
	for gather, most := range map[time.Duration]int64{0: 100, 100 * time.Millisecond: 12} {
		synctest.Test(t, func(t *testing.T) { // simulated time
			store := openMemory(t)
			var batches, events atomic.Int64
			p := projection.New("notes", 1, projection.OnBatch(func(_ context.Context, batch []event.Event) error {
				batches.Add(1)
				events.Add(int64(len(batch)))
				return nil
			}))
			r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Gather: gather})
			stop := run(t, r)
			for range 99 {
				note(t, store, "often")
				<-time.After(10 * time.Millisecond)
			}
			last, begun := note(t, store, "last"), time.Now()
			require.NoError(t, r.WaitFor(t.Context(), "notes", last))
			assert.LessOrEqual(t, time.Since(begun), gather)
			assert.Equal(t, int64(100), events.Load())
			assert.LessOrEqual(t, batches.Load(), most)
			assert.GreaterOrEqual(t, batches.Load(), most*8/10)
			stop()
		})
	}
}

func TestNobodyGathersUntilCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(onNoted))
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Gather: time.Hour})
		note(t, store, "one")
		begun := time.Now()
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.Less(t, time.Since(begun), time.Minute)

		stop := run(t, r)
		note(t, store, "two")
		synctest.Wait()
		stop() // at once, whatever there is to gather
		assert.Less(t, time.Since(begun), time.Minute)
	})
}
