package jetstream_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

func isDirect(asked *nats.Msg) bool { return strings.Contains(asked.Subject, ".DIRECT.GET.") }

func isLeader(asked *nats.Msg) bool { return strings.Contains(asked.Subject, ".STREAM.MSG.GET.") }

// hostile are ways in which an answer does not come as it should.
func hostile() map[string]func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
	return map[string]func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg{
		"no end mark": func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
			if isDirect(asked) {
				return answers[:len(answers)-1]
			}
			return answers
		},
		"nothing at all": func(*nats.Msg, []*nats.Msg) []*nats.Msg { return nil },
		"one of many is lost": func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
			if isDirect(asked) && len(answers) > 3 {
				return append(answers[:2:2], answers[3:]...)
			}
			return answers
		},
		"a replica that has nothing yet": func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
			if isDirect(asked) {
				return []*nats.Msg{status("404", 0)}
			}
			return answers
		},
		"a replica that is behind": func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
			if last := len(answers) - 3; isDirect(asked) && last > 0 {
				end := status("204", 0)
				end.Header.Set("Nats-Last-Sequence", answers[last-1].Header.Get("Nats-Sequence"))
				return append(answers[:last:last], end)
			}
			return answers
		},
		"no leader": func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
			if isLeader(asked) {
				return []*nats.Msg{{Data: []byte(`{"error":{"code":503,"err_code":10008,"description":"no leader"}}`)}}
			}
			return answers
		},
	}
}

func TestTrapAnAnswerInPartIsNotTheEnd(t *testing.T) {
	t.Parallel()
	const events = 120
	server := natstest.Start(t)
	for name, spoil := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, js := startRelay(t, server.JetStream)
			store := newEvents(t, js, jetstream.Config{PublishTimeout: 200 * time.Millisecond})
			_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(events)})
			require.NoError(t, err)
			asks := make(map[bool]int)
			r.tell(func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
				kind := isDirect(asked)
				if asks[kind]++; asks[kind]%2 == 0 {
					return answers
				}
				return spoil(asked, answers)
			})
			for range 3 {
				assert.Len(t, gather(t, store.ReadStream(t.Context(), place(1), eventstore.StreamQuery{})), events)
				assert.Len(t, gather(t, store.ReadAll(t.Context(), eventstore.Query{})), events)
				assert.Len(t, gather(t, store.ReadAll(t.Context(), eventstore.Query{Direction: eventstore.Backward})), events)
			}
			head, err := store.Head(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, events, head)
		})
	}
}

// TestTrapAReadThatIsNeverAnswered ends in an error, not in fewer events.
func TestTrapAReadThatIsNeverAnswered(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	for name, spoil := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, js := startRelay(t, server.JetStream)
			store := newEvents(t, js, jetstream.Config{PublishTimeout: 50 * time.Millisecond})
			_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(10)})
			require.NoError(t, err)
			r.tell(spoil)
			if name == "a replica that is behind" {
				return // it goes on from where it was
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			for _, err = range store.ReadStream(ctx, place(1), eventstore.StreamQuery{}) {
				if err != nil {
					break
				}
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

// TestTrapALeaderThatIsBehind is a leader that does not know yet what this
// process has stored. Nobody is told an end that lies before it.
func TestTrapALeaderThatIsBehind(t *testing.T) {
	t.Parallel()
	r, js := startRelay(t, natstest.Start(t).JetStream)
	store := newEvents(t, js, jetstream.Config{})
	_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(1)})
	require.NoError(t, err)
	var old []*nats.Msg
	r.tell(func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		if isLeader(asked) {
			old = answers
		}
		return answers
	})
	_, err = store.Head(t.Context())
	require.NoError(t, err)
	result, err := store.Append(t.Context(), eventstore.Append{Stream: place(2), Expected: eventstore.NoStream(), Events: notes(1)})
	require.NoError(t, err)
	n := 0
	r.tell(func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg {
		if n++; n < 5 && isLeader(asked) {
			return old
		}
		return answers
	})
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	assert.Equal(t, result.Position, head)
	assert.GreaterOrEqual(t, n, 5)
}
