package jetstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// backup is a stream as the server's own API gives it out, and takes it back: what
// "nats stream backup" writes into a folder.
type backup struct {
	Config map[string]any  `json:"config"`
	State  json.RawMessage `json:"state"`

	chunks [][]byte
}

// ask asks JetStream's API and decodes what it answers. It fails the test if the
// answer is an error.
func ask(tb testing.TB, js natsjs.JetStream, subject string, question, answer any) {
	tb.Helper()
	data, ok := question.([]byte)
	if !ok {
		var err error
		data, err = json.Marshal(question)
		require.NoError(tb, err)
	}
	reply, err := js.Conn().Request(subject, data, patience)
	require.NoError(tb, err)
	if len(reply.Data) == 0 {
		return // a chunk was taken
	}
	var failed struct {
		Error *natsjs.APIError `json:"error"`
	}
	require.NoError(tb, json.Unmarshal(reply.Data, &failed))
	require.Nil(tb, failed.Error, subject)
	require.NoError(tb, json.Unmarshal(reply.Data, answer))
}

// backUp takes a backup of a stream that is in use.
func backUp(tb testing.TB, js natsjs.JetStream, stream string) (b backup) {
	tb.Helper()
	chunks := nats.NewInbox()
	sub, err := js.Conn().SubscribeSync(chunks)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, sub.Unsubscribe()) }()
	ask(tb, js, natsjs.DefaultAPIPrefix+"STREAM.SNAPSHOT."+stream, map[string]any{"deliver_subject": chunks, "no_consumers": true, "jsck": true}, &b)
	for {
		m, err := sub.NextMsg(patience)
		require.NoError(tb, err)
		if len(m.Data) == 0 {
			require.Contains(tb, []string{"", "204"}, m.Header.Get("Status"), m.Header)
			return b
		}
		b.chunks = append(b.chunks, m.Data)
		if m.Reply != "" {
			require.NoError(tb, m.Respond(nil)) // the server waits for some of them before it sends more
		}
	}
}

// restore makes the stream of a backup on servers that have none, with so many
// replicas.
func (b backup) restore(tb testing.TB, js natsjs.JetStream, stream string, replicas int) {
	tb.Helper()
	b.Config["num_replicas"] = replicas
	var target struct {
		Subject string `json:"deliver_subject"`
	}
	ask(tb, js, natsjs.DefaultAPIPrefix+"STREAM.RESTORE."+stream, b, &target)
	var made struct {
		Config natsjs.StreamConfig `json:"config"`
	}
	for _, chunk := range append(b.chunks, nil) { // an empty one ends it
		ask(tb, js, target.Subject, chunk, &made)
	}
	require.Equal(tb, stream, made.Config.Name)
}

// The streams of a store whose prefix is "shop".
const (
	shop         = "shop"
	shopEvents   = "SHOP"
	shopProgress = "KV_shop_progress"
)

// follower is a projection that fails for one type of event, and remembers the
// positions of all others.
func follower(tb testing.TB, store *jetstream.Store, handled *[]uint64) *projection.Runner {
	tb.Helper()
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{projection.New("follower", 1, projection.OnEvery(func(_ context.Context, e event.Event) error {
			if e.Type == "Spoilt" {
				return projection.AsPoison(errors.New("spoilt"))
			}
			*handled = append(*handled, e.Position)
			return nil
		}), projection.OnReset(func(context.Context) error {
			*handled = nil
			return nil
		}))},
		Redrive: projection.Retry{MaxAttempts: 1}, // by command only
	})
	require.NoError(tb, err)
	return runner
}

var followed = registry.Name{Projection: "follower", Version: 1}

// kept is what a store keeps beside its events.
type kept struct {
	Checkpoints []checkpoint.Checkpoint
	Parked      []dlq.Parked
	Decided     []registry.Record
	Snapshot    aggregate.Snapshot
	Leases      []lease.Lease
}

