package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/plugtest"
	"github.com/evident-go/evident/postgres"
)

// unit is what Atomically runs.
type unit = func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error

// notes writes a row and appends an event, both named by the event's id.
func notes(a eventstore.Append) unit {
	return func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		if _, err := tx.Exec(ctx, "INSERT INTO notes VALUES ($1)", a.Events[0].ID); err != nil {
			return err
		}
		_, err := events.Append(ctx, a)
		return err
	}
}

// requireNotes requires that row and event of an append are both there, or
// neither is, and that the only connection of the pool is free.
func requireNotes(t *testing.T, store *postgres.Store, a eventstore.Append, want int) {
	t.Helper()
	require.Equal(t, want, storedOf(t, store, a))
	require.Equal(t, want, value[int](t, store, "SELECT count(*) FROM notes WHERE id = $1", a.Events[0].ID))
}

func newNotes(t *testing.T) *postgres.Store {
	t.Helper()
	config := newDatabase(t)
	config.URL += "&pool_max_conns=1"
	store := open(t, config)
	execIn(t, store, "CREATE TABLE notes (id uuid PRIMARY KEY)")
	return store
}

func TestAtomically(t *testing.T) {
	t.Parallel()
	store := newNotes(t)
	kept, failed, panicked := newAppend(1), newAppend(1), newAppend(1)
	require.NoError(t, store.Atomically(t.Context(), notes(kept)))
	requireNotes(t, store, kept, 1)

	errRefused := errors.New("refused")
	err := store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		require.NoError(t, notes(failed)(ctx, tx, events))
		require.Len(t, readStream(t, events, failed.Stream), 1)
		return errRefused
	})
	require.Equal(t, errRefused, err, "as it is")
	requireNotes(t, store, failed, 0)

	require.PanicsWithValue(t, "at the handler", func() {
		_ = store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
			require.NoError(t, notes(panicked)(ctx, tx, events))
			panic("at the handler")
		})
	})
	requireNotes(t, store, panicked, 0)
}

// Whoever waits is told of the commit, long before he looks by himself.
func TestAtomicallyTellsWhoWaits(t *testing.T) {
	t.Parallel()
	_, m, store, _ := newTimedStore(t, postgres.Config{PollInterval: time.Hour}, 4)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	m.before(nil)
	waited := make(chan error, 1)
	go func() { _, err := store.Wait(t.Context(), head); waited <- err }()
	const look = "SELECT head, highest FROM evident.head()"
	require.Eventually(t, func() bool { return m.sent(look) > 1 }, patience, tick) // at the start, and when it listens
	require.NoError(t, store.Atomically(t.Context(), func(ctx context.Context, _ pgx.Tx, events eventstore.Store) error {
		_, err := events.Append(ctx, newAppend(1))
		return err
	}))
	select {
	case err := <-waited:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "nobody told it")
	}
}

// Transactions that block each other are run again, one after the other.
func TestAtomicallyAfterADeadlock(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	streams := [2]eventstore.Stream{orders(), orders()}
	var first, all sync.WaitGroup
	first.Add(2)
	var runs atomic.Int32
	for i := range streams {
		var met sync.Once
		all.Go(func() {
			err := store.Atomically(t.Context(), func(ctx context.Context, _ pgx.Tx, events eventstore.Store) error {
				runs.Add(1)
				if _, err := events.Append(ctx, eventstore.Append{Stream: streams[i], Events: newOrders(1)}); err != nil {
					return err
				}
				met.Do(func() { first.Done(); first.Wait() }) // now both have one of the two
				_, err := events.Append(ctx, eventstore.Append{Stream: streams[1-i], Events: newOrders(1)})
				return err
			})
			require.NoError(t, err)
		})
	}
	all.Wait()
	require.Equal(t, int32(3), runs.Load(), "one of them twice")
	for _, stream := range streams {
		require.Len(t, readStream(t, store, stream), 2)
	}
}

