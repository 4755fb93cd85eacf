package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/sqlite"
)

func TestConformanceRunnerExactlyOnce(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		store := newStore(t)
		return projectiontest.Harness{
			Store: store,
			NewLedger: func(_ projectiontest.T, name string, hook projectiontest.Hook) projectiontest.Ledger {
				return newLedger(store, name, hook)
			},
			NewBatchLedger: func(_ projectiontest.T, name string, hook projectiontest.BatchHook) projectiontest.Ledger {
				return newBatchLedger(store, name, hook)
			},
		}
	})
}

func TestConformanceRunnerAtLeastOnce(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		return projectiontest.Harness{Store: newStore(t)}
	})
}

// newLedger writes each event down in a table of the store's file.
func newLedger(store *sqlite.Store, name string, hook projectiontest.Hook) projectiontest.Ledger {
	return ledgerOf(store, name, sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
		if err := writeLine(ctx, tx, name, e); err != nil {
			return err
		}
		return hook(ctx, e)
	}))
}

// newBatchLedger writes the events of a batch down together.
func newBatchLedger(store *sqlite.Store, name string, hook projectiontest.BatchHook) projectiontest.Ledger {
	return ledgerOf(store, name, sqlite.OnBatch(func(ctx context.Context, tx *sql.Tx, events []event.Event) error {
		for _, e := range events {
			if err := writeLine(ctx, tx, name, e); err != nil {
				return err
			}
		}
		return hook(ctx, events)
	}))
}

func ledgerOf(store *sqlite.Store, name string, handler sqlite.Part) projectiontest.Ledger {
	return projectiontest.Ledger{
		Projection: sqlite.NewProjection(name, 1, sqlite.Table(name, "line INTEGER PRIMARY KEY, position INTEGER NOT NULL"), handler),
		Positions:  func(ctx context.Context) ([]uint64, error) { return linesOf(ctx, store.DB(), name) },
	}
}

func writeLine(ctx context.Context, tx *sql.Tx, name string, e event.Event) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+name+" (position) VALUES (?)", e.Position)
	return err
}

// linesOf reads a ledger; before its projection has run there is no table.
func linesOf(ctx context.Context, db *sql.DB, name string) (positions []uint64, err error) {
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = ?", name).Scan(&tables); err != nil || tables == 0 {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT position FROM "+name+" ORDER BY line")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var position uint64
		if err := rows.Scan(&position); err != nil {
			return nil, err
		}
		positions = append(positions, position)
	}
	return positions, rows.Err()
}

func TestLedgerOfNothing(t *testing.T) {
	t.Parallel()
	positions, err := linesOf(t.Context(), newStore(t).DB(), "nobody")
	require.NoError(t, err)
	require.Empty(t, positions)
}

func TestATableThatWasChangedNeedsAReset(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	seed(t, store, 1)
	titles := func(columns string) *projection.Runner {
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{
			sqlite.NewProjection("titles", 1, sqlite.Table("titles", columns), sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO titles (id) VALUES (?)", e.AggregateID[:])
				return err
			})),
		}})
		require.NoError(t, err)
		return r
	}
	require.NoError(t, titles("id BLOB").RunUntilCaughtUp(t.Context()))
	changed := titles("id BLOB, title TEXT")
	require.ErrorIs(t, changed.RunUntilCaughtUp(t.Context()), event.ErrDefinition)
	require.NoError(t, changed.Rebuild(t.Context(), "titles"))
	var rows int
	require.NoError(t, store.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM titles WHERE title IS NULL").Scan(&rows))
	require.Equal(t, 1, rows)
}
