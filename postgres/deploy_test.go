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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// journal writes the position of each event down, behind the view "journal". It
// has no key, so an event that takes effect twice stands there twice.
func journal(version int, parts ...postgres.Part) *postgres.Projection {
	table := fmt.Sprintf("journal_v%d", version)
	return postgres.NewProjection("journal", version, append([]postgres.Part{
		postgres.Table(table, "position bigint NOT NULL"),
		postgres.View("journal", "SELECT position FROM "+table),
		postgres.Index(fmt.Sprintf("CREATE INDEX %s_by_position ON %[1]s (position)", table)),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", int64(e.Position))
			return err
		}, "OrderPlaced"),
	}, parts...)...)
}

// watched calls see before each event.
func watched(see func(ctx context.Context, tx pgx.Tx, e event.Event) error) postgres.Part {
	return postgres.OnEvery(see, "OrderPlaced")
}

// requireJournal requires that a table has each event up to a position once; 0
// means all that there are.
func requireJournal(tb testing.TB, store *postgres.Store, table string, until int) {
	tb.Helper()
	wrong := value[string](tb, store, fmt.Sprintf(`
		SELECT coalesce(string_agg(position || ': ' || n, ', ' ORDER BY position), '')
		  FROM (SELECT position, count(j.position) AS n FROM %s AS j FULL JOIN (SELECT position FROM evident.events WHERE $1 = 0 OR position <= $1) AS e USING (position)
		         GROUP BY position, e.position HAVING count(j.position) <> 1 OR e.position IS NULL LIMIT 20) AS wrong`, table), until)
	require.Empty(tb, wrong)
}

// crowd appends without a pause until it is stopped.
type crowd struct {
	all      sync.WaitGroup
	life     context.Context
	stop     context.CancelFunc
	appended atomic.Int64

	mu      sync.Mutex
	longest time.Duration // that an append has taken
}

// write starts four of them. Where there is a new configuration, they open a
// store with it when the old one is refused; else nobody must be refused.
func write(tb testing.TB, renewed *postgres.Config, stores ...*postgres.Store) *crowd {
	tb.Helper()
	ctx, stop := context.WithCancel(tb.Context())
	w := &crowd{life: ctx, stop: stop}
	for i := range 4 {
		store := stores[i%len(stores)]
		w.all.Go(func() {
			defer stop() // one that is refused stops the others
			for n := 0; ctx.Err() == nil; n++ {
				next := order("", n%3+1)
				err := w.append(tb.Context(), store, n+i, next)
				if errors.Is(err, eventstore.ErrSchema) && renewed != nil {
					store = open(tb, *renewed)
					err = w.append(tb.Context(), store, n+i, next)
				}
				require.NoError(tb, err)
			}
		})
	}
	return w
}

// append appends in one of the ways in which that can be done.
func (w *crowd) append(ctx context.Context, store *postgres.Store, way int, a eventstore.Append) (err error) {
	began := time.Now()
	switch way % 4 {
	case 0:
		err = store.Atomically(ctx, func(ctx context.Context, _ pgx.Tx, events eventstore.Store) error {
			_, err := events.Append(ctx, a)
			return err
		})
	case 1:
		for n := range a.Events {
			a.Events[n] = eventstore.Place(a.Events[n], a.Stream, uint64(n+1), 0, time.Time{})
		}
		_, err = store.Import(ctx, sequence(a.Events))
	default:
		_, err = store.Append(ctx, a)
	}
	took := time.Since(began)
	w.mu.Lock()
	w.longest = max(w.longest, took)
	w.mu.Unlock()
	w.appended.Add(1)
	return err
}

// more waits until so many appends more have ended.
func (w *crowd) more(ctx context.Context, n int64) error {
	for want := w.appended.Load() + n; w.appended.Load() < want; {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		case <-w.life.Done():
			return errors.New("somebody appends no more")
		}
	}
	return nil
}

// halt stops the writers and requires that none of them has waited too long.
func (w *crowd) halt(tb testing.TB, bound time.Duration) {
	tb.Helper()
	w.stop()
	w.all.Wait()
	require.Less(tb, w.longest, bound)
}

// generous is more than any append needs on a machine that is busy.
const generous = 5 * time.Second

