package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

// list collects what a handler was given.
type list struct {
	mu   sync.Mutex
	seen []jetstream.Activity
	all  chan struct{} // closed at want
	want int
}

func newList(want int) *list { return &list{all: make(chan struct{}), want: want} }

func (l *list) add(_ context.Context, a jetstream.Activity, _ jetstream.Received) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen = append(l.seen, a); len(l.seen) == l.want {
		close(l.all)
	}
	return nil
}

func (l *list) wait(t *testing.T) {
	t.Helper()
	select {
	case <-l.all:
	case <-time.After(patience):
		l.mu.Lock()
		defer l.mu.Unlock()
		require.FailNow(t, "not all messages came", "%d of %d", len(l.seen), l.want)
	}
}

func (l *list) positions() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []uint64
	for _, a := range l.seen {
		all = append(all, a.Position)
	}
	return all
}

func newConsumer(tb testing.TB, js natsjs.JetStream, changes ...func(*jetstream.ConsumerConfig)) *jetstream.Consumer {
	tb.Helper()
	config := jetstream.ConsumerConfig{
		Durable: "reader", AckWait: time.Second, Retry: projection.Retry{MaxAttempts: 3, First: time.Millisecond, Most: 20 * time.Millisecond},
	}
	for _, change := range changes {
		change(&config)
	}
	c, err := jetstream.NewConsumer(js, config)
	require.NoError(tb, err)
	return c
}

// filled returns a server with so many messages on its stream, of one entity.
func filled(t *testing.T, n int) (*natstest.Server, natsjs.JetStream) {
	t.Helper()
	server := natstest.Start(t)
	js := server.JetStream(t)
	publisher := provisioned(t, js, quick())
	store := newStore(t)
	fill(t, store, n, 1)
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	return server, js
}

func upTo(n uint64) []uint64 {
	var all []uint64
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

func TestMessagesAreHandledInOrderAndOnce(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 50)
	l := newList(50)
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, jetstream.HandleActivity(l.add)) })
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, upTo(50), l.positions())
	again := newList(1)
	stop = background(t, func(ctx context.Context) error {
		return newConsumer(t, js).Run(ctx, jetstream.HandleActivity(again.add))
	})
	requireAcknowledged(t, js, 50)
	require.NoError(t, stop())
	assert.Empty(t, again.positions(), "the server keeps how far the durable came")
}

func requireAcknowledged(t *testing.T, js natsjs.JetStream, sequence uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := js.Consumer(t.Context(), "AUDIT", "reader")
		return err == nil && c.CachedInfo().AckFloor.Stream == sequence
	}, patience, tick)
}

// A message that is on the stream twice takes effect once.
func TestARepeatedMessageTakesEffectOnce(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 3)
	for _, m := range stored(t, js, "AUDIT") { // as if the duplicate window were over
		_, err := js.Publish(t.Context(), m.Subject, m.Data)
		require.NoError(t, err)
	}
	l := newList(3)
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, jetstream.HandleActivity(l.add)) })
	requireAcknowledged(t, js, 6)
	require.NoError(t, stop())
	assert.Equal(t, upTo(3), l.positions())
}

// Processes that share a durable work in turns: no message is handled while
// another one is.
func TestProcessesShareADurable(t *testing.T) {
	t.Parallel()
	server, js := filled(t, 30)
	var inHand, most atomic.Int32
	l := newList(30)
	handle := jetstream.HandleActivity(func(ctx context.Context, a jetstream.Activity, r jetstream.Received) error {
		atLeast(&most, inHand.Add(1))
		defer inHand.Add(-1)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
		return l.add(ctx, a, r)
	})
	first := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, handle) })
	second := background(t, func(ctx context.Context) error { return newConsumer(t, server.JetStream(t)).Run(ctx, handle) })
	l.wait(t)
	require.NoError(t, first())
	require.NoError(t, second())
	assert.Equal(t, upTo(30), l.positions())
	assert.EqualValues(t, 1, most.Load())
}

// A handler that fails is tried again, and nothing overtakes its message.
func TestAFailedMessageIsTriedAgain(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 5)
	l, failures := newList(5), 0
	handle := jetstream.HandleActivity(func(ctx context.Context, a jetstream.Activity, r jetstream.Received) error {
		if failures < 2 && a.Position == 2 {
			failures++
			if failures == 2 {
				panic("a bug")
			}
			return errors.New("no luck")
		}
		return l.add(ctx, a, r)
	})
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, handle) })
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, upTo(5), l.positions())
	assert.Equal(t, 2, failures)
}

