package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// versioned is a version of a projection whose one row says which it is, behind
// the view "shown".
func versioned(version int, parts ...sqlite.Part) *sqlite.Projection {
	table := fmt.Sprintf("shown_v%d", version)
	return sqlite.NewProjection("shown", version, append([]sqlite.Part{
		sqlite.Table(table, "version INTEGER NOT NULL", fmt.Sprintf("CREATE TRIGGER t%d AFTER DELETE ON %s BEGIN SELECT 1; END", version, table),
			fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, version)),
		sqlite.View("shown", "SELECT version FROM "+table),
		sqlite.OnEvery(ignore),
	}, parts...)...)
}

func ignore(context.Context, *sql.Tx, event.Event) error { return nil }

// inTx runs f in a transaction of its own, which is kept if f returns no error.
func inTx(t *testing.T, store *sqlite.Store, f func(tx projection.Tx) error) error {
	t.Helper()
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	if err := f(tx); err != nil {
		require.NoError(t, tx.Rollback(t.Context()))
		return err
	}
	return tx.Commit(t.Context())
}

func goLive(t *testing.T, store *sqlite.Store, p *sqlite.Projection) error {
	t.Helper()
	return inTx(t, store, func(tx projection.Tx) error { return p.GoLive(t.Context(), tx) })
}

func prepare(t *testing.T, store *sqlite.Store, p *sqlite.Projection) error {
	t.Helper()
	return inTx(t, store, func(tx projection.Tx) error { return p.Prepare(t.Context(), tx) })
}

func dropTargets(t *testing.T, store *sqlite.Store, name string, version int) error {
	t.Helper()
	return inTx(t, store, func(tx projection.Tx) error {
		dropper, ok := projection.TxAs[projection.TargetDropper](tx)
		require.True(t, ok)
		return dropper.DropTargets(t.Context(), name, version)
	})
}

func alter(t *testing.T, store *sqlite.Store, statement string) {
	t.Helper()
	require.NoError(t, inTx(t, store, func(tx projection.Tx) error {
		own, _ := projection.TxAs[*sqlite.Tx](tx)
		_, err := own.SQL().ExecContext(t.Context(), statement)
		return err
	}))
}

func names(t *testing.T, store *sqlite.Store) (all string) {
	t.Helper()
	require.NoError(t, store.DB().QueryRowContext(t.Context(), `SELECT coalesce(group_concat(type || ' ' || name, ', '), '') FROM
		(SELECT type, name FROM sqlite_schema WHERE name LIKE 'shown%' AND type IN ('table', 'view') ORDER BY 1, 2)`).Scan(&all))
	return all
}

func TestViewShowsTheLiveVersion(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	v1, v2 := versioned(1), versioned(2)
	require.NoError(t, goLive(t, store, v1), "which creates the table, too")
	require.NoError(t, prepare(t, store, v2))
	assert.Equal(t, 1, count(t, store, "SELECT version FROM shown"), "the second is being built")
	require.NoError(t, goLive(t, store, v2))
	assert.Equal(t, 2, count(t, store, "SELECT version FROM shown"))
	require.NoError(t, goLive(t, store, v1), "and back")
	assert.Equal(t, 1, count(t, store, "SELECT version FROM shown"))
	require.ErrorContains(t, inTx(t, store, func(tx projection.Tx) error {
		require.NoError(t, v2.GoLive(t.Context(), tx))
		return errHandler
	}), errHandler.Error())
	assert.Equal(t, 1, count(t, store, "SELECT version FROM shown"), "undone with its transaction")
}

// Readers on other connections see the one version or the other, never that
// there is no view, and what they have prepared goes on.
func TestViewIsNeverMissing(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	require.NoError(t, goLive(t, store, versioned(1)))
	other := raw(t, config.Path)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	seen := make([]map[int]int, 3)
	for i := range seen {
		seen[i] = make(map[int]int)
		prepared, err := []*sql.DB{store.DB(), other, other}[i].PrepareContext(t.Context(), "SELECT version FROM shown")
		require.NoError(t, err)
		readers.Go(func() {
			defer func() { assert.NoError(t, prepared.Close()) }()
			for ctx.Err() == nil {
				var version int
				if !assert.NoError(t, prepared.QueryRowContext(t.Context()).Scan(&version)) {
					return
				}
				seen[i][version]++
			}
		})
	}
	for n := range 200 {
		require.NoError(t, goLive(t, store, versioned(n%2+1)))
	}
	stop()
	readers.Wait()
	for i := range seen {
		assert.Subset(t, []int{1, 2}, keys(seen[i]))
		assert.NotEmpty(t, seen[i])
	}
}

