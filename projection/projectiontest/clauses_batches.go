package projectiontest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// eachOf calls a hook for each event of a batch until it fails.
func eachOf(hook Hook) BatchHook {
	return func(ctx context.Context, events []event.Event) error {
		for _, e := range events {
			if err := hook(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

// calls remembers what a handler for batches was given.
type calls struct {
	mu    sync.Mutex
	given [][]uint64
}

// of returns a hook that remembers each call, and then calls hook.
func (c *calls) of(hook BatchHook) BatchHook {
	return func(ctx context.Context, events []event.Event) error {
		positions := make([]uint64, len(events))
		for i, e := range events {
			positions[i] = e.Position
		}
		c.mu.Lock()
		c.given = append(c.given, positions)
		c.mu.Unlock()
		return hook(ctx, events)
	}
}

// take returns the calls since it was last asked.
func (c *calls) take() [][]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	given := c.given
	c.given = nil
	return given
}

// one returns the calls for single events at positions from to to.
func one(from, to uint64) [][]uint64 {
	var given [][]uint64
	for p := from; p <= to; p++ {
		given = append(given, []uint64{p})
	}
	return given
}

func wholeBatches() []clause {
	return []clause{
		{Name: "a handler for batches gets each batch in one call, in order", Check: wholeInOneCall},
		{Name: "a poison event in a handler's batch is blamed alone, all others are applied once", Check: blamedAlone},
		{Name: "a handler for batches that fails as long as there are several is given them one by one", Check: neverSeveral},
		{Name: "a handler for batches that panics is redone event by event", Check: panicsInBatch},
		{Name: "an outage in a handler's batch blames no event, and the batch comes again whole", Check: outageInBatch},
		{Name: "parked sequences are kept out of a handler's batch, and wait", Check: parkedKeptOut},
		{Name: "a letter comes to a handler for batches alone and in order", Check: lettersAlone},
		{Name: "at the limit of letters a handler for batches loses nothing", Check: fullInBatch},
		{Name: "stop: a handler's batch is kept up to the event", Check: stopInBatch},
		{Name: "a handler's batch whose commit fails is given again, and with exactly once takes effect once", Check: commitOfBatchFails},
		{Name: "a handler's batch in hand is finished when the run ends", Check: batchInHand},
		{Name: "a run that dies in a handler's batch leaves nothing behind", Check: diesInBatch},
	}
}

func wholeInOneCall(t T, h Harness) {
	var c calls
	ledger := h.NewBatchLedger(t, "ledger", c.of(eachOf(noHook)))
	h.append(t, uuid.New(), 25)
	config := quick(ledger.Projection)
	config.BatchSize = 10
	r := h.runner(t, config)
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	stored := h.stored(t)
	assert.Equal(t, slices.Collect(slices.Chunk(stored, 10)), c.take())
	assert.Equal(t, stored, ledger.positions(t))
	assert.Equal(t, uint64(25), h.statusOf(t, r, "ledger").Applied)
	require.NoError(t, r.Rebuild(t.Context(), "ledger"))
	assert.Equal(t, stored, ledger.positions(t), "rebuilt")
}

func blamedAlone(t T, h Harness) {
	bad := newFailAt()
	bad.fail(errHandler, 7)
	var c calls
	ledger := h.NewBatchLedger(t, "ledger", c.of(eachOf(bad.hook)))
	for range 10 {
		h.append(t, uuid.New(), 1)
	}
	config := quick(ledger.Projection)
	config.Retry.MaxAttempts = 1
	require.NoError(t, h.runner(t, config).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 8, 9, 10}, ledger.positions(t))
	letters := h.letters(t, "ledger")
	require.Len(t, letters, 1)
	assert.Equal(t, uint64(7), letters[0].Position)
	assert.Equal(t, errHandler.Error(), letters[0].Cause)
	assert.Equal(t, append([][]uint64{h.stored(t)}, one(1, 10)...), c.take(), "whole, and then one by one")
}

func neverSeveral(t T, h Harness) {
	ledger := h.NewBatchLedger(t, "ledger", func(_ context.Context, events []event.Event) error {
		if len(events) > 1 {
			return errHandler
		}
		return nil
	})
	h.append(t, uuid.New(), 12)
	config := quick(ledger.Projection)
	config.BatchSize = 5
	require.NoError(t, h.runner(t, config).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, h.stored(t), ledger.positions(t))
	assert.Empty(t, h.parked(t, "ledger"))
}

func panicsInBatch(t T, h Harness) {
	ledger := h.NewBatchLedger(t, "ledger", eachOf(func(_ context.Context, e event.Event) error {
		if e.Position == 2 {
			panic("nil map")
		}
		return nil
	}))
	for range 4 {
		h.append(t, uuid.New(), 1)
	}
	require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []uint64{1, 3, 4}, ledger.positions(t))
	letters := h.letters(t, "ledger")
	require.Len(t, letters, 1)
	assert.Contains(t, letters[0].Cause, "nil map")
}

func outageInBatch(t T, h Harness) {
	const outage = 30
	var n atomic.Int64
	var c calls
	ledger := h.NewBatchLedger(t, "ledger", c.of(func(context.Context, []event.Event) error {
		if n.Add(1) <= outage {
			return projection.AsInfrastructure(errHandler)
		}
		return nil
	}))
	h.append(t, uuid.New(), 5)
	require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, slices.Repeat([][]uint64{{1, 2, 3, 4, 5}}, outage+1), c.take())
	assert.Equal(t, h.stored(t), ledger.positions(t))
	assert.Empty(t, h.parked(t, "ledger"))
}

