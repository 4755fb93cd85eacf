package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/evident-go/evident/eventstore"
)

// Append implements [eventstore.Store]. Appends that are made at the same time
// are written in one transaction, each judged by its own expectations.
//
// If ctx ends while the append waits to be written, nothing is stored and the
// error is ctx's. If ctx ends while it is being written together with others,
// Append does not wait for the disk: the error is an
// [*eventstore.OutcomeUnknownError]. An append that nobody else's is written
// with is finished, and its outcome known.
//
// An Append inside a transaction of the same store waits for that transaction
// to end, that is, for ever: append outside of projection handlers.
func (s *Store) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	if err := s.usable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	if err := eventstore.CheckAppends(s.config.Limits, appends); err != nil {
		return eventstore.Result{}, err
	}
	r, err := newRequest(appends)
	if err != nil {
		return eventstore.Result{}, err
	}
	if s.flusher.alone(ctx, r) {
		return r.result, r.err
	}
	if err := s.queue.add(r); err != nil {
		return eventstore.Result{}, err
	}
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
		return s.abandon(ctx, r)
	}
}

// abandon ends an append whose caller waits no longer.
func (s *Store) abandon(ctx context.Context, r *request) (eventstore.Result, error) {
	if s.queue.withdraw(r) {
		return eventstore.Result{}, ctx.Err()
	}
	select {
	case <-r.done:
		return r.result, r.err
	default:
		return eventstore.Result{}, &eventstore.OutcomeUnknownError{Stream: r.streams[0].Stream, Err: ctx.Err()}
	}
}

// request is an append on its way to the writer.
type request struct {
	streams []target
	rows    []driver.NamedValue // for all events in order, insertedColumns each
	events  int

	result eventstore.Result // set before done is closed, as is err
	err    error
	done   chan struct{}
}

// target is one stream of an append.
type target struct {
	eventstore.Stream

	expected eventstore.Expectation
	rows     []driver.NamedValue // its part of the request's rows
	id       []byte              // of the aggregate
}

// newRequest encodes an append, in the caller's own time.
func newRequest(appends []eventstore.Append) (*request, error) {
	r := &request{streams: make([]target, len(appends)), done: make(chan struct{})}
	for i := range appends {
		r.events += len(appends[i].Events)
	}
	r.rows = make([]driver.NamedValue, 0, r.events*insertedColumns)
	for i := range appends {
		a, from := &appends[i], len(r.rows)
		for j := range a.Events {
			rows, err := encode(r.rows, a.Stream, &a.Events[j])
			if err != nil {
				return nil, err
			}
			r.rows = rows
		}
		id := a.Stream.AggregateID
		r.streams[i] = target{Stream: a.Stream, expected: a.Expected, rows: r.rows[from:], id: id[:]}
	}
	return r, nil
}

// events returns how many events the append has for the stream.
func (t *target) events() int { return len(t.rows) / insertedColumns }

// row returns the arguments of the insert of event i.
func (t *target) row(i int) []driver.NamedValue {
	return t.rows[i*insertedColumns : (i+1)*insertedColumns]
}

// answer lets the caller go on.
func (r *request) answer(result eventstore.Result, err error) {
	r.result, r.err = result, err
	close(r.done)
}