func keys(m map[int]int) (all []int) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

func TestViewOfSomebodyElse(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	alter(t, store, "CREATE TABLE a_table (n); CREATE VIEW a_view AS SELECT 1 AS n; CREATE INDEX an_index ON a_table (n)")
	require.NoError(t, goLive(t, store, versioned(1)))
	with := func(name string) *sqlite.Projection {
		return sqlite.NewProjection("other", 1, sqlite.View(name, "SELECT 1 AS n"), sqlite.OnEvery(ignore))
	}
	for name, reason := range map[string]string{
		"A_table":  "of another kind: table",
		"A_view":   "no projection has made it",
		"an_index": "of another kind: index",
		"Shown":    "belongs to projection shown v1",
		"shown_v1": "of another kind: table",
	} {
		for _, err := range []error{prepare(t, store, with(name)), goLive(t, store, with(name))} {
			require.ErrorIs(t, err, event.ErrDefinition, name)
			require.ErrorContains(t, err, reason, name)
		}
	}
	assert.Equal(t, 1, count(t, store, "SELECT version FROM shown"))

	alter(t, store, "DROP VIEW shown; CREATE TABLE shown (n)")
	require.ErrorIs(t, goLive(t, store, versioned(2)), event.ErrDefinition, "whatever was written down")
	alter(t, store, "DROP TABLE shown")
	require.NoError(t, goLive(t, store, versioned(2)), "it was dropped by hand")
}

func TestViewWhoseQueryIsWrong(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	p := sqlite.NewProjection("p", 1, sqlite.View("v", "SELECT n FROM nowhere"), sqlite.OnEvery(ignore))
	require.ErrorContains(t, prepare(t, store, p), "view v", "it is found out before anything is built")
	other, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, p.GoLive(t.Context(), tx), event.ErrDefinition)
	require.ErrorIs(t, p.Finish(t.Context(), tx), event.ErrDefinition)
}

func TestResetPutsTheViewOfThisVersionAnew(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	require.NoError(t, goLive(t, store, versioned(1)))
	changed := sqlite.NewProjection("shown", 1,
		sqlite.Table("shown_v1", "number INTEGER NOT NULL", "INSERT INTO shown_v1 VALUES (7)"),
		sqlite.View("shown", "SELECT number AS version FROM shown_v1"), sqlite.OnEvery(ignore))
	require.NoError(t, inTx(t, store, func(tx projection.Tx) error { return changed.Reset(t.Context(), tx) }))
	assert.Equal(t, 7, count(t, store, "SELECT version FROM shown"))
	require.NoError(t, inTx(t, store, func(tx projection.Tx) error { return versioned(2).Reset(t.Context(), tx) }))
	assert.Equal(t, 7, count(t, store, "SELECT version FROM shown"), "another version's reset is none of its business")
}

func TestDropTargets(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var _ projection.TargetDropper = (*sqlite.Tx)(nil)
	require.NoError(t, goLive(t, store, versioned(1)))
	require.NoError(t, goLive(t, store, versioned(2)))
	require.NoError(t, dropTargets(t, store, "shown", 1))
	assert.Equal(t, "table shown_v2, view shown", names(t, store), "the view shows the second")
	require.NoError(t, dropTargets(t, store, "shown", 1), "there is nothing")
	require.NoError(t, dropTargets(t, store, "shown", 2))
	assert.Empty(t, names(t, store))
	assert.Zero(t, count(t, store, "SELECT count(*) FROM projection_tables"))
	require.NoError(t, goLive(t, store, versioned(1)), "it can be made again")

	alter(t, store, "DROP VIEW shown; DROP TABLE shown_v1; CREATE VIEW shown_v1 AS SELECT 1 AS version")
	require.NoError(t, dropTargets(t, store, "shown", 1))
	assert.Equal(t, "view shown_v1", names(t, store), "what is somebody else's stays")
	require.ErrorIs(t, dropTargets(t, store, "", 1), event.ErrInvalid)
	require.ErrorIs(t, dropTargets(t, store, "shown", 0), event.ErrInvalid)
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	own, _ := projection.TxAs[*sqlite.Tx](tx)
	require.ErrorIs(t, own.DropTargets(t.Context(), "shown", 1), sqlite.ErrTxEnded)
}

