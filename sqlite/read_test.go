package sqlite_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

// TestReadOverManyWindows reads what lies far apart, by conditions that no
// index helps with.
func TestReadOverManyWindows(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	store.SetWindow(16)
	rare := func() {
		events := newEvents(1)
		events[0].Type = "Rare"
		_, err := store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: events})
		require.NoError(t, err)
	}
	rare()
	add(t, store, 170)
	rare()
	const last = 172
	add(t, store, 170)

	query := eventstore.Query{Types: []string{"Rare", "Unknown"}}
	assert.Equal(t, []uint64{1, last}, positions(readAll(t, store, query)))
	query.Direction = eventstore.Backward
	assert.Equal(t, []uint64{last, 1}, positions(readAll(t, store, query)))
	query.Limit = 1
	assert.Equal(t, []uint64{last}, positions(readAll(t, store, query)))
	query = eventstore.Query{After: last - 1, Until: last, Types: []string{"Rare"}}
	assert.Equal(t, []uint64{last}, positions(readAll(t, store, query)))

	n := 0
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{Direction: eventstore.Backward}) {
		require.NoError(t, err)
		require.Equal(t, uint64(342-n), e.Position)
		n++
	}
	assert.Equal(t, 342, n)
}

func TestLargeEventsAreReadInSmallPages(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	stream := newStream()
	for range 3 {
		events := newEvents(4)
		for i := range events {
			events[i].Data = make([]byte, 1<<20)
		}
		_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: events})
		require.NoError(t, err)
	}
	assert.Len(t, readStream(t, store, stream, eventstore.StreamQuery{}), 12)
	assert.Equal(t, []uint64{12, 11, 10, 9, 8, 7}, positions(readStream(t, store, stream, eventstore.StreamQuery{Direction: eventstore.Backward, From: 7})))
	assert.Equal(t, []uint64{2, 3, 4, 5, 6, 7, 8}, positions(readStream(t, store, stream, eventstore.StreamQuery{From: 2, To: 8})))
}

func TestTimesAreComparedExactly(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	at := time.Date(1960, 1, 1, 0, 0, 0, 5_000, time.UTC) // before 1970, where fractions are negative
	events := newEvents(1)
	events[0].OccurredAt = at
	_, err := store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: events})
	require.NoError(t, err)
	for _, test := range []struct {
		query eventstore.Query
		want  int
	}{
		{eventstore.Query{OccurredFrom: at}, 1},
		{eventstore.Query{OccurredFrom: at.Add(1)}, 0},
		{eventstore.Query{OccurredFrom: at.Add(-1)}, 1},
		{eventstore.Query{OccurredUntil: at}, 0},
		{eventstore.Query{OccurredUntil: at.Add(1)}, 1},
		{eventstore.Query{OccurredUntil: at.Add(-1)}, 0},
	} {
		assert.Len(t, readAll(t, store, test.query), test.want)
	}
}

func TestReadsInsideReadsNeedOneConnection(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.Readers = 1
	store := open(t, config)
	add(t, store, 3)
	n := 0
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		n += len(readStream(t, store, eventstore.StreamOf(e), eventstore.StreamQuery{}))
		add(t, store, 1)
	}
	assert.Equal(t, 9, n, "what was appended meanwhile is not read")
}

func TestReadWaitsForAConnectionUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range store.ReadStream(ctx, newStream(), eventstore.StreamQuery{}) {
		require.ErrorIs(t, err, context.Canceled)
	}
	_, err := store.Head(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestBadQueriesAreRefused(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for _, seq := range []func(yield func(event.Event, error) bool){
		store.ReadAll(t.Context(), eventstore.Query{Limit: -1}),
		store.ReadStream(t.Context(), newStream(), eventstore.StreamQuery{Direction: 7}),
		store.ReadStream(t.Context(), eventstore.Stream{AggregateType: "Document"}, eventstore.StreamQuery{}),
	} {
		n := 0
		for _, err := range seq {
			require.ErrorIs(t, err, eventstore.ErrInvalid)
			n++
		}
		assert.Equal(t, 1, n)
	}
}

// TestQueriesUseTheirIndexes keeps the indexes honest: each is there for a
// query, and the query finds it.
func TestQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for condition, index := range map[string]string{
		"correlation_id = ?":                       "events_by_correlation",
		"actor_id = ? AND actor_id <> ''":          "events_by_actor",
		"tenant_id = ? AND tenant_id <> ''":        "events_by_tenant",
		"aggregate_id = ?":                         "events_by_stream",
		"event_type IN ('a', 'b') AND ?1 IS NOT 3": "INTEGER PRIMARY KEY",
	} {
		plan := planOf(t, store, "SELECT payload FROM events WHERE position > 5 AND position <= 900000 AND "+condition+" ORDER BY position LIMIT 512")
		assert.Contains(t, plan, index)
		if index != "events_by_stream" {
			assert.NotContains(t, plan, "TEMP B-TREE", "%s gives the order of positions", index)
		}
	}
}

// planOf returns how SQLite goes about a query of one argument.
func planOf(t *testing.T, store *sqlite.Store, query string) string {
	t.Helper()
	rows, err := store.DB().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "x")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		plan.WriteString(detail + "\n")
	}
	require.NoError(t, rows.Err())
	return plan.String()
}

func TestManyShapesOfQuery(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	add(t, store, 1)
	types := []string{"Created"}
	for range 150 { // more than a connection keeps statements for
		assert.Len(t, readAll(t, store, eventstore.Query{Types: types}), 1)
		types = append(types, "Other"+uuid.NewString())
	}
}

func TestDBCannotWrite(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	_, err := store.DB().ExecContext(t.Context(), "PRAGMA query_only = 0; DELETE FROM checkpoints")
	require.ErrorContains(t, err, "readonly")
}
