package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// versioned is a version of a projection whose one row says which it is, behind
// the view "shown".
func versioned(version int, parts ...postgres.Part) *postgres.Projection {
	table := fmt.Sprintf("shown_v%d", version)
	return postgres.NewProjection("shown", version, append([]postgres.Part{
		postgres.Table(table, "version int NOT NULL, name varchar(10) COLLATE \"C\"", fmt.Sprintf("INSERT INTO %s VALUES (%d, 'v%[2]d')", table, version)),
		postgres.View("shown", "SELECT version, name FROM "+table),
		postgres.OnEvery(nothing),
	}, parts...)...)
}

// showing is a version with another query.
func showing(version int, query string, then ...string) *postgres.Projection {
	return postgres.NewProjection("shown", version, postgres.View("shown", query, then...), postgres.OnEvery(nothing))
}

func goLive(t *testing.T, store *home, p *postgres.Projection) error {
	t.Helper()
	return inTx(t.Context(), store, func(tx projection.Tx) error { return p.GoLive(t.Context(), tx) })
}

func dropTargets(t *testing.T, store *home, name string, version int) error {
	t.Helper()
	return inTx(t.Context(), store, func(tx projection.Tx) error {
		dropper, ok := projection.TxAs[projection.TargetDropper](tx)
		require.True(t, ok)
		return dropper.DropTargets(t.Context(), name, version)
	})
}

// usage begins to grant the use of the schema of a store's tables.
func usage(store *home) string {
	return "GRANT USAGE ON SCHEMA " + store.Pool().Config().ConnConfig.RuntimeParams["search_path"] + " TO "
}

// shownThings returns the tables and views whose names begin with shown.
func shownThings(t *testing.T, store *home) string {
	t.Helper()
	return value[string](t, store.Store, `SELECT coalesce(string_agg(relkind::text || ' ' || relname, ', ' ORDER BY relname), '') FROM pg_class
		WHERE relname LIKE 'shown%' AND relkind IN ('r', 'v')`)
}

func TestViewShowsTheLiveVersion(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	v1, v2 := versioned(1), versioned(2)
	require.NoError(t, goLive(t, store, v1), "which creates the table, too")
	require.NoError(t, prepare(t, store, v2))
	assert.Equal(t, 1, store.count(t, "SELECT version FROM shown"), "the second is being built")
	require.NoError(t, goLive(t, store, v2))
	assert.Equal(t, 2, store.count(t, "SELECT version FROM shown"))
	require.NoError(t, goLive(t, store, v1), "and back")
	assert.Equal(t, 1, store.count(t, "SELECT version FROM shown"))
	require.ErrorIs(t, inTx(t.Context(), store, func(tx projection.Tx) error {
		require.NoError(t, v2.GoLive(t.Context(), tx))
		return errBroken
	}), errBroken)
	assert.Equal(t, 1, store.count(t, "SELECT version FROM shown"), "undone with its transaction")
}

// Readers see the one version or the other, and none of them an error.
func TestViewIsNeverMissing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		swaps    int
		versions []*postgres.Projection
		queries  []string
	}{
		"the same columns": {
			200,
			[]*postgres.Projection{versioned(1), versioned(2)},
			[]string{"SELECT version FROM shown", "SELECT * FROM shown", "SELECT s.version FROM shown s WHERE s.name LIKE 'v%'"},
		},
		"columns in another order": {
			50,
			[]*postgres.Projection{versioned(1), showing(2, "SELECT 'v2'::varchar(10) AS name, 2 AS version")},
			[]string{"SELECT version FROM shown", "SELECT s.version FROM shown s WHERE s.name LIKE 'v%'"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			require.NoError(t, goLive(t, store, test.versions[0]))
			ctx, stop := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			for _, query := range test.queries {
				conn := dial(t, store.config.URL) // which prepares its statement
				readers.Go(func() {
					for ctx.Err() == nil {
						rows, err := conn.Query(t.Context(), query)
						require.NoError(t, err)
						all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (any, error) {
							values, err := row.Values()
							return values[0], err
						})
						require.NoError(t, err)
						require.Len(t, all, 1)
						require.Contains(t, []any{int32(1), int32(2)}, all[0])
					}
				})
			}
			for n := range test.swaps {
				require.NoError(t, goLive(t, store, test.versions[(n+1)%2]))
			}
			stop()
			readers.Wait()
		})
	}
}