func keptBy(tb testing.TB, s *jetstream.Store) (k kept) {
	tb.Helper()
	var err error
	k.Checkpoints, err = s.Checkpoints().List(tb.Context(), "")
	require.NoError(tb, err)
	k.Parked, err = s.DeadLetters().Sequences(tb.Context(), dlq.Filter{Projection: followed.Projection})
	require.NoError(tb, err)
	k.Decided, err = s.Registry().List(tb.Context(), "")
	require.NoError(tb, err)
	k.Leases, err = s.Leases().List(tb.Context(), "long")
	require.NoError(tb, err)
	var there bool
	k.Snapshot, there, err = s.Snapshots().Load(tb.Context(), place(1))
	require.NoError(tb, err)
	require.True(tb, there)
	return k
}

// leave has a store hold something of everything, up to a position that it
// returns.
func leave(t *testing.T, s *jetstream.Store) uint64 {
	t.Helper()
	spoilt := jotted(`{}`)
	spoilt.Type = "Spoilt"
	_, err := s.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(40)}, eventstore.Append{Stream: place(2), Events: []event.Event{spoilt}})
	require.NoError(t, err)
	var handled []uint64
	require.NoError(t, follower(t, s, &handled).RunUntilCaughtUp(t.Context()))
	require.Len(t, handled, 40)
	control, err := projection.NewControl(s, projection.ControlConfig{Recorder: projection.Unrecorded{}})
	require.NoError(t, err)
	require.NoError(t, control.Pause(t.Context(), followed, "a backup"))
	require.NoError(t, control.Resume(t.Context(), followed, "a backup"))
	require.NoError(t, s.Snapshots().Save(t.Context(), aggregate.Snapshot{Stream: place(1), StoreID: s.ID(), Version: 40, SchemaVersion: 1, State: []byte(`{}`), TakenAt: start}))
	for name, ttl := range map[string]time.Duration{"short": time.Millisecond, "long": time.Hour} {
		_, err = s.Leases().Acquire(t.Context(), name, "a process that is gone", ttl)
		require.NoError(t, err)
	}
	return 41
}

// write appends pairs of events until the returned function is called.
func write(t *testing.T, s *jetstream.Store) (stop func() error) {
	t.Helper()
	begun := make(chan struct{}, 1)
	stop = background(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			_, err := s.Append(context.WithoutCancel(ctx), eventstore.Append{Stream: place(3), Events: notes(2)})
			if err != nil {
				return err
			}
			select {
			case begun <- struct{}{}:
			default:
			}
		}
		return nil
	})
	<-begun
	return stop
}

func TestABackupGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]struct{ from, to func(tb testing.TB) *house }{
		"one server to another": {oneServer, oneServer}, "one to three": {oneServer, threeServers}, "three to one": {threeServers, oneServer},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); goesOn(t, way.from(t), way.to(t)) })
	}
}

// goesOn takes a backup of a store, bucket first, restores it elsewhere, and holds the one against the other.
func goesOn(t *testing.T, from, to *house) {
	t.Helper()
	oldJS, newJS := from.connect(t), to.connect(t)
	old := newEvents(t, oldJS, jetstream.Config{Prefix: shop, Replicas: from.replicas})
	checkpointed := leave(t, old)
	stop := write(t, old)
	want := keptBy(t, old)
	progress := backUp(t, oldJS, shopProgress)
	require.NoError(t, follower(t, old, new([]uint64)).RunUntilCaughtUp(t.Context())) // the old one goes on
	require.NoError(t, stop())                                                        // else the last append may be in the backup in part
	events := backUp(t, oldJS, shopEvents)

	events.restore(t, newJS, shopEvents, to.replicas)
	progress.restore(t, newJS, shopProgress, to.replicas)
	config := jetstream.Config{Prefix: shop, Replicas: to.replicas}
	store := openEvents(t, newJS, config)
	require.NoError(t, jetstream.Provision(t.Context(), newJS, config), "nothing is to be made")
	require.Equal(t, old.ID(), store.ID())
	require.Equal(t, want, keptBy(t, store))

	all, restored := gather(t, old.ReadAll(t.Context(), eventstore.Query{})), gather(t, store.ReadAll(t.Context(), eventstore.Query{}))
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, all[:len(restored)], restored, "the same events at the same positions")
	require.Equal(t, head, restored[len(restored)-1].Position)
	require.Greater(t, head, checkpointed, "what was appended between the two backups is there")
	require.Zero(t, (head-checkpointed)%2, "no append is there in part")

	var handled []uint64
	require.NoError(t, follower(t, store, &handled).RunUntilCaughtUp(t.Context()))
	require.Equal(t, checkpointed+1, handled[0])
	require.Equal(t, head, handled[len(handled)-1])
	require.Len(t, handled, int(head-checkpointed), "it goes on after its checkpoint and misses nothing")
	goesOnWriting(t, store, restored)
	takesOver(t, store, want.Leases[0])
}

