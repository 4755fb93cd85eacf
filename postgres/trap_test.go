package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/internal/plugtest"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// running runs a runner until the function that it returns is called, or the
// test ends.
func running(t *testing.T, r *projection.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		require.NoError(t, <-done)
	}
}

// waitFor waits until a projection has come to a position.
func waitFor(t *testing.T, r *projection.Runner, name string, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, r.WaitFor(ctx, name, position))
}

func onlyLedger(context.Context, pgx.Tx, event.Event) error { return nil }

// requireLines requires that a ledger has the events at these positions, each
// once and in this order.
func requireLines(t *testing.T, store *home, positions ...uint64) {
	t.Helper()
	lines, err := linesOf(t.Context(), store, "ledger")
	require.NoError(t, err)
	require.Equal(t, positions, lines)
}

// hold begins a transaction of somebody else.
func hold(t *testing.T, store *postgres.Store) pgx.Tx {
	t.Helper()
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // unless it has ended
	return tx
}

// number gives a transaction its number, as its first write would.
func number(t *testing.T, tx pgx.Tx) (xid uint64) {
	t.Helper()
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid))
	return xid
}

// TestTrapTheTopOfASnapshotIsNoBound sets the trap of pg_snapshot_xmax, which
// is the number behind the last that has completed, and not behind the last
// that was given out: a writer may run above it. A reader who waited until all
// below it have ended would pass over what that writer commits.
func TestTrapTheTopOfASnapshotIsNoBound(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Setting("autovacuum", "off")) // numbers are of the whole server
	config := postgres.Config{URL: newDatabaseOn(t, server, "trap")}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	store := &home{Store: open(t, config), config: postgres.Config{Schema: "evident"}}
	r := newRunner(t, store, ledgerProjection(onlyLedger))
	require.NoError(t, r.RunUntilCaughtUp(t.Context())) // makes the table

	first, between, above := hold(t, store.Store), hold(t, store.Store), hold(t, store.Store)
	for _, tx := range []pgx.Tx{first, between, above} {
		number(t, tx)
	}
	lower := appendTo(t, store.Within(above), orders(), 1).Position
	higher := appendTo(t, store.Within(first), orders(), 1).Position
	require.Less(t, lower, higher)
	require.NoError(t, first.Commit(t.Context()))

	var seen, bound uint64
	look := store.Pool().QueryRow(t.Context(), "SELECT max(position), pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM evident.events")
	require.NoError(t, look.Scan(&seen, &bound))
	require.Equal(t, higher, seen, "there is a gap below")
	require.NoError(t, between.Commit(t.Context()))
	oldest := value[uint64](t, store.Store, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
	require.Greater(t, oldest, bound, "the trap is set: all below the bound have ended, and the gap is not filled")

	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Less(t, head, lower)
	require.Empty(t, readAll(t, store, eventstore.Query{}))
	stop := running(t, r)
	require.NoError(t, above.Commit(t.Context()))
	waitFor(t, r, "ledger", higher)
	stop()
	requireLines(t, store, lower, higher)
}

// TestTrapALeaderHoldsNoTransaction has a projection run whose owner keeps its
// lease for long. No transaction and no lock of it lasts, and it is not a
// session that owns the lease: when all its connections are gone, it still does.
func TestTrapALeaderHoldsNoTransaction(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	config := quick(ledgerProjection(onlyLedger))
	config.LeaseTTL = 3 * time.Second
	r, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	stop := running(t, r)
	waitFor(t, r, "ledger", add(t, store, 1).Position)

	watcher := dial(t, store.config.URL)
	// What there is now of transactions and locks, each with when it began.
	look := func() (all []string) {
		rows, err := watcher.Query(t.Context(), `
			SELECT 'transaction ' || pid || ' ' || xact_start FROM pg_stat_activity
			 WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
			UNION ALL
			SELECT 'lock ' || l.pid || ' ' || a.query_start FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
			 WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.locktype = 'advisory'`)
		require.NoError(t, err)
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return all
	}
	renewals := func() int {
		return store.count(t, "SELECT (extract(epoch FROM expires_at) * 1000)::bigint FROM evident.leases WHERE name = 'projection/ledger v1'")
	}
	begun, last := look(), renewals()
	require.Eventually(t, func() bool { return renewals() > last+1000 }, patience, tick, "it is renewed")
	for _, now := range look() {
		assert.NotContains(t, begun, now, "nothing lasts from one renewal to the next")
	}
	stall, err := store.Stall(t.Context())
	require.NoError(t, err)
	assert.Zero(t, stall, "nor is the head held back")

	_, err = watcher.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	require.NoError(t, err)
	var position uint64
	require.Eventually(t, func() bool {
		result, err := store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: newEvents(1)})
		position = result.Position
		return err == nil
	}, patience, tick)
	waitFor(t, r, "ledger", position)
	stop()
	assert.Equal(t, 1, store.count(t, "SELECT fence FROM evident.leases WHERE name = 'projection/ledger v1'"), "it was the owner's all the time")
	lines, err := linesOf(t.Context(), store, "ledger")
	require.NoError(t, err)
	assert.Equal(t, positions(t, store), lines)
}