// A new version is built while the old one is kept up to date and read, and takes
// its place.
func TestDeployInlineBesideTheOldVersion(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.InlinePause = generous
	config = deployed(t, config, journal(1), totals{})
	stores := []*postgres.Store{open(t, config), open(t, config)}
	appendTo(t, stores[0], orders(), 700)
	renewed := config
	renewed.Inline = []projection.Projection{journal(2), totals{}}
	w := write(t, &renewed, stores...)

	var once sync.Once
	reader := dial(t, config.URL)
	beside := renewed
	beside.Inline = []projection.Projection{totals{}, journal(2, watched(func(ctx context.Context, _ pgx.Tx, _ event.Event) (err error) {
		once.Do(func() { // in the middle of a step
			before := value[int](t, stores[0], "SELECT count(*) FROM journal")
			err = w.more(ctx, 40)
			var after int
			err = errors.Join(err, reader.QueryRow(ctx, "SELECT count(*) FROM journal").Scan(&after))
			assert.GreaterOrEqual(t, after, before+40, "the old version has them all")
		})
		return err
	}))}
	require.NoError(t, postgres.DeployInline(t.Context(), beside))
	require.NoError(t, w.more(t.Context(), 40))
	w.halt(t, generous)

	store := open(t, renewed)
	requireJournal(t, store, "journal_v2", 0)
	requireJournal(t, store, "journal", 0)
	requireJournal(t, store, "journal_v1", value[int](t, store, "SELECT max(position) FROM journal_v1"))
	require.Equal(t, 1, value[int](t, store, "SELECT count(*) FROM pg_class WHERE relname = 'journal_v2_by_position'"))
	require.Zero(t, value[int](t, store, "SELECT count(*) FROM evident.inline_builds"))
	requireTotals(t, store)
}

// A rebuild is for nobody a reason to stop, or to open a store anew.
func TestRebuildInlineWhileOthersAppend(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.InlinePause = generous
	config = deployed(t, config, journal(1), totals{})
	stores := []*postgres.Store{open(t, config), open(t, config)}
	appendTo(t, stores[0], orders(), 700)
	w := write(t, nil, stores...)
	for range 3 {
		var once sync.Once
		again := config
		again.Inline = []projection.Projection{totals{}, journal(1, watched(func(ctx context.Context, _ pgx.Tx, _ event.Event) (err error) {
			once.Do(func() { err = w.more(ctx, 40) }) // which pass it over, though its table is locked
			return err
		}))}
		require.NoError(t, postgres.RebuildInline(t.Context(), again, "journal"))
		require.NoError(t, w.more(t.Context(), 40))
	}
	w.halt(t, generous)
	requireJournal(t, stores[0], "journal", 0)
	requireTotals(t, stores[0])
	require.Equal(t, "journal v1, totals v1", value[string](t, stores[0], "SELECT inline FROM evident.store"))
	require.Zero(t, value[int](t, stores[0], "SELECT count(*) FROM evident.inline_builds"))
}

