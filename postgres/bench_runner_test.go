package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// replayAll resets a projection and runs it until it has caught up, and returns
// how long that took.
func replayAll(b *testing.B, store *home, batchSize int, p projection.Projection) time.Duration {
	b.Helper()
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}, BatchSize: batchSize})
	require.NoError(b, err)
	require.NoError(b, runner.Reset(b.Context(), p.Name()))
	started := time.Now()
	require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
	return time.Since(started)
}

// BenchmarkLanes compares a projection in four lanes, whose handler waits for a
// millisecond, with one in a single lane. It has to be twice as fast.
func BenchmarkLanes(b *testing.B) {
	const events = 1000
	store := newProjectionHome(b, events)
	in := func(lanes int) projection.Projection {
		return laned{postgres.NewProjection(fmt.Sprintf("in_%d", lanes), 1, postgres.OnEvery(func(ctx context.Context, _ pgx.Tx, _ event.Event) error {
			pause(ctx, time.Millisecond)
			return nil
		}), postgres.OnReset(func(context.Context, pgx.Tx) error { return nil })), lanes}
	}
	var one, four time.Duration
	for b.Loop() {
		one += replayAll(b, store, 0, in(1))
		four += replayAll(b, store, 0, in(4))
	}
	b.ReportMetric(one.Seconds()/four.Seconds(), "ratio")
	b.ReportMetric(2, "bar")
	b.ReportMetric(float64(b.N*events)/four.Seconds(), "events/s")
	b.ReportMetric(float64(b.N*events)/one.Seconds(), "alone/s")
}

// BenchmarkBatching compares many events in a transaction with a transaction for
// each, for a handler that writes a row for each event, and for one that is given
// batches. It has to be ten times as fast.
func BenchmarkBatching(b *testing.B) {
	const many, few = 20_000, 1000
	store, short := newProjectionHome(b, many), newProjectionHome(b, few)
	columns := postgres.Table("titles", "id uuid PRIMARY KEY, title text NOT NULL")
	each := postgres.NewProjection("titles", 1, columns, postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
		_, err := tx.Exec(ctx, "INSERT INTO titles (id, title) VALUES ($1, $2)", e.ID, e.Payload.Title)
		return err
	}))
	batched := postgres.NewProjection("titles", 1, columns, postgres.OnBatch(func(ctx context.Context, tx pgx.Tx, events []event.Event) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"titles"}, []string{"id", "title"}, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
			return []any{events[i].ID, string(events[i].Data)}, nil
		}))
		return err
	}))
	for name, p := range map[string]projection.Projection{"row by row": each, "batches": batched} {
		b.Run(name, func(b *testing.B) {
			var ours, theirs time.Duration
			for b.Loop() {
				ours += replayAll(b, store, 0, p)
				theirs += replayAll(b, short, 1, p)
			}
			perEvent, alone := ours.Seconds()/many, theirs.Seconds()/few
			b.ReportMetric(alone/perEvent, "ratio")
			b.ReportMetric(10, "bar")
			b.ReportMetric(float64(b.N)/perEvent, "events/s")
			b.ReportMetric(float64(b.N)/alone, "alone/s")
		})
	}
}

// asked counts what a store asks its database: statements, batches and copies.
// It stands between the store and pgx.
type asked struct{ n atomic.Int64 }

// TraceQueryStart implements [pgx.QueryTracer].
func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	a.n.Add(1)
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (*asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements [pgx.BatchTracer].
func (a *asked) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	a.n.Add(1)
	return ctx
}

// TraceBatchQuery implements [pgx.BatchTracer]. They go with their batch.
func (*asked) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements [pgx.BatchTracer].
func (*asked) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TraceCopyFromStart implements [pgx.CopyFromTracer].
func (a *asked) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	a.n.Add(1)
	return ctx
}

// TraceCopyFromEnd implements [pgx.CopyFromTracer].
func (*asked) TraceCopyFromEnd(context.Context, *pgx.Conn, pgx.TraceCopyFromEndData) {}

// idle is a runner with twenty projections that have nothing to do, and what it
// asks its database.
type idle struct {
	store *postgres.Store // the runner's
	other *postgres.Store // that of another process
	asked *asked
	woken chan uint64 // positions of the events that the first projection was given
}

