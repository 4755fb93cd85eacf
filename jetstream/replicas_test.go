package jetstream_test

import (
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// TestReplicasAreAddedLater does what "nats stream edit --replicas 3" does.
func TestReplicasAreAddedLater(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	js := cluster.JetStream(t)
	alone := newEvents(t, js, jetstream.Config{Prefix: shop, Replicas: 1})
	leave(t, alone)
	events, before := gather(t, alone.ReadAll(t.Context(), eventstore.Query{})), keptBy(t, alone)

	config := jetstream.Config{Prefix: shop, Replicas: 3}
	_, err := jetstream.Open(t.Context(), js, config)
	require.ErrorIs(t, err, jetstream.ErrStream, "there is one replica")
	for _, name := range []string{shopEvents, shopProgress} {
		replicate(t, js, name, 3)
	}
	store := openEvents(t, js, config)
	cluster.AwaitLeader(t, shopEvents).Stop()
	result, err := store.Append(t.Context(), eventstore.Append{Stream: place(3), Expected: eventstore.NoStream(), Events: notes(1)})
	require.NoError(t, err)
	assert.Equal(t, events[len(events)-1].Position+1, result.Position)
	assert.Equal(t, events, gather(t, store.ReadAll(t.Context(), eventstore.Query{}))[:len(events)], "none was lost with the server")
	assert.Equal(t, before, keptBy(t, store))
}

// replicate gives a stream more replicas and waits until they have everything.
func replicate(t *testing.T, js natsjs.JetStream, name string, replicas int) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.Replicas = replicas
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return currentReplicas(t, stream) == replicas }, patience, tick)
}

// currentReplicas counts the servers that have all of a stream.
func currentReplicas(t *testing.T, stream natsjs.Stream) int {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil || info.Cluster == nil || info.Cluster.Leader == "" {
		return 0
	}
	current := 1
	for _, replica := range info.Cluster.Replicas {
		if replica.Current && replica.Lag == 0 {
			current++
		}
	}
	return current
}
