package sqlite_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

type created struct {
	Title string `json:"title"`
}

func (created) EventType() string { return "Created" }

func insertTitle(ctx context.Context, tx *sql.Tx, e event.Of[created]) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO titles (id, title) VALUES (?, ?)", e.ID[:], e.Payload.Title)
	return err
}

func titles(parts ...sqlite.Part) *sqlite.Projection {
	return sqlite.NewProjection("titles", 1, append([]sqlite.Part{
		sqlite.Table("titles", "id BLOB PRIMARY KEY, title TEXT NOT NULL", "CREATE INDEX titles_by_title ON titles (title)"),
		sqlite.On(insertTitle),
	}, parts...)...)
}

func newRunner(t *testing.T, store projection.Store, p projection.Projection) *projection.Runner {
	t.Helper()
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}})
	require.NoError(t, err)
	return runner
}

func count(t *testing.T, store *sqlite.Store, query string) (n int) {
	t.Helper()
	require.NoError(t, store.DB().QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

func TestProjectionIsBuiltAndRebuilt(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	add(t, store, 5)
	seen, resets := 0, 0
	p := titles(
		sqlite.OnEvery(func(context.Context, *sql.Tx, event.Event) error { seen++; return nil }, "Created", "Other"),
		sqlite.OnReset(func(context.Context, *sql.Tx) error { resets++; return nil }),
		sqlite.Codec(event.JSON{}),
	)
	assert.Equal(t, "titles", p.Name())
	assert.Equal(t, 1, p.Version())
	assert.Equal(t, projection.ExactlyOnce, p.Guarantee())
	assert.Equal(t, []string{"Created", "Other"}, p.EventTypes())
	runner := newRunner(t, store, p)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 5, count(t, store, "SELECT count(*) FROM titles"))

	add(t, store, 2)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 7, count(t, store, "SELECT count(*) FROM titles"))
	require.NoError(t, runner.Rebuild(t.Context(), "titles"))
	assert.Equal(t, 7, count(t, store, "SELECT count(*) FROM titles"))
	assert.Equal(t, 1, count(t, store, "SELECT count(*) FROM sqlite_schema WHERE name = 'titles_by_title'"))
	assert.Equal(t, 14, seen)
	assert.Equal(t, 1, resets)
}

func TestProjectionParksWhatItsTableRefuses(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	stream := newStream()
	for _, data := range []string{`{"title":"a"}`, `{"title":"a"}`, `{"title":"b"}`} {
		events := newEvents(1)
		events[0].Data = []byte(data)
		_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: events})
		require.NoError(t, err)
	}
	add(t, store, 1)
	p := sqlite.NewProjection("unique", 1,
		sqlite.Table("unique_titles", "title TEXT PRIMARY KEY"),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[created]) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO unique_titles VALUES (?)", e.Payload.Title)
			return err
		}))
	require.NoError(t, newRunner(t, store, p).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 2, count(t, store, "SELECT count(*) FROM unique_titles"), "the other stream went on")
	stats, err := store.DeadLetters().Stats(t.Context(), "unique", 1)
	require.NoError(t, err)
	assert.Equal(t, 1, stats.Sequences)
	assert.Equal(t, 2, stats.Letters, "what comes after the poison waits")
}

func TestProjectionRefusesAnotherPackagesTransaction(t *testing.T) {
	t.Parallel()
	other, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	p := titles()
	require.ErrorIs(t, p.Prepare(t.Context(), tx), event.ErrDefinition)
	require.ErrorIs(t, p.Reset(t.Context(), tx), event.ErrDefinition)
	require.ErrorIs(t, p.Apply(t.Context(), tx, newEvents(1)[0]), event.ErrDefinition)
	require.ErrorIs(t, p.Apply(t.Context(), nil, newEvents(1)[0]), event.ErrDefinition)
}

