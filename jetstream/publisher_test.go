package jetstream_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

func TestEveryRecordIsPublishedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	publisher := provisioned(t, js, quick())
	store := newStore(t)
	fill(t, store, 300, 7)
	runner := newRunner(t, store, publisher, func(c *projection.Config) { c.BatchSize = 64 })
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()), "again")
	all := stored(t, js, "AUDIT")
	require.Len(t, all, 300)
	requireOrder(t, all)
}

// requireOrder demands that each entity's versions appear for the first time in
// their order, without a gap.
func requireOrder(t *testing.T, all []*natsjs.RawStreamMsg) (repeated int) {
	t.Helper()
	last := make(map[string]uint64)
	for _, m := range all {
		_, a := decode(t, m.Data)
		switch {
		case a.Entity.Version <= last[a.Entity.ID]:
			repeated++
		default:
			require.Equal(t, last[a.Entity.ID]+1, a.Entity.Version, "message %d of %s", m.Sequence, a.Entity.ID)
			last[a.Entity.ID] = a.Entity.Version
		}
	}
	return repeated
}

func TestWhatTheProjectionSaysOfItself(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	p := newPublisher(t, js, jetstream.PublisherConfig{Types: []string{"A"}})
	assert.Equal(t, "activity_publisher", p.Name())
	assert.Equal(t, 1, p.Version())
	assert.Equal(t, []string{"A"}, p.EventTypes())
	assert.Equal(t, projection.AtLeastOnce, p.Guarantee())
	require.ErrorIs(t, p.CanReset(), event.ErrDefinition)
	require.ErrorIs(t, p.Reset(t.Context(), nil), event.ErrDefinition)
}

// The checkpoint does not move before the server has acknowledged, and NATS
// down makes no dead letter.
func TestTheCheckpointWaitsForTheServer(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := server.JetStream(t)
	publisher := provisioned(t, js, quick())
	store := newStore(t)
	fill(t, store, 20, 3)
	server.Stop()
	runner := newRunner(t, store, publisher)
	stop := background(t, runner.Run)
	status := func() projection.Status {
		all, err := runner.Status(t.Context())
		require.NoError(t, err)
		return all[0]
	}
	require.Eventually(t, func() bool { return status().State == projection.Paused }, patience, tick)
	require.ErrorIs(t, status().LastError, jetstream.ErrUnavailable)
	assert.Zero(t, status().Position)
	server.Restart(t)
	require.NoError(t, runner.WaitFor(t.Context(), publisher.Name(), 20))
	require.NoError(t, stop())
	requireNoLetters(t, store, publisher)
	assert.Len(t, stored(t, js, "AUDIT"), 20)
}

// everything is a query for all events.
func everything() eventstore.Query { return eventstore.Query{} }

type letters interface{ DeadLetters() dlq.Store }

func requireNoLetters(t *testing.T, store letters, p projection.Projection) {
	t.Helper()
	stats, err := store.DeadLetters().Stats(t.Context(), p.Name(), p.Version())
	require.NoError(t, err)
	assert.Zero(t, stats.Letters)
}

// A stream that is wrong at the start stops the projection, and the error names
// the setting.
func TestAWrongStreamStopsTheProjectionAtStart(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	_, err := js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "AUDIT", Subjects: []string{"audit.v1.>"}, MaxMsgs: 10})
	require.NoError(t, err)
	store := newStore(t)
	fill(t, store, 1, 1)
	err = newRunner(t, store, newPublisher(t, js, quick())).Run(t.Context())
	var wrong *jetstream.StreamError
	require.ErrorAs(t, err, &wrong)
	assert.Equal(t, "discard", wrong.Setting)
}

// A stream that becomes wrong later is waited for: no event is at fault.
func TestAStreamThatIsGoneIsWaitedFor(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	publisher := provisioned(t, js, quick())
	store := newStore(t)
	fill(t, store, 5, 1)
	runner := newRunner(t, store, publisher)
	stop := background(t, runner.Run)
	require.NoError(t, runner.WaitFor(t.Context(), publisher.Name(), 5))
	require.NoError(t, js.DeleteStream(t.Context(), "AUDIT"))
	createNext(t, js, natsjs.StreamConfig{Name: "OTHER", Subjects: []string{"audit.v1.>"}})
	fill(t, store, 5, 1)
	require.Eventually(t, func() bool {
		all, err := runner.Status(t.Context())
		return err == nil && all[0].State == projection.Paused && errors.Is(all[0].LastError, jetstream.ErrStream)
	}, patience, tick)
	require.NoError(t, js.DeleteStream(t.Context(), "OTHER"))
	provisioned(t, js, quick())
	require.NoError(t, runner.WaitFor(t.Context(), publisher.Name(), 10))
	require.NoError(t, stop())
	requireNoLetters(t, store, publisher)
	assert.Len(t, stored(t, js, "AUDIT"), 5)
}