func parkedKeptOut(t T, h Harness) {
	bad := newFailAt()
	bad.fail(errHandler, 1)
	var c calls
	ledger := h.NewBatchLedger(t, "ledger", c.of(eachOf(bad.hook)))
	sick, well := uuid.New(), uuid.New()
	h.append(t, sick, 1)
	r := h.runner(t, quick(ledger.Projection))
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	c.take()
	for _, id := range []uuid.UUID{well, sick, well, sick, well} {
		h.append(t, id, 1)
	}
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, [][]uint64{{2, 4, 6}}, c.take())
	h.append(t, sick, 2)
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Empty(t, c.take(), "there is nothing to call for")
	assert.Equal(t, []uint64{2, 4, 6}, ledger.positions(t))
	assert.Equal(t, uint64(8), h.checkpoint(t, "ledger"))
	assert.Equal(t, []uint64{1, 3, 5, 7, 8}, positionsOf(h.letters(t, "ledger")))
}

func positionsOf(letters []dlq.Letter) []uint64 {
	var positions []uint64
	for _, l := range letters {
		positions = append(positions, l.Position)
	}
	return positions
}

func lettersAlone(t T, h Harness) {
	bad := newFailAt()
	bad.fail(errHandler, 1)
	var c calls
	ledger := h.NewBatchLedger(t, "ledger", c.of(eachOf(bad.hook)))
	h.append(t, uuid.New(), 4)
	r := h.runner(t, quick(ledger.Projection))
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	bad.heal()
	bad.fail(errHandler, 3)
	c.take()
	done, err := r.Redrive(t.Context(), "ledger")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Applied: 2, Failed: 1}, done)
	assert.Equal(t, one(1, 3), c.take())
	assert.Equal(t, []uint64{1, 2}, ledger.positions(t))
	bad.heal()
	_, err = r.Redrive(t.Context(), "ledger")
	require.NoError(t, err)
	assert.Equal(t, h.stored(t), ledger.positions(t))
	assert.Empty(t, h.parked(t, "ledger"))
}

func fullInBatch(t T, h Harness) {
	bad := newFailAt()
	bad.fail(errHandler, 1)
	ledger := h.NewBatchLedger(t, "ledger", eachOf(bad.hook))
	sick := uuid.New()
	h.append(t, sick, 1)
	config := quick(ledger.Projection)
	config.MaxLetters = 2
	r := h.runner(t, config)
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	h.append(t, uuid.New(), 1)
	h.append(t, sick, 2)
	h.append(t, uuid.New(), 1)
	require.ErrorIs(t, r.RunUntilCaughtUp(t.Context()), dlq.ErrFull)
	assert.Equal(t, uint64(3), h.checkpoint(t, "ledger"))
	assert.Equal(t, []uint64{2}, ledger.positions(t))
	bad.heal()
	_, err := r.Redrive(t.Context(), "ledger")
	require.NoError(t, err)
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []uint64{2, 1, 3, 4, 5}, ledger.positions(t))
}

func stopInBatch(t T, h Harness) {
	bad := newFailAt()
	bad.fail(errHandler, 3)
	ledger := h.NewBatchLedger(t, "ledger", eachOf(bad.hook))
	h.append(t, uuid.New(), 5)
	config := quick(ledger.Projection)
	config.OnPoison = projection.Stop
	r := h.runner(t, config)
	var stopped *projection.StoppedError
	require.ErrorAs(t, r.RunUntilCaughtUp(t.Context()), &stopped)
	assert.Equal(t, uint64(3), stopped.Position)
	assert.Equal(t, []uint64{1, 2}, ledger.positions(t))
	assert.Equal(t, uint64(2), h.checkpoint(t, "ledger"))
	bad.heal()
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, h.stored(t), ledger.positions(t))
}

func commitOfBatchFails(t T, h Harness) {
	var c calls
	ledger := h.NewBatchLedger(t, "ledger", c.of(eachOf(noHook)))
	h.append(t, uuid.New(), 10)
	h.Progress = &brokenCommits{Progress: h.progress(), failures: 3}
	require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
	stored, got := h.stored(t), ledger.positions(t)
	for _, given := range c.take() {
		assert.Equal(t, stored, given)
	}
	if ledger.Projection.Guarantee() == projection.ExactlyOnce {
		assert.Equal(t, stored, got)
		return
	}
	assert.Greater(t, len(got), len(stored), "at least once is allowed to repeat, and here must")
	assert.Equal(t, stored, got[len(got)-len(stored):], "whole and in order, however often")
}

func batchInHand(t T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	ledger := h.NewBatchLedger(t, "ledger", func(ctx context.Context, _ []event.Event) error {
		cancel()
		return ctx.Err()
	})
	h.append(t, uuid.New(), 10)
	config := quick(ledger.Projection)
	config.BatchSize = 4
	require.NoError(t, h.runner(t, config).Run(ctx))
	assert.Equal(t, []uint64{1, 2, 3, 4}, ledger.positions(t))
	assert.Equal(t, uint64(4), h.checkpoint(t, "ledger"))
}

func diesInBatch(t T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	var died atomic.Bool
	ledger := h.NewBatchLedger(t, "ledger", eachOf(func(_ context.Context, e event.Event) error {
		if e.Position == 4 && died.CompareAndSwap(false, true) {
			cancel()
			return context.Canceled
		}
		return nil
	}))
	h.append(t, uuid.New(), 10)
	require.NoError(t, h.runner(t, quick(ledger.Projection)).Run(ctx))
	assert.Empty(t, ledger.positions(t))
	assert.Zero(t, h.checkpoint(t, "ledger"))
	require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, h.stored(t), ledger.positions(t))
	assert.Empty(t, h.parked(t, "ledger"))
}
