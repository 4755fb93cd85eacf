package registrytest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/registry"
)

var errRollback = errors.New("roll this back")

func swapped(t promisetest.T, h Harness) {
	old, next := save(t, h.Store, record(1, registry.Live)), save(t, h.Store, record(2, registry.CaughtUp))
	old.State, next.State = registry.Replaced, registry.Live
	for range 2 { // there and back
		require.NoError(t, h.InTx(t.Context(), func(_ context.Context, bound registry.Store) error {
			old = save(t, bound, old)
			next = save(t, bound, next)
			return nil
		}))
		assert.Equal(t, next, load(t, h.Store, next.Name))
		old, next = next, old
		old.State, next.State = registry.Replaced, registry.Live
	}
	assert.Equal(t, registry.Live, load(t, h.Store, name(1)).State)
}

// racingTransactions has each transaction wait for whoever came first, and then
// go on.
func racingTransactions(t promisetest.T, h Harness) {
	const versions = 4
	for version := range versions {
		save(t, h.Store, record(version+1, registry.CaughtUp))
	}
	for round := range 4 {
		requireOne(t, promisetest.Race(versions, func(i int) error {
			return h.InTx(t.Context(), func(ctx context.Context, bound registry.Store) error {
				if i%2 == 1 {
					_, err := bound.Save(ctx, record(10+10*round+i, registry.Live))
					return err
				}
				return goLive(ctx, bound, i+1)
			})
		}), registry.ErrLive)
		stepDown(t, h.Store)
	}
}

func visibleOnCommit(t promisetest.T, h Harness) {
	before := save(t, h.Store, record(1, registry.Building))
	var after, created registry.Record
	require.NoError(t, h.InTx(t.Context(), func(_ context.Context, bound registry.Store) error {
		changed := full(1)
		changed.Revision = before.Revision
		after, created = save(t, bound, changed), save(t, bound, record(2, registry.Live))
		assert.Equal(t, []registry.Record{after, created}, list(t, bound, "titles"), "inside")
		assert.Equal(t, after, load(t, bound, name(1)), "inside")
		assert.Equal(t, []registry.Record{before}, list(t, h.Store, ""), "outside")
		assert.Equal(t, before, load(t, h.Store, name(1)), "outside")
		after = save(t, bound, after)
		return nil
	}))
	assert.Equal(t, uint64(3), after.Revision)
	assert.Equal(t, []registry.Record{after, created}, list(t, h.Store, "titles"))
}

func undoneOnRollback(t promisetest.T, h Harness) {
	before := save(t, h.Store, record(1, registry.Live))
	require.ErrorIs(t, h.InTx(t.Context(), func(_ context.Context, bound registry.Store) error {
		replaced := before
		replaced.State = registry.Replaced
		save(t, bound, replaced)
		save(t, bound, record(2, registry.Live))
		return errRollback
	}), errRollback)
	assert.Equal(t, []registry.Record{before}, list(t, h.Store, ""))
	requireLive(t, h.Store, record(2, registry.Live), 1)
	save(t, h.Store, before) // at the revision that it had
}

func usableAfterRefusal(t promisetest.T, h Harness) {
	live, other := save(t, h.Store, record(1, registry.Live)), save(t, h.Store, record(2, registry.CaughtUp))
	require.NoError(t, h.InTx(t.Context(), func(_ context.Context, bound registry.Store) error {
		goes := other
		goes.State = registry.Live
		requireLive(t, bound, goes, 1)
		requireLive(t, bound, record(3, registry.Live), 1)
		requireChanged(t, bound, record(2, registry.Building), 1)
		stale := live
		stale.Revision = 9
		requireChanged(t, bound, stale, 1)
		_, err := bound.Load(t.Context(), name(3))
		require.ErrorIs(t, err, registry.ErrNotFound)
		_, err = bound.Save(t.Context(), registry.Record{})
		require.Error(t, err)
		live.State = registry.Replaced
		live, other = save(t, bound, live), save(t, bound, goes)
		return nil
	}))
	assert.Equal(t, []registry.Record{live, other}, list(t, h.Store, ""))
}

// racingChanges adds one to the lanes in each transaction: there must be in the
// end as many more as transactions committed.
func racingChanges(t promisetest.T, h Harness) {
	save(t, h.Store, record(1, registry.Building))
	var committed atomic.Int64
	for _, err := range promisetest.Race(8, func(int) error {
		for range 4 {
			err := h.InTx(t.Context(), addLane)
			if err == nil {
				committed.Add(1)
			} else if !errors.Is(err, registry.ErrChanged) {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	assert.NotZero(t, committed.Load())
	assert.Equal(t, 1+int(committed.Load()), load(t, h.Store, name(1)).Lanes)
}
