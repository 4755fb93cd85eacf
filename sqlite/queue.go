package sqlite

import (
	"slices"
	"sync"

	"github.com/evident-go/evident/eventstore"
)

// queue holds the appends that wait for the writer. While one flush is on its
// way to the disk the next one gathers here, so nobody waits for a timer, and
// an append that is alone waits for nobody.
type queue struct {
	ready chan struct{} // holds something while somebody waits

	mu      sync.Mutex
	waiting []*request
	closed  bool
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return eventstore.ErrClosed
	}
	q.waiting = append(q.waiting, r)
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// withdraw takes r out and reports whether it still waited.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// take returns those who wait, in order, with at most the given number of
// events unless the first alone has more.
func (q *queue) take(most int) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, events := 0, 0
	for n < len(q.waiting) && (n == 0 || events+q.waiting[n].events <= most) {
		events += q.waiting[n].events
		n++
	}
	taken := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) > 0 {
		q.signal()
	} else {
		q.waiting = nil
	}
	return taken
}

// close refuses further appends and those that wait.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, r := range q.waiting {
		r.answer(eventstore.Result{}, eventstore.ErrClosed)
	}
	q.waiting = nil
}
