package dlqtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

func discardedOf(t promisetest.T, s dlq.Store) []dlq.Discarded {
	t.Helper()
	found, err := s.Discarded(t.Context(), projection, version)
	require.NoError(t, err)
	return found
}

func removed(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1), letter("a", 2), letter("a", 3), letter("b", 4))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 2)))
	assert.Equal(t, []uint64{1, 3}, positions(t, h.Store, "a"))
	assert.Equal(t, []uint64{4}, positions(t, h.Store, "b"))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	assert.Equal(t, []uint64{3}, positions(t, h.Store, "a"))
	park(t, h.Store, letter("a", 5))
	assert.Equal(t, []uint64{3, 5}, positions(t, h.Store, "a"))
	assert.Empty(t, discardedOf(t, h.Store))
}

func racingRemovals(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1), letter("a", 2))
	var won int
	for _, err := range promisetest.Race(8, func(int) error { return h.Store.Remove(t.Context(), letter("a", 1)) }) {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, dlq.ErrNotFound)
	}
	assert.Equal(t, 1, won)
	assert.Equal(t, []uint64{2}, positions(t, h.Store, "a"))
}

func discarded(t promisetest.T, h Harness) {
	failed := letter("a", 1)
	failed.Cause, failed.Attempts, failed.Redrives, failed.TriedAt = "no such title", 3, 2, at(2)
	park(t, h.Store, failed, letter("a", 2))
	reason, by := "the title was\nnever used", event.User("alice")
	given := letter("a", 1) // what is kept is the letter as it was parked
	require.NoError(t, h.Store.Discard(t.Context(), given, reason, by, noon.Add(time.Hour+999)))
	assert.Equal(t, []uint64{2}, positions(t, h.Store, "a"))
	assert.Equal(t, []dlq.Discarded{
		{Letter: failed, Reason: reason, By: by, DiscardedAt: noon.Add(time.Hour)},
	}, discardedOf(t, h.Store))
	elsewhere, err := h.Store.Discarded(t.Context(), projection, version+1)
	require.NoError(t, err)
	assert.Empty(t, elsewhere)
}

func discardedOrder(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1), letter("a", 2), letter("b", 3))
	require.NoError(t, h.Store.Discard(t.Context(), letter("b", 3), "second", "", at(20)))
	require.NoError(t, h.Store.Discard(t.Context(), letter("a", 2), "third", "", at(30)))
	require.NoError(t, h.Store.Discard(t.Context(), letter("a", 1), "first", "", at(10)))
	var reasons []string
	for _, d := range discardedOf(t, h.Store) {
		reasons = append(reasons, d.Reason)
	}
	assert.Equal(t, []string{"first", "second", "third"}, reasons)
}

func discardedTwice(t promisetest.T, h Harness) {
	for i := range 2 {
		park(t, h.Store, letter("a", 1))
		require.NoError(t, h.Store.Discard(t.Context(), letter("a", 1), "test", "", at(i)))
	}
	assert.Len(t, discardedOf(t, h.Store), 2)
}

func notFound(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1))
	for _, missing := range []dlq.Letter{letter("a", 2), letter("b", 1)} {
		require.ErrorIs(t, h.Store.Remove(t.Context(), missing), dlq.ErrNotFound)
		require.ErrorIs(t, h.Store.Discard(t.Context(), missing, "test", "", noon), dlq.ErrNotFound)
		require.ErrorIs(t, h.Store.Failed(t.Context(), missing, "test", noon, noon), dlq.ErrNotFound)
	}
	require.ErrorIs(t, h.Store.Schedule(t.Context(), sequence("b"), noon), dlq.ErrNotFound)
	require.ErrorIs(t, h.Store.ScheduleUntil(t.Context(), sequence("b"), noon, 1), dlq.ErrNotFound)
	assert.Equal(t, []dlq.Letter{letter("a", 1)}, lettersOf(t, h.Store, "a"))
	assert.Empty(t, discardedOf(t, h.Store))
}
