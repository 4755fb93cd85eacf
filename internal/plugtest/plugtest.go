// Package plugtest puts a way between a client and a server that can be pulled out,
// cut within a message, and made to swallow what is sent. It is for tests of what
// becomes of calls whose connection is lost.
package plugtest

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Plug is the way to a server, which can be pulled.
type Plug struct {
	tb      testing.TB
	to      string
	address string
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	pulled   bool
	links    map[net.Conn]struct{} // both ends of each
	faults   [2]fault
}

// Direction is seen from the client.
type Direction int

const (
	// Request is from the client to the server.
	Request Direction = iota
	// Answer is from the server to the client.
	Answer
)

// String says which it is, in a word.
func (d Direction) String() string { return [...]string{"request", "answer"}[d] }

// fault is what is wrong with a direction.
type fault struct {
	armed bool
	left  int    // bytes that still come through, of all connections together
	only  string // the client that is meant; "" for all
	mute  bool   // nothing comes through, and nobody is told
}

// New returns a way to the server at an address, open until the test ends.
func New(tb testing.TB, to string) *Plug {
	tb.Helper()
	p := &Plug{tb: tb, to: to, address: "127.0.0.1:0", links: make(map[net.Conn]struct{})}
	p.PlugIn()
	tb.Cleanup(p.running.Wait)
	tb.Cleanup(func() { p.Heal(); p.Pull() })
	return p
}

// Address is where the way begins.
func (p *Plug) Address() string { return p.address }

// PlugIn takes connections. It may be called again.
func (p *Plug) PlugIn() {
	p.tb.Helper()
	if p.pluggedIn() {
		return
	}
	listener, err := new(net.ListenConfig).Listen(p.tb.Context(), "tcp", p.address)
	require.NoError(p.tb, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address, p.pulled = listener, listener.Addr().String(), false
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

func (p *Plug) pluggedIn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listener != nil && !p.pulled
}

// Pull closes all connections and takes no more until [Plug.PlugIn].
func (p *Plug) Pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	p.pulled = true
	for end := range p.links {
		_ = end.Close()
	}
}

// link connects a client with the server.
func (p *Plug) link(client net.Conn) {
	server, err := new(net.Dialer).DialContext(p.tb.Context(), "tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	if !p.keep(client, server) {
		_, _ = client.Close(), server.Close()
		return
	}
	name := client.RemoteAddr().String()
	p.running.Go(func() { p.carry(Request, name, client, server) })
	p.running.Go(func() { p.carry(Answer, name, server, client) })
}

// keep notes both ends of a connection, and reports false if the plug was pulled
// while it was made.
func (p *Plug) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		return false
	}
	p.links[client], p.links[server] = struct{}{}, struct{}{}
	return true
}

// carry hands on what comes in a direction until an end is closed, or it is cut.
func (p *Plug) carry(d Direction, client string, from, to net.Conn) {
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
func (p *Plug) allow(d Direction, client string, n int) (int, bool) {
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

func (p *Plug) set(faults [2]fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// Cut cuts whatever connection carries the byte behind so many more in a
// direction, and then each that carries any, until [Plug.Heal].
func (p *Plug) Cut(d Direction, bytes int) {
	var faults [2]fault
	faults[d] = fault{armed: true, left: bytes}
	p.set(faults)
}

// CutOff does that to the connection of one client only.
func (p *Plug) CutOff(client string, d Direction, bytes int) {
	var faults [2]fault
	faults[d] = fault{armed: true, left: bytes, only: client}
	p.set(faults)
}

// Swallow lets everything disappear in both directions, and closes nothing.
func (p *Plug) Swallow() { p.set([2]fault{{mute: true}, {mute: true}}) }

// Heal ends all faults. What was swallowed does not come back: connections that
// it was taken from are closed.
func (p *Plug) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults[Request].mute {
		for end := range p.links {
			_ = end.Close()
		}
	}
	p.faults = [2]fault{}
}
