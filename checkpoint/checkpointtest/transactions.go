package checkpointtest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/internal/promisetest"
)

var errRollback = errors.New("roll this back")

func visibleOnCommit(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 1)))
	require.NoError(t, h.InTx(t.Context(), func(ctx context.Context, bound checkpoint.Store) error {
		require.NoError(t, bound.Move(ctx, titles, step(1, 2)))
		assert.Equal(t, uint64(2), position(t, bound, titles), "inside")
		assert.Equal(t, uint64(1), position(t, h.Store, titles), "outside")
		require.NoError(t, bound.Move(ctx, titles, step(2, 3)))
		return nil
	}))
	assert.Equal(t, uint64(3), position(t, h.Store, titles))
}

func undoneOnRollback(t promisetest.T, h Harness) {
	counts := checkpoint.Key{Projection: "counts", Version: 1}
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 1)))
	err := h.InTx(t.Context(), func(ctx context.Context, bound checkpoint.Store) error {
		require.NoError(t, bound.Move(ctx, counts, step(0, 9)))
		require.NoError(t, bound.Reset(ctx, titles))
		assert.Zero(t, position(t, bound, titles))
		return errRollback
	})
	require.ErrorIs(t, err, errRollback)
	assert.Equal(t, uint64(1), position(t, h.Store, titles))
	assert.Zero(t, position(t, h.Store, counts))
	require.NoError(t, h.Store.Move(t.Context(), titles, step(1, 2)))
}

func undoneOnCancel(t promisetest.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := h.InTx(ctx, func(ctx context.Context, bound checkpoint.Store) error {
		require.NoError(t, bound.Move(ctx, titles, step(0, 1)))
		cancel()
		return ctx.Err()
	})
	require.Error(t, err)
	assert.Zero(t, position(t, h.Store, titles))
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 1)), "the transaction has ended and holds nothing")
}

// racingTransactions moves from wherever the checkpoint stands, by one in each
// transaction: it must stand in the end at the number of those that committed.
func racingTransactions(t promisetest.T, h Harness) {
	var committed atomic.Uint64
	for _, err := range promisetest.Race(8, func(int) error {
		for range 4 {
			err := h.InTx(t.Context(), advance)
			if err == nil {
				committed.Add(1)
			} else if !errors.Is(err, checkpoint.ErrMoved) {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	assert.NotZero(t, committed.Load())
	assert.Equal(t, committed.Load(), position(t, h.Store, titles))
}

func advance(ctx context.Context, bound checkpoint.Store) error {
	at, err := bound.Load(ctx, titles)
	if err != nil {
		return err
	}
	return bound.Move(ctx, titles, step(at.Position, at.Position+1))
}