// A message that no server takes is its event's fault: it is parked, what is
// about the same entity waits behind it, and everything else goes on.
func TestAMessageThatIsTooLargeIsParked(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t, natstest.MaxPayload(4096)).JetStream(t)
	config := quick()
	config.Full = true
	publisher := provisioned(t, js, config)
	store := newStore(t)
	large := ticked(t, "2")
	large.Metadata = event.Metadata{}
	for i := range 20 {
		large.Metadata["key"+strconv.Itoa(i)] = strings.Repeat("x", 400)
	}
	appendTo(t, store, stream(1), ticked(t, "1"), large, ticked(t, "3"))
	appendTo(t, store, stream(2), ticked(t, "4"))
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	requireParked(t, store, publisher, 2, "message has")
	assert.Len(t, stored(t, js, "AUDIT"), 2)
}

// requireParked demands so many letters in one sequence, whose first says why.
func requireParked(t *testing.T, store letters, p projection.Projection, n int, why string) {
	t.Helper()
	sequences, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{Projection: p.Name(), Version: p.Version(), Limit: 10})
	require.NoError(t, err)
	require.Len(t, sequences, 1)
	assert.Equal(t, n, sequences[0].Letters)
	first, err := store.DeadLetters().Letters(t.Context(), sequences[0].Sequence, 1)
	require.NoError(t, err)
	require.Len(t, first, 1)
	assert.Contains(t, first[0].Cause, why)
}

func TestTheStreamsOwnLimitIsTheMessagesFault(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	publisher := provisioned(t, js, quick())
	s, err := js.Stream(t.Context(), "AUDIT")
	require.NoError(t, err)
	config := s.CachedInfo().Config
	config.MaxMsgSize = 100
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	err = publisher.Apply(t.Context(), nil, rich(t))
	require.ErrorIs(t, err, event.ErrTooLarge)
	assert.Equal(t, projection.Poison, projection.DefaultClass(err))
}

// A mapping's mistakes are refused before anything is sent.
func TestMessagesThatAreRefused(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	provisioned(t, js, quick())
	e := ticked(t, "1")
	for field, messages := range map[string][]jetstream.Message{
		"subject": {
			{Subject: "other.v1.a"},
			{Subject: "audit.v1"},
			{Subject: "audit.v1."},
			{Subject: "audit.v1.*"},
			{Subject: "audit.v1.>"},
			{Subject: "audit.v1.a b"},
			{Subject: "audit.v1.a..b"},
			{Subject: "audit.v1." + strings.Repeat("x", 1024)},
		},
		"message.id": {{Subject: "audit.v1.a", ID: "a\r\nb"}, {Subject: "audit.v1.a", ID: strings.Repeat("x", 257)}},
		"message.header": {
			{Subject: "audit.v1.a", Header: nats.Header{"Nats-Rollup": {"all"}}},
			{Subject: "audit.v1.a", Header: nats.Header{"nats-ttl": {"1s"}}},
			{Subject: "audit.v1.a", Header: nats.Header{"a b": {"1"}}},
			{Subject: "audit.v1.a", Header: nats.Header{"": {"1"}}},
		},
		"message.header.X": {{Subject: "audit.v1.a", Header: nats.Header{"X": {"a\nb"}}}},
	} {
		for _, m := range messages {
			config := quick()
			config.Map = func(event.Event) (jetstream.Message, bool, error) { return m, true, nil }
			p := newPublisher(t, js, config)
			err := p.Apply(t.Context(), nil, e)
			assert.Equal(t, field, fieldOf(t, err), "%+v", m)
			assert.Equal(t, projection.Poison, projection.DefaultClass(err))
			assert.NotEmpty(t, p.SequenceKey(e))
		}
	}
	assert.Empty(t, stored(t, js, "AUDIT"))
}

