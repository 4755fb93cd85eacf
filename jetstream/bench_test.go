package jetstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// BenchmarkPublish publishes records of so many entities by turns, with so many
// messages on their way at the most. With one entity, or a window of one, they
// go one after the other.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ entities, window int }{{1, 64}, {1000, 1}, {8, 64}, {64, 64}, {1000, 64}, {1000, 256}} {
		b.Run(fmt.Sprintf("entities=%d/window=%d", c.entities, c.window), func(b *testing.B) {
			js := natstest.Start(b).JetStream(b)
			publisher := provisioned(b, js, jetstream.PublisherConfig{Window: c.window})
			store := newStore(b)
			fill(b, store, b.N, c.entities)
			runner := newRunner(b, store, publisher)
			b.ResetTimer()
			require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkPublishRaw is the limit of BenchmarkPublish: the same messages, made
// before, and published by the client alone.
func BenchmarkPublishRaw(b *testing.B) {
	for _, window := range []int{1, 64} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			server := natstest.Start(b)
			js := server.JetStream(b)
			provisioned(b, js, jetstream.PublisherConfig{})
			e := ticked(b, "1")
			data, err := json.Marshal(jetstream.CloudEventOf(e, "/audit", "evident.audit.activity.recorded.v1"))
			require.NoError(b, err)
			data = append(data, make([]byte, 400)...) // as large as a record
			var next atomic.Int64
			b.ResetTimer()
			var wg sync.WaitGroup
			for range window {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						m := &nats.Msg{Subject: "audit.v1.acme.activity.recorded.Task.ticked", Data: data, Header: nats.Header{"Nats-Msg-Id": {strconv.FormatInt(i, 10)}}}
						_, err := js.PublishMsg(b.Context(), m)
						assert.NoError(b, err)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkConsume reads records, one at a time.
func BenchmarkConsume(b *testing.B) {
	js := natstest.Start(b).JetStream(b)
	publisher := provisioned(b, js, jetstream.PublisherConfig{})
	store := newStore(b)
	fill(b, store, b.N, 100)
	require.NoError(b, newRunner(b, store, publisher).RunUntilCaughtUp(b.Context()))
	l := newList(b.N)
	b.ResetTimer()
	stop := background(b, func(ctx context.Context) error { return newConsumer(b, js).Run(ctx, jetstream.HandleActivity(l.add)) })
	<-l.all
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	require.NoError(b, stop())
}
