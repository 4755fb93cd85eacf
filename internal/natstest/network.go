package natstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evident-go/evident/internal/plugtest"
)

// network is the ways between the servers of a cluster: one from each server to
// each other one.
type network [size][size]*plugtest.Plug

// WithNetwork has the servers of a cluster reach each other over ways that can
// be cut: see [Cluster.Cut], [Cluster.Swallow] and [Cluster.Heal].
func WithNetwork() ProcessOption { return func(c *processConfig) { c.network = true } }

// nowhere is what the servers tell each other of where the others are. So none
// goes around a way that was cut.
const nowhere = "127.0.0.1:1"

func newNetwork(t testing.TB, ports [size]int) *network {
	t.Helper()
	var n network
	for from := range n {
		for to, port := range ports {
			if from != to {
				n[from][to] = plugtest.New(t, fmt.Sprintf("127.0.0.1:%d", port))
			}
		}
	}
	return &n
}

// routes are the addresses at which a server looks for the others, and its own,
// by which it knows how many there are.
func (n *network) routes(of, own int) string {
	urls := []string{fmt.Sprintf("nats://127.0.0.1:%d", own)}
	for _, way := range n[of] {
		if way != nil {
			urls = append(urls, "nats://"+way.Address())
		}
	}
	return strings.Join(urls, ",")
}

// between calls f with both ways between two servers.
func (c *Cluster) between(a, b *Process, f func(way *plugtest.Plug)) {
	for i, from := range c.Servers {
		for j, to := range c.Servers {
			if i != j && (from == a && to == b || from == b && to == a) {
				f(c.network[i][j])
			}
		}
	}
}

// Cut closes the connections between two servers, and lets them make no others
// until [Cluster.Heal].
func (c *Cluster) Cut(a, b *Process) { c.between(a, b, (*plugtest.Plug).Pull) }

// Swallow lets everything that two servers tell each other disappear until
// [Cluster.Heal]. Their connections stay open.
func (c *Cluster) Swallow(a, b *Process) { c.between(a, b, (*plugtest.Plug).Swallow) }

// Heal brings the whole network back.
func (c *Cluster) Heal() {
	for i := range c.network {
		for _, way := range c.network[i] {
			if way != nil {
				way.Heal()
				way.PlugIn()
			}
		}
	}
}
