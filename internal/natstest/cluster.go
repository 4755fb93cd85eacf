package natstest

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

const size = 3

// Cluster is three servers in the test's process that keep replicas.
type Cluster struct {
	Servers [size]*Server
}

// StartCluster starts three servers and waits until they have a leader. They
// end with the test.
func StartCluster(t testing.TB, options ...Option) *Cluster {
	t.Helper()
	dir, routes := t.TempDir(), freePorts(t)
	urls := make([]string, size)
	for i, port := range routes {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", port)
	}
	c := &Cluster{}
	for i, port := range routes {
		name := fmt.Sprintf("evident-%d", i+1)
		s := &Server{options: basic(name, filepath.Join(dir, name), server.RANDOM_PORT)}
		s.options.Cluster = server.ClusterOpts{Name: "evident", Host: "127.0.0.1", Port: port}
		s.options.Routes = server.RoutesFromStr(strings.Join(urls, ","))
		for _, change := range options {
			change(&s.options)
		}
		s.Restart(t)
		t.Cleanup(s.Stop)
		c.Servers[i] = s
	}
	require.Eventually(t, c.ready, patience, 10*time.Millisecond, "the cluster has no leader")
	return c
}

// freePorts returns ports for the servers' routes. They must be known before
// any of the servers starts; all are held until all are found.
func freePorts(t testing.TB) [size]int {
	t.Helper()
	var (
		ports [size]int
		held  []net.Listener
	)
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		held = append(held, l)
		if address, ok := l.Addr().(*net.TCPAddr); ok {
			ports[i] = address.Port
		}
	}
	for _, l := range held {
		require.NoError(t, l.Close())
	}
	return ports
}

func (c *Cluster) ready() bool {
	for _, s := range c.Servers {
		if s.running != nil && s.running.JetStreamIsLeader() && len(s.running.JetStreamClusterPeers()) == size {
			return true
		}
	}
	return false
}

// URL names all three servers.
func (c *Cluster) URL() string {
	var urls []string
	for _, s := range c.Servers {
		urls = append(urls, s.URL())
	}
	return strings.Join(urls, ",")
}

// JetStream connects to one of the servers, and to another one when that is
// gone. The connection ends with the test.
func (c *Cluster) JetStream(t testing.TB, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	return connect(t, c.URL(), options...)
}

// Leader returns the server that leads a stream, or nil if none does now.
func (c *Cluster) Leader(stream string) *Server {
	for _, s := range c.Servers {
		if s.running != nil && s.running.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return s
		}
	}
	return nil
}

// AwaitLeader waits until a stream has a leader, and returns it.
func (c *Cluster) AwaitLeader(t testing.TB, stream string) *Server {
	t.Helper()
	var leader *Server
	require.Eventually(t, func() bool { leader = c.Leader(stream); return leader != nil }, patience, 10*time.Millisecond, "stream %s has no leader", stream)
	return leader
}

// StepDown asks the leader of a stream to let another server lead, without
// stopping anything.
func (c *Cluster) StepDown(t testing.TB, stream string) {
	t.Helper()
	leader := c.AwaitLeader(t, stream)
	require.NoError(t, leader.running.JetStreamStepdownStream(server.DEFAULT_GLOBAL_ACCOUNT, stream))
}
