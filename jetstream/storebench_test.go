package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// BenchmarkStoreAppend appends to new streams, beside the same messages published
// raw: on the same connection, into the same stream, under the same conditions and
// with the same headers and sizes. The servers have processes of their own.
func BenchmarkStoreAppend(b *testing.B) {
	for _, servers := range []int{1, 3} {
		for _, sync := range []string{"default", "always"} {
			b.Run(fmt.Sprintf("servers=%d/sync=%s", servers, sync), func(b *testing.B) {
				js := startServers(b, servers, sync)
				for _, load := range []struct{ events, goroutines int }{{1, 1}, {1, 8}, {1, 64}, {10, 64}} {
					b.Run(fmt.Sprintf("events=%d/goroutines=%d", load.events, load.goroutines), func(b *testing.B) {
						var bar float64
						if servers == 3 && load.goroutines == 64 {
							bar = 0.8
						}
						benchAppend(b, js, servers, load.events, load.goroutines, bar)
					})
				}
			})
		}
	}
}

func startServers(b *testing.B, servers int, sync string) natsjs.JetStream {
	b.Helper()
	var options []natstest.ProcessOption
	if sync == "always" {
		options = append(options, natstest.SyncAlways())
	}
	if servers == 1 {
		return natstest.StartProcess(b, options...).JetStream(b)
	}
	return natstest.StartCluster(b, options...).JetStream(b)
}

func benchAppend(b *testing.B, js natsjs.JetStream, replicas, events, goroutines int, bar float64) {
	b.Helper()
	config := jetstream.Config{Prefix: "e" + event.NewID().String(), Replicas: replicas, PublishTimeout: 10 * time.Second} // nobody repeats what is merely slow
	store, raw := newEvents(b, js, config), &rival{js: js, prefix: config.Prefix, stream: jetstream.StreamOf(config)}
	ours := func() error {
		_, err := store.Append(b.Context(), eventstore.Append{Stream: anyPlace(), Expected: eventstore.NoStream(), Events: ordered(events)})
		return err
	}
	require.NoError(b, ours())
	raw.body = raw.stored(b, 1).Data
	theirs := func() error { return raw.insist(b.Context(), events) }
	require.Equal(b, raw.shapes(b, events, ours), raw.shapes(b, events, theirs))
	const perGoroutine, least = 8, 100 // in a turn
	b.ResetTimer()
	our, their := benchtest.Medians(b.N, max(b.N/10, perGoroutine*goroutines, least), func(n int) {
		benchtest.Together(b, goroutines, n, ours)
	}, func(n int) {
		benchtest.Together(b, goroutines, n, theirs)
	})
	benchtest.Report(b, b.N, bar, our, their)
	b.ReportMetric(float64(raw.refused.Load())/float64(b.N), "refused")
	b.StopTimer()
	require.NoError(b, js.DeleteStream(b.Context(), raw.stream))
}

func anyPlace() eventstore.Stream {
	return eventstore.Stream{TenantID: "acme", AggregateType: "Order", AggregateID: event.NewID()}
}

// order is a payload of 200 bytes.
const order = `{"order_id":"ord-0001928374","customer":"cust-8871623","currency":"EUR","total":10299,"items":7,` +
	`"street":"Rue de la Paix 12","city":"Luxembourg","note":"please ring the bell twice, then the neighbour"}`

func ordered(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = jotted(order)
	}
	return events
}

// rival publishes what the store would, without the store.
type rival struct {
	js             natsjs.JetStream
	prefix, stream string
	body           []byte
	refused        atomic.Int64
}

// insist publishes again what the server had no room for.
func (r *rival) insist(ctx context.Context, events int) error {
	const incomplete = 10176
	for {
		err := r.publish(ctx, events)
		if refused, ok := errors.AsType[*natsjs.APIError](err); !ok || refused.ErrorCode != incomplete {
			return err
		}
		r.refused.Add(1)
	}
}