// What happens to readers whose columns change is what View says.
func TestViewWithOtherColumns(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	name, as := newRole(t, store.config)
	reader := dial(t, as.URL)
	named := func() (n int, err error) {
		err = reader.QueryRow(t.Context(), "SELECT n FROM shown").Scan(&n)
		return n, err
	}
	all := func() error {
		rows, err := reader.Query(t.Context(), "SELECT * FROM shown")
		if err != nil {
			return err
		}
		rows.Close()
		return rows.Err()
	}
	grant := "GRANT SELECT ON shown TO " + name
	require.NoError(t, goLive(t, store, showing(1, "SELECT 1 AS n, 'a' AS s")))
	store.run(t, usage(store)+name+"; "+grant)
	for range 2 {
		n, err := named()
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, all())
	}

	require.NoError(t, goLive(t, store, showing(2, "SELECT 2 AS n, 'a' AS s, true AS more")))
	n, err := named()
	require.NoError(t, err, "more columns: prepared statements and rights stay")
	require.Equal(t, 2, n)
	requireCode(t, "0A000", all())
	require.NoError(t, all(), "told once")

	require.NoError(t, goLive(t, store, showing(3, "SELECT 'b' AS s, 3 AS n")))
	_, err = named()
	requireCode(t, "42501", err)
	require.NoError(t, goLive(t, store, showing(4, "SELECT 4 AS n", grant)))
	n, err = named()
	require.NoError(t, err, "what follows the query is run again")
	require.Equal(t, 4, n)

	store.run(t, "CREATE VIEW theirs AS SELECT n FROM shown")
	require.NoError(t, goLive(t, store, showing(5, "SELECT 5 AS n")))
	assert.Equal(t, 5, store.count(t, "SELECT n FROM theirs"))
	require.ErrorContains(t, goLive(t, store, showing(6, "SELECT 'six' AS n")), "drop view shown")
}

func TestViewOfSomebodyElse(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	store.run(t, "CREATE TABLE a_table (n int); CREATE VIEW a_view AS SELECT 1 AS n; CREATE MATERIALIZED VIEW stuff AS SELECT 1 AS n")
	require.NoError(t, goLive(t, store, versioned(1)))
	for name, reason := range map[string]string{
		"a_table":                     "of another kind: table",
		"stuff":                       "of another kind: relation of kind m",
		"a_view":                      "no projection of this store has made it",
		"shown":                       `belongs to projection "shown" v1`,
		"shown_v1":                    "of another kind: table",
		"nowhere.v":                   "has no schema",
		store.config.Schema + ".view": "the store's own schema",
	} {
		p := postgres.NewProjection("other", 1, postgres.View(name, "SELECT 1 AS n"), postgres.OnEvery(nothing))
		for _, err := range []error{prepare(t, store, p), goLive(t, store, p)} {
			require.ErrorIs(t, err, event.ErrDefinition, name)
			require.ErrorContains(t, err, reason, name)
		}
	}
	assert.Equal(t, 1, store.count(t, "SELECT version FROM shown"))
	require.ErrorIs(t, prepare(t, store, withTable("p", 1, "a_view", "n int")), event.ErrDefinition)

	store.run(t, "DROP VIEW shown; CREATE TABLE shown (n int)")
	require.ErrorIs(t, goLive(t, store, versioned(2)), event.ErrDefinition, "whatever was written down")
	store.run(t, "DROP TABLE shown")
	require.NoError(t, goLive(t, store, versioned(2)), "it was dropped by hand")
}

func TestViewWhoseQueryIsWrong(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	p := showing(1, "SELECT n FROM nowhere")
	require.ErrorContains(t, prepare(t, store, p), "view shown", "it is found out before anything is built")
	other, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, p.GoLive(t.Context(), tx), event.ErrDefinition)
	require.ErrorIs(t, p.Finish(t.Context(), tx), event.ErrDefinition)
}

// A switch that waits for a reader does not keep the other readers for ever.
func TestSwitchGivesUpBehindAReader(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	require.NoError(t, goLive(t, store, versioned(1)))
	tx := beginPlain(t, store.Store)
	_, err := tx.Exec(t.Context(), "SELECT * FROM shown")
	require.NoError(t, err)
	err = goLive(t, store, versioned(2))
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	requireCode(t, "55P03", err)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, inTx(t.Context(), store, func(tx projection.Tx) error {
		require.NoError(t, versioned(2).GoLive(t.Context(), tx))
		own, _ := projection.TxAs[*postgres.Tx](tx)
		var bound string
		require.NoError(t, own.PGX().QueryRow(t.Context(), "SHOW lock_timeout").Scan(&bound))
		assert.Equal(t, "0", bound, "what comes next in the transaction is not bounded")
		return nil
	}))
}

func TestResetPutsTheViewOfThisVersionAnew(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	name, as := newRole(t, store.config)
	reader := dial(t, as.URL)
	require.NoError(t, goLive(t, store, versioned(1)))
	store.run(t, usage(store)+name+"; GRANT SELECT ON shown TO "+name)
	require.NoError(t, reset(t, store, versioned(1)), "its table can be dropped, though the view shows it")
	var version int
	require.NoError(t, reader.QueryRow(t.Context(), "SELECT version FROM shown").Scan(&version), "it is the same view")

	changed := postgres.NewProjection("shown", 1,
		postgres.Table("shown_v1", "number int NOT NULL", "INSERT INTO shown_v1 VALUES (7)"),
		postgres.View("shown", "SELECT number AS version FROM shown_v1"), postgres.OnEvery(nothing))
	require.NoError(t, reset(t, store, changed))
	assert.Equal(t, 7, store.count(t, "SELECT version FROM shown"))
	require.NoError(t, reset(t, store, versioned(2)))
	assert.Equal(t, 7, store.count(t, "SELECT version FROM shown"), "another version's reset is none of its business")
}

