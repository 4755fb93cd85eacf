package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/plugtest"
	"github.com/evident-go/evident/postgres"
)

// newPlug returns a way to the database at a URL, and the URL to go that way.
func newPlug(t *testing.T, to string) (*plugtest.Plug, string) {
	t.Helper()
	u, err := url.Parse(to)
	require.NoError(t, err)
	p := plugtest.New(t, u.Host)
	u.Host = p.Address()
	return p, u.String()
}

// newPluggedStore returns a store behind a plug, and one that goes straight.
func newPluggedStore(t *testing.T, change func(*postgres.Config)) (*plugtest.Plug, *postgres.Store, *postgres.Store) {
	t.Helper()
	straight := newDatabase(t)
	p, through := newPlug(t, straight.URL)
	config := postgres.Config{URL: through}
	if change != nil {
		change(&config)
	}
	return p, open(t, config), open(t, straight)
}

// moment lets something happen before a statement: it stands between the store
// and pgx.
type moment struct {
	mu         sync.Mutex
	hook       func(sql, client string)
	statements []string
}

// before sets what happens before each statement; nil is nothing.
func (m *moment) before(hook func(sql, client string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook, m.statements = hook, nil
}

// once lets f happen before the next statement that begins with words. It
// learns which client sends it.
func (m *moment) once(words string, f func(client string)) {
	var done atomic.Bool
	m.before(func(sql, client string) {
		if strings.HasPrefix(sql, words) && done.CompareAndSwap(false, true) {
			f(client)
		}
	})
}

// sent returns how many statements with these words at their beginning there were.
func (m *moment) sent(words string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sql := range m.statements {
		if strings.HasPrefix(sql, words) {
			n++
		}
	}
	return n
}

// TraceQueryStart implements [pgx.QueryTracer].
func (m *moment) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	m.mu.Lock()
	hook := m.hook
	m.statements = append(m.statements, data.SQL)
	m.mu.Unlock()
	if hook != nil {
		hook(data.SQL, conn.PgConn().Conn().LocalAddr().String())
	}
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (*moment) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// newTimedStore is a plugged store, and one that goes straight, of which each
// statement can be waited for. It is warm: its statements are prepared.
func newTimedStore(t *testing.T, config postgres.Config, conns int32) (*plugtest.Plug, *moment, *postgres.Store, *postgres.Store) {
	t.Helper()
	straight := newDatabase(t)
	p, through := newPlug(t, straight.URL)
	pool, err := pgxpool.ParseConfig(through)
	require.NoError(t, err)
	m := &moment{}
	pool.ConnConfig.Tracer = m
	pool.MaxConns = conns
	config.Pool, err = pgxpool.NewWithConfig(t.Context(), pool)
	require.NoError(t, err)
	t.Cleanup(config.Pool.Close)
	store := open(t, config)
	warm(t, store)
	return p, m, store, open(t, straight)
}

// warm sends the statements of an append once, so that they are prepared on a
// connection; if the pool has one only, on that.
func warm(t *testing.T, store *postgres.Store) {
	t.Helper()
	for _, events := range []int{1, 2} {
		a := newAppend(events)
		for range 2 { // the second is answered as a repetition
			require.Eventually(t, func() bool { _, err := store.Append(t.Context(), a); return err == nil }, 10*time.Second, 10*time.Millisecond)
		}
	}
}
