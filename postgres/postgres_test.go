package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// newDatabase returns the configuration of a store whose tables are made, in a
// database of its own.
func newDatabase(tb testing.TB) postgres.Config {
	tb.Helper()
	config := postgres.Config{URL: pgtest.URL(tb)}
	require.NoError(tb, postgres.Migrate(tb.Context(), config))
	return config
}

// open opens a store, which the test's end closes.
func open(tb testing.TB, config postgres.Config) *postgres.Store {
	tb.Helper()
	store, err := postgres.Open(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// newStore returns an empty store.
func newStore(tb testing.TB) *postgres.Store {
	tb.Helper()
	return open(tb, newDatabase(tb))
}

func TestConformanceEventStore(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store { t.Helper(); return newStore(t) }, second(), heldOpen())
}

// heldOpen appends in a transaction of the test's own.
func heldOpen() eventstoretest.Option {
	return eventstoretest.HeldOpen(func(ctx context.Context, store eventstore.Store, appends ...eventstore.Append) (eventstoretest.Held, error) {
		own, ok := store.(*postgres.Store)
		if !ok {
			return nil, errors.New("not a store of this package")
		}
		tx, err := own.Pool().Begin(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := own.Within(tx).Append(ctx, appends...); err != nil {
			return nil, errors.Join(err, tx.Rollback(ctx))
		}
		return tx, nil
	})
}

// second opens the data of a store once more, with connections of its own, as
// another process would.
func second() eventstoretest.Option {
	return eventstoretest.Second(func(t *testing.T, store eventstore.Store) eventstore.Store {
		t.Helper()
		first, ok := store.(*postgres.Store)
		require.True(t, ok)
		return open(t, postgres.Config{URL: first.Pool().Config().ConnString()})
	})
}