// publish publishes what an append of events to a new stream comes to.
func (r *rival) publish(ctx context.Context, events int) error {
	begin := strings.TrimSuffix(jetstream.EventSubject(r.prefix, anyPlace(), 1), "1")
	var batch string
	if events > 1 {
		batch = event.NewID().String()
	}
	for i := 1; i < events; i++ {
		if err := r.js.Conn().PublishMsg(r.message(begin, batch, i)); err != nil {
			return err
		}
	}
	last := r.message(begin, batch, events)
	if events > 1 {
		last.Header["Nats-Batch-Commit"] = []string{"1"}
	}
	reply, err := r.js.Conn().RequestMsgWithContext(ctx, last)
	if err != nil {
		return err
	}
	var ack struct {
		Error *natsjs.APIError `json:"error"`
		Seq   uint64           `json:"seq"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return err
	}
	if ack.Error != nil {
		return ack.Error
	}
	if ack.Seq == 0 {
		return errors.New("not stored")
	}
	return nil
}

func (r *rival) message(begin, batch string, version int) *nats.Msg {
	m := &nats.Msg{Subject: begin + strconv.Itoa(version), Data: r.body, Header: nats.Header{natsjs.MsgIDHeader: {event.NewID().String()}}}
	if version == 1 {
		m.Header[natsjs.ExpectedLastSubjSeqHeader] = []string{"0"}
	}
	if batch != "" {
		m.Header["Nats-Batch-Id"], m.Header["Nats-Batch-Sequence"] = []string{batch}, []string{strconv.Itoa(version)}
	}
	return m
}

// wired is a message as the leader has it.
type wired struct {
	Subject string `json:"subject"`
	Header  []byte `json:"hdrs"`
	Data    []byte `json:"data"`
}

func (r *rival) stored(b *testing.B, seq uint64) wired {
	b.Helper()
	var answer struct {
		Message wired `json:"message"`
	}
	reply, err := r.js.Conn().RequestWithContext(b.Context(), "$JS.API.STREAM.MSG.GET."+r.stream, fmt.Appendf(nil, `{"seq":%d}`, seq))
	require.NoError(b, err)
	require.NoError(b, json.Unmarshal(reply.Data, &answer))
	return answer.Message
}

// shapes returns the headers and sizes of the messages that f has stored.
func (r *rival) shapes(b *testing.B, events int, f func() error) (shapes []string) {
	b.Helper()
	stream, err := r.js.Stream(b.Context(), r.stream)
	require.NoError(b, err)
	before := stream.CachedInfo().State.LastSeq
	require.NoError(b, f())
	for i := range events {
		m := r.stored(b, before+uint64(i)+1)
		header, err := nats.DecodeHeadersMsg(m.Header)
		require.NoError(b, err)
		shapes = append(shapes, fmt.Sprint(len(m.Subject), len(m.Header), len(m.Data), slices.Sorted(maps.Keys(header))))
	}
	return shapes
}

// BenchmarkStoreReadAll reads a log of 100,000 events, beside an ordered consumer
// that only counts its messages.
func BenchmarkStoreReadAll(b *testing.B) {
	const events = 100_000
	js := natstest.StartProcess(b).JetStream(b)
	store := newEvents(b, js, jetstream.Config{Prefix: "evident", PublishTimeout: 10 * time.Second})
	for range events / 1000 {
		_, err := store.Append(b.Context(), eventstore.Append{Stream: anyPlace(), Events: ordered(1000)})
		require.NoError(b, err)
	}
	rounds := max(b.N, 5)
	b.ResetTimer()
	ours, theirs := benchtest.Medians(rounds, 1, func(n int) {
		for range n {
			readAll(b, store, events)
		}
	}, func(n int) {
		for range n {
			consumeAll(b, js, events)
		}
	})
	benchtest.Report(b, rounds*events, 0.6, ours, theirs)
}

func readAll(b *testing.B, store *jetstream.Store, events int) {
	b.Helper()
	n := 0
	for _, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	require.Equal(b, events, n)
}

func consumeAll(b *testing.B, js natsjs.JetStream, events int) {
	b.Helper()
	consumer, err := js.OrderedConsumer(b.Context(), "EVIDENT", natsjs.OrderedConsumerConfig{})
	require.NoError(b, err)
	messages, err := consumer.Messages(natsjs.PullMaxMessages(2000)) // as many as the store asks for
	require.NoError(b, err)
	defer messages.Stop()
	for range events {
		if _, err := messages.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
