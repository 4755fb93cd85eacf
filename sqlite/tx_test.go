package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

var errHandler = errors.New("handler failed")

// begin starts a transaction on a store with a table t, where n is not below 0.
func begin(t *testing.T, store *sqlite.Store) (projection.Tx, *sql.Tx) {
	t.Helper()
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	own, ok := tx.(*sqlite.Tx)
	require.True(t, ok)
	return tx, own.SQL()
}

func storeWithTable(t *testing.T) *sqlite.Store {
	t.Helper()
	store := newStore(t)
	tx, q := begin(t, store)
	execIn(t, q, "CREATE TABLE t (n INTEGER PRIMARY KEY CHECK (n >= 0))")
	require.NoError(t, tx.Commit(t.Context()))
	return store
}

func execIn(t *testing.T, q *sql.Tx, statement string, args ...any) {
	t.Helper()
	_, err := q.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

func numbers(t *testing.T, store *sqlite.Store) (all []int) {
	t.Helper()
	rows, err := store.DB().QueryContext(t.Context(), "SELECT n FROM t ORDER BY n")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var n int
		require.NoError(t, rows.Scan(&n))
		all = append(all, n)
	}
	require.NoError(t, rows.Err())
	return all
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	tx, q := begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (1)")
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(ctx context.Context) error {
		execIn(t, q, "INSERT INTO t VALUES (2)")
		require.NoError(t, tx.Savepoint(ctx, func(context.Context) error {
			execIn(t, q, "INSERT INTO t VALUES (3)")
			return nil
		}))
		return errHandler
	}), errHandler)
	assert.Panics(t, func() {
		_ = tx.Savepoint(t.Context(), func(context.Context) error {
			execIn(t, q, "INSERT INTO t VALUES (4)")
			panic("handler")
		})
	})
	require.Error(t, tx.Savepoint(t.Context(), func(ctx context.Context) error {
		_, err := q.ExecContext(ctx, "INSERT INTO t VALUES (5), (-1)")
		return err
	}))
	require.NoError(t, tx.Savepoint(t.Context(), func(ctx context.Context) error {
		execIn(t, q, "INSERT INTO t VALUES (6)")
		require.Error(t, tx.Savepoint(ctx, func(context.Context) error { return errHandler }))
		return nil
	}))
	require.NoError(t, tx.Commit(t.Context()))
	assert.Equal(t, []int{1, 6}, numbers(t, store))
}

func TestTxAfterItsEnd(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	tx, q := begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (1)")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, tx.Rollback(t.Context()))
	require.ErrorIs(t, tx.Commit(t.Context()), sqlite.ErrTxEnded)
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(context.Context) error { return nil }), sqlite.ErrTxEnded)
	_, err := tx.Checkpoints().List(t.Context(), "")
	require.ErrorIs(t, err, sqlite.ErrTxEnded)

	tx, q = begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (2)")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, tx.Rollback(t.Context()), "after Commit it does nothing")
	assert.Equal(t, []int{2}, numbers(t, store))
}

