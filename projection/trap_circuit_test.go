package projection_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// TestTrapAnOpenCircuitSkipsNothing has a handler fail for everybody. The
// circuit opens: what was parked by then is all that is parked, nothing is
// passed over, and when the handler works again every event is applied once.
func TestTrapAnOpenCircuitSkipsNothing(t *testing.T) {
	t.Parallel()
	const events, circuit = 200, 5
	var healed atomic.Bool
	var calls atomic.Int64
	hook := func(context.Context, event.Event) error {
		if calls.Add(1); healed.Load() {
			return nil
		}
		return projection.AsPoison(errBad)
	}
	ofEachGuarantee(t, hook, func(t *testing.T, store *memory.Store, l guaranteed) {
		healed.Store(false)
		for range events {
			note(t, store, "x")
		}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: l.progress, Circuit: circuit})
		stop := run(t, r)
		<-time.After(time.Hour)
		before := calls.Load()
		<-time.After(time.Hour)
		assert.Less(t, calls.Load()-before, int64(1000), "it tries seldom")
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Paused, status[0].State)
		require.ErrorIs(t, status[0].LastError, errBad)
		assert.Equal(t, uint64(circuit+1), status[0].ErrorAt)
		assert.Len(t, letterPositions(t, store, "notes"), circuit)
		assert.Equal(t, uint64(circuit), checkpointOf(t, store, "notes"))

		healed.Store(true)
		reach(t, r, events)
		<-time.After(2 * time.Hour)
		stop()
		assert.Empty(t, letterPositions(t, store, "notes"))
		positions, err := l.Positions(t.Context())
		require.NoError(t, err)
		want := make([]uint64, events)
		for i := range want {
			want[i] = uint64(i + 1)
		}
		assert.ElementsMatch(t, want, positions)
	})
}