func TestTableOfSomebodyElse(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	with := func(name string, version int, table, columns string, then ...string) *sqlite.Projection {
		return sqlite.NewProjection(name, version, sqlite.Table(table, columns, then...), sqlite.OnEvery(ignore))
	}
	alter(t, store, "CREATE TABLE strange (n)")
	alter(t, store, "CREATE TABLE older (n)")
	require.NoError(t, prepare(t, store, with("p", 1, "t", "n")))
	require.NoError(t, prepare(t, store, with("p", 1, "t", "n")), "it is there")
	for reason, p := range map[string]*sqlite.Projection{
		"no projection has made it":    with("p", 1, "strange", "m"),
		`belongs to projection p v1`:   with("q", 1, "t", "n"),
		"each version of a projection": with("p", 2, "T", "n"),
	} {
		for _, err := range []error{prepare(t, store, p), inTx(t, store, func(tx projection.Tx) error { return p.Reset(t.Context(), tx) })} {
			require.ErrorIs(t, err, event.ErrDefinition, reason)
			require.ErrorContains(t, err, reason)
		}
	}
	require.ErrorContains(t, prepare(t, store, with("p", 1, "t", "n", "CREATE INDEX i ON t (n)")), "another definition")
	assert.Equal(t, 1, count(t, store, "SELECT count(*) FROM projection_tables"))

	require.NoError(t, prepare(t, store, with("p", 1, "older", "n")), "from before tables were written down")
	require.ErrorIs(t, prepare(t, store, with("q", 1, "older", "n")), event.ErrDefinition)
}

func TestIndexIsCreatedLast(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	p := sqlite.NewProjection("p", 1,
		sqlite.Index("CREATE INDEX t_by_n ON T (n)"),
		sqlite.Index("create unique index if not exists T_by_m\n\ton t (m) WHERE m > 0"),
		sqlite.Table("t", "n INTEGER, m INTEGER"), sqlite.OnEvery(ignore))
	require.NoError(t, p.Validate())
	const made = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 't'"
	require.NoError(t, prepare(t, store, p))
	assert.Zero(t, count(t, store, made))
	finish := func(tx projection.Tx) error { return p.Finish(t.Context(), tx) }
	for range 2 {
		require.NoError(t, inTx(t, store, finish))
		assert.Equal(t, 2, count(t, store, made))
	}
	require.NoError(t, inTx(t, store, func(tx projection.Tx) error { return p.Reset(t.Context(), tx) }))
	assert.Zero(t, count(t, store, made), "they went with the table")
	require.NoError(t, inTx(t, store, finish))
	assert.Equal(t, 2, count(t, store, made))

	alter(t, store, "DROP INDEX t_by_n; CREATE TABLE elsewhere (n); CREATE INDEX t_by_n ON elsewhere (n)")
	require.ErrorIs(t, inTx(t, store, finish), event.ErrDefinition)
	alter(t, store, "DROP INDEX t_by_n; DROP TABLE t")
	require.ErrorContains(t, inTx(t, store, finish), "create index t_by_n")
}

func TestProjectionRewinds(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	require.ErrorIs(t, titles().CanRewind(), event.ErrDefinition)
	assert.Equal(t, 1, titles().Lanes())
	p := titles(sqlite.InLanes(4), sqlite.OnRewind(func(ctx context.Context, tx *sql.Tx, position uint64) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM titles WHERE title > ?", strconv.FormatUint(position, 10))
		return err
	}))
	require.NoError(t, p.CanRewind())
	assert.Equal(t, 4, p.Lanes())
	require.NoError(t, prepare(t, store, p))
	alter(t, store, "INSERT INTO titles VALUES (1, '1'), (2, '2'), (3, '3')")
	require.NoError(t, inTx(t, store, func(tx projection.Tx) error { return p.Rewind(t.Context(), tx, 2) }))
	assert.Equal(t, 2, count(t, store, "SELECT count(*) FROM titles"))
}
