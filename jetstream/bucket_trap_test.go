package jetstream_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/registry"
)

// disturbed is progress on three servers over a way on which answers change, and
// the same as another process has it.
type disturbed struct {
	relay      *relay
	wire       *wire
	one, other jetstream.Progress
}

func disturbProgress(t *testing.T) disturbed {
	t.Helper()
	cluster := natstest.StartCluster(t)
	h := &house{replicas: 3, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return cluster.JetStream(tb) }}
	config := h.config(nil)
	d := disturbed{wire: &wire{}, other: h.reopen(t, config)}
	var js natsjs.JetStream
	d.relay, js = startRelay(t, func(tb testing.TB, options ...nats.Option) natsjs.JetStream {
		tb.Helper()
		return cluster.JetStream(tb, append(options, nats.SetCustomDialer(d.wire))...)
	})
	one, err := jetstream.OpenProgress(t.Context(), js, config)
	require.NoError(t, err)
	d.one = one
	return d
}

// denying has a leader that was cut off say that there is nothing at keys with such
// a part.
func denying(part string) func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
	return func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		if isLeader(asked) && strings.Contains(string(asked.Data), part) {
			return []*nats.Msg{{Data: []byte(notFound)}}
		}
		return answers
	}
}

// forgetting has a server answer once as if it did not have such keys yet.
func forgetting(part string) func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
	var once atomic.Bool
	return func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		if !isDirect(asked) || !strings.Contains(string(asked.Data), part) || !once.CompareAndSwap(false, true) {
			return answers
		}
		return slices.DeleteFunc(answers, func(m *nats.Msg) bool { return strings.Contains(m.Header.Get(natsjs.SubjectHeader), part) })
	}
}

// TestTrapParkedAtALeaderThatWasCutOff asks for a sequence that this process itself
// has parked, and for one whose version it has cleared.
func TestTrapParkedAtALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	d := disturbProgress(t)
	letters := d.one.DeadLetters()
	require.NoError(t, letters.Park(t.Context(), waiting("a", 1)))
	d.relay.tell(denying("sequence."))
	parked, err := letters.Parked(t.Context(), "titles", 1, []string{"a"})
	require.NoError(t, err)
	assert.True(t, parked["a"])

	require.NoError(t, letters.Clear(t.Context(), "titles", 1))
	d.relay.tell(denying("cleared."))
	require.NoError(t, letters.Park(t.Context(), waiting("a", 2)))
	assert.Equal(t, []uint64{2}, positionsOf(t, d.other.DeadLetters(), "a"))
}

// TestTrapSavedAtALeaderThatWasCutOff replaces a version that the leader does not
// know to be live.
func TestTrapSavedAtALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	d := disturbProgress(t)
	first, err := d.other.Registry().Save(t.Context(), registry.Record{Name: registry.Name{Projection: "titles", Version: 1}, State: registry.Live, Lanes: 1, Since: start})
	require.NoError(t, err)
	d.relay.tell(forgetting("live."))
	first.State = registry.Replaced
	_, err = d.one.Registry().Save(t.Context(), first)
	require.NoError(t, err)
	_, err = d.other.Registry().Save(t.Context(), registry.Record{Name: registry.Name{Projection: "titles", Version: 2}, State: registry.Live, Lanes: 1, Since: start})
	require.NoError(t, err, "nobody is live")
}

// TestTrapRefusedByALeaderThatWasCutOff has a leader refuse what the other one
// stores. Whoever asked is told that it is stored.
func TestTrapRefusedByALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	d := disturbProgress(t)
	letters := d.one.DeadLetters()
	require.NoError(t, letters.Park(t.Context(), waiting("a", 1), waiting("a", 2), waiting("b", 3)))
	advance(t, d.one.Checkpoints(), 1)
	for name, change := range map[string]func() error{
		"a checkpoint":           func() error { advance(t, d.one.Checkpoints(), 2); return nil },
		"a letter taken out":     func() error { return letters.Remove(t.Context(), waiting("a", 1)) },
		"the last of a sequence": func() error { return letters.Remove(t.Context(), waiting("b", 3)) },
	} {
		var refusals atomic.Int64
		d.wire.tell(func(answer string) (string, bool) {
			if isAck(answer) && refusals.Add(1) == 1 {
				return refused(400, 10071), false
			}
			return answer, false
		})
		require.NoError(t, change(), name)
		require.Positive(t, refusals.Load(), name)
		d.wire.tell(nil)
	}
	assert.Equal(t, []uint64{2}, positionsOf(t, d.other.DeadLetters(), "a"))
}

// TestTrapRefusedBeforeTheOtherHasStored is the same when the one that they follow
// has nothing to show yet. Nothing has changed then that could be in the way.
func TestTrapRefusedBeforeTheOtherHasStored(t *testing.T) {
	t.Parallel()
	d := disturbProgress(t)
	var refusals atomic.Int64
	d.wire.tell(func(answer string) (string, bool) {
		if isAck(answer) && refusals.Add(1) == 1 {
			d.relay.tell(forgetting("titles"))
			return refused(400, 10071), false
		}
		return answer, false
	})
	_, err := d.one.Registry().Save(t.Context(), registry.Record{Name: registry.Name{Projection: "titles", Version: 1}, State: registry.Replaced, Lanes: 1, Since: start})
	require.NoError(t, err)
	require.Positive(t, refusals.Load())
}

// TestTrapClearAndParkMuch clears a version and parks more letters in the same
// transaction than a server takes at once. None of them is cleared.
func TestTrapClearAndParkMuch(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	tx := begin(t, p)
	require.NoError(t, tx.DeadLetters().Clear(t.Context(), "titles", 1))
	var all []dlq.Letter
	for i := range uint64(400) {
		key := event.NewID().String()
		all = append(all, waiting(key, 2*i+1), waiting(key, 2*i+2))
	}
	require.NoError(t, tx.DeadLetters().Park(t.Context(), all...))
	require.NoError(t, tx.Commit(t.Context()))
	for _, l := range []dlq.Letter{all[0], all[len(all)-1]} {
		assert.Len(t, positionsOf(t, p.DeadLetters(), l.Sequence.Key), 2)
	}
}

// TestTrapHeldOverARedo learns that a sequence is parked, and loses it to another
// process after what it writes was decided anew.
func TestTrapHeldOverARedo(t *testing.T) {
	t.Parallel()
	d := disturbProgress(t)
	require.NoError(t, d.other.DeadLetters().Park(t.Context(), waiting("a", 1), waiting("b", 2)))
	tx := begin(t, d.one)
	parked, err := tx.DeadLetters().Parked(t.Context(), "titles", 1, []string{"a"})
	require.NoError(t, err)
	require.True(t, parked["a"])
	require.NoError(t, tx.DeadLetters().Park(t.Context(), waiting("b", 3)))
	require.NoError(t, d.other.DeadLetters().Park(t.Context(), waiting("b", 4)))
	var once atomic.Bool
	d.relay.tell(func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		confirms := isDirect(asked) && strings.Contains(string(asked.Data), "sequence.titles.1.a") && !strings.Contains(string(asked.Data), "sequence.titles.1.b")
		if confirms && once.CompareAndSwap(false, true) {
			assert.NoError(t, d.other.DeadLetters().Remove(t.Context(), waiting("a", 1)))
		}
		return answers
	})
	require.ErrorIs(t, tx.Commit(t.Context()), jetstream.ErrTxConflict)
	require.True(t, once.Load())
}
