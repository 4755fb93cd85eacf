package postgres

import (
	"runtime"
	"slices"
	"sync"

	"github.com/evident-go/evident/eventstore"
)

const (
	// flushers is how many shared calls are on their way at a time: while the
	// database writes one to disk, it works on the next.
	flushers = 2
	// mostEvents and mostStreams bound a shared call: how long others wait for
	// it, and how many locks it takes of the server's common table.
	mostEvents  = 1024
	mostStreams = 256
	// mostHeld is how many appends wait in the database, each with a connection,
	// for streams that transactions of others hold.
	mostHeld = 4
)

// queue holds the appends that wait for a call. While calls are on their way
// the next one gathers here, so nobody waits for a timer, and an append that is
// alone waits for nobody.
//
// Appends to a stream that a call on its way writes to stay behind: in the
// database they would wait for it with everybody in their call.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	waiting []*request
	busy    map[eventstore.Stream]struct{} // streams of calls on their way
	calls   int                            // on their way
	closed  bool
}

func newQueue() *queue {
	q := &queue{busy: make(map[eventstore.Stream]struct{})}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// enter lets r in, and reports whether it is alone and its caller should send
// it at once. Otherwise a flusher will.
func (q *queue) enter(r *request) (alone bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, eventstore.ErrClosed
	}
	if q.calls == 0 && len(q.waiting) == 0 {
		q.send(r)
		q.calls++
		return true, nil
	}
	q.waiting = append(q.waiting, r)
	q.changed.Signal()
	return false, nil
}

func (q *queue) send(r *request) {
	for i := range r.targets {
		q.busy[r.targets[i].Stream] = struct{}{}
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

// take waits for appends and returns those for one call, nil after close. Each
// must be given to free, and returned be called for all of them.
func (q *queue) take() []*request {
	q.company()
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return nil
		}
		if batch := q.gather(); len(batch) > 0 {
			q.calls++
			return batch
		}
		q.changed.Wait()
	}
}

// company lets whoever was answered by the call before, and appends again, come
// along with the next: as long as the queue grows whenever others are let run.
func (q *queue) company() {
	for before, now := -1, q.length(); now > before && now < mostStreams; before, now = now, q.length() {
		runtime.Gosched()
	}
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// gather takes out what fits into one call, in order; who has to stay behind
// keeps his place.
func (q *queue) gather() (batch []*request) {
	events, streams := 0, 0
	stay := q.waiting[:0]
	for i, r := range q.waiting {
		if len(batch) > 0 && (events+r.events > mostEvents || streams+len(r.targets) > mostStreams) {
			stay = append(stay, q.waiting[i:]...)
			break
		}
		if q.isBusy(r) {
			stay = append(stay, r)
			continue
		}
		q.send(r)
		batch = append(batch, r)
		events += r.events
		streams += len(r.targets)
	}
	clear(q.waiting[len(stay):])
	q.waiting = stay
	if len(batch) > 0 && len(stay) > 0 {
		q.changed.Signal() // for the other flusher; if nothing fitted, nothing is for him either
	}
	return batch
}

func (q *queue) isBusy(r *request) bool {
	for i := range r.targets {
		if _, busy := q.busy[r.targets[i].Stream]; busy {
			return true
		}
	}
	return false
}

// returned says that a call has ended.
func (q *queue) returned() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls--
}

// free says that an append has been settled.
func (q *queue) free(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range r.targets {
		delete(q.busy, r.targets[i].Stream)
	}
	if len(q.waiting) > 0 {
		q.changed.Signal()
	}
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
	q.changed.Broadcast()
}
