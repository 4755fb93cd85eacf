package sqlite

import (
	"context"
	"sync"
	"time"

	"github.com/evident-go/evident/eventstore"
)

// Head implements [eventstore.Store]. Positions are given in the order of
// commits, so everything up to the highest is complete.
func (s *Store) Head(ctx context.Context) (head uint64, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	err = s.readers.use(ctx, func(c *connection) error {
		n, err := c.number(ctx, "SELECT max(position) FROM events")
		head = fromInteger(n)
		return err
	})
	return head, translate("head", s.config.Path, err)
}

// Wait implements [eventstore.Store].
func (s *Store) Wait(ctx context.Context, after uint64) (uint64, error) {
	s.wakeups.join()
	defer s.wakeups.leave()
	for {
		// The channel first, then the head: an append in between closes it.
		woken := s.wakeups.next()
		head, err := s.Head(ctx)
		if err != nil || head > after {
			return head, err
		}
		select {
		case <-woken:
		case <-s.closing:
			return 0, eventstore.ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// wakeups tells all who wait that they should look again.
type wakeups struct {
	joined chan struct{} // holds something after somebody began to wait

	mu      sync.Mutex
	waiting int
	woken   chan struct{}
}

func newWakeups() *wakeups {
	return &wakeups{joined: make(chan struct{}, 1), woken: make(chan struct{})}
}

// join and leave surround a wait.
func (w *wakeups) join() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	select {
	case w.joined <- struct{}{}:
	default:
	}
}

func (w *wakeups) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

func (w *wakeups) anybody() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting > 0
}

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

// slowest is how many poll intervals the pause between looks grows to.
const slowest = 10

// poller finds out about commits of other processes. It runs in a goroutine of
// its own from Open to Close, and sleeps while nobody waits.
type poller struct {
	conn     *connection // must be one: the data version is compared with itself
	wakeups  *wakeups
	interval time.Duration
	closing  <-chan struct{}
}

func (p *poller) run(ctx context.Context) {
	for {
		select {
		case <-p.wakeups.joined:
			p.watch(ctx)
		case <-p.closing:
			return
		}
	}
}

// watch looks again and again, for as long as somebody waits. A commit changes
// the data version that other connections see. What was committed before the
// last look, the waiter saw in the head; what comes after, the next look finds.
func (p *poller) watch(ctx context.Context) {
	var last int64
	timer := time.NewTimer(p.interval)
	defer timer.Stop()
	for pause := p.interval; p.wakeups.anybody(); {
		select {
		case <-timer.C:
		case <-p.closing:
			return
		}
		version, err := p.conn.number(ctx, "PRAGMA data_version")
		if err != nil || version != last {
			last, pause = version, p.interval
			p.wakeups.wake() // in case of an error: whoever waits meets it by himself
		} else {
			pause = min(2*pause, slowest*p.interval)
		}
		timer.Reset(pause)
	}
}