func TestTxWhoseContextEnds(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	ctx, cancel := context.WithCancel(t.Context())
	tx, q := begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (1)")
	err := tx.Savepoint(ctx, func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, tx.Commit(ctx), context.Canceled)
	require.NoError(t, tx.Rollback(ctx))
	assert.Empty(t, numbers(t, store))
	add(t, store, 1)

	_, err = store.Begin(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestBeginWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	tx, _ := begin(t, store)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := store.Begin(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Commit(t.Context()))
}

// TestNothingIsLeftOfATransactionThatSQLiteHasUndone: after some errors SQLite
// rolls back by itself, and what a handler does next would stand alone.
func TestNothingIsLeftOfATransactionThatSQLiteHasUndone(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	for name, undo := range map[string]string{
		"by an error": "INSERT OR ROLLBACK INTO t VALUES (-1)",
		"by hand":     "ROLLBACK",
	} {
		tx, q := begin(t, store)
		execIn(t, q, "INSERT INTO t VALUES (1)")
		err := tx.Savepoint(t.Context(), func(ctx context.Context) error {
			_, _ = q.ExecContext(ctx, undo)
			_, err := q.ExecContext(ctx, "INSERT INTO t VALUES (2)")
			require.Error(t, err, name)
			return nil
		})
		require.Error(t, err, name)
		require.Error(t, tx.Commit(t.Context()), name)
		assert.Empty(t, numbers(t, store), name)
		add(t, store, 1)
	}
}

func TestHandlersCannotEndTheTransaction(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	tx, q := begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (1)")
	require.Error(t, q.Commit())
	require.ErrorIs(t, tx.Commit(t.Context()), sqlite.ErrTxEnded)

	tx, q = begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (2)")
	_, err := q.ExecContext(t.Context(), "COMMIT")
	require.Error(t, err)
	require.NoError(t, tx.Rollback(t.Context()))

	tx, q = begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (3)")
	require.NoError(t, q.Rollback())
	require.NoError(t, tx.Rollback(t.Context()))
	assert.Empty(t, numbers(t, store))
	add(t, store, 1)
}

func TestStatementInterruptedByItsContext(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	tx, q := begin(t, store)
	execIn(t, q, "INSERT INTO t VALUES (1)")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := tx.Savepoint(ctx, func(ctx context.Context) error {
		_, err := q.ExecContext(ctx, "INSERT INTO t WITH RECURSIVE c(n) AS (VALUES (10) UNION ALL SELECT n + 1 FROM c) SELECT n FROM c")
		return err
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Rollback(ctx))
	assert.Empty(t, numbers(t, store))
	add(t, store, 1)
}

func TestFullDiskInATransaction(t *testing.T) {
	t.Parallel()
	store := storeWithTable(t)
	limited(t, store)
	tx, q := begin(t, store)
	_, err := q.ExecContext(t.Context(), "CREATE TABLE big AS SELECT zeroblob(500000)")
	class, known := store.Classify(err)
	assert.True(t, known)
	assert.Equal(t, projection.Infrastructure, class)
	require.NoError(t, tx.Rollback(t.Context()))
	add(t, store, 1)
}

func TestTxThatTheStoresClosingOvertakes(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), newFile(t))
	require.NoError(t, err)
	tx, q := begin(t, store)
	execIn(t, q, "CREATE TABLE t (n)")
	require.NoError(t, store.Close())
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(context.Context) error { return nil }), eventstore.ErrClosed)
	require.ErrorIs(t, tx.Commit(t.Context()), eventstore.ErrClosed)
}

func TestWriteThatFailsHalfwayLeavesNothing(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	limited(t, store)
	var letters []dlq.Letter
	for position := range uint64(100) {
		letters = append(letters, dlq.Letter{
			Sequence: dlq.Sequence{Projection: "titles", Version: 1, Key: "a"}, Position: position + 1, EventID: event.NewID(), EventType: "Created",
			Cause: strings.Repeat("c", dlq.MaxCauseBytes), Attempts: 1, ParkedAt: time.Now(),
		})
	}
	require.ErrorIs(t, store.DeadLetters().Park(t.Context(), letters...), eventstore.ErrFull)
	stats, err := store.DeadLetters().Stats(t.Context(), "titles", 1)
	require.NoError(t, err)
	assert.Zero(t, stats)
}

// endsLater is a context that has ended when it is looked at for the nth time.
type endsLater struct {
	context.Context

	looks atomic.Int64
}

func (c *endsLater) Err() error {
	if c.looks.Add(-1) < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestBeginSaysWhichEndItMet has a context end while a transaction begins,
// whenever: that is no closed store, which a runner would not try again.
func TestBeginSaysWhichEndItMet(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	const looks = 20
	for n := range int64(looks) {
		ctx := &endsLater{Context: t.Context()}
		ctx.looks.Store(n)
		_, err := store.Leases().Acquire(ctx, "it", "me", time.Minute)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded, "at look %d", n)
			require.NotErrorIs(t, err, eventstore.ErrClosed, "at look %d", n)
		}
	}
	_, err := store.Leases().Acquire(t.Context(), "it", "me", time.Minute)
	require.NoError(t, err)
}
