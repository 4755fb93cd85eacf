package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// newKeeper opens a store that keeps the mark.
func newKeeper(tb testing.TB, config postgres.Config) *postgres.Store {
	tb.Helper()
	config.KeepMark = true
	return open(tb, config)
}

func markOf(tb testing.TB, conn *pgx.Conn) (position uint64) {
	tb.Helper()
	require.NoError(tb, conn.QueryRow(tb.Context(), "SELECT position FROM evident.mark").Scan(&position))
	return position
}

func requireMark(tb testing.TB, conn *pgx.Conn, position uint64) {
	tb.Helper()
	require.Eventually(tb, func() bool { return markOf(tb, conn) == position }, patience, 5*time.Millisecond)
}

func TestTheMarkFollowsTheHead(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	conn := dial(t, config.URL)
	store := newKeeper(t, granted(t, config, postgres.CanAppend))
	for range 3 {
		result, err := store.Append(t.Context(), order("", 5))
		require.NoError(t, err)
		requireMark(t, conn, result.Position)
	}
}

func TestTheMarkIsNeverAboveTheHead(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	conn := dial(t, config.URL)
	store := newKeeper(t, config)
	_, err := store.Append(t.Context(), order("", 1))
	require.NoError(t, err)

	tx := beginPlain(t, store)
	_, err = store.Within(tx).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	_, err = store.Append(t.Context(), order("", 1))
	require.NoError(t, err)
	requireMark(t, conn, 1)
	requireKeepMark(t, conn, 1)
	require.NoError(t, tx.Commit(t.Context()))
	requireMark(t, conn, 3)
}

// requireKeepMark calls the keeper's function until it would have moved.
func requireKeepMark(tb testing.TB, conn *pgx.Conn, want uint64) {
	tb.Helper()
	var position uint64
	var due bool
	require.Eventually(tb, func() bool {
		require.NoError(tb, conn.QueryRow(tb.Context(), "SELECT clock_timestamp() > updated_at + interval '150 ms' FROM evident.mark").Scan(&due))
		require.NoError(tb, conn.QueryRow(tb.Context(), "SELECT evident.keep_mark()").Scan(&position))
		return due
	}, patience, 5*time.Millisecond)
	require.Equal(tb, want, position)
}

func TestTheMarkMovesAtMostTenTimesASecondAndNeverBack(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store, conn := open(t, config), dial(t, config.URL)
	keep := func() (position uint64) {
		t.Helper()
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT evident.keep_mark()").Scan(&position))
		return position
	}
	at := func(statement string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), "UPDATE evident.mark SET "+statement)
		require.NoError(t, err)
	}
	_, err := store.Append(t.Context(), order("", 2))
	require.NoError(t, err)
	at("updated_at = clock_timestamp() - interval '1 s'")
	assert.Equal(t, uint64(2), keep())

	_, err = store.Append(t.Context(), order("", 1))
	require.NoError(t, err)
	at("updated_at = clock_timestamp()")
	assert.Equal(t, uint64(2), keep(), "it was moved just now")
	at("updated_at = clock_timestamp() + interval '1 h'")
	assert.Equal(t, uint64(3), keep(), "the clock was put back")

	at("updated_at = clock_timestamp() - interval '1 s', position = 7")
	assert.Equal(t, uint64(7), keep(), "it is above the head, and stays")
	at("updated_at = clock_timestamp() - interval '1 s', position = 0")

	// While another keeper is at it, nobody waits for it.
	other := dial(t, config.URL)
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT evident.keep_mark()")
	require.NoError(t, err)
	assert.Zero(t, keep())
	require.NoError(t, tx.Rollback(t.Context()))
	assert.Equal(t, uint64(3), keep())

	var hot bool
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT n_tup_upd = n_tup_hot_upd FROM pg_stat_all_tables WHERE relid = 'evident.mark'::regclass").Scan(&hot))
	assert.True(t, hot)
}

func TestSeveralKeepersAreNotInEachOthersWay(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	conn := dial(t, config.URL)
	stores := []*postgres.Store{newKeeper(t, config), newKeeper(t, config), newKeeper(t, config)}
	var last uint64
	for i := range 30 {
		result, err := stores[i%len(stores)].Append(t.Context(), order("", 1))
		require.NoError(t, err)
		last = result.Position
		assert.LessOrEqual(t, markOf(t, conn), last)
	}
	requireMark(t, conn, last)
	require.NoError(t, stores[0].Close())
	result, err := stores[1].Append(t.Context(), order("", 1))
	require.NoError(t, err)
	requireMark(t, conn, result.Position)
}

func TestAKeeperGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	config := postgres.Config{URL: server.URL()}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	store := newKeeper(t, config)
	_, err := store.Append(t.Context(), order("", 1))
	require.NoError(t, err)
	require.NoError(t, server.Restart(t.Context()))
	require.Eventually(t, func() bool { _, err = store.Append(t.Context(), order("", 1)); return err == nil }, patience, 10*time.Millisecond)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	requireMark(t, dial(t, server.URL()), head)
}

func TestAReplicaKeepsNoMark(t *testing.T) {
	t.Parallel()
	var invalid *event.InvalidError
	_, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://127.0.0.1/x", Replica: true, KeepMark: true})
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "keep_mark", invalid.Field)
}