// TestTrapPositionsBeyond32Bits has a projection pass the limits of numbers that
// somebody might have kept a position in: its checkpoint, letters and status.
func TestTrapPositionsBeyond32Bits(t *testing.T) {
	t.Parallel()
	for _, last := range []uint64{1<<31 - 3, 1<<32 - 3, 1<<53 - 3, 1<<62 - 3} {
		t.Run(strconv.FormatUint(last, 10), func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			store.run(t, fmt.Sprintf("SELECT setval('evident.position', %d)", last))
			var sick atomic.Bool
			sick.Store(true)
			p := ledgerProjection(func(_ context.Context, _ pgx.Tx, e event.Event) error {
				if e.Position == last+4 && sick.Load() {
					return projection.AsPoison(errBroken)
				}
				return nil
			})
			for range 3 {
				add(t, store, 2)
			}
			r := newRunner(t, store, p)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			requireLines(t, store, last+1, last+2, last+3, last+5, last+6)
			waitFor(t, r, "ledger", last+6)
			status, err := r.Status(t.Context())
			require.NoError(t, err)
			assert.Equal(t, last+6, status[0].Position)
			assert.Zero(t, status[0].Lag())
			parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
			require.NoError(t, err)
			require.Len(t, parked, 1)
			assert.Equal(t, last+4, parked[0].First.Position)
			sick.Store(false)
			_, err = r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			requireLines(t, store, last+1, last+2, last+3, last+5, last+6, last+4)
			add(t, store, 1)
			require.NoError(t, newRunner(t, store.again(t), p).RunUntilCaughtUp(t.Context()), "another process")
			requireLines(t, store, last+1, last+2, last+3, last+5, last+6, last+4, last+7)
		})
	}
}

// TestTrapAFloorHoldsHoweverFarPositionsGo keeps a transaction open that has
// appended, while so many positions are given out that a lock, which carries 32
// bits, could tell its floor from another no more. The head waits for it.
func TestTrapAFloorHoldsHoweverFarPositionsGo(t *testing.T) {
	t.Parallel()
	for name, appending := range map[string]func(t *testing.T, store *home, tx pgx.Tx){
		"several events": func(t *testing.T, store *home, tx pgx.Tx) {
			t.Helper()
			_, err := store.Within(tx).Append(t.Context(), eventstore.Append{Stream: newStream(), Events: newEvents(2)})
			require.NoError(t, err)
		},
		"one event, in a call of its own": func(t *testing.T, store *home, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(t.Context(), store.sql(`SELECT evident.append_one('', NULL, '', 'Document', gen_random_uuid(), -1,
				gen_random_uuid(), 'Created', 1, 'user:ada', gen_random_uuid(), NULL, now(), NULL, '{}')`))
			require.NoError(t, err)
		},
	} {
		for _, first := range []uint64{1, 1<<32 - 2, 1 << 32, 5<<32 - 2, 5<<32 + 1<<31} {
			t.Run(fmt.Sprintf("%s/%d", name, first), func(t *testing.T) {
				t.Parallel()
				store := newHome(t)
				store.run(t, fmt.Sprintf("SELECT setval('evident.position', %d, false)", first))
				floor := add(t, store, 1).Position
				tx := beginPlain(t, store.Store)
				appending(t, store, tx)
				for _, further := range []uint64{1 << 31, 1<<31 + 10, 1 << 32, 9<<32 + 1<<31} {
					store.run(t, fmt.Sprintf("SELECT setval('evident.position', %d)", floor+further))
					add(t, store, 1)
					head, err := store.again(t).Head(t.Context())
					require.NoError(t, err)
					require.Equal(t, floor, head, "%d further", further)
					stall, err := store.Stall(t.Context())
					require.NoError(t, err)
					require.Equal(t, floor, stall.Floor, "%d further", further)
				}
				require.NoError(t, tx.Commit(t.Context()))
				head, err := store.Head(t.Context())
				require.NoError(t, err)
				require.Greater(t, head, floor+9<<32, "it has ended")
			})
		}
	}
}

