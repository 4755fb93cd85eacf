package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/evident-go/evident/eventstore"
)

// Wait implements [eventstore.Store]. An append by this process wakes it at once;
// one by another does so by a message that is not kept, about a millisecond
// later. If that is lost, Wait finds the append within [Config.PollInterval].
func (s *Store) Wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		// The channel first, then the head: an append in between closes it.
		woken := s.wakeups.next()
		head, err := s.Head(ctx)
		if err != nil || head > after {
			return head, err
		}
		if err := s.sleep(ctx, woken); err != nil {
			return 0, err
		}
	}
}

// sleep returns when it is time to look again.
func (s *Store) sleep(ctx context.Context, woken <-chan struct{}) error {
	timer := time.NewTimer(s.config.PollInterval)
	defer timer.Stop()
	select {
	case <-woken:
		return nil
	case <-timer.C:
		return nil
	case <-s.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wakeups tells all who wait that they should look again.
type wakeups struct {
	mu    sync.Mutex
	woken chan struct{}
}

func newWakeups() *wakeups { return &wakeups{woken: make(chan struct{})} }

// next returns the channel that the next wake closes.
func (w *wakeups) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.woken
}

func (w *wakeups) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.woken)
	w.woken = make(chan struct{})
}

// newsPause is within which time one message tells of all appends.
const newsPause = time.Millisecond

// news tells other processes of appends, and hears of theirs.
type news struct {
	conn    *nats.Conn
	subject string
	heard   *nats.Subscription

	mu      sync.Mutex
	timer   *time.Timer // runs while there is something to tell; nil otherwise
	stopped bool
}

// listen calls wake whenever somebody tells news.
func listen(conn *nats.Conn, subject string, wake func()) (*news, error) {
	heard, err := conn.Subscribe(subject, func(*nats.Msg) { wake() })
	if err != nil {
		return nil, err
	}
	return &news{conn: conn, subject: subject, heard: heard}, nil
}

// tell tells everybody, soon.
func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timer == nil && !n.stopped {
		n.timer = time.AfterFunc(newsPause, n.publish)
	}
}

func (n *news) publish() {
	n.mu.Lock()
	stopped := n.stopped
	n.timer = nil
	n.mu.Unlock()
	if !stopped {
		_ = n.conn.Publish(n.subject, nil) // who does not hear of it looks by himself
	}
}

func (n *news) stop() {
	_ = n.heard.Unsubscribe() // fails if the connection is closed already
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	if n.timer != nil {
		n.timer.Stop()
	}
}