// goesOnWriting holds a restored store to its versions and ids.
func goesOnWriting(t *testing.T, s *jetstream.Store, restored []event.Event) {
	t.Helper()
	last := restored[len(restored)-2:]
	again := []event.Event{sendable(last[0]), sendable(last[1])}
	result, err := s.Append(t.Context(), eventstore.Append{Stream: place(3), Expected: eventstore.Exact(last[0].AggregateVersion - 1), Events: again})
	require.NoError(t, err)
	assert.Equal(t, last[1].Position, result.Position, "what is sent again is known")
	_, err = s.Append(t.Context(), eventstore.Append{Stream: place(3), Expected: eventstore.Exact(last[0].AggregateVersion - 1), Events: notes(1)})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	result, err = s.Append(t.Context(), eventstore.Append{Stream: place(3), Expected: eventstore.Exact(last[1].AggregateVersion), Events: notes(1)})
	require.NoError(t, err)
	assert.Equal(t, last[1].Position+1, result.Position, "the next position")
}

// sendable is an event as it was before it was stored.
func sendable(e event.Event) event.Event {
	return event.Event{ID: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, ActorID: e.ActorID, OccurredAt: e.OccurredAt, Data: e.Data}
}

// takesOver holds a restored store to its leases: one that has run out can be had,
// and whoever held it before is fenced off; one that has not is its owner's.
func takesOver(t *testing.T, s *jetstream.Store, long lease.Lease) {
	t.Helper()
	taken, err := s.Leases().Acquire(t.Context(), "short", "the next process", time.Minute)
	require.NoError(t, err)
	assert.EqualValues(t, 2, taken.Fence)
	_, err = s.Leases().Acquire(t.Context(), long.Name, "the next process", time.Minute)
	require.ErrorIs(t, err, lease.ErrHeld)
	renewed, err := s.Leases().Renew(t.Context(), []lease.Lease{long}, time.Hour)
	require.NoError(t, err)
	assert.Len(t, renewed, 1)
}

// Taken the wrong way round, checkpoints are above the events. That is noticed.
func TestABucketThatIsNewerThanItsEventsIsRefused(t *testing.T) {
	t.Parallel()
	from, to := oneServer(t), oneServer(t)
	oldJS, newJS := from.connect(t), to.connect(t)
	old := newEvents(t, oldJS, jetstream.Config{Prefix: shop})
	leave(t, old)
	events := backUp(t, oldJS, shopEvents)
	_, err := old.Append(t.Context(), eventstore.Append{Stream: place(3), Events: notes(2)})
	require.NoError(t, err)
	require.NoError(t, follower(t, old, new([]uint64)).RunUntilCaughtUp(t.Context()))
	backUp(t, oldJS, shopProgress).restore(t, newJS, shopProgress, 1)
	events.restore(t, newJS, shopEvents, 1)

	store := openEvents(t, newJS, jetstream.Config{Prefix: shop})
	var handled []uint64
	runner := follower(t, store, &handled)
	err = runner.RunUntilCaughtUp(t.Context())
	require.ErrorIs(t, err, checkpoint.ErrOtherStore)
	require.Empty(t, handled)
	require.NoError(t, runner.Reset(t.Context(), followed.Projection))
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	require.Len(t, handled, 40, "everything that is there, from the first event on")
}