// What is no message's fault is tried for ever.
func TestInfrastructureIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 1)
	l, failures := newList(1), 0
	handle := jetstream.HandleActivity(func(ctx context.Context, a jetstream.Activity, r jetstream.Received) error {
		if failures++; failures < 10 {
			return projection.AsInfrastructure(errors.New("database is down"))
		}
		return l.add(ctx, a, r)
	})
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, handle) })
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, 10, failures)
}

// Without anybody to tell, a consumer ends in front of a message that cannot be
// handled, and starts there again.
func TestAPoisonMessageStopsTheConsumer(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 3)
	broken := errors.New("cannot be")
	var positions []uint64
	handle := jetstream.HandleActivity(func(_ context.Context, a jetstream.Activity, _ jetstream.Received) error {
		if positions = append(positions, a.Position); a.Position == 2 {
			return broken
		}
		return nil
	})
	for range 2 {
		err := newConsumer(t, js).Run(t.Context(), handle)
		var poison *jetstream.PoisonError
		require.ErrorAs(t, err, &poison)
		require.ErrorIs(t, err, jetstream.ErrPoison)
		require.ErrorIs(t, err, broken)
		assert.Equal(t, 3, poison.Attempts)
		assert.EqualValues(t, 2, poison.Sequence)
		require.ErrorContains(t, err, "message 2 on audit.v1.acme")
	}
	assert.Equal(t, []uint64{1, 2, 2, 2, 2, 2, 2}, positions)
}

// A message that cannot be handled is reported, and then done with; a report
// that fails is made again.
func TestAPoisonMessageIsReported(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 3)
	_, err := js.Publish(t.Context(), "audit.v1.x", []byte("no JSON"))
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "audit.v1.x", []byte(`{"specversion":"1.0","id":"9","source":"/a","type":"evident.audit.activity.recorded.v2"}`))
	require.NoError(t, err)
	reports, l := []uint64{}, newList(2)
	report := func(_ context.Context, p jetstream.Poisoned) error {
		if reports = append(reports, p.Sequence); len(reports) == 1 {
			return errors.New("nobody listens")
		}
		return nil
	}
	handle := jetstream.HandleActivity(func(ctx context.Context, a jetstream.Activity, r jetstream.Received) error {
		if a.Position == 2 {
			return projection.AsPoison(errors.New("cannot be"))
		}
		return l.add(ctx, a, r)
	})
	stop := background(t, func(ctx context.Context) error {
		return newConsumer(t, js, func(c *jetstream.ConsumerConfig) { c.OnPoison = report }).Run(ctx, handle)
	})
	requireAcknowledged(t, js, 5)
	require.NoError(t, stop())
	assert.Equal(t, []uint64{1, 3}, l.positions())
	assert.Equal(t, []uint64{2, 2, 4, 5}, reports)
}

func TestFilters(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	publisher := provisioned(t, js, quick())
	store := newStore(t)
	ours, theirs := stream(1), stream(2)
	ours.TenantID, theirs.TenantID = "a.b", "a"
	for range 2 {
		appendTo(t, store, theirs, ticked(t, "1"))
		appendTo(t, store, ours, ticked(t, "2"))
	}
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	l := newList(2)
	stop := background(t, func(ctx context.Context) error {
		return newConsumer(t, js, func(c *jetstream.ConsumerConfig) {
			c.Subjects = []string{jetstream.Subject("audit.v1", "a.b") + ".>"}
		}).Run(ctx, jetstream.HandleActivity(l.add))
	})
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, []uint64{2, 4}, l.positions())
}

// The server may be stopped while a message is in hand.
func TestTheConsumerOutlivesTheServer(t *testing.T) {
	t.Parallel()
	server, js := filled(t, 40)
	l := newList(40)
	handle := jetstream.HandleActivity(func(ctx context.Context, a jetstream.Activity, r jetstream.Received) error {
		if a.Position%15 == 0 {
			server.Restart(t)
		}
		return l.add(ctx, a, r)
	})
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, handle) })
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, upTo(40), l.positions())
}

// A handler may take longer than the server waits: signs of life are given.
func TestASlowHandlerKeepsItsMessage(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 2)
	l, deliveries := newList(2), []int{}
	handle := jetstream.HandleActivity(func(ctx context.Context, a jetstream.Activity, r jetstream.Received) error {
		deliveries = append(deliveries, r.Deliveries)
		select {
		case <-time.After(1500 * time.Millisecond): // longer than AckWait
		case <-ctx.Done():
		}
		return l.add(ctx, a, r)
	})
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, handle) })
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, []int{1, 1}, deliveries)
}