func newIdle(b *testing.B) *idle {
	b.Helper()
	config := newDatabase(b)
	i := &idle{asked: &asked{}, woken: make(chan uint64, 1)}
	i.other = open(b, config)
	pool, err := pgxpool.ParseConfig(config.URL)
	require.NoError(b, err)
	pool.ConnConfig.Tracer = i.asked
	pool.MaxConns = 24
	config.Pool, err = pgxpool.NewWithConfig(b.Context(), pool)
	require.NoError(b, err)
	b.Cleanup(config.Pool.Close)
	config.URL = ""
	i.store = open(b, config)
	i.run(b)
	return i
}

// run runs the projections until the benchmark's end, and returns when they have
// nothing to do.
func (i *idle) run(b *testing.B) {
	b.Helper()
	const projections = 20
	var all []projection.Projection
	for n := range projections {
		all = append(all, postgres.NewProjection(fmt.Sprintf("idle_%d", n), 1, postgres.OnEvery(func(_ context.Context, _ pgx.Tx, e event.Event) error {
			if n == 0 {
				i.woken <- e.Position
			}
			return nil
		})))
	}
	runner, err := projection.NewRunner(i.store, projection.Config{Projections: all})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	b.Cleanup(func() { cancel(); require.NoError(b, <-done) })
	first := add(b, i.other, 1)
	<-i.woken
	for _, p := range all {
		require.NoError(b, runner.WaitFor(b.Context(), p.Name(), first.Position))
	}
}

// BenchmarkIdleStatements counts what an idle runner with twenty projections
// asks its database: as pgx sends it, and as the server counts transactions,
// whichever is more. The limit is ten times a second.
func BenchmarkIdleStatements(b *testing.B) {
	const limit, moment = 10, 10 * time.Second
	i := newIdle(b)
	server := dial(b, i.other.Pool().Config().ConnString())
	require.NoError(b, i.other.Close()) // the server counts what everybody asks
	pause(b.Context(), 30*time.Second)  // the server counts what a backend has done a while after it
	for b.Loop() {
		sent, served, began := i.asked.n.Load(), transactions(b, server), time.Now()
		pause(b.Context(), moment)
		took := time.Since(began).Seconds()
		statements, committed := float64(i.asked.n.Load()-sent)/took, float64(transactions(b, server)-served-1)/took
		b.ReportMetric(limit/max(statements, committed), "ratio")
		b.ReportMetric(1, "bar")
		b.ReportMetric(statements, "statements/s")
		b.ReportMetric(committed, "transactions/s")
	}
	b.ReportMetric(0, "ns/op")
}

// transactions returns how many there were in the database.
func transactions(b *testing.B, conn *pgx.Conn) (n int64) {
	b.Helper()
	require.NoError(b, conn.QueryRow(b.Context(), "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}

// BenchmarkIdleWake measures how long an idle runner with twenty projections
// takes from the end of an append to the call of a handler. The limit is 25 ms,
// for 95 appends of 100.
func BenchmarkIdleWake(b *testing.B) {
	const limit, appends = 25 * time.Millisecond, 100
	i := newIdle(b)
	for name, from := range map[string]eventstore.Store{"its own process": i.store, "another process": i.other} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				for range appends {
					pause(b.Context(), 50*time.Millisecond) // idle again
					took = append(took, i.wake(b, from))
				}
			}
			slices.Sort(took)
			median, most := took[len(took)/2], took[len(took)*95/100]
			b.ReportMetric(limit.Seconds()/most.Seconds(), "ratio")
			b.ReportMetric(1, "bar")
			b.ReportMetric(median.Seconds()*1e3, "median-ms")
			b.ReportMetric(most.Seconds()*1e3, "p95-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// wake appends, and returns how long after it the handler was called.
func (i *idle) wake(b *testing.B, from eventstore.Store) time.Duration {
	b.Helper()
	called := make(chan time.Time, 1)
	go func() { <-i.woken; called <- time.Now() }()
	add(b, from, 1)
	done := time.Now()
	return max(time.Microsecond, (<-called).Sub(done))
}