// TestTrapAFailingHandlerLeavesNothingBehind has handlers fail after they have
// written something: when the event comes, and when it is tried again. What the
// others in the batch write stays.
func TestTrapAFailingHandlerLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(ctx context.Context, tx pgx.Tx) error{
		"an error of its own":          func(context.Context, pgx.Tx) error { return projection.AsPoison(errBroken) },
		"an error of a statement":      func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "SELECT 1/0"); return err },
		"an error that is passed over": func(ctx context.Context, tx pgx.Tx) error { _, _ = tx.Exec(ctx, "SELECT 1/0"); return nil },
		"a panic":                      func(context.Context, pgx.Tx) error { panic("nil map") },
		"an error in a savepoint of its own": func(ctx context.Context, tx pgx.Tx) error {
			inner, err := tx.Begin(ctx)
			if err != nil {
				return err
			}
			_, err = inner.Exec(ctx, "SELECT 1/0")
			return err // and the savepoint is left open
		},
		"a savepoint that is left open": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Begin(ctx)
			return errors.Join(err, projection.AsPoison(errBroken))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			const events, bad = 10, 5
			for range events {
				add(t, store, 1)
			}
			var healed atomic.Bool
			config := quick(ledgerProjection(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
				if e.Position != bad || healed.Load() {
					return nil
				}
				return fail(ctx, tx)
			}))
			config.Redrive = projection.Retry{MaxAttempts: 1}
			r, err := projection.NewRunner(store, config)
			require.NoError(t, err)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			requireLines(t, store, 1, 2, 3, 4, 6, 7, 8, 9, 10)
			done, err := r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			assert.Equal(t, projection.Redriven{Failed: 1}, done)
			requireLines(t, store, 1, 2, 3, 4, 6, 7, 8, 9, 10)
			healed.Store(true)
			_, err = r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			requireLines(t, store, 1, 2, 3, 4, 6, 7, 8, 9, 10, 5)
		})
	}
}

// TestTrapOrderOfNumbersAndPositions has two transactions whose numbers and
// positions are in different orders, in each way that there is, and none of
// their commits is followed by another append. A projection that runs meanwhile
// sees each event once and in the order of positions. In a script, x gives a
// transaction its number, 1 appends an event, in a transaction or by itself, c
// commits and r rolls back.
func TestTrapOrderOfNumbersAndPositions(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a position, then commits of the later number":       "xa xb 1a 1b cb ca",
		"the later number takes the first position":          "xa xb 1b 1a ca cb",
		"the later number takes the first, commits first":    "xa xb 1b 1a cb ca",
		"one append between two of another transaction":      "1b 1a 1b cb ca",
		"the other way round":                                "1b 1a 1b ca cb",
		"a number without an append, hiding what came":       "xa 1b cb ca",
		"what is hidden behind a transaction that is undone": "1a 1b cb ra",
		"what is hidden behind two, of which one is undone":  "1a 1b 1 ra cb",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			r := newRunner(t, store, ledgerProjection(onlyLedger))
			stop := running(t, r)
			waitFor(t, r, "ledger", add(t, store, 1).Position)
			a, b := hold(t, store.Store), hold(t, store.Store)
			of := func(step string) pgx.Tx {
				if strings.Contains(step, "a") {
					return a
				}
				return b
			}
			for step := range strings.FieldsSeq(script) {
				switch step {
				case "xa", "xb":
					number(t, of(step))
				case "1a", "1b":
					appendTo(t, store.Within(of(step)), orders(), 1)
				case "1":
					appendTo(t, store, orders(), 1)
				case "ca", "cb":
					require.NoError(t, of(step).Commit(t.Context()))
				case "ra":
					require.NoError(t, a.Rollback(t.Context()))
				}
				head, err := store.Head(t.Context())
				require.NoError(t, err)
				brief, cancel := context.WithTimeout(t.Context(), patience)
				require.NoError(t, r.WaitFor(brief, "ledger", head), "it keeps step with the head")
				cancel()
			}
			all := store.count(t, "SELECT max(position) FROM evident.events")
			waitFor(t, r, "ledger", uint64(all)) // nobody appends, and nobody nudges
			stop()
			requireLines(t, store, positions(t, store)...)
		})
	}
}

// TestTrapGapsInPositions has positions that jump, as after a crash, and some
// that were given up. Nobody waits for what is missing, and nobody counts.
func TestTrapGapsInPositions(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	config := quick(ledgerProjection(onlyLedger))
	config.BatchSize = 3
	r, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	stop := running(t, r)
	var want []uint64
	for _, jump := range []int{0, 10, 50, 1, 32, 100_000} {
		for range 4 {
			want = append(want, add(t, store, 1).Position)
			undone := hold(t, store.Store)
			appendTo(t, store.Within(undone), orders(), 3)
			require.NoError(t, undone.Rollback(t.Context()))
		}
		store.run(t, fmt.Sprintf("SELECT setval('evident.position', nextval('evident.position') + %d)", jump))
	}
	waitFor(t, r, "ledger", want[len(want)-1])
	stop()
	requireLines(t, store, want...)
}