func TestAtomicallyGivesUp(t *testing.T) {
	t.Parallel()
	store := newNotes(t)
	runs := 0
	failing := func(err error) unit {
		runs = 0
		return func(context.Context, pgx.Tx, eventstore.Store) error { runs++; return err }
	}
	crossed := fmt.Errorf("reserve: %w", &pgconn.PgError{Code: "40001", Message: "could not serialize access"})
	err := store.Atomically(t.Context(), failing(crossed))
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorIs(t, err, crossed)
	require.Equal(t, 3, runs)

	conflict := &eventstore.ConflictError{}
	require.Equal(t, conflict, store.Atomically(t.Context(), failing(conflict)))
	require.Equal(t, 1, runs)

	ended, end := context.WithCancel(t.Context())
	err = store.Atomically(ended, func(context.Context, pgx.Tx, eventstore.Store) error { runs++; end(); return crossed })
	require.ErrorIs(t, err, crossed)
	require.Equal(t, 2, runs, "not again when nobody waits for it")

	lost := newAppend(1)
	ended, end = context.WithCancel(t.Context())
	err = store.Atomically(ended, func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		defer end()
		return notes(lost)(ctx, tx, events)
	})
	require.Equal(t, context.Canceled, err, "it ended before the commit")
	requireNotes(t, store, lost, 0)
}

// What f may not do to its transaction.
func TestAtomicallyEndsTheTransactionItself(t *testing.T) {
	t.Parallel()
	store := newNotes(t)
	a := newAppend(1)
	require.NoError(t, store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		require.ErrorIs(t, tx.Commit(ctx), postgres.ErrTxNotYours)
		require.ErrorIs(t, tx.Rollback(ctx), postgres.ErrTxNotYours)
		undone := errors.New("undone")
		require.ErrorIs(t, pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			return errors.Join(notes(newAppend(1))(ctx, inner, store.Within(inner)), undone)
		}), undone)
		return notes(a)(ctx, tx, events)
	}))
	requireNotes(t, store, a, 1)
	require.Equal(t, 1, value[int](t, store, "SELECT count(*) FROM notes"))

	over := newAppend(1)
	err := store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		require.NoError(t, notes(over)(ctx, tx, events))
		_, _ = tx.Exec(ctx, "SELECT 1 / 0")
		return nil
	})
	require.ErrorIs(t, err, postgres.ErrTxFailed)
	requireNotes(t, store, over, 0)

	err = store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		require.NoError(t, notes(over)(ctx, tx, events))
		_, err := tx.Exec(ctx, "ROLLBACK")
		return err
	})
	require.ErrorIs(t, err, postgres.ErrTxEnded)
	requireNotes(t, store, over, 0)

	err = store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		require.NoError(t, notes(over)(ctx, tx, events))
		_, err := tx.Query(ctx, "SELECT 1") //nolint:gocritic,sqlclosecheck // that is the mistake
		return err
	})
	require.Error(t, err)
	require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown, "no commit was sent")
	requireNotes(t, store, over, 0)
}

// A constraint that is judged at the commit is certain to have undone it.
func TestAtomicallyRefusedAtTheCommit(t *testing.T) {
	t.Parallel()
	store := newNotes(t)
	execIn(t, store, "CREATE TABLE labels (note uuid REFERENCES notes DEFERRABLE INITIALLY DEFERRED)")
	a := newAppend(1)
	err := store.Atomically(t.Context(), func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		_, err := tx.Exec(ctx, "INSERT INTO labels VALUES (gen_random_uuid())")
		return errors.Join(err, notes(a)(ctx, tx, events))
	})
	require.ErrorAs(t, err, new(*pgconn.PgError))
	require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	requireNotes(t, store, a, 0)
}

// A commit whose answer is lost may have happened.
func TestAtomicallyWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	p, m, store, straight := newTimedStore(t, postgres.Config{}, 2)
	for _, d := range []plugtest.Direction{plugtest.Request, plugtest.Answer} {
		require.Eventually(t, func() bool { return store.Pool().Ping(t.Context()) == nil }, patience, tick)
		m.once("commit", func(client string) { p.CutOff(client, d, 0) })
		a := newAppend(2)
		err := store.Atomically(t.Context(), func(ctx context.Context, _ pgx.Tx, events eventstore.Store) error {
			_, err := events.Append(ctx, a)
			return err
		})
		require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown, d)
		require.ErrorIs(t, err, eventstore.ErrUnavailable, d)
		requireSettled(t, store, straight, a, d)
	}
}

func TestAtomicallyOfAStoreThatDoesNotWrite(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	never := func(context.Context, pgx.Tx, eventstore.Store) error { panic("called") }
	closed := open(t, config)
	require.NoError(t, closed.Close())
	require.ErrorIs(t, closed.Atomically(t.Context(), never), eventstore.ErrClosed)
	config.Replica = true
	require.ErrorIs(t, open(t, config).Atomically(t.Context(), never), eventstore.ErrReadOnly)
}
