package checkpointtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/checkpoint/checkpointtest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
)

func TestSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	checkpointtest.RequireSameWords(t, "../checkpoint.go")
}

func TestHonestStorePasses(t *testing.T) {
	t.Parallel()
	checkpointtest.Run(t, open(honest))
}

func TestStoreWithoutTransactionsSaysWhy(t *testing.T) {
	t.Parallel()
	without := func(reason string) checkpointtest.Factory {
		return func(t *testing.T) checkpointtest.Harness {
			t.Helper()
			return checkpointtest.Harness{Store: open(honest)(t).Store, NoTx: reason}
		}
	}
	assert.Empty(t, checkpointtest.Failing(t, without("it is one key of a bucket")))
	assert.Equal(t, []string{
		"visible when it commits", "undone when it is rolled back", "undone when the context ends", "racing transactions lose no step",
	}, checkpointtest.Failing(t, without("")))
}

func TestBrokenStoresFail(t *testing.T) {
	t.Parallel()
	var moves atomic.Int32
	drops := func(s checkpoint.Store) checkpoint.Store { return dropsMoves{s, &moves} }
	for _, broken := range []struct {
		clause string
		wrap   func(checkpoint.Store) checkpoint.Store
	}{
		{"never moved", func(s checkpoint.Store) checkpoint.Store { return startsAtOne{s} }},
		{"reset without a move", func(s checkpoint.Store) checkpoint.Store { return resetMustExist{s} }},
		{"a move is kept", func(s checkpoint.Store) checkpoint.Store { return forgetsFence{s} }},
		{"a move succeeds only from where the checkpoint stands", func(s checkpoint.Store) checkpoint.Store { return movesFromAnywhere{s} }},
		{"of racing moves exactly one succeeds, the others are ErrMoved", func(s checkpoint.Store) checkpoint.Store { return movesFromAnywhere{s} }},
		{"racing movers lose no step", drops},
		{"racing transactions lose no step", drops},
		{"To below From is refused", func(s checkpoint.Store) checkpoint.Store { return movesBack{s} }},
		{"To equal to From is a move", func(s checkpoint.Store) checkpoint.Store { return mustProgress{s} }},
		{"only Reset puts it back to 0", func(s checkpoint.Store) checkpoint.Store { return resetsNothing{s} }},
		{"a move with a smaller fence is ErrMoved", func(s checkpoint.Store) checkpoint.Store { return forgetsFence{s} }},
		{"Reset keeps the fence", func(s checkpoint.Store) checkpoint.Store { return forgetsFence{s} }},
		{"a move under another store id is ErrOtherStore", func(s checkpoint.Store) checkpoint.Store { return oneStoreID{s} }},
		{"Reset forgets the store id", func(s checkpoint.Store) checkpoint.Store { return resetsNothing{s} }},
		{"independent keys", func(s checkpoint.Store) checkpoint.Store { return folded{s} }},
		{"List returns those of a projection, ordered", func(s checkpoint.Store) checkpoint.Store { return listsBackward{s} }},
		{"bad keys are refused", func(s checkpoint.Store) checkpoint.Store { return trustsKeys{s} }},
	} {
		t.Run(broken.clause, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, []string{broken.clause}, checkpointtest.Failing(t, open(broken.wrap), broken.clause))
		})
	}
}

func TestBrokenTransactionsFail(t *testing.T) {
	t.Parallel()
	autocommit := func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		h := open(honest)(t)
		h.InTx = func(ctx context.Context, f func(context.Context, checkpoint.Store) error) error {
			return f(ctx, h.Store)
		}
		return h
	}
	assert.Equal(t, []string{"visible when it commits", "undone when it is rolled back", "undone when the context ends"},
		checkpointtest.Failing(t, autocommit)[:3])

	blind := func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		h := open(honest)(t)
		inTx := h.InTx
		h.InTx = func(ctx context.Context, f func(context.Context, checkpoint.Store) error) error {
			return inTx(ctx, func(ctx context.Context, bound checkpoint.Store) error {
				return f(ctx, readsOutside{Store: bound, outside: h.Store})
			})
		}
		return h
	}
	assert.Contains(t, checkpointtest.Failing(t, blind), "visible when it commits")
}