// An action that is none is the event's fault, and keeps the order of its aggregate.
func TestARecordThatCannotBeMade(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	config := quick()
	config.Record = audit.Config{Action: func(e event.Event) string {
		if string(e.Data) == "bad" {
			return "No Action"
		}
		return audit.ActionOf(e)
	}}
	publisher := provisioned(t, js, config)
	store := newStore(t)
	appendTo(t, store, stream(1), ticked(t, "1"), ticked(t, "bad"), ticked(t, "3"))
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	requireParked(t, store, publisher, 2, "action")
	assert.Len(t, stored(t, js, "AUDIT"), 1)
}

// Two processes that take turns, the first of which did not save its
// checkpoint, store each message once, in order.
func TestTwoPublishersTakeTurns(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := server.JetStream(t)
	first := provisioned(t, js, quick())
	second := newPublisher(t, server.JetStream(t), quick())
	store := newStore(t)
	fill(t, store, 40, 3)
	var events []event.Event
	for e, err := range store.ReadAll(t.Context(), everything()) {
		require.NoError(t, err)
		events = append(events, e)
	}
	require.NoError(t, first.ApplyBatch(t.Context(), nil, events[:25]))
	require.NoError(t, second.ApplyBatch(t.Context(), nil, events))
	all := stored(t, js, "AUDIT")
	assert.Len(t, all, 40)
	assert.Zero(t, requireOrder(t, all))
}

// Within one order key nothing is sent before the message in front of it was
// acknowledged; different keys go side by side.
func TestOneMessageOfAKeyIsOnItsWayAtATime(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	spy := &spyingJetStream{JetStream: server.JetStream(t), running: make(map[string]*atomic.Int32)}
	for i := range 5 {
		spy.running[id(uint64(i)).String()] = new(atomic.Int32)
	}
	publisher := provisioned(t, spy, quick())
	store := newStore(t)
	fill(t, store, 200, 5)
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	assert.EqualValues(t, 1, spy.mostOfOne.Load(), "of one entity")
	assert.Greater(t, spy.mostOfAll.Load(), int32(1), "of all")
	assert.LessOrEqual(t, spy.mostOfAll.Load(), int32(5))
}

// spyingJetStream counts what is on its way.
type spyingJetStream struct {
	natsjs.JetStream

	running              map[string]*atomic.Int32 // by entity
	all                  atomic.Int32
	mostOfOne, mostOfAll atomic.Int32
}

func (s *spyingJetStream) PublishMsg(ctx context.Context, m *nats.Msg, options ...natsjs.PublishOpt) (*natsjs.PubAck, error) {
	entitys := new(atomic.Int32)
	for entity, n := range s.running {
		if strings.Contains(string(m.Data), `"id":"`+entity) {
			atLeast(&s.mostOfOne, n.Add(1))
			entitys = n
		}
	}
	defer entitys.Add(-1)
	atLeast(&s.mostOfAll, s.all.Add(1))
	defer s.all.Add(-1)
	return s.JetStream.PublishMsg(ctx, m, options...)
}

func atLeast(most *atomic.Int32, n int32) {
	for old := most.Load(); n > old; old = most.Load() {
		if most.CompareAndSwap(old, n) {
			return
		}
	}
}

// A batch ends with its context, and says so.
func TestABatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := server.JetStream(t)
	config := quick()
	config.PublishTimeout = time.Minute
	publisher := provisioned(t, js, config)
	require.NoError(t, publisher.Prepare(t.Context(), nil))
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	e := ticked(t, "1")
	e.AggregateType, e.AggregateID = "Task", id(1)
	require.ErrorIs(t, publisher.Apply(ctx, nil, e), context.DeadlineExceeded)
}

// A message that is refused keeps its order: what has the same key waits.
func TestARefusedMessageKeepsItsOrder(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	config := quick()
	config.Map = func(e event.Event) (jetstream.Message, bool, error) {
		m := jetstream.Message{Subject: "audit.v1.a", Order: "one key", Data: e.Data}
		switch string(e.Data) {
		case "wide":
			m.Subject = "audit.v1." + strings.Repeat("x", 1024)
		case "bad":
			return m, true, event.ErrInvalid
		}
		return m, true, nil
	}
	publisher := provisioned(t, js, config)
	store := newStore(t)
	for i, data := range []string{"1", "wide", "3", "bad", "5"} { // of five aggregates
		appendTo(t, store, stream(i), ticked(t, data))
	}
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	requireParked(t, store, publisher, 4, "subject")
	all := stored(t, js, "AUDIT")
	require.Len(t, all, 1)
	assert.Equal(t, "1", string(all[0].Data))
}
