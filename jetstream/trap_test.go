package jetstream_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// countingJetStream counts what is sent.
type countingJetStream struct {
	natsjs.JetStream

	sent atomic.Int64
}

func (c *countingJetStream) PublishMsg(ctx context.Context, m *nats.Msg, options ...natsjs.PublishOpt) (*natsjs.PubAck, error) {
	c.sent.Add(1)
	return c.JetStream.PublishMsg(ctx, m, options...)
}

// TestTrapTwentyAppendsAtOnceArePublishedOnce wakes a publisher twenty times at
// once, again and again: it sends each message once.
func TestTrapTwentyAppendsAtOnceArePublishedOnce(t *testing.T) {
	t.Parallel()
	const rounds, writers = 10, 20
	server := natstest.Start(t)
	js := &countingJetStream{JetStream: server.JetStream(t)}
	publisher := provisioned(t, js, jetstream.PublisherConfig{PublishTimeout: patience}) // nothing is sent again for want of time
	store := newStore(t)
	runner := newRunner(t, store, publisher)
	stop := background(t, runner.Run)
	for round := range rounds {
		var all sync.WaitGroup
		for writer := range writers {
			all.Go(func() { appendTo(t, store, stream(writer%7), ticked(t, strconv.Itoa(round*writers+writer))) })
		}
		all.Wait()
		head, err := store.Head(t.Context())
		require.NoError(t, err)
		require.NoError(t, runner.WaitFor(t.Context(), publisher.Name(), head))
	}
	require.NoError(t, stop())
	messages := stored(t, server.JetStream(t), "AUDIT")
	assert.Len(t, messages, rounds*writers)
	assert.Zero(t, requireOrder(t, messages))
	assert.EqualValues(t, rounds*writers, js.sent.Load(), "none was sent twice and thrown away by the server")
}