// Whatever breaks a rebuild off, it goes on where it was; appends have never
// stopped.
func TestRebuildInlineIsBrokenOffAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, breakOff := range map[string]func(ctx context.Context, tx pgx.Tx, cancel func()) error{
		"cancelled": func(ctx context.Context, _ pgx.Tx, cancel func()) error {
			cancel()
			return ctx.Err()
		},
		"disconnected": func(ctx context.Context, tx pgx.Tx, _ func()) error {
			_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		},
		"failed":   func(context.Context, pgx.Tx, func()) error { return errBroken },
		"panicked": func(context.Context, pgx.Tx, func()) error { panic(errBroken) },
		"passed over": func(ctx context.Context, tx pgx.Tx, _ func()) error {
			_, _ = tx.Exec(ctx, "SELECT 1/0")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := deployed(t, newDatabase(t), journal(1), totals{})
			store := open(t, config)
			appendTo(t, store, orders(), 900)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			broken := config
			broken.Inline = []projection.Projection{totals{}, journal(1, watched(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
				if e.Position == 700 {
					return breakOff(ctx, tx, cancel)
				}
				return nil
			}))}
			err := postgres.RebuildInline(ctx, broken, "journal")
			require.Error(t, err)
			require.NotErrorIs(t, err, eventstore.ErrClosed)
			if name == "cancelled" {
				require.ErrorIs(t, err, context.Canceled)
			}
			require.Equal(t, "journal v1 (rebuilding), totals v1", value[string](t, store, "SELECT inline FROM evident.store"))
			appendTo(t, store, orders(), 2)
			later := open(t, config)
			appendTo(t, later, orders(), 1)
			require.Equal(t, 500, value[int](t, store, "SELECT count(*) FROM journal"), "what was done is kept")
			requireTotals(t, store)

			var calls atomic.Int64
			config.Inline = []projection.Projection{totals{}, journal(1, watched(func(context.Context, pgx.Tx, event.Event) error {
				calls.Add(1)
				return nil
			}))}
			resume := func() error { return postgres.DeployInline(t.Context(), config) }
			if name == "failed" {
				resume = func() error { return postgres.RebuildInline(t.Context(), config, "journal") }
			}
			require.NoError(t, resume())
			require.Equal(t, int64(403), calls.Load())
			requireJournal(t, store, "journal", 0)
			appendTo(t, store, orders(), 1)
			appendTo(t, later, orders(), 1)
			requireJournal(t, store, "journal", 0)
		})
	}
}

// A version that is not finished goes on where it was, unless its tables are to
// be others by now, or somebody has dropped them.
func TestDeployInlineGoesOn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		between func(t *testing.T, store *postgres.Store)
		with    func(seen postgres.Part) *postgres.Projection
		calls   int64
	}{
		"as it was": {nil, func(seen postgres.Part) *postgres.Projection { return journal(1, seen) }, 400},
		"with its targets dropped": {func(t *testing.T, store *postgres.Store) {
			t.Helper()
			require.NoError(t, inTx(t.Context(), store, func(tx projection.Tx) error {
				return tx.(*postgres.Tx).DropTargets(t.Context(), "journal", 1)
			}))
		}, func(seen postgres.Part) *postgres.Projection { return journal(1, seen) }, 900},
		"with its table dropped": {func(t *testing.T, store *postgres.Store) {
			t.Helper()
			execIn(t, store, "DROP TABLE journal_v1")
		}, func(seen postgres.Part) *postgres.Projection { return journal(1, seen) }, 900},
		"with another table": {nil, func(seen postgres.Part) *postgres.Projection {
			return journal(1, seen, postgres.Table("journal_v1_more", "n int"))
		}, 900},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newDatabase(t)
			store := open(t, config)
			appendTo(t, store, orders(), 900)
			config.Inline = []projection.Projection{journal(1, watched(func(_ context.Context, _ pgx.Tx, e event.Event) error {
				if e.Position == 700 {
					return errBroken
				}
				return nil
			}))}
			require.ErrorIs(t, postgres.DeployInline(t.Context(), config), errBroken)
			appendTo(t, store, orders(), 1)
			if test.between != nil {
				test.between(t, store)
			}
			var calls atomic.Int64
			config.Inline = []projection.Projection{test.with(watched(func(context.Context, pgx.Tx, event.Event) error {
				calls.Add(1)
				return nil
			}))}
			require.NoError(t, postgres.DeployInline(t.Context(), config))
			require.Equal(t, test.calls+1, calls.Load())
			requireJournal(t, open(t, config), "journal", 0)
		})
	}
}

// Programs that deploy the same at the same time do not do it twice.
func TestDeployInlineAtOnce(t *testing.T) {
	t.Parallel()
	config := deployed(t, newDatabase(t), journal(1))
	store := open(t, config)
	appendTo(t, store, orders(), 900)
	w := write(t, nil, store)
	for range 3 {
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				if i < 2 {
					assert.NoError(t, postgres.RebuildInline(t.Context(), config, "journal"))
				} else {
					assert.NoError(t, postgres.DeployInline(t.Context(), config))
				}
			})
		}
		all.Wait()
	}
	w.halt(t, generous)
	requireJournal(t, store, "journal", 0)
}

