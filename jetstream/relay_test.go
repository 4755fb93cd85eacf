package jetstream_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

// relay stands between a store and JetStream's API: it hands on what is asked,
// and what is answered as it is told to.
type relay struct {
	conn   *nats.Conn
	prefix string // its own, since several may be at one server

	mu     sync.Mutex
	change func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg
}

// startRelay returns a way to JetStream that leads through a relay.
func startRelay(t *testing.T, connect connects) (*relay, natsjs.JetStream) {
	t.Helper()
	r := &relay{conn: connect(t).Conn(), prefix: "relay." + event.NewID().String(), change: func(_ *nats.Msg, answers []*nats.Msg) []*nats.Msg { return answers }}
	_, err := r.conn.Subscribe(r.prefix+".>", func(asked *nats.Msg) { go r.handOn(asked) })
	require.NoError(t, err)
	require.NoError(t, r.conn.Flush())
	js, err := natsjs.NewWithAPIPrefix(connect(t).Conn(), r.prefix)
	require.NoError(t, err)
	return r, js
}

// tell sets what becomes of answers from now on.
func (r *relay) tell(change func(asked *nats.Msg, answers []*nats.Msg) []*nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.change = change
}

func (r *relay) handOn(asked *nats.Msg) {
	inbox := r.conn.NewInbox()
	sub, err := r.conn.SubscribeSync(inbox)
	if err != nil {
		return
	}
	defer func() { _ = sub.Unsubscribe() }()
	to := "$JS.API" + strings.TrimPrefix(asked.Subject, r.prefix)
	several := strings.Contains(to, ".DIRECT.GET.")
	if r.conn.PublishMsg(&nats.Msg{Subject: to, Reply: inbox, Header: asked.Header, Data: asked.Data}) != nil {
		return
	}
	var answers []*nats.Msg
	for {
		m, err := sub.NextMsg(patience)
		if err != nil {
			return
		}
		answers = append(answers, m)
		if !several || m.Header.Get("Status") != "" {
			break
		}
	}
	r.mu.Lock()
	answers = r.change(asked, answers)
	r.mu.Unlock()
	for _, m := range answers {
		_ = r.conn.PublishMsg(&nats.Msg{Subject: asked.Reply, Header: m.Header, Data: m.Data})
	}
}