func TestProjectionDefinitions(t *testing.T) {
	t.Parallel()
	ok := sqlite.On(insertTitle)
	for name, parts := range map[string][]sqlite.Part{
		"no handler":           {},
		"nil handler":          {sqlite.On[created](nil)},
		"nil plain handler":    {sqlite.OnEvery(nil)},
		"nil batch handler":    {sqlite.OnBatch(nil)},
		"nil part":             {ok, nil},
		"two handlers":         {ok, ok},
		"single and batch":     {ok, sqlite.OnBatch(func(context.Context, *sql.Tx, []event.Event) error { return nil })},
		"table named twice":    {ok, sqlite.Table("a", "n"), sqlite.Table("A", "n")},
		"the store's table":    {ok, sqlite.Table("Events", "n")},
		"SQLite's table":       {ok, sqlite.Table("sqlite_x", "n")},
		"name to be quoted":    {ok, sqlite.Table(`a"b`, "n")},
		"name without letters": {ok, sqlite.Table("", "n")},
		"name with a digit":    {ok, sqlite.Table("1a", "n")},
		"view with a digit":    {ok, sqlite.View("1a", "SELECT 1")},
		"view twice":           {ok, sqlite.View("a", "SELECT 1"), sqlite.View("A", "SELECT 1")},
		"view like its table":  {ok, sqlite.View("a", "SELECT 1"), sqlite.Table("a", "n")},
		"view like the store":  {ok, sqlite.View("projection_tables", "SELECT 1")},
		"view without a query": {ok, sqlite.View("a", " ")},
		"index of nothing":     {ok, sqlite.Index("CREATE INDEX i ON a (n)")},
		"index twice":          {ok, sqlite.Table("a", "n"), sqlite.Index("CREATE INDEX i ON a (n)"), sqlite.Index("CREATE INDEX I ON a (m)")},
		"no index":             {ok, sqlite.Table("a", "n"), sqlite.Index("CREATE TABLE i (n)")},
		"index without a name": {ok, sqlite.Table("a", "n"), sqlite.Index("CREATE INDEX ON a (n)")},
		"index and more":       {ok, sqlite.Table("a", "n"), sqlite.Index("CREATE INDEX i ON a (n); DROP TABLE events")},
		"no lanes":             {ok, sqlite.InLanes(0)},
		"nil rewind":           {ok, sqlite.OnRewind(nil)},
	} {
		p := sqlite.NewProjection("p", 1, parts...)
		require.ErrorIs(t, p.Validate(), event.ErrDefinition, name)
		require.ErrorIs(t, p.Apply(t.Context(), nil, newEvents(1)[0]), event.ErrDefinition, name)
		require.ErrorIs(t, p.CanReset(), event.ErrDefinition, name)
		require.ErrorIs(t, p.GoLive(t.Context(), nil), event.ErrDefinition, name)
		require.ErrorIs(t, p.Finish(t.Context(), nil), event.ErrDefinition, name)
	}
	p := sqlite.NewProjection("p", 1, ok)
	require.NoError(t, p.Validate())
	require.ErrorIs(t, p.CanReset(), event.ErrDefinition, "it would stay as it is")
	require.NoError(t, titles().CanReset())

	every := sqlite.OnEvery(func(context.Context, *sql.Tx, event.Event) error { return nil })
	assert.Nil(t, sqlite.NewProjection("p", 1, ok, every).EventTypes())
	assert.Nil(t, sqlite.NewProjection("p", 1, ok, ok).EventTypes())
}

func TestProjectionSequences(t *testing.T) {
	t.Parallel()
	e := newEvents(1)[0]
	assert.Equal(t, projection.DefaultSequenceKey(e), titles().SequenceKey(e))
	byActor := titles(sqlite.SequenceBy(func(e event.Event) string { return string(e.ActorID) }))
	assert.Equal(t, "user:ada", byActor.SequenceKey(e))
}

func TestTableThatExistsWithAnotherDefinition(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	require.NoError(t, newRunner(t, store, titles()).RunUntilCaughtUp(t.Context()))
	changed := sqlite.NewProjection("titles", 1, sqlite.Table("titles", "id BLOB PRIMARY KEY"), sqlite.On(insertTitle))
	require.ErrorIs(t, newRunner(t, store, changed).RunUntilCaughtUp(t.Context()), event.ErrDefinition)
	tx, _ := begin(t, store)
	require.NoError(t, changed.Reset(t.Context(), tx))
	require.NoError(t, changed.Prepare(t.Context(), tx))
	require.NoError(t, tx.Commit(t.Context()))
}

func TestTableThatCannotBeCreated(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	tx, _ := begin(t, store)
	p := sqlite.NewProjection("p", 1, sqlite.Table("t", "no good ("), sqlite.On(insertTitle))
	require.ErrorContains(t, p.Prepare(t.Context(), tx), "create table t")
	require.ErrorContains(t, p.Reset(t.Context(), tx), "create table t")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestProjectionOfWholeBatches(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	add(t, store, 5)
	var sizes []int
	p := sqlite.NewProjection("titles", 1,
		sqlite.OnReset(func(ctx context.Context, tx *sql.Tx) error {
			var n int
			err := tx.QueryRowContext(ctx, "SELECT count(*) FROM titles").Scan(&n)
			assert.Zero(t, n, "the table is empty by now, whatever the order of the parts")
			return err
		}),
		sqlite.Table("titles", "id BLOB PRIMARY KEY, type TEXT NOT NULL"),
		sqlite.OnBatch(func(ctx context.Context, tx *sql.Tx, events []event.Event) error {
			sizes = append(sizes, len(events))
			for _, e := range events {
				if _, err := tx.ExecContext(ctx, "INSERT INTO titles VALUES (?, ?)", e.ID[:], e.Type); err != nil {
					return err
				}
			}
			return nil
		}, "Created"),
	)
	assert.Equal(t, []string{"Created"}, p.EventTypes())
	runner := newRunner(t, store, p)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	require.NoError(t, runner.Rebuild(t.Context(), "titles"))
	assert.Equal(t, 5, count(t, store, "SELECT count(*) FROM titles"))
	assert.Equal(t, []int{5, 5}, sizes)
}
