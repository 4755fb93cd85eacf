package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
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

type created struct {
	Title string `json:"title"`
}

func (created) EventType() string { return "Created" }

func insertTitle(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
	_, err := tx.Exec(ctx, "INSERT INTO titles (id, title) VALUES ($1, $2)", e.ID, e.Payload.Title)
	return err
}

func titles(parts ...postgres.Part) *postgres.Projection {
	return postgres.NewProjection("titles", 1, append([]postgres.Part{
		postgres.Table("titles", "id uuid PRIMARY KEY, title text NOT NULL", "CREATE INDEX titles_by_title ON titles (title)", "CREATE INDEX ON titles (title, id)"),
		postgres.On(insertTitle),
	}, parts...)...)
}

func nothing(context.Context, pgx.Tx, event.Event) error { return nil }

func TestProjectionIsBuiltAndRebuilt(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 5)
	seen, resets := 0, 0
	p := titles(
		postgres.OnEvery(func(context.Context, pgx.Tx, event.Event) error { seen++; return nil }, "Created", "Other"),
		postgres.OnReset(func(ctx context.Context, tx pgx.Tx) error {
			resets++
			return tx.QueryRow(ctx, "SELECT 1 WHERE NOT EXISTS (SELECT FROM titles)").Scan(new(int))
		}),
		postgres.Codec(event.JSON{}),
	)
	assert.Equal(t, "titles", p.Name())
	assert.Equal(t, 1, p.Version())
	assert.Equal(t, projection.ExactlyOnce, p.Guarantee())
	assert.Equal(t, []string{"Created", "Other"}, p.EventTypes())
	runner := newRunner(t, store, p)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 5, store.count(t, "SELECT count(*) FROM titles"))

	add(t, store, 2)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 7, store.count(t, "SELECT count(*) FROM titles"))
	require.NoError(t, runner.Rebuild(t.Context(), "titles"))
	assert.Equal(t, 7, store.count(t, "SELECT count(*) FROM titles"))
	assert.Equal(t, 3, store.count(t, "SELECT count(*) FROM pg_index WHERE indrelid = 'titles'::regclass"))
	assert.Equal(t, 14, seen)
	assert.Equal(t, 1, resets)
}

func TestProjectionParksWhatItsTableRefuses(t *testing.T) {
	t.Parallel()
	insert := func(ctx context.Context, tx pgx.Tx, title string) error {
		_, err := tx.Exec(ctx, "INSERT INTO unique_titles VALUES ($1)", title)
		return err
	}
	for name, handler := range map[string]postgres.Part{
		"whose error is returned": postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
			return insert(ctx, tx, e.Payload.Title)
		}),
		"whose error is passed over": postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
			_ = insert(ctx, tx, e.Payload.Title)
			return nil
		}),
		"in a batch": postgres.OnBatch(func(ctx context.Context, tx pgx.Tx, events []event.Event) error {
			b := &pgx.Batch{}
			for _, e := range events {
				b.Queue("INSERT INTO unique_titles VALUES ($1::json ->> 'title')", string(e.Data))
			}
			return tx.SendBatch(ctx, b).Close()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			stream := newStream()
			for _, data := range []string{`{"title":"a"}`, `{"title":"a"}`, `{"title":"b"}`} {
				events := newEvents(1)
				events[0].Data = []byte(data)
				_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: events})
				require.NoError(t, err)
			}
			add(t, store, 1)
			p := postgres.NewProjection("unique", 1, postgres.Table("unique_titles", "title text PRIMARY KEY"), handler)
			require.NoError(t, newRunner(t, store, p).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, 2, store.count(t, "SELECT count(*) FROM unique_titles"), "the other stream went on")
			stats, err := store.DeadLetters().Stats(t.Context(), "unique", 1)
			require.NoError(t, err)
			assert.Equal(t, 1, stats.Sequences)
			assert.Equal(t, 2, stats.Letters, "what comes after the poison waits")
		})
	}
}

func TestAHandlerMayGoOnBehindASavepointOfItsOwn(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 3)
	p := postgres.NewProjection("careful", 1, postgres.Table("careful", "n int UNIQUE"),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, _ event.Event) error {
			_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // keeps the first
				_, err := tx.Exec(ctx, "INSERT INTO careful VALUES (1)")
				return err
			})
			return nil
		}))
	require.NoError(t, newRunner(t, store, p).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 1, store.count(t, "SELECT count(*) FROM careful"))
}

