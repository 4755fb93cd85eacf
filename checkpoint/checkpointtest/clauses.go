package checkpointtest

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

var (
	titles  = checkpoint.Key{Projection: "titles", Version: 1}
	storeID = uuid.MustParse("01900000-0000-7000-8000-000000000001")
	other   = uuid.MustParse("01900000-0000-7000-8000-000000000002")
)

// step is a move of this store's checkpoint without a lease.
func step(from, to uint64) checkpoint.Move {
	return checkpoint.Move{From: from, To: to, StoreID: storeID}
}

func fenced(from, to, fence uint64) checkpoint.Move {
	return checkpoint.Move{From: from, To: to, StoreID: storeID, Fence: fence}
}

func position(t promisetest.T, s checkpoint.Store, key checkpoint.Key) uint64 {
	t.Helper()
	found, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, key, found.Key)
	return found.Position
}

func neverMoved(t promisetest.T, h Harness) {
	found, err := h.Store.Load(t.Context(), titles)
	require.NoError(t, err)
	assert.Equal(t, checkpoint.Checkpoint{Key: titles}, found)
	list, err := h.Store.List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, list)
}

func resetWithoutMove(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Reset(t.Context(), titles))
	assert.Zero(t, position(t, h.Store, titles))
}

func moveIsKept(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(0, 1<<40, 7)))
	found, err := h.Store.Load(t.Context(), titles)
	require.NoError(t, err)
	assert.False(t, found.UpdatedAt.IsZero())
	assert.Equal(t, event.Time(found.UpdatedAt), found.UpdatedAt)
	found.UpdatedAt = checkpoint.Checkpoint{}.UpdatedAt
	assert.Equal(t, checkpoint.Checkpoint{Key: titles, Position: 1 << 40, StoreID: storeID, Fence: 7}, found)
}

func onlyFromWhereItStands(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 10)))
	for _, move := range []checkpoint.Move{step(0, 20), step(9, 20), step(11, 20)} {
		err := h.Store.Move(t.Context(), titles, move)
		require.ErrorIs(t, err, checkpoint.ErrMoved)
		var moved *checkpoint.MovedError
		require.ErrorAs(t, err, &moved)
		assert.Equal(t, titles, moved.Key)
		assert.Equal(t, move, moved.Move)
		assert.Equal(t, uint64(10), moved.Actual.Position)
	}
	assert.Equal(t, uint64(10), position(t, h.Store, titles))
	require.NoError(t, h.Store.Move(t.Context(), titles, step(10, 20)))
	assert.Equal(t, uint64(20), position(t, h.Store, titles))
}

func racingMoves(t promisetest.T, h Harness) {
	for round := range uint64(8) {
		var won int
		for _, err := range promisetest.Race(8, func(int) error {
			return h.Store.Move(t.Context(), titles, step(round, round+1))
		}) {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, checkpoint.ErrMoved)
		}
		require.Equal(t, 1, won)
		require.Equal(t, round+1, position(t, h.Store, titles))
	}
}

// racingMovers moves from wherever the checkpoint stands, by one each time: it
// must stand in the end at the number of moves that succeeded.
func racingMovers(t promisetest.T, h Harness) {
	var moved atomic.Uint64
	for _, err := range promisetest.Race(8, func(int) error {
		for range 16 {
			at, err := h.Store.Load(t.Context(), titles)
			if err != nil {
				return err
			}
			err = h.Store.Move(t.Context(), titles, step(at.Position, at.Position+1))
			if err == nil {
				moved.Add(1)
			} else if !errors.Is(err, checkpoint.ErrMoved) {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	assert.Equal(t, moved.Load(), position(t, h.Store, titles))
}

func toBelowFrom(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 10)))
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, step(10, 9)), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, step(10, 0)), event.ErrInvalid)
	assert.Equal(t, uint64(10), position(t, h.Store, titles))
}

func toEqualFrom(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 10)))
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(10, 10, 3)))
	found, err := h.Store.Load(t.Context(), titles)
	require.NoError(t, err)
	assert.Equal(t, uint64(10), found.Position)
	assert.Equal(t, uint64(3), found.Fence)
}

func resetPutsBack(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 10)))
	require.NoError(t, h.Store.Reset(t.Context(), titles))
	assert.Zero(t, position(t, h.Store, titles))
	require.NoError(t, h.Store.Reset(t.Context(), titles))
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, step(10, 11)), checkpoint.ErrMoved)
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 1)))
}

