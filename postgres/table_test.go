package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// prepare prepares a projection in a transaction of its own.
func prepare(t *testing.T, store *home, p *postgres.Projection) error {
	t.Helper()
	return inTx(t.Context(), store, func(tx projection.Tx) error { return p.Prepare(t.Context(), tx) })
}

func reset(t *testing.T, store *home, p *postgres.Projection) error {
	t.Helper()
	return inTx(t.Context(), store, func(tx projection.Tx) error { return p.Reset(t.Context(), tx) })
}

func inTx(ctx context.Context, store projection.Progress, f func(tx projection.Tx) error) error {
	tx, err := store.Begin(ctx)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	return tx.Commit(ctx)
}

// withTable returns a projection with one table and nothing to do.
func withTable(name string, version int, table, columns string, then ...string) *postgres.Projection {
	return postgres.NewProjection(name, version, postgres.Table(table, columns, then...), postgres.OnEvery(nothing))
}

func TestTableThatExistsWithAnotherDefinition(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	require.NoError(t, prepare(t, store, withTable("p", 1, "t", "n int")))
	require.NoError(t, prepare(t, store, withTable("p", 1, "t", "n int")), "it is there")
	for _, changed := range []*postgres.Projection{
		withTable("p", 1, "t", "n int, m int"),
		withTable("p", 1, "t", "n int", "CREATE INDEX ON t (n)"),
	} {
		require.ErrorIs(t, prepare(t, store, changed), event.ErrDefinition)
		require.NoError(t, reset(t, store, changed))
		require.NoError(t, prepare(t, store, changed))
	}
	store.run(t, "DROP TABLE t")
	require.NoError(t, prepare(t, store, withTable("p", 1, "t", "n int")), "nobody has it any more")
}

func TestTableOfSomebodyElse(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	store.run(t, "CREATE TABLE strange (n int)")
	require.NoError(t, prepare(t, store, withTable("p", 1, "t", "n int")))
	for reason, p := range map[string]*postgres.Projection{
		"no projection of this store has made it": withTable("p", 1, "strange", "n int"),
		`belongs to projection "p" v1`:            withTable("q", 1, "t", "n int"),
		"each version of a projection":            withTable("p", 2, "t", "n int"),
		"the store's own schema":                  withTable("p", 1, store.config.Schema+".t", "n int"),
		"has no schema":                           withTable("p", 1, "nowhere.t", "n int"),
	} {
		for _, err := range []error{prepare(t, store, p), reset(t, store, p)} {
			require.ErrorIs(t, err, event.ErrDefinition, reason)
			require.ErrorContains(t, err, reason)
		}
	}
	assert.Equal(t, 1, store.count(t, "SELECT count(*) FROM evident.projection_tables"))
}

func TestTableInASchemaOfTheUsers(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	store.run(t, "CREATE SCHEMA reporting")
	p := withTable("p", 1, "reporting.t", "n int")
	require.NoError(t, prepare(t, store, p))
	require.NoError(t, prepare(t, store, withTable("q", 1, "t", "n int")), "the same name elsewhere")
	store.run(t, "INSERT INTO reporting.t VALUES (1)")
	require.NoError(t, reset(t, store, p))
	assert.Zero(t, store.count(t, "SELECT count(*) FROM reporting.t"))
}

func TestTableThatCannotBeCreated(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	p := withTable("p", 1, "t", "no good (")
	require.ErrorContains(t, prepare(t, store, p), "create table t")
	require.ErrorContains(t, reset(t, store, p), "create table t")

	require.NoError(t, prepare(t, store, withTable("p", 1, "t", "n int")))
	store.run(t, "CREATE VIEW v AS SELECT * FROM t")
	require.ErrorContains(t, reset(t, store, withTable("p", 1, "t", "n int")), "drop table t")
}

// TestTablesMadeAtOnce has two projections, which no lease keeps apart, make
// their tables at the same time.
func TestTablesMadeAtOnce(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	other := store.again(t)
	for _, table := range []string{"a", "b", "c", "d"} {
		results := promisetest.Race(2, func(i int) error {
			p := withTable([]string{"p", "q"}[i], 1, table, "n int")
			return inTx(t.Context(), []projection.Progress{store, other}[i], func(tx projection.Tx) error { return p.Prepare(t.Context(), tx) })
		})
		first, second := results[0], results[1]
		assert.NotEqual(t, first == nil, second == nil, "%v, %v", first, second)
		require.ErrorIs(t, errors.Join(first, second), event.ErrDefinition)
	}
}
