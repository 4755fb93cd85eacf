package postgres_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/postgres"
)

// plug is the way of a store to its database, which can be pulled.
type plug struct {
	t       *testing.T
	to      string
	address string
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	links    map[net.Conn]struct{} // both ends of each
	faults   [2]fault
}

// direction is seen from the client.
type direction int

const (
	request direction = iota
	answer
)

func (d direction) String() string { return [...]string{"request", "answer"}[d] }

// fault is what is wrong with a direction.
type fault struct {
	armed bool
	left  int    // bytes that still come through, of all connections together
	only  string // the client that is meant; "" for all
	mute  bool   // nothing comes through, and nobody is told
}

// newPlug returns a way to the database at a URL, and the URL to go that way.
func newPlug(t *testing.T, to string) (*plug, string) {
	t.Helper()
	u, err := url.Parse(to)
	require.NoError(t, err)
	p := &plug{t: t, to: u.Host, address: "127.0.0.1:0", links: make(map[net.Conn]struct{})}
	p.plugIn()
	t.Cleanup(p.running.Wait)
	t.Cleanup(func() { p.heal(); p.pull() })
	u.Host = p.address
	return p, u.String()
}

// plugIn takes connections.
func (p *plug) plugIn() {
	p.t.Helper()
	listener, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", p.address)
	require.NoError(p.t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = listener, listener.Addr().String()
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.link(client)
		}
	})
}

// pull closes all connections and takes no more until plugIn.
func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for end := range p.links {
		_ = end.Close()
	}
}

// link connects a client with the server.
func (p *plug) link(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.links[client], p.links[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	name := client.RemoteAddr().String()
	p.running.Go(func() { p.carry(request, name, client, server) })
	p.running.Go(func() { p.carry(answer, name, server, client) })
}

// carry hands on what comes in a direction until an end is closed, or it is cut.
func (p *plug) carry(d direction, client string, from, to net.Conn) {
	defer func() {
		_, _ = from.Close(), to.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, from)
		delete(p.links, to)
	}()
	for buffer := make([]byte, 32<<10); ; {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		n, cut := p.allow(d, client, n)
		if _, err := to.Write(buffer[:n]); err != nil || cut {
			return
		}
	}
}

// allow returns how many of n bytes come through, and whether the connection
// is cut behind them.
func (p *plug) allow(d direction, client string, n int) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.faults[d]
	switch {
	case f.mute:
		return 0, false
	case !f.armed, f.only != "" && f.only != client:
		return n, false
	case n < f.left:
		f.left -= n
		return n, false
	}
	n, f.left = f.left, 0
	return n, true
}

func (p *plug) set(faults [2]fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// cut cuts whatever connection carries the byte behind so many more in a
// direction, and then each that carries any, until heal.
func (p *plug) cut(d direction, bytes int) {
	var faults [2]fault
	faults[d] = fault{armed: true, left: bytes}
	p.set(faults)
}

// cutOff does that to the connection of one client only.
func (p *plug) cutOff(client string, d direction, bytes int) {
	var faults [2]fault
	faults[d] = fault{armed: true, left: bytes, only: client}
	p.set(faults)
}

// swallow lets everything disappear in both directions, and closes nothing.
func (p *plug) swallow() { p.set([2]fault{{mute: true}, {mute: true}}) }

// heal ends all faults. What was swallowed does not come back: connections that
// it was taken from are closed.
func (p *plug) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults[request].mute {
		for end := range p.links {
			_ = end.Close()
		}
	}
	p.faults = [2]fault{}
}

// newPluggedStore returns a store behind a plug, and one that goes straight.
func newPluggedStore(t *testing.T, change func(*postgres.Config)) (*plug, *postgres.Store, *postgres.Store) {
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
func newTimedStore(t *testing.T, config postgres.Config, conns int32) (*plug, *moment, *postgres.Store, *postgres.Store) {
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
