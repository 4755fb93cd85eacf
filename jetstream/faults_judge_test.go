//go:build unix

package jetstream_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/historytest"
	"github.com/evident-go/evident/jetstream"
)

// judge compares what is there with what writers and subscribers know.
func (s *storm) judge(store *jetstream.Store, subscribers []*subscriber) {
	s.t.Helper()
	all := gather(s.t, store.ReadAll(s.t.Context(), eventstore.Query{}))
	requireChains(s.t, all)
	s.book.requireDeeds(s.t, all)
	requireSightings(s.t, subscribers, all)
	s.book.requireHistory(s.t, store, all)
	s.requireEqualCopies()
}

// requireChains requires that positions rise, that each stream's versions do so
// without holes, and that no event is there twice.
func requireChains(t *testing.T, all []event.Event) {
	t.Helper()
	var position uint64
	versions, ids := make(map[eventstore.Stream]uint64), make(map[uuid.UUID]bool, len(all))
	for _, e := range all {
		require.Greater(t, e.Position, position)
		require.Equal(t, versions[eventstore.StreamOf(e)]+1, e.AggregateVersion, "a broken chain at %d", e.Position)
		require.False(t, ids[e.ID], "event %s is there twice", e.ID)
		position, versions[eventstore.StreamOf(e)], ids[e.ID] = e.Position, e.AggregateVersion, true
	}
}

// requireDeeds requires that each append is there as a whole, its events side by
// side, where it was said to be, or not at all.
func (b *book) requireDeeds(t *testing.T, all []event.Event) {
	t.Helper()
	places := make(map[uuid.UUID]int, len(all))
	for i, e := range all {
		places[e.ID] = i
	}
	for _, d := range b.deeds {
		there, events := 0, 0
		for _, a := range d.appends {
			for i := range a.Events {
				events++
				if _, ok := places[a.Events[i].ID]; ok {
					there++
				}
			}
		}
		switch d.fate {
		case isStored:
			require.Equal(t, events, there, "acknowledged and lost")
		case isRefused:
			require.Zero(t, there, "refused and stored")
		case isUnknown:
			require.Contains(t, []int{0, events}, there, "stored in part")
		}
		if there > 0 {
			requireWhole(t, d, all, places)
		}
	}
}

// requireWhole requires that an append's events are side by side, and as they
// were acknowledged.
func requireWhole(t *testing.T, d *deed, all []event.Event, places map[uuid.UUID]int) {
	t.Helper()
	next := places[d.appends[0].Events[0].ID]
	for i, a := range d.appends {
		for j := range a.Events {
			require.Equal(t, a.Events[j].ID, all[next].ID, "something is in between")
			require.Equal(t, a.Stream, eventstore.StreamOf(all[next]))
			next++
		}
		if d.fate == isStored {
			require.Equal(t, d.result.Versions[i], all[next-1].AggregateVersion)
		}
	}
	if d.fate == isStored {
		require.Equal(t, d.result.Position, all[next-1].Position)
	}
}

// requireSightings requires that each subscriber saw every event, once and in order.
func requireSightings(t *testing.T, subscribers []*subscriber, all []event.Event) {
	t.Helper()
	want := make([]sighting, len(all))
	for i, e := range all {
		want[i] = sighting{e.Position, e.ID}
	}
	for i, s := range subscribers {
		require.Eventually(t, func() bool { return s.at.Load() >= all[len(all)-1].Position }, patience, tick, "subscriber %d is behind", i)
		require.True(t, slices.Equal(want, s.seen), "subscriber %d saw something else", i)
	}
}

// requireHistory requires that there is an order of all calls in which every
// answer is right, with what is there in the end as the last.
func (b *book) requireHistory(t *testing.T, store *jetstream.Store, all []event.Event) {
	t.Helper()
	streams := make(map[eventstore.Stream]bool)
	for _, e := range all {
		streams[eventstore.StreamOf(e)] = true
	}
	for stream := 0; len(streams) > 0; stream++ {
		began := b.history.Begin()
		a, err := look(t.Context(), store, stream)
		require.NoError(t, err)
		b.history.End(-1, began, historytest.Call{Stream: stream}, a, false)
		delete(streams, numbered(stream))
	}
	require.NoError(t, b.history.Check(time.Minute))
}

// requireEqualCopies compares the copy that each server has by itself: no server
// reaches another one, so each can answer with its own only.
func (s *storm) requireEqualCopies() {
	s.t.Helper()
	stream := jetstream.StreamOf(s.config)
	js := s.connect(s.cluster.URL())
	var conns []*nats.Conn
	for i := range s.cluster.Servers {
		conns = append(conns, s.stay(i).Conn())
	}
	require.Eventually(s.t, func() bool { return inStep(s.t, js, stream) }, patience, 100*time.Millisecond, "replicas stay behind")
	for i, a := range s.cluster.Servers {
		for _, b := range s.cluster.Servers[i+1:] {
			s.cluster.Cut(a, b)
		}
	}
	copies := make(map[string]int)
	for _, conn := range conns {
		var sum string
		require.Eventually(s.t, func() (ok bool) {
			var err error
			sum, err = copyOf(conn, stream)
			return err == nil
		}, patience, tick)
		copies[sum]++
	}
	s.cluster.Heal()
	require.Len(s.t, copies, 1, "%v", slices.Sorted(maps.Keys(copies)))
}

// inStep reports whether all replicas have what the leader has.
func inStep(t *testing.T, js natsjs.JetStream, name string) bool {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil || stream.CachedInfo().Cluster == nil {
		return false
	}
	replicas := stream.CachedInfo().Cluster.Replicas
	return len(replicas) == 2 && !slices.ContainsFunc(replicas, func(p *natsjs.PeerInfo) bool { return !p.Current || p.Lag > 0 || p.Offline })
}

// copyOf returns how many messages the server behind a connection has, and the
// hash over all of them.
func copyOf(conn *nats.Conn, stream string) (string, error) {
	sum, count := sha256.New(), 0
	for next := uint64(1); ; {
		messages, err := copied(conn, stream, next)
		if err != nil {
			return "", err
		}
		if len(messages) == 0 {
			return fmt.Sprintf("%d messages, %s", count, hex.EncodeToString(sum.Sum(nil))), nil
		}
		for _, m := range messages {
			count++
			seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
			if err != nil {
				return "", err
			}
			next = seq + 1
			digest(sum, m)
		}
	}
}

// copied reads some messages, as many as the server has from next on at most.
func copied(conn *nats.Conn, stream string, next uint64) ([]*nats.Msg, error) {
	const batch = 1000
	inbox := conn.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	asked, err := json.Marshal(map[string]any{"seq": next, "batch": batch})
	if err != nil {
		return nil, err
	}
	if err := conn.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, asked); err != nil {
		return nil, err
	}
	var messages []*nats.Msg
	for {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			return nil, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			messages = append(messages, m)
		case "204", "404":
			return messages, nil
		default:
			return nil, errors.New(status + " " + m.Header.Get("Description"))
		}
	}
}

// digest adds a message with all that is kept of it.
func digest(sum hash.Hash, m *nats.Msg) {
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		if name != "Nats-Num-Pending" && name != "Nats-Last-Sequence" {
			fmt.Fprintf(sum, "%s: %q\n", name, m.Header[name])
		}
	}
	fmt.Fprintf(sum, "%d\n%s\n", len(m.Data), m.Data)
}
