package jetstream_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

const notFound = `{"error":{"code":404,"err_code":10037,"description":"no message found"}}`

// isCutOff lets a leader answer as one that was cut off from the others before
// anything was stored, so many times. It knows that it has not heard of them.
func isCutOff(times int) func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
	leader, active := regexp.MustCompile(`"leader":"[^"]*"`), regexp.MustCompile(`"active":\d+`)
	return func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		info := strings.Contains(asked.Subject, ".STREAM.INFO.")
		if !isLeader(asked) && !info || times == 0 {
			return answers
		}
		times--
		if info {
			data := leader.ReplaceAll(answers[0].Data, []byte(`"leader":"cut-off"`))
			return []*nats.Msg{{Data: active.ReplaceAll(data, []byte(`"active":9000000000`))}}
		}
		return []*nats.Msg{{Data: []byte(notFound)}}
	}
}

// TestTrapALeaderThatWasCutOff tells a process that versions are not there which
// the other servers have acknowledged to another one. Nobody is told of a
// conflict that is none.
func TestTrapALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	r, js := startRelay(t, cluster.JetStream)
	config := jetstream.Config{Replicas: 3, Prefix: "evident"}
	store := newEvents(t, js, config)
	other := openEvents(t, cluster.JetStream(t), config)
	for _, expected := range []eventstore.Expectation{eventstore.Exact(2), eventstore.StreamExists()} {
		stream := anyPlace()
		_, err := other.Append(t.Context(), eventstore.Append{Stream: stream, Events: notes(2)})
		require.NoError(t, err)
		r.tell(isCutOff(6))
		_, err = store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: expected})
		require.NoError(t, err, "only looked at, %v", expected)
		r.tell(isCutOff(6))
		result, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: expected, Events: notes(1)})
		r.tell(isCutOff(0))
		require.NoError(t, err, expected)
		assert.Equal(t, []uint64{3}, result.Versions)
	}
}

// TestTrapAnAppendSentAgainToALeaderThatWasCutOff was stored: whoever sends it
// again is told so, by whichever leader.
func TestTrapAnAppendSentAgainToALeaderThatWasCutOff(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	r, js := startRelay(t, cluster.JetStream)
	config := jetstream.Config{Replicas: 3, Prefix: "evident"}
	store := newEvents(t, js, config)
	other := openEvents(t, cluster.JetStream(t), config)
	_, err := other.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(2)})
	require.NoError(t, err)
	again := eventstore.Append{Stream: place(1), Expected: eventstore.Exact(2), Events: notes(3)}
	stored, err := other.Append(t.Context(), again)
	require.NoError(t, err)
	r.tell(isCutOff(6))
	result, err := store.Append(t.Context(), again)
	require.NoError(t, err)
	assert.Equal(t, stored, result)
}

// twoLeaders is what two leaders answer of which one was cut off until just now:
// whoever is faster is heard.
type twoLeaders struct {
	mu     sync.Mutex
	denies func(asked int) bool // whether the one that was cut off answers a question; nil for none
	asked  int
}

// from sets which questions that one answers from now on.
func (l *twoLeaders) from(denies func(asked int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.denies, l.asked = denies, 0
}

// over returns a way to the servers on which both answer.
func (l *twoLeaders) over(t *testing.T, cluster *natstest.Cluster) natsjs.JetStream {
	t.Helper()
	w := &wire{}
	r, js := startRelay(t, func(tb testing.TB, options ...nats.Option) natsjs.JetStream {
		tb.Helper()
		return cluster.JetStream(tb, append(options, nats.SetCustomDialer(w))...)
	})
	w.tell(func(answer string) (string, bool) {
		if strings.Contains(answer, `"duplicate": true`) && l.deny() {
			return refused(400, 10111), false
		}
		return answer, false
	})
	active := regexp.MustCompile(`"active":\d+`)
	r.tell(func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		switch {
		case strings.Contains(asked.Subject, ".STREAM.INFO."): // one follows it, and one has not been heard of
			place := active.FindIndex(answers[0].Data)
			data := slices.Concat(answers[0].Data[:place[0]], []byte(`"active":9000000000`), answers[0].Data[place[1]:])
			return []*nats.Msg{{Data: data}}
		case isLeader(asked) && l.deny():
			return []*nats.Msg{{Data: []byte(notFound)}}
		default:
			return answers
		}
	})
	return js
}

