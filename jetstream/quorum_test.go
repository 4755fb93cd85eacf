package jetstream_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// TestAppendsWithoutAQuorumEndInTime leaves the leader alone: it takes what is
// sent and can have nothing agreed on. The call ends with its context and says
// that the outcome is unknown; the same append is safe to be sent again.
func TestAppendsWithoutAQuorumEndInTime(t *testing.T) {
	t.Parallel()
	const deadline = 700 * time.Millisecond
	cluster := natstest.StartCluster(t)
	config := jetstream.Config{Prefix: "evident", Replicas: 3, PublishTimeout: 200 * time.Millisecond}
	store := newEvents(t, cluster.JetStream(t), config)
	_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(1)})
	require.NoError(t, err)
	others := cluster.Others(cluster.AwaitLeader(t, jetstream.StreamOf(config)))
	for _, other := range others {
		other.Kill()
	}
	single, several := notes(1), notes(3)
	appends := []eventstore.Append{
		{Stream: place(1), Expected: eventstore.Exact(1), Events: single},
		{Stream: place(2), Expected: eventstore.NoStream(), Events: several},
	}
	for _, a := range appends {
		limited, cancel := context.WithTimeout(t.Context(), deadline)
		began := time.Now()
		_, err := store.Append(limited, a)
		cancel()
		require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(began), 5*deadline)
	}
	for _, other := range others {
		other.Restart(t)
	}
	for i, want := range []struct {
		version uint64
		events  []event.Event
	}{{2, single}, {3, several}} {
		result, err := store.Append(t.Context(), appends[i])
		require.NoError(t, err)
		assert.Equal(t, []uint64{want.version}, result.Versions)
		requireResult(t, store, appends[i].Stream, result, want.events)
	}
}