// open returns a factory of memory stores, each wrapped.
func open(wrap func(checkpoint.Store) checkpoint.Store) checkpointtest.Factory {
	return func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		return checkpointtest.Harness{
			Store: wrap(store.Checkpoints()),
			InTx:  projectiontest.InTx(store, func(tx projection.Tx) checkpoint.Store { return wrap(tx.Checkpoints()) }),
		}
	}
}

func honest(s checkpoint.Store) checkpoint.Store { return s }

type startsAtOne struct{ checkpoint.Store }

func (s startsAtOne) Load(ctx context.Context, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	found, err := s.Store.Load(ctx, key)
	found.Position = max(found.Position, 1)
	return found, err
}

type resetMustExist struct{ checkpoint.Store }

func (s resetMustExist) Reset(ctx context.Context, key checkpoint.Key) error {
	if found, err := s.Load(ctx, key); err == nil && found.UpdatedAt.IsZero() {
		return checkpoint.ErrMoved
	}
	return s.Store.Reset(ctx, key)
}

type forgetsFence struct{ checkpoint.Store }

func (s forgetsFence) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	move.Fence = 0
	return s.Store.Move(ctx, key, move)
}

// movesFromAnywhere judges no move by where the checkpoint stands.
type movesFromAnywhere struct{ checkpoint.Store }

func (s movesFromAnywhere) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	found, err := s.Load(ctx, key)
	if err != nil || found.Position > move.To {
		return err
	}
	move.From = found.Position
	if err := s.Store.Move(ctx, key, move); !errors.Is(err, checkpoint.ErrMoved) {
		return err
	}
	return nil
}

// dropsMoves says of every third move that it was made, and makes it not.
type dropsMoves struct {
	checkpoint.Store

	moves *atomic.Int32
}

func (s dropsMoves) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	if s.moves.Add(1)%3 == 0 {
		return nil
	}
	return s.Store.Move(ctx, key, move)
}

type movesBack struct{ checkpoint.Store }

func (s movesBack) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	if move.To >= move.From {
		return s.Store.Move(ctx, key, move)
	}
	if err := s.Reset(ctx, key); err != nil {
		return err
	}
	move.From = 0
	return s.Store.Move(ctx, key, move)
}

type mustProgress struct{ checkpoint.Store }

func (s mustProgress) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	if move.To == move.From {
		return nil
	}
	return s.Store.Move(ctx, key, move)
}

type resetsNothing struct{ checkpoint.Store }

func (s resetsNothing) Reset(context.Context, checkpoint.Key) error { return nil }

type oneStoreID struct{ checkpoint.Store }

func (s oneStoreID) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	move.StoreID = uuid.Max
	return s.Store.Move(ctx, key, move)
}

// folded takes names that differ by case for the same.
type folded struct{ checkpoint.Store }

func (s folded) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	key.Projection = strings.ToLower(key.Projection)
	return s.Store.Move(ctx, key, move)
}

type listsBackward struct{ checkpoint.Store }

func (s listsBackward) List(ctx context.Context, projection string) ([]checkpoint.Checkpoint, error) {
	list, err := s.Store.List(ctx, projection)
	slices.Reverse(list)
	return list, err
}

type trustsKeys struct{ checkpoint.Store }

func (s trustsKeys) Reset(ctx context.Context, key checkpoint.Key) error {
	key.Version = max(key.Version, 1)
	return s.Store.Reset(ctx, key)
}

// readsOutside is bound to a transaction but reads what is committed.
type readsOutside struct {
	checkpoint.Store

	outside checkpoint.Store
}

func (s readsOutside) Load(ctx context.Context, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	return s.outside.Load(ctx, key)
}
