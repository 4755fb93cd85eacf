package jetstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// BenchmarkStoreAppend appends to new streams from 64 goroutines, beside the
// same messages published raw, on the same servers and with the same conditions.
func BenchmarkStoreAppend(b *testing.B) {
	const goroutines = 64
	for _, replicas := range []int{1, 3} {
		for _, events := range []int{1, 10} {
			b.Run(fmt.Sprintf("replicas=%d/events=%d", replicas, events), func(b *testing.B) {
				var connect connects
				if replicas == 1 {
					connect = natstest.Start(b).JetStream
				} else {
					connect = natstest.StartCluster(b).JetStream
				}
				store := newEvents(b, connect(b), jetstream.Config{Prefix: "evident", Replicas: replicas})
				newEvents(b, connect(b), jetstream.Config{Prefix: "limit", Replicas: replicas})
				raw := connect(b).Conn()
				var bar float64
				if replicas == 3 {
					bar = 0.8
				}
				b.ResetTimer()
				ours, theirs := benchtest.Turns(b.N, max(b.N/20, goroutines), func(n int) {
					benchtest.Together(b, goroutines, n, func() error {
						_, err := store.Append(b.Context(), eventstore.Append{Stream: anyPlace(), Expected: eventstore.NoStream(), Events: ordered(events)})
						return err
					})
				}, func(n int) {
					benchtest.Together(b, goroutines, n, func() error { return publishRaw(b.Context(), raw, events) })
				})
				benchtest.Report(b, b.N, bar, ours, theirs)
			})
		}
	}
}

func anyPlace() eventstore.Stream {
	return eventstore.Stream{TenantID: "acme", AggregateType: "Order", AggregateID: event.NewID()}
}

// ordered are events of about 200 bytes of JSON.
func ordered(n int) []event.Event {
	events := notes(n)
	for i := range events {
		events[i].Data = make([]byte, 200)
	}
	return events
}

// publishRaw publishes messages of the same size under the same conditions.
func publishRaw(ctx context.Context, conn *nats.Conn, events int) error {
	subject, batch := jetstream.EventSubject("limit", anyPlace(), 1), event.NewID().String()
	subject = subject[:len(subject)-1]
	for i := 1; ; i++ {
		m := &nats.Msg{Subject: subject + strconv.Itoa(i), Data: make([]byte, 200+70), Header: nats.Header{natsjs.MsgIDHeader: {event.NewID().String()}}}
		if i == 1 {
			m.Header[natsjs.ExpectedLastSubjSeqHeader] = []string{"0"}
		}
		if events > 1 {
			m.Header["Nats-Batch-Id"], m.Header["Nats-Batch-Sequence"] = []string{batch}, []string{strconv.Itoa(i)}
		}
		if i < events {
			if err := conn.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		if events > 1 {
			m.Header["Nats-Batch-Commit"] = []string{"1"}
		}
		reply, err := conn.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		var ack struct{ Error *natsjs.APIError }
		if err := json.Unmarshal(reply.Data, &ack); err != nil {
			return err
		}
		if ack.Error != nil {
			return ack.Error
		}
		return nil
	}
}

// BenchmarkStoreReadAll reads a log of 100,000 events, beside an ordered consumer
// that only counts its messages.
func BenchmarkStoreReadAll(b *testing.B) {
	const events = 100_000
	js := natstest.Start(b).JetStream(b)
	store := newEvents(b, js, jetstream.Config{Prefix: "evident"})
	for range events / 1000 {
		_, err := store.Append(b.Context(), eventstore.Append{Stream: anyPlace(), Events: ordered(1000)})
		require.NoError(b, err)
	}
	b.ResetTimer()
	ours, theirs := benchtest.Turns(b.N, 1, func(int) {
		n := 0
		for _, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
			require.NoError(b, err)
			n++
		}
		require.Equal(b, events, n)
	}, func(int) {
		consumer, err := js.OrderedConsumer(b.Context(), "EVIDENT", natsjs.OrderedConsumerConfig{})
		require.NoError(b, err)
		messages, err := consumer.Messages(natsjs.PullMaxMessages(2000))
		require.NoError(b, err)
		defer messages.Stop()
		for range events {
			_, err := messages.Next()
			require.NoError(b, err)
		}
	})
	benchtest.Report(b, b.N*events, 0.6, ours, theirs)
}

// BenchmarkStoreLoad reads streams whose events lie all over a log of 200,000
// events in 2,000 streams.
func BenchmarkStoreLoad(b *testing.B) {
	const streams, each = 2000, 100
	store := newEvents(b, natstest.Start(b).JetStream(b), jetstream.Config{Prefix: "evident"})
	places := make([]eventstore.Stream, streams)
	for i := range places {
		places[i] = anyPlace()
	}
	for n := range each {
		for i := 0; i < streams; i += 100 {
			appends := make([]eventstore.Append, 100)
			for j := range appends {
				appends[j] = eventstore.Append{Stream: places[i+j], Expected: eventstore.Exact(uint64(n)), Events: ordered(1)}
			}
			_, err := store.Append(b.Context(), appends...)
			require.NoError(b, err)
		}
	}
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			for i := range b.N {
				read := 0
				for _, err := range store.ReadStream(b.Context(), places[i%streams], eventstore.StreamQuery{From: uint64(each - n + 1)}) {
					require.NoError(b, err)
					read++
				}
				require.Equal(b, n, read)
			}
		})
	}
}
