package process

import (
	"container/heap"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// waiting is one timeout that an instance waits for.
type waiting struct {
	stream      eventstore.Stream
	name        string
	set         uuid.UUID // id of the TimeoutSet
	correlation uuid.UUID // of that
	position    uint64    // of that
	due         time.Time
	next        time.Time // when it is to be tried: when it is due, or later after a failure
	failures    int
	index       int      // in the queue
	sibling     *waiting // another of the same instance, or nil
}

// cause returns the TimeoutSet, as far as others are caused by it.
func (w *waiting) cause() event.Event {
	return event.Event{ID: w.set, TenantID: w.stream.TenantID, CorrelationID: w.correlation, Position: w.position}
}

// timeouts are those that all instances of a process wait for, as far as the
// log has been read. They are not safe for concurrent use.
type timeouts struct {
	byStream map[eventstore.Stream]*waiting // the first of an instance
	queue    queue
	failing  int   // how many could not be recorded when they came
	failure  error // why the last of these could not
	handlers *event.Handlers[*timeouts]
}

func newTimeouts(codec event.Codec) (*timeouts, error) {
	handlers, err := event.NewHandlers(codec,
		event.Handle(func(t *timeouts, e event.Of[TimeoutSet]) error { t.add(e); return nil }),
		event.Handle(func(t *timeouts, e event.Of[TimeoutCancelled]) error {
			t.drop(eventstore.StreamOf(e.Event), e.Payload.Name)
			return nil
		}),
		event.Handle(func(t *timeouts, e event.Of[TimeoutElapsed]) error { t.elapsed(e); return nil }),
		event.Handle(func(t *timeouts, e event.Of[Failed]) error { t.dropAll(eventstore.StreamOf(e.Event)); return nil }),
		event.Handle(func(t *timeouts, e event.Of[Ended]) error { t.dropAll(eventstore.StreamOf(e.Event)); return nil }),
	)
	return &timeouts{byStream: make(map[eventstore.Stream]*waiting), handlers: handlers}, err
}

// clear forgets everything, before the log is read again.
func (t *timeouts) clear() {
	clear(t.byStream)
	t.queue, t.failing, t.failure = queue{}, 0, nil
}

// observe takes note of an event of the log.
func (t *timeouts) observe(e event.Event) error {
	_, err := t.handlers.Handle(t, e)
	return err
}

func (t *timeouts) add(e event.Of[TimeoutSet]) {
	stream := eventstore.StreamOf(e.Event)
	t.drop(stream, e.Payload.Name)
	w := &waiting{
		stream: stream, name: e.Payload.Name, due: e.Payload.Due, next: e.Payload.Due,
		set: e.ID, correlation: e.CorrelationID, position: e.Position, sibling: t.byStream[stream],
	}
	t.byStream[stream] = w
	heap.Push(&t.queue, w)
}

// find returns what an instance waits for under a name, or nil.
func (t *timeouts) find(stream eventstore.Stream, name string) *waiting {
	w := t.byStream[stream]
	for w != nil && w.name != name {
		w = w.sibling
	}
	return w
}

// elapsed drops the timeout that an event says has come, unless it has been
// set anew.
func (t *timeouts) elapsed(e event.Of[TimeoutElapsed]) {
	if w := t.find(eventstore.StreamOf(e.Event), e.Payload.Name); w != nil && w.set == e.Payload.Set {
		t.remove(w)
	}
}

func (t *timeouts) drop(stream eventstore.Stream, name string) {
	if w := t.find(stream, name); w != nil {
		t.remove(w)
	}
}

func (t *timeouts) dropAll(stream eventstore.Stream) {
	for w := t.byStream[stream]; w != nil; w = t.byStream[stream] {
		t.remove(w)
	}
}

func (t *timeouts) remove(w *waiting) {
	heap.Remove(&t.queue, w.index)
	if w.failures > 0 {
		t.failing--
	}
	if t.failing == 0 {
		t.failure = nil
	}
	t.detach(w)
}

// detach takes one out of those of its instance.
func (t *timeouts) detach(w *waiting) {
	first := t.byStream[w.stream]
	switch {
	case first != w:
		for first.sibling != w {
			first = first.sibling
		}
		first.sibling = w.sibling
	case w.sibling != nil:
		t.byStream[w.stream] = w.sibling
	default:
		delete(t.byStream, w.stream)
	}
}

// first returns the one that is to be tried first, or nil.
func (t *timeouts) first() *waiting {
	if t.queue.Len() == 0 {
		return nil
	}
	return t.queue.items[0]
}

// postpone has one that could not be recorded tried again at a time.
func (t *timeouts) postpone(w *waiting, next time.Time, failure error) {
	if w.failures == 0 {
		t.failing++
	}
	w.next, t.failure = next, failure
	w.failures++
	heap.Fix(&t.queue, w.index)
}

// hasten has all that were postponed tried when they are due: the clock by
// which they were was wrong.
func (t *timeouts) hasten() {
	for _, w := range t.queue.items {
		w.next = w.due
	}
	heap.Init(&t.queue)
}

// lowWater returns the position up to which nobody need read the log to know
// of all that are waited for, if it was read up to a position.
func (t *timeouts) lowWater(read uint64) uint64 {
	for _, w := range t.queue.items {
		read = min(read, w.position-1)
	}
	return read
}

// types returns the types of the events that say what is waited for.
func (t *timeouts) types() []string { return t.handlers.Types() }

// queue is a heap of timeouts, by the time when they are to be tried.
type queue struct{ items []*waiting }

// Len implements [heap.Interface].
func (q *queue) Len() int { return len(q.items) }

// Less implements [heap.Interface].
func (q *queue) Less(i, j int) bool { return q.items[i].next.Before(q.items[j].next) }

// Swap implements [heap.Interface].
func (q *queue) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.items[i].index, q.items[j].index = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	w, ok := x.(*waiting)
	if !ok {
		return // nothing else is ever pushed
	}
	w.index = len(q.items)
	q.items = append(q.items, w)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(q.items) - 1
	w := q.items[last]
	q.items[last] = nil
	q.items = q.items[:last]
	return w
}
