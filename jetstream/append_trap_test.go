package jetstream_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// servers are one server and three.
func servers(t *testing.T) map[string]struct {
	connect  connects
	replicas int
} {
	t.Helper()
	return map[string]struct {
		connect  connects
		replicas int
	}{"one": {natstest.Start(t).JetStream, 1}, "three": {natstest.StartCluster(t).JetStream, 3}}
}

// isAck reports whether an answer acknowledges that something is stored.
func isAck(answer string) bool {
	return strings.Contains(answer, `"seq":`) && !strings.Contains(answer, `"error":`)
}

// TestTrapAnAnswerThatIsNotSo loses and falsifies the first answers to appends
// that are stored. Each is stored once, and its result is right.
func TestTrapAnAnswerThatIsNotSo(t *testing.T) {
	t.Parallel()
	for server, on := range servers(t) {
		for name, falsify := range map[string]func(string) (string, bool){
			"lost":              func(string) (string, bool) { return "", true },
			"garbled":           func(string) (string, bool) { return "{", false },
			"spurious conflict": func(string) (string, bool) { return refused(400, 10164), false },
			"id in process":     func(string) (string, bool) { return refused(409, 10158), false },
			"batch incomplete":  func(string) (string, bool) { return refused(400, 10176), false },
			"too many batches":  func(string) (string, bool) { return refused(429, 10210), false },
			"no leader":         func(string) (string, bool) { return refused(503, 10008), false },
		} {
			t.Run(server+"/"+name, func(t *testing.T) {
				t.Parallel()
				w, js := overWire(t, on.connect)
				store := newEvents(t, js, jetstream.Config{Replicas: on.replicas, PublishTimeout: 500 * time.Millisecond})
				var stored uint64
				for _, expected := range []eventstore.Expectation{eventstore.NoStream(), eventstore.Exact(1), eventstore.Any(), eventstore.StreamExists()} {
					for _, events := range [][]event.Event{notes(1), notes(3)} {
						if version, exact := expected.Version(); exact && version != stored {
							continue
						}
						var falsified atomic.Int64
						w.tell(func(answer string) (string, bool) {
							if isAck(answer) && falsified.Add(1) <= 2 {
								return falsify(answer)
							}
							return answer, false
						})
						result, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: expected, Events: events})
						require.NoError(t, err)
						require.Positive(t, falsified.Load())
						w.tell(nil)
						stored += uint64(len(events))
						require.Equal(t, []uint64{stored}, result.Versions)
						require.Equal(t, stored, result.Position)
						requireResult(t, store, place(1), result, events)
					}
				}
			})
		}
	}
}

// requireResult requires that the last events of a stream are events, as the
// result says.
func requireResult(t *testing.T, store *jetstream.Store, stream eventstore.Stream, result eventstore.Result, events []event.Event) {
	t.Helper()
	have := gather(t, store.ReadStream(t.Context(), stream, eventstore.StreamQuery{}))
	require.GreaterOrEqual(t, len(have), len(events))
	have = have[len(have)-len(events):]
	for i := range events {
		require.Equal(t, events[i].ID, have[i].ID)
		require.Equal(t, result.RecordedAt, have[i].RecordedAt)
	}
	require.Equal(t, result.Position, have[len(have)-1].Position)
}

// TestTrapAnAnswerThatNeverComes ends in the unknown, and the same append, sent
// again, is answered as if nothing had happened.
func TestTrapAnAnswerThatNeverComes(t *testing.T) {
	t.Parallel()
	for name, on := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, js := overWire(t, on.connect)
			store := newEvents(t, js, jetstream.Config{Replicas: on.replicas, PublishTimeout: 100 * time.Millisecond})
			for n, events := range [][]event.Event{notes(1), notes(4)} {
				stream := place(uint64(n) + 1)
				w.tell(func(answer string) (string, bool) {
					return answer, isAck(answer) || strings.Contains(answer, "err_code")
				})
				short, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
				_, err := store.Append(short, eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: events})
				cancel()
				require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.True(t, eventstore.IsRetryable(err))
				w.tell(nil)
				result, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: events})
				require.NoError(t, err)
				requireResult(t, store, stream, result, events)
				require.Len(t, gather(t, store.ReadStream(t.Context(), stream, eventstore.StreamQuery{})), len(events))
			}
		})
	}
}

// TestTrapAnIDThatTheServerHasForgotten is known at its version nevertheless.
func TestTrapAnIDThatTheServerHasForgotten(t *testing.T) {
	t.Parallel()
	for name, on := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newEvents(t, on.connect(t), jetstream.Config{Replicas: on.replicas, DuplicateWindow: 100 * time.Millisecond})
			events := notes(3)
			first, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: eventstore.NoStream(), Events: events})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				known, err := jetstream.Knows(t.Context(), store, events[0].ID)
				return err == nil && !known
			}, patience, tick)
			again, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: eventstore.NoStream(), Events: events})
			require.NoError(t, err)
			assert.Equal(t, first, again)
			_, err = store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: eventstore.NoStream(), Events: notes(1)})
			require.ErrorIs(t, err, eventstore.ErrConflict)
			_, err = store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: eventstore.NoStream(), Events: append(events[:2:2], jotted(`{}`))})
			require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
		})
	}
}