// A consumer that ends gives its message back at once.
func TestAMessageInHandIsGivenBack(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := newConsumer(t, js, func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }).Run(ctx, func(ctx context.Context, _ jetstream.Received) error {
		cancel()
		return ctx.Err()
	})
	require.NoError(t, err)
	l := newList(1)
	stop := background(t, func(ctx context.Context) error {
		return newConsumer(t, js, func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }).Run(ctx, jetstream.HandleActivity(l.add))
	})
	l.wait(t)
	require.NoError(t, stop())
}

func TestAConsumerOfNoStream(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	err := newConsumer(t, js).Run(t.Context(), func(context.Context, jetstream.Received) error { return nil })
	requireSetting(t, "name", err)
}

func TestAConsumerWaitsForTheServerAtStart(t *testing.T) {
	t.Parallel()
	server, js := filled(t, 1)
	server.Stop()
	l := newList(1)
	stop := background(t, func(ctx context.Context) error { return newConsumer(t, js).Run(ctx, jetstream.HandleActivity(l.add)) })
	server.Restart(t)
	l.wait(t)
	require.NoError(t, stop())
}

func TestOnlyWhatComesFromNow(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 2)
	l := newList(1)
	ready := func() bool {
		_, err := js.Consumer(t.Context(), "AUDIT", "reader")
		return err == nil
	}
	stop := background(t, func(ctx context.Context) error {
		return newConsumer(t, js, func(c *jetstream.ConsumerConfig) { c.FromNow = true }).Run(ctx, jetstream.HandleActivity(l.add))
	})
	require.Eventually(t, ready, patience, tick)
	e := ticked(t, "new")
	e.AggregateType, e.AggregateID, e.Position = "Task", id(9), 77
	require.NoError(t, newPublisher(t, js, quick()).Apply(t.Context(), nil, e))
	l.wait(t)
	require.NoError(t, stop())
	assert.Equal(t, []uint64{77}, l.positions())
}

func TestAWindowKnowsTheLastKeys(t *testing.T) {
	t.Parallel()
	w, err := jetstream.NewWindow(3)
	require.NoError(t, err)
	called := func(n int) bool {
		yes := false
		require.NoError(t, w.Once(t.Context(), jetstream.Key{ID: strconv.Itoa(n)}, func(context.Context) error { yes = true; return nil }))
		return yes
	}
	var first, again []bool
	for n := range 5 {
		first = append(first, called(n))
	}
	for _, n := range []int{4, 3, 2, 1, 4, 2} { // 1 is new again, and takes the place of 2
		again = append(again, called(n))
	}
	assert.Equal(t, []bool{true, true, true, true, true}, first)
	assert.Equal(t, []bool{false, false, false, true, false, true}, again)
	failed := errors.New("failed")
	key := jetstream.Key{Source: "/a", ID: "4"}
	require.ErrorIs(t, w.Once(t.Context(), key, func(context.Context) error { return failed }), failed)
	yes := false
	require.NoError(t, w.Once(t.Context(), key, func(context.Context) error { yes = true; return nil }))
	assert.True(t, yes, "what failed was not seen, and another source is another message")
}

// A message that cannot be read is poison, also if it borrows the id of one
// that took effect.
func TestAnUnreadableMessageIsNeverTakenForSeen(t *testing.T) {
	t.Parallel()
	_, js := filled(t, 1)
	var c jetstream.CloudEvent
	require.NoError(t, json.Unmarshal(stored(t, js, "AUDIT")[0].Data, &c))
	body := `{"specversion":"1.0","id":"` + c.ID + `","source":"` + c.Source + `"}` // no type
	_, err := js.Publish(t.Context(), "audit.v1.acme.activity.recorded.Task.ticked", []byte(body))
	require.NoError(t, err)
	poisoned := make(chan jetstream.Poisoned, 1)
	l := newList(1)
	consumer := newConsumer(t, js, func(c *jetstream.ConsumerConfig) {
		c.OnPoison = func(_ context.Context, p jetstream.Poisoned) error {
			poisoned <- p
			return nil
		}
	})
	stop := background(t, func(ctx context.Context) error { return consumer.Run(ctx, jetstream.HandleActivity(l.add)) })
	requireAcknowledged(t, js, 2)
	require.NoError(t, stop())
	require.Len(t, poisoned, 1)
	assert.Equal(t, uint64(2), (<-poisoned).Sequence)
}