// TestAHandlerThatEndsItsTransaction shows that nothing is lost and nothing is
// taken for done when a handler breaks the rules.
func TestAHandlerThatEndsItsTransaction(t *testing.T) {
	t.Parallel()
	for name, misdeed := range map[string]func(ctx context.Context, tx pgx.Tx) error{
		"rolls back": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "ROLLBACK")
			return err
		},
		"commits": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "COMMIT")
			return err
		},
		"leaves rows open": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Query(ctx, "SELECT generate_series(1, 3)") //nolint:gocritic,sqlclosecheck // that is the misdeed
			return err
		},
	} {
		for _, events := range []int{1, 3} {
			t.Run(fmt.Sprint(name, events), func(t *testing.T) {
				t.Parallel()
				store := newHome(t)
				add(t, store, events)
				var healed atomic.Bool
				p := postgres.NewProjection("p", 1, postgres.Table("seen", "position bigint PRIMARY KEY"),
					postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
						if _, err := tx.Exec(ctx, "INSERT INTO seen VALUES ($1)", e.Position); err != nil {
							return err
						}
						if healed.Load() || int(e.Position) < events {
							return nil
						}
						return misdeed(ctx, tx)
					}))
				runner := newRunner(t, store, p)
				require.ErrorIs(t, runner.RunUntilCaughtUp(t.Context()), event.ErrDefinition)
				assert.Zero(t, store.count(t, "SELECT count(*) FROM evident.dead_letters"))
				stands, err := store.Checkpoints().List(t.Context(), "p")
				require.NoError(t, err)
				require.Len(t, stands, 1)
				require.Less(t, stands[0].Position, uint64(events))
				if name == "commits" {
					return // what it has kept is its own fault
				}
				healed.Store(true)
				require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
				assert.Equal(t, events, store.count(t, "SELECT count(*) FROM seen"))
			})
		}
	}
}

func TestALentTransactionIsNotEnded(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	tx := begin(t, store)
	require.ErrorIs(t, tx.PGX().Commit(t.Context()), postgres.ErrTxNotYours)
	require.ErrorIs(t, tx.PGX().Rollback(t.Context()), postgres.ErrTxNotYours)
	store.run(t, "CREATE TABLE t (n int)")
	_, err := tx.PGX().Exec(t.Context(), "INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	assert.Equal(t, 1, store.count(t, "SELECT count(*) FROM t"))
}

// TestConnectionsThatDieInMidBatch has the server cut connections off while
// handlers use them.
func TestConnectionsThatDieInMidBatch(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	const streams, each = 20, 10
	for range streams {
		add(t, store, each)
	}
	var deaths atomic.Int64
	die := func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.Position%35 != 0 || deaths.Add(1)%2 == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	}
	config := quick(ledgerProjection(die))
	config.BatchSize = 30
	runner, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.GreaterOrEqual(t, deaths.Load(), int64(10))
	requireEachOnce(t, store, streams*each)
	assert.Zero(t, store.count(t, "SELECT count(*) FROM evident.dead_letters"), "no event is to blame")
}

// quick is a configuration that does not make a test wait.
func quick(projections ...projection.Projection) projection.Config {
	soon := projection.Retry{First: 1, Most: 1}
	return projection.Config{Projections: projections, Retry: soon, Pause: soon}
}

// requireEachOnce requires that a ledger has the events from 1 to last, each
// once and in order.
func requireEachOnce(t *testing.T, store *home, last int) {
	t.Helper()
	positions, err := linesOf(t.Context(), store, "ledger")
	require.NoError(t, err)
	require.Len(t, positions, last)
	for i, position := range positions {
		require.Equal(t, uint64(i+1), position)
	}
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
	require.ErrorIs(t, p.ApplyBatch(t.Context(), tx, newEvents(2)), event.ErrDefinition)
}