// waitsForAppends reports whether a deployment waits for those who append.
func waitsForAppends(tb testing.TB, conn *pgx.Conn) (waits bool) {
	tb.Helper()
	require.NoError(tb, conn.QueryRow(tb.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND classid = 'evident.store'::regclass AND objid = 0 AND mode = 'ExclusiveLock')`).Scan(&waits))
	return waits
}

// A transaction that appends and does not end keeps a deployment from its end,
// but not the others from appending.
func TestDeployInlineLetsAppendsThrough(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.InlinePause = 200 * time.Millisecond
	store := open(t, config)
	tx := beginPlain(t, store)
	appendTo(t, store.Within(tx), orders(), 1)
	config.Inline = []projection.Projection{journal(1)}
	ended := make(chan error, 1)
	go func() { ended <- postgres.DeployInline(t.Context(), config) }()
	conn := dial(t, config.URL)
	for range 3 {
		require.Eventually(t, func() bool { return waitsForAppends(t, conn) }, time.Minute, time.Millisecond)
		began := time.Now()
		appendTo(t, store, orders(), 1)
		require.Less(t, time.Since(began), generous)
		require.Eventually(t, func() bool { return !waitsForAppends(t, conn) }, time.Minute, time.Millisecond)
	}
	require.Empty(t, ended)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-ended)
	requireJournal(t, open(t, config), "journal", 0)
}

// inTheMoment deploys a projection so that it gets events, which are not
// committed before, in the moment in which appends wait.
func inTheMoment(t *testing.T, config postgres.Config, store *postgres.Store, events int) (ended chan error) {
	t.Helper()
	tx := beginPlain(t, store)
	appendTo(t, store.Within(tx), orders(), events)
	ended = make(chan error, 1)
	go func() { ended <- postgres.DeployInline(t.Context(), config) }()
	conn := dial(t, config.URL)
	require.Eventually(t, func() bool { return waitsForAppends(t, conn) }, time.Minute, time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	return ended
}

// A handler that does not return keeps nobody from appending for longer than
// the bound, though it does not look at its context.
func TestDeployInlineWithAHandlerThatIsStuck(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.InlinePause = time.Second
	store := open(t, config)
	stuck, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	config.Inline = []projection.Projection{journal(1, watched(func(context.Context, pgx.Tx, event.Event) error {
		once.Do(func() {
			close(stuck)
			<-free
		})
		return nil
	}))}
	letGo := sync.OnceFunc(func() { close(free) })
	t.Cleanup(letGo) // before the store is closed
	ended := inTheMoment(t, config, store, 1)
	await(t, stuck, "the handler")
	began := time.Now()
	appendTo(t, store, orders(), 1)
	require.Less(t, time.Since(began), generous)
	letGo()
	require.NoError(t, <-ended)
	requireJournal(t, open(t, config), "journal", 0)
}

// What was done in a moment that was too short is not done again.
func TestDeployInlineKeepsWhatAMomentDid(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.InlinePause = 3 * time.Second
	store := open(t, config)
	var calls atomic.Int64
	config.Inline = []projection.Projection{journal(1, watched(func(ctx context.Context, tx pgx.Tx, _ event.Event) error {
		calls.Add(1)
		_, err := tx.Exec(ctx, "SELECT pg_sleep(0.008)")
		return err
	}))}
	require.NoError(t, <-inTheMoment(t, config, store, 400))
	require.Equal(t, int64(400), calls.Load())
	requireJournal(t, open(t, config), "journal", 0)
}

func TestRebuildInlineRefuses(t *testing.T) {
	t.Parallel()
	config := deployed(t, newDatabase(t), journal(1))
	store := open(t, config)
	appendTo(t, store, orders(), 1)
	require.ErrorIs(t, postgres.RebuildInline(t.Context(), config, "nobody"), event.ErrInvalid)
	other := config
	other.Inline = []projection.Projection{journal(2)}
	err := postgres.RebuildInline(t.Context(), other, "journal")
	require.ErrorIs(t, err, eventstore.ErrSchema)
	require.ErrorContains(t, err, "store has inline projections [journal v1], this program [journal v2]")
	other.Inline = []projection.Projection{postgres.NewProjection("journal", 1, postgres.OnEvery(nothing))}
	require.ErrorIs(t, postgres.RebuildInline(t.Context(), other, "journal"), event.ErrDefinition)
	other.InlinePause = -1
	require.ErrorIs(t, postgres.RebuildInline(t.Context(), other, "journal"), event.ErrInvalid)
	other = config
	other.URL = "postgres://nobody@localhost:1/none"
	require.ErrorIs(t, postgres.RebuildInline(t.Context(), other, "journal"), eventstore.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, postgres.RebuildInline(ctx, config, "journal"), context.Canceled)
	require.Equal(t, "journal v1", value[string](t, store, "SELECT inline FROM evident.store"))
	requireJournal(t, store, "journal", 0)
}

// A view that cannot be made is found out before anything is built.
func TestDeployInlineRefusesAViewOfSomebodyElse(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	execIn(t, store, "CREATE TABLE journal (n int)")
	appendTo(t, store, orders(), 1)
	config.Inline = []projection.Projection{journal(1)}
	require.ErrorIs(t, postgres.DeployInline(t.Context(), config), event.ErrDefinition)
	require.Zero(t, value[int](t, store, "SELECT count(*) FROM evident.projection_tables"))
}

// A projection that takes batches is built from batches.
func TestDeployInlineOfBatches(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	appendTo(t, store, orders(), 700)
	var sizes []int
	fail := true
	config.Inline = []projection.Projection{postgres.NewProjection("journal", 1, postgres.Table("journal", "position bigint"),
		postgres.OnBatch(func(ctx context.Context, tx pgx.Tx, events []event.Event) error {
			sizes = append(sizes, len(events))
			if fail && len(sizes) == 2 {
				return errBroken
			}
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"journal"}, []string{"position"}, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
				return []any{int64(events[i].Position)}, nil
			}))
			return err
		}))}
	require.ErrorContains(t, postgres.DeployInline(t.Context(), config), "events at positions 501 to 700")
	fail = false
	require.NoError(t, postgres.DeployInline(t.Context(), config))
	require.Equal(t, []int{500, 200, 200}, sizes)
	appendTo(t, open(t, config), orders(), 1)
	requireJournal(t, store, "journal", 0)
}

// Whoever reads a table that is to be emptied is waited for, and keeps nobody
// else waiting for long.
func TestRebuildInlineBehindAReader(t *testing.T) {
	t.Parallel()
	config := deployed(t, newDatabase(t), journal(1))
	store := open(t, config)
	appendTo(t, store, orders(), 3)
	tx := beginPlain(t, store)
	_, err := tx.Exec(t.Context(), "SELECT * FROM journal_v1")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- postgres.RebuildInline(t.Context(), config, "journal") }()
	conn := dial(t, config.URL)
	for _, waits := range []bool{true, false} {
		require.Eventually(t, func() (now bool) {
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'journal_v1'::regclass)").Scan(&now))
			return now == waits
		}, time.Minute, time.Millisecond)
		appendTo(t, store, orders(), 1)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-ended)
	requireJournal(t, store, "journal", 0)
}

// What cannot be put in its place in the end has changed nothing for anybody.
func TestDeployInlineThatCannotTakeItsPlace(t *testing.T) {
	t.Parallel()
	config := deployed(t, newDatabase(t), journal(1))
	store := open(t, config)
	execIn(t, store, "CREATE VIEW theirs AS SELECT position FROM journal")
	appendTo(t, store, orders(), 3)
	for reason, part := range map[string][]postgres.Part{
		"drop view journal": {postgres.Table("j2", "position text"), postgres.View("journal", "SELECT position FROM j2")},
		"finish inline projection": {
			postgres.Table("j3", "n int DEFAULT 1"), postgres.View("journal", "SELECT n::bigint AS position FROM j3"),
			postgres.Index("CREATE UNIQUE INDEX j3_by_n ON j3 (n)"),
		},
	} {
		table := "j2"
		if len(part) > 2 {
			table = "j3"
		}
		next := config
		next.Inline = []projection.Projection{postgres.NewProjection("journal", 2, append(part, watched(func(ctx context.Context, tx pgx.Tx, _ event.Event) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+table+" DEFAULT VALUES")
			return err
		}))...)}
		require.ErrorContains(t, postgres.DeployInline(t.Context(), next), reason)
		appendTo(t, store, orders(), 1)
		requireJournal(t, store, "journal", 0)
	}
}
