package jetstream_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// chaosVariable, set to anything, makes the chaos a long one.
const chaosVariable = "EVIDENT_CHAOS"

// chaos is so many events, and so many times that the server is killed while
// they are published.
type chaos struct{ events, streams, kills int }

func newChaos() chaos {
	if os.Getenv(chaosVariable) == "" {
		return chaos{events: 2_000, streams: 40, kills: 5}
	}
	return chaos{events: 10_000, streams: 40, kills: 20}
}

// ownReads is how often somebody appends and reads at once.
func ownReads() int {
	if os.Getenv(chaosVariable) == "" {
		return 1_000
	}
	return 10_000
}

// gate lets somebody wait for a projection to pass a position.
type gate struct {
	mu       sync.Mutex
	position uint64
	changed  chan struct{}
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

func (g *gate) move(s projection.Status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.position = s.Position
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) wait(ctx context.Context, position uint64) error {
	for {
		g.mu.Lock()
		reached, changed := g.position >= position, g.changed
		g.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// The server is killed and started again, again and again, while records are
// published: each is on the stream at least once, takes effect once, and those
// of an entity are in order. The server is another process, and is killed, not
// stopped. Every third time the publisher's process starts anew as well.
func TestChaosOfTheServer(t *testing.T) {
	t.Parallel()
	repeated := newChaos().ofTheServer(t, quick())
	assert.Zero(t, repeated, "within the duplicate window each message is stored once")
}

// The same when the server forgets ids at once, as after a long outage: then
// messages are on the stream again, and still take effect once and in order.
func TestChaosOfAServerThatForgets(t *testing.T) {
	t.Parallel()
	config := quick()
	config.DuplicateWindow = 100 * time.Millisecond
	newChaos().ofTheServer(t, config)
}

func (c chaos) ofTheServer(t *testing.T, config jetstream.PublisherConfig) (repeated int) {
	t.Helper()
	server := natstest.StartProcess(t)
	js := server.JetStream(t)
	config.PublishTimeout = 200 * time.Millisecond
	provisioned(t, js, config)
	store := newStore(t)
	fill(t, store, c.events, c.streams)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	l := newList(c.events)
	consumer := newConsumer(t, server.JetStream(t))
	stopReading := background(t, func(ctx context.Context) error { return consumer.Run(ctx, jetstream.HandleActivity(l.add)) })
	progress := newGate()
	publish := func() (stop func() error) {
		runner := newRunner(t, store, newPublisher(t, js, config), func(c *projection.Config) {
			c.BatchSize, c.OnProgress, c.ShutdownTimeout = 100, progress.move, 50*time.Millisecond
		})
		return background(t, runner.Run)
	}
	stop := publish()
	for kill := range c.kills {
		require.NoError(t, progress.wait(ctx, uint64(kill*c.events/(c.kills+1))))
		server.Restart(t)
		if kill%3 == 2 {
			require.NoError(t, stop())
			stop = publish()
		}
	}
	require.NoError(t, progress.wait(ctx, uint64(c.events)))
	l.wait(t)
	require.NoError(t, stop())
	require.NoError(t, stopReading())
	requireNoLetters(t, store, newPublisher(t, js, config))
	return c.requireAll(ctx, t, store, js, l)
}

// requireAll compares what is on the stream, and what took effect, with the log.
func (c chaos) requireAll(ctx context.Context, t *testing.T, store *memory.Store, js natsjs.JetStream, l *list) (repeated int) {
	t.Helper()
	all := stored(t, js, "AUDIT")
	repeated = requireOrder(t, all)
	assert.GreaterOrEqual(t, len(all), c.events, "on the stream")
	t.Logf("%d events, %d kills: %d messages on the stream, %d of them again", c.events, c.kills, len(all), repeated)

	versions, effects := make(map[string]uint64), make(map[uuid.UUID]int)
	for _, a := range l.seen {
		effects[a.ID]++
		require.Equal(t, versions[a.Entity.ID]+1, a.Entity.Version, "order of what took effect on %s", a.Entity.ID)
		versions[a.Entity.ID] = a.Entity.Version
	}
	n := 0
	for e, err := range store.ReadAll(ctx, everything()) {
		require.NoError(t, err)
		require.Equal(t, 1, effects[e.ID], "effects of event %s at position %d", e.ID, e.Position)
		n++
	}
	assert.Equal(t, c.events, n)
	assert.Len(t, l.seen, n)
	return repeated
}

// A cluster's leader steps down, and is stopped, while records are published.
func TestChaosOfTheLeader(t *testing.T) {
	t.Parallel()
	c := chaos{events: 1_500, streams: 20}
	cluster := natstest.StartCluster(t)
	js := cluster.JetStream(t)
	config := quick()
	config.Replicas = 3
	provisioned(t, js, config)
	store := newStore(t)
	fill(t, store, c.events, c.streams)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	l, progress := newList(c.events), newGate()
	consumer := newConsumer(t, js)
	stopReading := background(t, func(ctx context.Context) error { return consumer.Run(ctx, jetstream.HandleActivity(l.add)) })
	runner := newRunner(t, store, newPublisher(t, js, config), func(c *projection.Config) { c.BatchSize, c.OnProgress = 50, progress.move })
	stop := background(t, runner.Run)

	require.NoError(t, progress.wait(ctx, 200))
	cluster.StepDown(t, "AUDIT")
	require.NoError(t, progress.wait(ctx, 500))
	leader := cluster.AwaitLeader(t, "AUDIT")
	leader.Stop()
	require.NoError(t, progress.wait(ctx, 900), "two of three go on")
	leader.Restart(t)
	cluster.StepDown(t, "AUDIT")
	require.NoError(t, progress.wait(ctx, uint64(c.events)))
	l.wait(t)
	require.NoError(t, stop())
	require.NoError(t, stopReading())
	c.requireAll(ctx, t, store, js, l)
}