func TestProjectionDefinitions(t *testing.T) {
	t.Parallel()
	ok := postgres.On(insertTitle)
	for name, parts := range map[string][]postgres.Part{
		"no handler":            {},
		"nil part":              {ok, nil},
		"nil handler":           {postgres.On[created](nil)},
		"nil plain handler":     {postgres.OnEvery(nil)},
		"nil batch handler":     {postgres.OnBatch(nil)},
		"two handlers":          {ok, ok},
		"table named twice":     {ok, postgres.Table("a", "n int"), postgres.Table("a", "n int")},
		"name to be quoted":     {ok, postgres.Table(`a"b`, "n int")},
		"name in capitals":      {ok, postgres.Table("Titles", "n int")},
		"name without letters":  {ok, postgres.Table("", "n int")},
		"name with a digit":     {ok, postgres.Table("1a", "n int")},
		"name with two schemas": {ok, postgres.Table("a.b.c", "n int")},
		"name that is too long": {ok, postgres.Table(fmt.Sprintf("%064d", 0), "n int")},
		"view with a digit":     {ok, postgres.View("1a", "SELECT 1")},
		"view named twice":      {ok, postgres.View("a", "SELECT 1"), postgres.View("a", "SELECT 1")},
		"view like its table":   {ok, postgres.View("a", "SELECT 1"), postgres.Table("a", "n int")},
		"view without a query":  {ok, postgres.View("a", " ")},
		"index of nothing":      {ok, postgres.Index("CREATE INDEX i ON a (n)")},
		"index twice":           {ok, postgres.Table("a", "n int"), postgres.Index("CREATE INDEX i ON a (n)"), postgres.Index("CREATE INDEX I ON a (m)")},
		"no index":              {ok, postgres.Table("a", "n int"), postgres.Index("CREATE TABLE i (n int)")},
		"index without a name":  {ok, postgres.Table("a", "n int"), postgres.Index("CREATE INDEX ON a (n)")},
		"index concurrently":    {ok, postgres.Table("a", "n int"), postgres.Index("CREATE INDEX CONCURRENTLY i ON a (n)")},
		"index and more":        {ok, postgres.Table("a", "n int"), postgres.Index("CREATE INDEX i ON a (n); DROP TABLE a")},
		"no lanes":              {ok, postgres.InLanes(0)},
		"nil rewind":            {ok, postgres.OnRewind(nil)},
		"nil reset":             {ok, postgres.OnReset(nil)},
	} {
		p := postgres.NewProjection("p", 1, parts...)
		require.ErrorIs(t, p.Validate(), event.ErrDefinition, name)
		require.ErrorIs(t, p.Apply(t.Context(), nil, newEvents(1)[0]), event.ErrDefinition, name)
		require.ErrorIs(t, p.Prepare(t.Context(), nil), event.ErrDefinition, name)
		require.ErrorIs(t, p.Reset(t.Context(), nil), event.ErrDefinition, name)
		require.ErrorIs(t, p.CanReset(), event.ErrDefinition, name)
		require.ErrorIs(t, p.GoLive(t.Context(), nil), event.ErrDefinition, name)
		require.ErrorIs(t, p.Finish(t.Context(), nil), event.ErrDefinition, name)
	}
	p := postgres.NewProjection("p", 1, ok)
	require.NoError(t, p.Validate())
	require.ErrorIs(t, p.CanReset(), event.ErrDefinition, "it would stay as it is")
	require.NoError(t, titles().CanReset())
	assert.Nil(t, postgres.NewProjection("p", 1, ok, postgres.OnEvery(nothing)).EventTypes())
}

func TestProjectionSequences(t *testing.T) {
	t.Parallel()
	e := newEvents(1)[0]
	assert.Equal(t, projection.DefaultSequenceKey(e), titles().SequenceKey(e))
	byActor := titles(postgres.SequenceBy(func(e event.Event) string { return string(e.ActorID) }))
	assert.Equal(t, "user:ada", byActor.SequenceKey(e))
}

var errBroken = errors.New("broken")

func TestDecoratedTransactionsAreLookedThrough(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	p := postgres.NewProjection("p", 1, postgres.OnEvery(func(_ context.Context, tx pgx.Tx, _ event.Event) error {
		if tx == nil {
			return errors.New("no transaction")
		}
		return errBroken
	}))
	require.ErrorIs(t, p.Apply(t.Context(), decorated{begin(t, store)}, newEvents(1)[0]), errBroken)
}

type decorated struct{ projection.Tx }

func (d decorated) Unwrap() projection.Tx { return d.Tx }
