package natstest

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

const size = 3

// Cluster is three servers that keep replicas, each in a process of its own.
type Cluster struct {
	Servers [size]*Process

	asked   [size]jetstream.JetStream // a connection to each server alone
	network *network                  // nil if the servers reach each other directly
}

// StartCluster starts three servers and waits until they keep replicas. They end
// with the test, also if the test's program is killed.
func StartCluster(t testing.TB, options ...ProcessOption) *Cluster {
	t.Helper()
	c, config := &Cluster{}, configOf(options)
	path, dir := program(t), t.TempDir()
	var ports [size]int // known before any of the servers starts
	for i := range ports {
		ports[i] = freePort(t)
	}
	if config.network {
		c.network = newNetwork(t, ports)
	}
	for i := range c.Servers {
		name := serverName(i)
		c.Servers[i] = newProcess(t, path, config, append(c.place(i, ports), "-name", name, "-dir", filepath.Join(dir, name))...)
		c.Servers[i].Restart(t)
	}
	for i, s := range c.Servers {
		c.asked[i] = s.JetStream(t)
	}
	c.AwaitReady(t)
	return c
}

func serverName(i int) string { return fmt.Sprintf("evident-%d", i+1) }

// place says where a server is, and where it finds the others.
func (c *Cluster) place(i int, ports [size]int) []string {
	args := []string{"-cluster-port", strconv.Itoa(ports[i])}
	if c.network != nil {
		return append(args, "-advertise", nowhere, "-routes", c.network.routes(i, ports[i]))
	}
	return append(args, "-routes", routes(ports))
}

func routes(ports [size]int) string {
	urls := make([]string, size)
	for i, port := range ports {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", port)
	}
	return strings.Join(urls, ",")
}

// How long one question to a server may take, and how often it is asked.
const (
	answerTime = time.Second
	tick       = 10 * time.Millisecond
)

// AwaitReady waits until a stream can be kept on all three servers.
func (c *Cluster) AwaitReady(t testing.TB) {
	t.Helper()
	const name = "READY"
	js := c.someone()
	c.eventually(t, func(ctx context.Context) bool {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Storage: jetstream.MemoryStorage, Replicas: size})
		return err == nil
	}, "the cluster keeps no replicas")
	c.eventually(t, func(ctx context.Context) bool { return js.DeleteStream(ctx, name) == nil }, "stream %s cannot be deleted", name)
}

// eventually tries until it works, each time for answerTime at most.
func (*Cluster) eventually(t testing.TB, try func(ctx context.Context) bool, message string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), answerTime)
		defer cancel()
		return try(ctx)
	}, patience, tick, append([]any{message}, args...)...)
}

// someone is a connection to a server that answers.
func (c *Cluster) someone() jetstream.JetStream {
	for i, s := range c.Servers {
		if s.answers() {
			return c.asked[i]
		}
	}
	return c.asked[0]
}

// Others returns all servers but one.
func (c *Cluster) Others(one *Process) []*Process {
	var others []*Process
	for _, s := range c.Servers {
		if s != one {
			others = append(others, s)
		}
	}
	return others
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
	return Connect(t, c.URL(), options...)
}

// Leader returns the server that leads a stream, or nil if none does now. A
// server that was cut off from the others may think for a while that it leads.
func (c *Cluster) Leader(stream string) *Process {
	for i := range c.Servers {
		if name := c.leaderAt(i, stream); name != "" {
			return c.named(name)
		}
	}
	return nil
}

// leaderAt asks one server for the name of a stream's leader. It is "" if that
// server knows none.
func (c *Cluster) leaderAt(i int, stream string) string {
	if !c.Servers[i].answers() {
		return ""
	}
	reply, err := c.asked[i].Conn().Request("$JS.API.STREAM.INFO."+stream, nil, answerTime)
	if err != nil {
		return ""
	}
	var answer struct {
		Cluster struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
	}
	if json.Unmarshal(reply.Data, &answer) != nil {
		return ""
	}
	return answer.Cluster.Leader
}

func (c *Cluster) named(name string) *Process {
	for i, s := range c.Servers {
		if serverName(i) == name {
			return s
		}
	}
	return nil
}

// AwaitLeader waits until a stream has a leader that runs, and returns it.
func (c *Cluster) AwaitLeader(t testing.TB, stream string) *Process {
	t.Helper()
	var leader *Process
	require.Eventually(t, func() bool {
		leader = c.Leader(stream)
		return leader != nil && leader.answers()
	}, patience, tick, "stream %s has no leader", stream)
	return leader
}

// StepDown asks the leader of a stream to let another server lead, without
// stopping anything.
func (c *Cluster) StepDown(t testing.TB, stream string) {
	t.Helper()
	c.AwaitLeader(t, stream)
	c.eventually(t, func(ctx context.Context) bool {
		reply, err := c.someone().Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
		var answer struct {
			Success bool `json:"success"`
		}
		return err == nil && json.Unmarshal(reply.Data, &answer) == nil && answer.Success
	}, "the leader of stream %s does not step down", stream)
}