func (l *twoLeaders) deny() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.denies != nil && l.denies(l.asked)
}

// TestTrapTwoLeadersAnswer has a stored append sent again when a leader can be
// reached again that was cut off before it was stored. At each place that one
// denies what the other knows, once or a few times, until it has heard of that. The
// append is answered as at first.
func TestTrapTwoLeadersAnswer(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	config := jetstream.Config{Replicas: 3, Prefix: "evident"}
	plain := newEvents(t, cluster.JetStream(t), config)
	for name, appends := range map[string]func(a, b eventstore.Stream) []eventstore.Append{
		"one stream": func(a, _ eventstore.Stream) []eventstore.Append {
			return []eventstore.Append{{Stream: a, Expected: eventstore.Exact(2), Events: notes(3)}}
		},
		"one at any version": func(a, _ eventstore.Stream) []eventstore.Append {
			return []eventstore.Append{{Stream: a, Events: notes(3)}}
		},
		"two": func(a, b eventstore.Stream) []eventstore.Append {
			return []eventstore.Append{{Stream: a, Events: notes(2)}, {Stream: b, Expected: eventstore.NoStream(), Events: notes(1)}}
		},
		"two at any version": func(a, b eventstore.Stream) []eventstore.Append {
			return []eventstore.Append{{Stream: a, Events: notes(1)}, {Stream: b, Events: notes(1)}}
		},
		"one that is only looked at": func(a, b eventstore.Stream) []eventstore.Append {
			return []eventstore.Append{{Stream: a, Expected: eventstore.Exact(2)}, {Stream: b, Events: notes(2)}}
		},
	} {
		const questions = 24 // more than there are; 0 stands for each other one, for a second
		for n := range 3*questions + 1 {
			first, count := (n+2)/3, 1+n%3
			t.Run(fmt.Sprintf("%s/%d×%d", name, count, first), func(t *testing.T) {
				t.Parallel()
				a, b := anyPlace(), anyPlace()
				_, err := plain.Append(t.Context(), eventstore.Append{Stream: a, Events: notes(2)})
				require.NoError(t, err)
				twice := appends(a, b)
				stored, err := plain.Append(t.Context(), twice...)
				require.NoError(t, err)
				_, err = plain.Append(t.Context(), eventstore.Append{Stream: a, Events: notes(1)}) // so that what is only looked at has moved
				require.NoError(t, err)
				both := &twoLeaders{}
				store := openEvents(t, both.over(t, cluster), config)
				healed := time.Now().Add(time.Second)
				both.from(func(asked int) bool {
					now := asked >= first && asked < first+count || first == 0 && asked%2 == 1
					return now && time.Now().Before(healed)
				})
				result, err := store.Append(t.Context(), twice...)
				require.NoError(t, err)
				assert.Equal(t, stored, result)
				assert.True(t, first < questions || both.asked < questions, "%d questions", both.asked)
			})
		}
	}
}

// TestTrapALeaderThatForgetsAVersion was cut off after this process had heard of
// the version from another leader. Nothing that was seen is ever unseen.
func TestTrapALeaderThatForgetsAVersion(t *testing.T) {
	t.Parallel()
	r, js := startRelay(t, natstest.Start(t).JetStream)
	store := newEvents(t, js, jetstream.Config{PublishTimeout: 200 * time.Millisecond})
	_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(3)})
	require.NoError(t, err)
	r.tell(isCutOff(5))
	assert.Len(t, gather(t, store.ReadStream(t.Context(), place(1), eventstore.StreamQuery{})), 3)
}
