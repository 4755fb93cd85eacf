package dlqtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/internal/promisetest"
)

func parkedUntilEmpty(t promisetest.T, h Harness) {
	assert.Empty(t, parked(t, h.Store, "a", "b"))
	park(t, h.Store, letter("a", 1), letter("a", 2))
	assert.Equal(t, []string{"a"}, parked(t, h.Store, "a", "b"))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	assert.Equal(t, []string{"a"}, parked(t, h.Store, "a", "b"))
	assert.Equal(t, uint64(2), only(t, h.Store).First.Position)
	require.NoError(t, h.Store.Discard(t.Context(), letter("a", 2), "test", "", noon))
	assert.Empty(t, parked(t, h.Store, "a", "b"))
	assert.Empty(t, keysOf(t, h.Store, dlq.Filter{}))
	assert.Empty(t, parked(t, h.Store))
}

func scheduled(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1), letter("a", 2))
	assert.True(t, only(t, h.Store).NextRetry.IsZero())
	assert.Empty(t, keysOf(t, h.Store, dlq.Filter{DueBy: at(9999)}), "never by itself")
	require.NoError(t, h.Store.Schedule(t.Context(), sequence("a"), at(60)))
	assert.Equal(t, at(60), only(t, h.Store).NextRetry)
	assert.Empty(t, keysOf(t, h.Store, dlq.Filter{DueBy: at(59)}))
	assert.Equal(t, []string{"a"}, keysOf(t, h.Store, dlq.Filter{DueBy: at(60)}))
	park(t, h.Store, letter("a", 3))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	assert.Equal(t, at(60), only(t, h.Store).NextRetry, "letters come and go")
	require.NoError(t, h.Store.Schedule(t.Context(), sequence("a"), time.Time{}))
	assert.True(t, only(t, h.Store).NextRetry.IsZero())
}

func failedAgain(t promisetest.T, h Harness) {
	first := letter("a", 1)
	first.Cause, first.Attempts, first.TriedAt = "first cause", 4, at(1)
	park(t, h.Store, first, letter("a", 2))
	require.NoError(t, h.Store.Failed(t.Context(), first, "second cause", at(70), at(80)))
	first.Cause, first.Attempts, first.TriedAt = "second cause", 5, at(70)
	first.Redrives = 1
	assert.Equal(t, []dlq.Letter{first, letter("a", 2)}, lettersOf(t, h.Store, "a"))
	assert.Equal(t, dlq.Parked{Sequence: sequence("a"), Letters: 2, First: first, NextRetry: at(80)}, only(t, h.Store))
	require.NoError(t, h.Store.Failed(t.Context(), first, "third cause", at(80), time.Time{}))
	assert.True(t, only(t, h.Store).NextRetry.IsZero())
}

func parkedAnew(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1))
	require.NoError(t, h.Store.Schedule(t.Context(), sequence("a"), at(60)))
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	park(t, h.Store, letter("a", 2))
	assert.True(t, only(t, h.Store).NextRetry.IsZero())
}

func sequences(t promisetest.T, h Harness) {
	// By position c stands first, but b's first letter was parked earliest.
	early := letter("b", 30)
	early.ParkedAt = at(-10)
	newer := letter("b", 7)
	newer.Sequence.Version = 2
	elsewhere := letter("z", 8)
	elsewhere.Sequence.Projection = "counts"
	park(t, h.Store, letter("a", 20), letter("c", 10), early, newer, elsewhere)
	require.NoError(t, h.Store.Schedule(t.Context(), sequence("a"), at(60)))
	require.NoError(t, h.Store.Schedule(t.Context(), sequence("c"), at(90)))

	for _, want := range []struct {
		filter dlq.Filter
		keys   []string
	}{
		{dlq.Filter{}, []string{"b", "b", "z", "c", "a"}},
		{dlq.Filter{Projection: projection}, []string{"b", "b", "c", "a"}},
		{dlq.Filter{Projection: projection, Version: version}, []string{"b", "c", "a"}},
		{dlq.Filter{Version: 2}, []string{"b"}},
		{dlq.Filter{Key: "b"}, []string{"b", "b"}},
		{dlq.Filter{Key: "B"}, nil},
		{dlq.Filter{Limit: 2}, []string{"b", "b"}},
		{dlq.Filter{Projection: projection, Version: version, Limit: 2}, []string{"b", "c"}},
		{dlq.Filter{DueBy: at(60)}, []string{"a"}},
		{dlq.Filter{DueBy: at(90)}, []string{"c", "a"}},
		{dlq.Filter{DueBy: at(90), Key: "a", Limit: 1}, []string{"a"}},
		{dlq.Filter{Projection: "nobody"}, nil},
	} {
		assert.Equal(t, want.keys, keysOf(t, h.Store, want.filter), "%+v", want.filter)
	}
}

func stats(t promisetest.T, h Harness) {
	assert.Equal(t, dlq.Stats{}, statsOf(t, h.Store))
	old := letter("b", 5)
	old.ParkedAt = at(-60)
	elsewhere := letter("a", 1)
	elsewhere.Sequence.Version = 2
	park(t, h.Store, letter("a", 1), letter("a", 2), letter("b", 3), old, elsewhere)
	assert.Equal(t, dlq.Stats{Sequences: 2, Letters: 4, Oldest: at(-60)}, statsOf(t, h.Store))
	require.NoError(t, h.Store.Remove(t.Context(), old))
	assert.Equal(t, dlq.Stats{Sequences: 2, Letters: 3, Oldest: at(1)}, statsOf(t, h.Store))
}

func cleared(t promisetest.T, h Harness) {
	newer := letter("a", 7)
	newer.Sequence.Version = 2
	elsewhere := letter("a", 8)
	elsewhere.Sequence.Projection = "counts"
	park(t, h.Store, letter("a", 1), letter("a", 2), letter("b", 3), newer, elsewhere)
	require.NoError(t, h.Store.Discard(t.Context(), letter("a", 1), "test", "", noon))
	require.NoError(t, h.Store.Clear(t.Context(), projection, version))
	require.NoError(t, h.Store.Clear(t.Context(), projection, version))
	assert.Empty(t, parked(t, h.Store, "a", "b"))
	assert.Equal(t, dlq.Stats{}, statsOf(t, h.Store))
	left, err := h.Store.Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	require.Len(t, left, 2)
	assert.Equal(t, newer, left[0].First)
	assert.Equal(t, elsewhere, left[1].First)
	assert.Len(t, discardedOf(t, h.Store), 1, "discarded letters are kept")
}
