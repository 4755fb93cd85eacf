package dlqtest

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/internal/promisetest"
)

var errRollback = errors.New("roll this back")

func visibleOnCommit(t promisetest.T, h Harness) {
	parkThree(t, h.Store)
	require.NoError(t, h.InTx(t.Context(), func(ctx context.Context, bound dlq.Store) error {
		changeAll(ctx, t, bound)
		assert.Equal(t, []uint64{2, 3, 9}, positions(t, bound, "a"), "inside")
		assert.Equal(t, []string{"a", "b"}, parked(t, bound, "a", "b"), "inside")
		assert.Equal(t, dlq.Stats{Sequences: 2, Letters: 4, Oldest: at(2)}, statsOf(t, bound), "inside")
		assert.Len(t, discardedOf(t, bound), 1, "inside")
		requireUnchanged(t, h.Store)
		return nil
	}))
	assert.Equal(t, []uint64{2, 3, 9}, positions(t, h.Store, "a"))
	assert.Equal(t, []string{"a", "b"}, parked(t, h.Store, "a", "b"))
	assert.Len(t, discardedOf(t, h.Store), 1)
	assert.Equal(t, []string{"a"}, keysOf(t, h.Store, dlq.Filter{DueBy: at(60)}))
	assert.Equal(t, "again", lettersOf(t, h.Store, "a")[0].Cause)
}

func undoneOnRollback(t promisetest.T, h Harness) {
	parkThree(t, h.Store)
	for name, change := range map[string]func(ctx context.Context, bound dlq.Store) error{
		"park behind":  func(ctx context.Context, bound dlq.Store) error { return bound.Park(ctx, letter("a", 10)) },
		"park between": func(ctx context.Context, bound dlq.Store) error { return bound.Park(ctx, letter("a", 5)) },
		"park":         func(ctx context.Context, bound dlq.Store) error { return bound.Park(ctx, letter("b", 4)) },
		"fail": func(ctx context.Context, bound dlq.Store) error {
			return bound.Failed(ctx, letter("a", 1), "again", noon, at(30))
		},
		"schedule": func(ctx context.Context, bound dlq.Store) error { return bound.Schedule(ctx, sequence("a"), at(60)) },
		"schedule until": func(ctx context.Context, bound dlq.Store) error {
			return bound.ScheduleUntil(ctx, sequence("a"), at(60), 2)
		},
		"remove first": func(ctx context.Context, bound dlq.Store) error { return bound.Remove(ctx, letter("a", 1)) },
		"remove":       func(ctx context.Context, bound dlq.Store) error { return bound.Remove(ctx, letter("a", 2)) },
		"discard": func(ctx context.Context, bound dlq.Store) error {
			return bound.Discard(ctx, letter("a", 1), "test", "", noon)
		},
		"clear": func(ctx context.Context, bound dlq.Store) error { return bound.Clear(ctx, projection, version) },
		"all": func(ctx context.Context, bound dlq.Store) error {
			changeAll(ctx, t, bound)
			return nil
		},
	} {
		require.ErrorIs(t, h.InTx(t.Context(), func(ctx context.Context, bound dlq.Store) error {
			require.NoError(t, change(ctx, bound), name)
			return errRollback
		}), errRollback, name)
		requireUnchanged(t, h.Store)
	}
}

func parkThree(t promisetest.T, s dlq.Store) {
	t.Helper()
	park(t, s, letter("a", 1), letter("a", 2), letter("a", 9))
}

// changeAll changes what parkThree parked.
func changeAll(ctx context.Context, t promisetest.T, s dlq.Store) {
	t.Helper()
	require.NoError(t, s.Park(ctx, letter("a", 3), letter("b", 4), letter("c", 5)))
	require.NoError(t, s.Discard(ctx, letter("a", 1), "test", "", noon))
	require.NoError(t, s.Failed(ctx, letter("a", 2), "again", noon, at(30)))
	require.NoError(t, s.ScheduleUntil(ctx, sequence("a"), at(60), 3))
	require.NoError(t, s.Remove(ctx, letter("c", 5)))
}

func requireUnchanged(t promisetest.T, s dlq.Store) {
	t.Helper()
	require.Equal(t, []dlq.Letter{letter("a", 1), letter("a", 2), letter("a", 9)}, lettersOf(t, s, "a"))
	require.Equal(t, []string{"a"}, parked(t, s, "a", "b", "c"))
	require.True(t, only(t, s).NextRetry.IsZero())
	require.Zero(t, only(t, s).Until)
	require.Empty(t, discardedOf(t, s))
}

// parkedHolds: who learned that a sequence is parked can count on it until the
// end of the transaction, and so queue an event behind it.
func parkedHolds(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1))
	holds(t, h, func(ctx context.Context, bound dlq.Store) {
		found, err := bound.Parked(ctx, projection, version, []string{"a"})
		require.NoError(t, err)
		require.True(t, found["a"])
	})
}

func parkHolds(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1))
	holds(t, h, func(ctx context.Context, bound dlq.Store) {
		require.NoError(t, bound.Park(ctx, letter("a", 2)))
	})
}

// holds requires that a redrive of sequence a does not come through between
// hold and the end of its transaction, and that it does after that.
func holds(t promisetest.T, h Harness, hold func(ctx context.Context, bound dlq.Store)) {
	t.Helper()
	require.NoError(t, h.InTx(t.Context(), func(ctx context.Context, bound dlq.Store) error {
		hold(ctx, bound)
		// Long enough for a store that does not hold the sequence to come through.
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.Error(t, redrive(short, h), "a redrive came through")
		return bound.Park(ctx, letter("a", 3))
	}))
	left := positions(t, h.Store, "a")
	assert.Equal(t, uint64(1), left[0])
	assert.Equal(t, uint64(3), left[len(left)-1])
	require.NoError(t, redrive(t.Context(), h))
	assert.Empty(t, parked(t, h.Store, "a"))
}

// redrive drains sequence a.
func redrive(ctx context.Context, h Harness) error {
	return h.InTx(ctx, func(ctx context.Context, bound dlq.Store) error {
		letters, err := bound.Letters(ctx, sequence("a"), 0)
		for i := 0; err == nil && i < len(letters); i++ {
			err = bound.Remove(ctx, letters[i])
		}
		return err
	})
}
