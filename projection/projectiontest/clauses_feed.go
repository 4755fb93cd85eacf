package projectiontest

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

func oneLoop() []clause {
	return []clause{
		{Name: "events before, during and after the start are applied once and in order", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 30)
			config := quick(ledger.Projection)
			config.BatchSize = 7
			r := h.runner(t, config)
			stop := start(t, r)
			var writers sync.WaitGroup
			for range 4 {
				writers.Go(func() {
					for range 10 {
						h.append(t, uuid.New(), 2)
					}
				})
			}
			writers.Wait()
			require.NoError(t, r.WaitFor(t.Context(), "ledger", h.append(t, uuid.New(), 1)))
			require.NoError(t, stop())
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "a runner that is started again goes on where it was", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			r := h.runner(t, quick(ledger.Projection))
			for range 3 {
				h.append(t, uuid.New(), 5)
				require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			}
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
	}
}

func exactlyOnce() []clause {
	return []clause{
		{Name: "a commit that fails is applied again, and with exactly once takes effect once", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 10)
			broken := &brokenCommits{Progress: h.progress(), failures: 3}
			h.Progress = broken
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			got := ledger.positions(t)
			if ledger.Projection.Guarantee() == projection.ExactlyOnce {
				assert.Equal(t, h.stored(t), got)
			} else {
				assert.Subset(t, got, h.stored(t))
				assert.Greater(t, len(got), 10, "at least once is allowed to repeat, and here must")
			}
		}},
		{Name: "a checkpoint of another store is refused", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 1)
			key := checkpoint.Key{Projection: "ledger", Version: 1}
			require.NoError(t, h.progress().Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 1, StoreID: uuid.New()}))
			err := h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context())
			require.ErrorIs(t, err, checkpoint.ErrOtherStore)
			assert.Empty(t, ledger.positions(t))
		}},
		{Name: "a checkpoint above the head, of a store that was restored, is refused", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 1)
			key := checkpoint.Key{Projection: "ledger", Version: 1}
			require.NoError(t, h.progress().Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 9, StoreID: h.Store.ID()}))
			r := h.runner(t, quick(ledger.Projection))
			var ahead *checkpoint.AheadError
			require.ErrorAs(t, r.RunUntilCaughtUp(t.Context()), &ahead)
			require.ErrorIs(t, ahead, checkpoint.ErrOtherStore)
			assert.Equal(t, uint64(1), h.statusOf(t, r, "ledger").Head)
			require.NoError(t, r.Rebuild(t.Context(), "ledger"))
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "a rebuild yields what the first build did", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 12)
			r := h.runner(t, quick(ledger.Projection))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			require.NoError(t, r.Rebuild(t.Context(), "ledger"))
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
	}
}

func batches() []clause {
	return []clause{
		{Name: "a poison event in a batch of ten: nine are applied once, the right one is parked", Check: func(t T, h Harness) {
			bad := newFailAt()
			ledger := h.NewLedger(t, "ledger", bad.hook)
			var positions []uint64
			for range 10 {
				positions = append(positions, h.append(t, uuid.New(), 1))
			}
			bad.fail(errHandler, positions[6])
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			want := append(append([]uint64{}, positions[:6]...), positions[7:]...)
			assert.Equal(t, want, ledger.positions(t), "the failing handler leaves nothing behind")
			assert.Equal(t, []uint64{positions[6]}, h.parked(t, "ledger"))
		}},
		{Name: "a batch is no larger than configured", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 25)
			config := quick(ledger.Projection)
			config.BatchSize = 10
			var seen []uint64
			config.OnProgress = func(s projection.Status) { seen = append(seen, s.Position) }
			require.NoError(t, h.runner(t, config).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, []uint64{10, 20, 25}, seen)
		}},
	}
}

func checkpoints() []clause {
	return []clause{
		{Name: "the checkpoint passes events that nobody wants", Check: func(t T, h Harness) {
			applied := 0
			p := projection.New("narrow", 1, projection.On(func(context.Context, event.Of[counted]) error { applied++; return nil }))
			h.append(t, uuid.New(), 2)
			h.appendAll(t, uuid.New(), unwantedEvent{}, unwantedEvent{})
			r := h.runner(t, quick(p))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			assert.Equal(t, 2, applied)
			assert.Equal(t, uint64(4), h.checkpoint(t, "narrow"))
		}},
		{Name: "a cancelled run keeps what it has done", Check: func(t T, h Harness) {
			ctx, cancel := context.WithCancel(t.Context())
			h.append(t, uuid.New(), 10)
			ledger := h.NewLedger(t, "ledger", func(_ context.Context, e event.Event) error {
				if e.Position == 4 {
					cancel()
				}
				return nil
			})
			require.ErrorIs(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(ctx), context.Canceled)
			got := ledger.positions(t)
			require.NotEmpty(t, got)
			assert.Equal(t, got[len(got)-1], h.checkpoint(t, "ledger"))
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "a feed that fails half way keeps what came before", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", noHook)
			h.append(t, uuid.New(), 10)
			h.Progress, h.Store = h.progress(), &brokenReads{Store: h.Store, after: 4, failures: 2}
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
	}
}

func unwanted() []clause {
	return []clause{
		{Name: "unknown types are passed over", Check: func(t T, h Harness) {
			p := projection.New("narrow", 1, projection.On(func(context.Context, event.Of[counted]) error { return nil }))
			h.appendAll(t, uuid.New(), unwantedEvent{})
			require.NoError(t, h.runner(t, quick(p)).RunUntilCaughtUp(t.Context()))
			assert.Empty(t, h.parked(t, "narrow"))
		}},
		{Name: "a payload that does not decode is parked at once", Check: func(t T, h Harness) {
			calls := 0
			p := projection.New("narrow", 1, projection.On(func(context.Context, event.Of[counted]) error { calls++; return nil }))
			e, err := event.New(t.Context(), counted{})
			require.NoError(t, err)
			e.Data = []byte(`{"n":"not a number"}`)
			stream := eventstore.Stream{AggregateType: "Counter", AggregateID: uuid.New()}
			_, err = h.Store.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{e}})
			require.NoError(t, err)
			began := time.Now()
			config := quick(p)
			config.Retry = projection.Retry{MaxAttempts: 3, First: time.Hour, Most: time.Hour}
			require.NoError(t, h.runner(t, config).RunUntilCaughtUp(t.Context()))
			assert.Less(t, time.Since(began), time.Hour)
			assert.Equal(t, []uint64{1}, h.parked(t, "narrow"))
			assert.Zero(t, calls)
		}},
	}
}

// parked returns the positions of the first letters of a projection.
func (h Harness) parked(t T, name string) []uint64 {
	sequences, err := h.progress().DeadLetters().Sequences(t.Context(), dlqFilter(projection.Status{Projection: name, Version: 1}))
	require.NoError(t, err)
	var positions []uint64
	for _, s := range sequences {
		positions = append(positions, s.First.Position)
	}
	return positions
}

func (h Harness) checkpoint(t T, name string) uint64 {
	c, err := h.progress().Checkpoints().Load(t.Context(), checkpoint.Key{Projection: name, Version: 1})
	require.NoError(t, err)
	return c.Position
}
