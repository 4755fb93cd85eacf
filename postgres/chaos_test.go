package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// chaosVariable says how long the chaos lasts, for example 60s.
const chaosVariable = "EVIDENT_CHAOS"

func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	given := os.Getenv(chaosVariable)
	if given == "" {
		return 8 * time.Second
	}
	d, err := time.ParseDuration(given)
	require.NoError(t, err, chaosVariable)
	return d
}

// chaos is a server, two stores on one schema as two processes would have them,
// and everything that goes wrong.
type chaos struct {
	t      *testing.T
	server *pgtest.Server
	admin  *pgxpool.Pool // knows no store, and is not killed
	stores [2]*postgres.Store
	plain  *pgxpool.Pool // of readers in plain SQL
	ledger *ledger

	killed atomic.Int64
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{t: t, server: pgtest.Private(t), ledger: newChaosLedger()}
	url := newDatabaseOn(t, c.server, "chaos")
	config := postgres.Config{URL: url, PollInterval: 20 * time.Millisecond, WriteTimeout: 5 * time.Second, KeepMark: true}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	c.stores = [2]*postgres.Store{open(t, config), open(t, config)}
	c.admin = newPool(t, url+"&application_name=admin&pool_max_conns=2")
	c.plain = newPool(t, url+"&application_name=evident&pool_max_conns=4")
	return c
}

// newDatabaseOn makes a database on a server of the test's own.
func newDatabaseOn(t *testing.T, server *pgtest.Server, name string) string {
	t.Helper()
	pool := newPool(t, server.URL())
	_, err := pool.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1)
}

func newPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// Under everything that can go wrong at once, what was acknowledged is kept and
// nobody who follows the log misses an event; whoever follows it naively does.
func TestChaos(t *testing.T) {
	t.Parallel()
	c := newChaos(t)
	lasting := chaosTime(t)
	ctx, cancel := context.WithTimeout(t.Context(), lasting+2*time.Minute)
	defer cancel()

	naive := &subscriber{name: "naive", step: naively(c.plain)}
	honest := subscribers(c.stores[0], c.stores[1], c.plain)
	ended, reading := &atomic.Bool{}, &sync.WaitGroup{}
	for _, s := range append(honest, naive) {
		reading.Go(func() { s.run(ctx, t, ended) })
	}
	c.write(ctx, lasting)
	c.awaitMark(ctx)
	ended.Store(true)
	reading.Wait()

	log, kinds := c.log()
	c.ledger.requireHonest(t, log)
	require.Greater(t, len(log), 100, "too little has happened to prove anything")
	all := accountOf(log, log)
	assert.Equal(t, account{}, all, "the table itself")
	summary := []string{c.summary(log)}
	for _, s := range honest {
		a := accountOf(s.wanted(log, kinds), s.seen)
		summary = append(summary, fmt.Sprintf("%s: %d seen, %s, %d failures", s.name, len(s.seen), a, s.failures))
		if len(s.query.Types) > 0 {
			a.holes = 0 // it asked for some of the versions only
		}
		assert.Equal(t, account{}, a, s.name)
	}
	lost := accountOf(log, naive.seen)
	t.Logf("%s; naive: %s", strings.Join(summary, "; "), lost)
	assert.Positive(t, lost.skipped, "the naive reader lost nothing: this chaos proves nothing")
}

// write lets the writers write, and everything go wrong, for a time.
func (c *chaos) write(ctx context.Context, lasting time.Duration) {
	const writers = 16
	stop := make(chan struct{})
	streams := newHotStreams(48)
	var writing, disturbing sync.WaitGroup
	for i := range writers {
		w := &writer{t: c.t, store: c.stores[i%2], streams: streams, ledger: c.ledger}
		writing.Go(func() { w.run(ctx, stop) })
	}
	release := c.holdForeign(ctx)
	disturbing.Go(func() { c.kill(ctx, stop) })
	pause(ctx, lasting/2)
	assert.NoError(c.t, c.server.Crash(ctx))
	assert.NoError(c.t, c.server.Restart(ctx))
	release()
	release = c.holdForeign(ctx)
	pause(ctx, lasting/2)
	close(stop)
	writing.Wait()
	disturbing.Wait()
	release()
}

// awaitMark waits until the mark has come to where the writers ended.
func (c *chaos) awaitMark(ctx context.Context) {
	require.Eventually(c.t, func() bool {
		var there bool
		err := c.admin.QueryRow(ctx, "SELECT m.position = (SELECT max(position) FROM evident.events) FROM evident.mark m").Scan(&there)
		return err == nil && there
	}, patience, tick)
}

// holdForeign opens a transaction that has written in another database of the
// server, and leaves it idle.
func (c *chaos) holdForeign(ctx context.Context) (release func()) {
	conn, err := pgx.Connect(ctx, c.server.URL())
	require.NoError(c.t, err)
	_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS work (id int)")
	require.NoError(c.t, err)
	_, err = conn.Exec(ctx, "BEGIN; INSERT INTO work VALUES (1)")
	require.NoError(c.t, err)
	return func() { _ = conn.Close(ctx) } // after the crash there is nobody to say goodbye to
}

// kill ends some backends of stores and readers every second.
func (c *chaos) kill(ctx context.Context, stop <-chan struct{}) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
		var n int64
		err := c.admin.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'evident' ORDER BY random() LIMIT 4) AS victims`).Scan(&n)
		c.killed.Add(n)
		if isAnswered(err) { // nobody answers while the server is down
			c.t.Errorf("kill: %v", err)
		}
	}
}

// isAnswered reports whether an error is the server's opinion of a statement.
func isAnswered(err error) bool {
	failed, answered := errors.AsType[*pgconn.PgError](err)
	return answered && failed.Severity == "ERROR"
}

// log returns all events as they are in the table, and their types.
func (c *chaos) log() ([]entry, map[uint64]string) {
	rows, err := c.admin.Query(c.t.Context(), selectEntries, 0, int64(1<<62))
	require.NoError(c.t, err)
	log, err := pgx.CollectRows(rows, scanEntry)
	require.NoError(c.t, err)
	kinds := make(map[uint64]string, len(log))
	rows, err = c.admin.Query(c.t.Context(), "SELECT position, event_type FROM evident.events")
	require.NoError(c.t, err)
	var position uint64
	var kind string
	_, err = pgx.ForEachRow(rows, []any{&position, &kind}, func() error { kinds[position] = kind; return nil })
	require.NoError(c.t, err)
	return log, kinds
}

func (c *chaos) summary(log []entry) string {
	var allocated int64
	require.NoError(c.t, c.admin.QueryRow(c.t.Context(), "SELECT last_value FROM evident.position").Scan(&allocated))
	c.ledger.mu.Lock()
	answers := fmt.Sprint(c.ledger.count)
	c.ledger.mu.Unlock()
	return fmt.Sprintf("%d events committed, %d positions allocated, %d backends killed, 1 crash; answers %s",
		len(log), allocated, c.killed.Load(), answers)
}
