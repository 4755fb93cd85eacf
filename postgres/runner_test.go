package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection/projectiontest"
)

func TestConformanceRunnerExactlyOnce(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	projectiontest.Run(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		store := shared.home(t)
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
	shared := newSharedDatabase(t)
	projectiontest.Run(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		store := shared.home(t)
		return projectiontest.Harness{Store: store}
	})
}

// newLedger writes each event down in a table of the store's database.
func newLedger(store *home, name string, hook projectiontest.Hook) projectiontest.Ledger {
	return ledgerOf(store, name, postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if _, err := tx.Exec(ctx, "INSERT INTO "+name+" (position) VALUES ($1)", e.Position); err != nil {
			return err
		}
		return hook(ctx, e)
	}))
}

// newBatchLedger writes the events of a batch down together.
func newBatchLedger(store *home, name string, hook projectiontest.BatchHook) projectiontest.Ledger {
	return ledgerOf(store, name, postgres.OnBatch(func(ctx context.Context, tx pgx.Tx, events []event.Event) error {
		rows := pgx.CopyFromSlice(len(events), func(i int) ([]any, error) { return []any{events[i].Position}, nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{name}, []string{"position"}, rows); err != nil {
			return err
		}
		return hook(ctx, events)
	}))
}

func ledgerOf(store *home, name string, handler postgres.Part) projectiontest.Ledger {
	return projectiontest.Ledger{
		Projection: postgres.NewProjection(name, 1,
			postgres.Table(name, "line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, position bigint NOT NULL"), handler),
		Positions: func(ctx context.Context) ([]uint64, error) { return linesOf(ctx, store, name) },
	}
}

// linesOf reads a ledger; before its projection has run there is no table.
func linesOf(ctx context.Context, store *home, name string) ([]uint64, error) {
	var there bool
	if err := store.Pool().QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := store.Pool().Query(ctx, "SELECT position FROM "+name+" ORDER BY line")
	if err != nil {
		return nil, err
	}
	positions, err := pgx.CollectRows(rows, pgx.RowTo[uint64])
	if len(positions) == 0 {
		return nil, err
	}
	return positions, err
}

func TestLedgerOfNothing(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	positions, err := linesOf(t.Context(), store, "nobody")
	require.NoError(t, err)
	require.Empty(t, positions)
}