// TestTrapNoQueryIsOpenWhileHandlersRun has a handler in the midst of a long
// replay wait until nobody but itself does anything in the database.
func TestTrapNoQueryIsOpenWhileHandlersRun(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	for range 20 {
		add(t, store, 100)
	}
	var waited atomic.Bool
	watcher := dial(t, store.config.URL)
	config := quick(ledgerProjection(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
		if e.Position != 777 {
			return nil
		}
		waited.Store(true)
		assert.Eventually(t, func() bool {
			var busy int
			err := watcher.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
				 WHERE datname = current_database() AND xact_start IS NOT NULL AND pid NOT IN (pg_backend_pid(), $1)`, tx.Conn().PgConn().PID()).Scan(&busy)
			return err == nil && busy == 0
		}, patience, tick)
		return nil
	}))
	config.BatchSize = 100
	r, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.True(t, waited.Load())
	requireEachOnce(t, store, 2000)
}

// TestTrapASlowBatchHoldsUpNobodyElse has a handler keep its transaction open,
// with a sequence that is parked and held, for longer than any lease lasts. Both
// its own lease and another projection's are renewed, and that one goes on.
func TestTrapASlowBatchHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	sick := newStream()
	begun, finish := make(chan struct{}), make(chan struct{})
	slow := postgres.NewProjection("slow", 1, postgres.Table("slow", "position bigint"),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			if e.Position == 1 {
				return projection.AsPoison(errBroken)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO slow VALUES ($1)", e.Position); err != nil || e.Position != 3 {
				return err
			}
			close(begun)
			<-finish
			return nil
		}))
	config := quick(slow, ledgerProjection(onlyLedger))
	config.LeaseTTL, config.Owner, config.Redrive = 3*time.Second, "one", projection.Retry{MaxAttempts: 1}
	r, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	goOn := sync.OnceFunc(func() { close(finish) })
	appendTo(t, store, sick, 1)
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	appendTo(t, store, sick, 1)
	appendTo(t, store, newStream(), 1)
	stop := running(t, r)
	t.Cleanup(goOn) // before the runner is waited for
	await(t, begun, "the slow batch")
	waitFor(t, r, "ledger", add(t, store, 1).Position) // it has its lease, too

	fences := func() int {
		return store.count(t, "SELECT sum(fence) FROM evident.leases WHERE name LIKE 'projection/%'")
	}
	before, from := fences(), time.Now()
	for time.Since(from) < 2*config.LeaseTTL {
		waitFor(t, r, "ledger", add(t, store, 1).Position)
	}
	for _, name := range []string{"slow", "ledger"} {
		_, err = store.again(t).Leases().Acquire(t.Context(), "projection/"+name+" v1", "other", time.Second)
		require.ErrorIs(t, err, lease.ErrHeld)
	}
	assert.Equal(t, before, fences(), "no lease has changed hands")
	assert.Equal(t, 2, store.count(t, "SELECT count(*) FROM evident.leases WHERE name LIKE 'projection/%' AND owner = 'one' AND expires_at > clock_timestamp()"))
	goOn()
	waitFor(t, r, "slow", uint64(store.count(t, "SELECT max(position) FROM evident.events")))
	stop()
	requireLines(t, store, positions(t, store)...)
	assert.Equal(t, len(positions(t, store))-2, store.count(t, "SELECT count(DISTINCT position) FROM slow"))
	assert.Equal(t, len(positions(t, store))-2, store.count(t, "SELECT count(*) FROM slow"))
}

// TestTrapACommitWhoseAnswerIsLost cuts commits off, on their way and on the way
// back: nobody can tell whether they took place. The projection looks what
// became of its checkpoint, and applies each event once.
func TestTrapACommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	p, m, store, straight := newTimedStore(t, postgres.Config{}, 4)
	const events = 60
	for range events {
		appendTo(t, straight, newStream(), 1)
	}
	config := quick(ledgerProjection(onlyLedger))
	config.BatchSize = 3
	r, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	var commits, cuts atomic.Int64
	m.before(func(sql, client string) {
		if sql != "commit" {
			return
		}
		switch commits.Add(1) % 4 {
		case 1:
			p.CutOff(client, plugtest.Request, 0)
		case 3:
			p.CutOff(client, plugtest.Answer, 0)
		default:
			p.Heal()
			return
		}
		cuts.Add(1)
	})
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	m.before(nil)
	p.Heal()
	assert.Greater(t, cuts.Load(), int64(10))
	home := &home{Store: straight, config: postgres.Config{Schema: "evident"}}
	requireLines(t, home, positions(t, straight)...)
	assert.Zero(t, home.count(t, "SELECT count(*) FROM evident.dead_letters"), "no event is to blame")
}
