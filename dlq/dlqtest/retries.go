package dlqtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/internal/promisetest"
)

// parkBounded parks three letters, which are to be retried up to the second.
func parkBounded(t promisetest.T, h Harness) {
	t.Helper()
	parkThree(t, h.Store)
	require.NoError(t, h.Store.ScheduleUntil(t.Context(), sequence("a"), at(60), 2))
	assert.Equal(t, dlq.Parked{Sequence: sequence("a"), Letters: 3, First: letter("a", 1), NextRetry: at(60), Until: 2}, only(t, h.Store))
}

func boundIsKept(t promisetest.T, h Harness) {
	parkThree(t, h.Store)
	assert.Zero(t, only(t, h.Store).Until)
	require.NoError(t, h.Store.ScheduleUntil(t.Context(), sequence("a"), at(60), 1<<40))
	park(t, h.Store, letter("a", 5), letter("a", 10))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	require.NoError(t, h.Store.Discard(t.Context(), letter("a", 5), "test", "", noon))
	assert.Equal(t, dlq.Parked{Sequence: sequence("a"), Letters: 3, First: letter("a", 2), NextRetry: at(60), Until: 1 << 40}, only(t, h.Store), "letters come and go")
	assert.Equal(t, []string{"a"}, keysOf(t, h.Store, dlq.Filter{DueBy: at(60)}))
	assert.Empty(t, keysOf(t, h.Store, dlq.Filter{DueBy: at(59)}))
}

func boundIsReplaced(t promisetest.T, h Harness) {
	parkBounded(t, h)
	require.NoError(t, h.Store.ScheduleUntil(t.Context(), sequence("a"), at(70), 1))
	assert.Equal(t, uint64(1), only(t, h.Store).Until)
	require.NoError(t, h.Store.Schedule(t.Context(), sequence("a"), at(80)))
	assert.Equal(t, dlq.Parked{Sequence: sequence("a"), Letters: 3, First: letter("a", 1), NextRetry: at(80)}, only(t, h.Store))
	require.NoError(t, h.Store.ScheduleUntil(t.Context(), sequence("a"), at(90), 1))
	require.NoError(t, h.Store.ScheduleUntil(t.Context(), sequence("a"), at(90), 0))
	assert.Zero(t, only(t, h.Store).Until)
}

func boundEndsWithFailure(t promisetest.T, h Harness) {
	parkBounded(t, h)
	require.NoError(t, h.Store.Failed(t.Context(), letter("a", 1), "again", at(61), at(90)))
	assert.Equal(t, at(90), only(t, h.Store).NextRetry)
	assert.Zero(t, only(t, h.Store).Until)
}

func boundEndsWithSequence(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1))
	require.NoError(t, h.Store.ScheduleUntil(t.Context(), sequence("a"), at(60), 2))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	park(t, h.Store, letter("a", 3))
	assert.Zero(t, only(t, h.Store).Until)
}

func redrivesCount(t promisetest.T, h Harness) {
	fresh, tried := letter("a", 1), letter("a", 2)
	fresh.Attempts, fresh.TriedAt, fresh.Cause = 4, at(1), "first cause"
	tried.Attempts, tried.Redrives, tried.TriedAt, tried.Cause = 9, 5, at(2), "first cause"
	park(t, h.Store, fresh, tried)
	for n := 1; n <= 2; n++ {
		require.NoError(t, h.Store.Failed(t.Context(), fresh, "again", at(10*n), time.Time{}))
		first := only(t, h.Store).First
		assert.Equal(t, 4+n, first.Attempts)
		assert.Equal(t, n, first.Redrives)
	}
	require.NoError(t, h.Store.Remove(t.Context(), fresh))
	assert.Equal(t, tried, only(t, h.Store).First)
	require.NoError(t, h.Store.Failed(t.Context(), tried, "again", at(30), time.Time{}))
	assert.Equal(t, 6, only(t, h.Store).First.Redrives)
}