func smallerFence(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(0, 1, 5)))
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, fenced(1, 2, 4)), checkpoint.ErrMoved)
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, step(1, 2)), checkpoint.ErrMoved)
	assert.Equal(t, uint64(1), position(t, h.Store, titles))
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(1, 2, 5)))
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(2, 3, 6)))
	assert.Equal(t, uint64(3), position(t, h.Store, titles))
}

func resetKeepsFence(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(0, 1, 5)))
	require.NoError(t, h.Store.Reset(t.Context(), titles))
	found, err := h.Store.Load(t.Context(), titles)
	require.NoError(t, err)
	assert.Equal(t, uint64(5), found.Fence)
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, fenced(0, 1, 4)), checkpoint.ErrMoved)
	require.NoError(t, h.Store.Move(t.Context(), titles, fenced(0, 1, 5)))
}

func otherStore(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 10)))
	err := h.Store.Move(t.Context(), titles, checkpoint.Move{From: 10, To: 11, StoreID: other})
	require.ErrorIs(t, err, checkpoint.ErrOtherStore)
	var typed *checkpoint.OtherStoreError
	require.ErrorAs(t, err, &typed)
	assert.Equal(t, checkpoint.OtherStoreError{Key: titles, Have: storeID, Want: other}, *typed)
	assert.Equal(t, uint64(10), position(t, h.Store, titles))
}

func resetForgetsStore(t promisetest.T, h Harness) {
	require.NoError(t, h.Store.Move(t.Context(), titles, step(0, 10)))
	require.NoError(t, h.Store.Reset(t.Context(), titles))
	require.NoError(t, h.Store.Move(t.Context(), titles, checkpoint.Move{To: 5, StoreID: other}))
	require.ErrorIs(t, h.Store.Move(t.Context(), titles, step(5, 6)), checkpoint.ErrOtherStore)
}

func independentKeys(t promisetest.T, h Harness) {
	keys := []checkpoint.Key{
		titles,
		{Projection: "titles", Version: 2},
		{Projection: "titles", Version: 1, Lane: 1},
		{Projection: "Titles", Version: 1},
		{Projection: "titles ", Version: 1},
		{Projection: "titlés", Version: 1},
		{Projection: "title\u0301s", Version: 1},
		{Projection: "titles v1", Version: 1},
	}
	for i, key := range keys {
		require.NoError(t, h.Store.Move(t.Context(), key, step(0, uint64(i)+1)))
	}
	require.NoError(t, h.Store.Reset(t.Context(), keys[0]))
	assert.Zero(t, position(t, h.Store, keys[0]))
	for i, key := range keys[1:] {
		assert.Equal(t, uint64(i)+2, position(t, h.Store, key), key.String())
	}
}

func listed(t promisetest.T, h Harness) {
	ordered := []checkpoint.Key{
		{Projection: "Titles", Version: 1},
		{Projection: "counts", Version: 1},
		{Projection: "titles", Version: 1},
		{Projection: "titles", Version: 2},
		{Projection: "titles", Version: 2, Lane: 1},
		{Projection: "titles", Version: 2, Lane: 10},
		{Projection: "titles", Version: 10},
	}
	for i := range ordered {
		require.NoError(t, h.Store.Move(t.Context(), ordered[len(ordered)-1-i], step(0, 1)))
	}
	assert.Equal(t, ordered, keysOf(t, h.Store, ""))
	assert.Equal(t, ordered[2:], keysOf(t, h.Store, "titles"))
	assert.Empty(t, keysOf(t, h.Store, "title"))
}

func keysOf(t promisetest.T, s checkpoint.Store, projection string) []checkpoint.Key {
	t.Helper()
	list, err := s.List(t.Context(), projection)
	require.NoError(t, err)
	keys := make([]checkpoint.Key, len(list))
	for i := range list {
		keys[i] = list[i].Key
	}
	return keys
}

func badKeys(t promisetest.T, h Harness) {
	for _, key := range []checkpoint.Key{
		{Version: 1},
		{Projection: "titles"},
		{Projection: "titles", Version: 1, Lane: -1},
		{Projection: "nul\x00", Version: 1},
		{Projection: "\xff", Version: 1},
	} {
		require.ErrorIs(t, h.Store.Move(t.Context(), key, step(0, 1)), event.ErrInvalid)
		require.ErrorIs(t, h.Store.Reset(t.Context(), key), event.ErrInvalid)
		_, err := h.Store.Load(t.Context(), key)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	long := checkpoint.Key{Projection: strings.Repeat("n", event.MaxNameBytes+1), Version: 1}
	require.ErrorIs(t, h.Store.Move(t.Context(), long, step(0, 1)), event.ErrTooLarge)
	assert.Empty(t, keysOf(t, h.Store, ""))
}
