package jetstream_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// isCutOff lets a leader answer as one that was cut off from the others before
// anything was stored, so many times. It knows that it has not heard of them.
func isCutOff(times int) func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
	leader, active := regexp.MustCompile(`"leader":"[^"]*"`), regexp.MustCompile(`"active":\d+`)
	return func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		info := strings.Contains(asked.Subject, ".STREAM.INFO.")
		if !isLeader(asked) && !info || times == 0 {
			return answers
		}
		times--
		if info {
			data := leader.ReplaceAll(answers[0].Data, []byte(`"leader":"cut-off"`))
			return []*nats.Msg{{Data: active.ReplaceAll(data, []byte(`"active":9000000000`))}}
		}
		return []*nats.Msg{{Data: []byte(`{"error":{"code":404,"err_code":10037,"description":"no message found"}}`)}}
	}
}

// TestTrapALeaderThatWasCutOff tells a process that versions are not there which
// the other servers have acknowledged to another one. Nobody is told of a
// conflict that is none.
func TestTrapALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	r, js := startRelay(t, cluster.JetStream)
	config := jetstream.Config{Replicas: 3, Prefix: "evident"}
	store := newEvents(t, js, config)
	other := openEvents(t, cluster.JetStream(t), config)
	for _, expected := range []eventstore.Expectation{eventstore.Exact(2), eventstore.StreamExists()} {
		stream := anyPlace()
		_, err := other.Append(t.Context(), eventstore.Append{Stream: stream, Events: notes(2)})
		require.NoError(t, err)
		r.tell(isCutOff(6))
		result, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: expected, Events: notes(1)})
		r.tell(isCutOff(0))
		require.NoError(t, err, expected)
		assert.Equal(t, []uint64{3}, result.Versions)
	}
}

// TestTrapAnAppendSentAgainToALeaderThatWasCutOff was stored: whoever sends it
// again is told so, by whichever leader.
func TestTrapAnAppendSentAgainToALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	r, js := startRelay(t, cluster.JetStream)
	config := jetstream.Config{Replicas: 3, Prefix: "evident"}
	store := newEvents(t, js, config)
	other := openEvents(t, cluster.JetStream(t), config)
	_, err := other.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(2)})
	require.NoError(t, err)
	again := eventstore.Append{Stream: place(1), Expected: eventstore.Exact(2), Events: notes(3)}
	stored, err := other.Append(t.Context(), again)
	require.NoError(t, err)
	r.tell(isCutOff(6))
	result, err := store.Append(t.Context(), again)
	require.NoError(t, err)
	assert.Equal(t, stored, result)
}

// TestTrapALeaderThatForgetsAVersion was cut off after this process had heard of
// the version from another leader. Nothing that was seen is ever unseen.
func TestTrapALeaderThatForgetsAVersion(t *testing.T) {
	t.Parallel()
	r, js := startRelay(t, natstest.Start(t).JetStream)
	store := newEvents(t, js, jetstream.Config{PublishTimeout: 200 * time.Millisecond})
	_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(3)})
	require.NoError(t, err)
	r.tell(isCutOff(5))
	assert.Len(t, gather(t, store.ReadStream(t.Context(), place(1), eventstore.StreamQuery{})), 3)
}