// TestAskingForAnIDStoresNothing asks for ids that are known and for others.
func TestAskingForAnIDStoresNothing(t *testing.T) {
	t.Parallel()
	for name, on := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newEvents(t, on.connect(t), jetstream.Config{Replicas: on.replicas})
			events := notes(3)
			_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: events})
			require.NoError(t, err)
			unknown := jotted(`{}`)
			for range 3 {
				for _, e := range events {
					known, err := jetstream.Knows(t.Context(), store, e.ID)
					require.NoError(t, err)
					require.True(t, known)
				}
				known, err := jetstream.Knows(t.Context(), store, unknown.ID)
				require.NoError(t, err)
				require.False(t, known)
			}
			head, err := store.Head(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 3, head)
			_, err = store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: []event.Event{unknown}})
			require.NoError(t, err, "asking did not make it known")
		})
	}
}

// TestTheLargestAppend is as many events as a batch may have messages, with as
// many expectations on other streams as there may be.
func TestTheLargestAppend(t *testing.T) {
	t.Parallel()
	store := newEvents(t, natstest.Start(t).JetStream(t), jetstream.Config{})
	limits := store.Limits()
	appends := []eventstore.Append{{Stream: place(1), Expected: eventstore.NoStream(), Events: notes(limits.EventsPerAppend)}}
	for n := 1; n < limits.StreamsPerAppend; n++ {
		appends = append(appends, eventstore.Append{Stream: place(uint64(n) + 1), Expected: eventstore.NoStream()})
	}
	result, err := store.Append(t.Context(), appends...)
	require.NoError(t, err)
	require.EqualValues(t, limits.EventsPerAppend, result.Position, "events carry the expectations, as long as there are enough")
	_, err = store.Append(t.Context(), eventstore.Append{Stream: place(50), Events: notes(1)})
	require.NoError(t, err)
	appends[0].Stream, appends[0].Events = place(1000), notes(limits.EventsPerAppend)
	var conflict *eventstore.ConflictError
	_, err = store.Append(t.Context(), appends...)
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, place(50), conflict.Stream)
}

func TestAppendsWithoutAServerEndInTime(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := server.JetStream(t)
	store := newEvents(t, js, jetstream.Config{PublishTimeout: 50 * time.Millisecond})
	_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(1)})
	require.NoError(t, err)
	server.Stop()
	require.Eventually(t, func() bool { return !js.Conn().IsConnected() }, patience, tick)
	events := notes(2)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = store.Append(short, eventstore.Append{Stream: place(1), Expected: eventstore.Exact(1), Events: events})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for _, err := range store.ReadStream(short, place(1), eventstore.StreamQuery{}) {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	_, err = store.Wait(short, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	server.Restart(t)
	result, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: eventstore.Exact(1), Events: events})
	require.NoError(t, err)
	require.Equal(t, []uint64{3}, result.Versions)
	requireResult(t, store, place(1), result, events)
}

func TestAStreamThatIsDeletedUnderAStore(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	store := newEvents(t, js, jetstream.Config{Prefix: "evident"})
	require.NoError(t, js.DeleteStream(t.Context(), "EVIDENT"))
	_, err := store.Head(t.Context())
	requireSetting(t, "name", err)
	for _, err := range store.ReadStream(t.Context(), place(1), eventstore.StreamQuery{}) {
		requireSetting(t, "name", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = store.Append(short, eventstore.Append{Stream: place(1), Expected: eventstore.NoStream(), Events: notes(1)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestAFullStreamSaysSo(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	store := newEvents(t, js, jetstream.Config{Prefix: "evident"})
	stream, err := js.Stream(t.Context(), "EVIDENT")
	require.NoError(t, err)
	limited := stream.CachedInfo().Config
	limited.MaxMsgs = 5
	_, err = js.UpdateStream(t.Context(), limited)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(4)})
	require.NoError(t, err)
	for _, n := range []int{2, 3} {
		_, err = store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(n)})
		require.ErrorIs(t, err, eventstore.ErrFull)
		require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	}
	require.Len(t, gather(t, store.ReadAll(t.Context(), eventstore.Query{})), 4)
}

func TestABoundStoreFailsClosed(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	config := jetstream.Config{Prefix: "evident"}
	open := newEvents(t, js, config)
	foreign := eventstore.Stream{TenantID: "umbrella", AggregateType: "Task", AggregateID: uuid.Max}
	for _, stream := range []eventstore.Stream{place(1), foreign, {AggregateType: "Task", AggregateID: uuid.Max}} {
		_, err := open.Append(t.Context(), eventstore.Append{Stream: stream, Events: notes(1)})
		require.NoError(t, err)
	}
	config.TenantID = "acme"
	for _, bound := range []eventstore.Store{openEvents(t, js, config), open.BindTenant("acme")} {
		_, err := bound.Append(t.Context(), eventstore.Append{Stream: foreign, Events: notes(1)})
		require.ErrorIs(t, err, eventstore.ErrTenant)
		for _, err := range bound.ReadStream(t.Context(), foreign, eventstore.StreamQuery{}) {
			require.ErrorIs(t, err, eventstore.ErrTenant)
		}
		for _, err := range bound.ReadAll(t.Context(), eventstore.Query{TenantID: "umbrella"}) {
			require.ErrorIs(t, err, eventstore.ErrTenant)
		}
		require.Len(t, gather(t, bound.ReadAll(t.Context(), eventstore.Query{})), 1)
		require.Len(t, gather(t, bound.ReadStream(t.Context(), place(1), eventstore.StreamQuery{})), 1)
	}
}