func TestDropTargets(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	require.NoError(t, goLive(t, store, versioned(1)))
	require.NoError(t, goLive(t, store, versioned(2, postgres.Table("shown_v2_parts", "n int"))))
	require.NoError(t, dropTargets(t, store, "shown", 1))
	assert.Equal(t, "v shown, r shown_v2, r shown_v2_parts", shownThings(t, store), "the view shows the second")
	require.NoError(t, dropTargets(t, store, "shown", 1), "there is nothing")
	require.NoError(t, dropTargets(t, store, "shown", 2))
	assert.Empty(t, shownThings(t, store))
	assert.Zero(t, store.count(t, "SELECT count(*) FROM evident.projection_tables"))
	require.NoError(t, goLive(t, store, versioned(1)), "it can be made again")

	store.run(t, "DROP VIEW shown; DROP TABLE shown_v1; CREATE VIEW shown_v1 AS SELECT 1 AS version")
	require.NoError(t, dropTargets(t, store, "shown", 1))
	assert.Equal(t, "v shown_v1", shownThings(t, store), "what is somebody else's stays")
	require.NoError(t, goLive(t, store, versioned(2)))
	store.run(t, "CREATE VIEW theirs AS SELECT version FROM shown_v2")
	requireCode(t, "2BP01", dropTargets(t, store, "shown", 2))

	require.ErrorIs(t, dropTargets(t, store, "", 1), event.ErrInvalid)
	require.ErrorIs(t, dropTargets(t, store, "shown", 0), event.ErrInvalid)
	tx := begin(t, store)
	require.NoError(t, tx.Rollback(t.Context()))
	require.ErrorIs(t, tx.DropTargets(t.Context(), "shown", 1), postgres.ErrTxEnded)
}

func TestIndexIsCreatedLast(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	store.run(t, "CREATE SCHEMA reporting")
	p := postgres.NewProjection("p", 1,
		postgres.Index("CREATE INDEX T_by_n ON T (n)"),
		postgres.Index("create unique index if not exists t_by_m\n\ton reporting.t USING btree (m) WHERE m > 0"),
		postgres.Table("t", "n int"), postgres.Table("reporting.t", "m int"), postgres.OnEvery(nothing))
	require.NoError(t, p.Validate())
	const made = "SELECT count(*) FROM pg_index WHERE indrelid IN ('t'::regclass, 'reporting.t'::regclass)"
	require.NoError(t, prepare(t, store, p))
	assert.Zero(t, store.count(t, made))
	finish := func(tx projection.Tx) error { return p.Finish(t.Context(), tx) }
	for range 2 {
		require.NoError(t, inTx(t.Context(), store, finish))
		assert.Equal(t, 2, store.count(t, made))
	}
	require.NoError(t, reset(t, store, p))
	assert.Zero(t, store.count(t, made), "they went with the table")
	require.NoError(t, inTx(t.Context(), store, finish))
	assert.Equal(t, 2, store.count(t, made))

	store.run(t, "DROP INDEX t_by_n; CREATE TABLE elsewhere (n int); CREATE INDEX t_by_n ON elsewhere (n)")
	require.ErrorIs(t, inTx(t.Context(), store, finish), event.ErrDefinition)
	store.run(t, "DROP TABLE t")
	require.ErrorContains(t, inTx(t.Context(), store, finish), "create index t_by_n")
}

func TestProjectionRewinds(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	require.ErrorIs(t, titles().CanRewind(), event.ErrDefinition)
	assert.Equal(t, 1, titles().Lanes())
	p := titles(postgres.InLanes(4), postgres.OnRewind(func(ctx context.Context, tx pgx.Tx, position uint64) error {
		_, err := tx.Exec(ctx, "DELETE FROM titles WHERE title > $1", strconv.FormatUint(position, 10))
		return errors.Join(err, tx.Commit(ctx))
	}))
	require.NoError(t, p.CanRewind())
	assert.Equal(t, 4, p.Lanes())
	require.NoError(t, prepare(t, store, p))
	store.run(t, "INSERT INTO titles SELECT gen_random_uuid(), n FROM generate_series(1, 3) AS n")
	rewind := func(tx projection.Tx) error {
		err := p.Rewind(t.Context(), tx, 2)
		require.ErrorIs(t, err, postgres.ErrTxNotYours, "it is lent")
		return nil
	}
	require.NoError(t, inTx(t.Context(), store, rewind))
	assert.Equal(t, 2, store.count(t, "SELECT count(*) FROM titles"))
}
