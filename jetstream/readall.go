package jetstream

import (
	"context"
	"errors"
	"iter"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// pageSize is how many messages are asked for at a time, and up to how many it is
// cheaper to ask for all of them than for those that a filter lets through.
const pageSize = 512

// ReadAll implements [eventstore.Store]. The end is the last position that the
// leader names when reading begins, never a pause in what comes.
//
// The server filters by tenant, aggregate types and aggregate id, as long as
// there is much to leave out; everything else in a query is filtered here: event
// types, actor, correlation and time. So a query for a rare type of event reads
// all that the other conditions let through.
func (s *Store) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		r, err := s.openAll(ctx, query)
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		r.yield = yield
		if query.Direction == eventstore.Backward {
			err = r.backward(ctx)
		} else {
			err = r.forward(ctx)
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield(event.Event{}, err)
		}
	}
}

// errEnough ends reading: nobody wants any more.
var errEnough = errors.New("enough")

// reading goes through the positions above low, up to high.
type reading struct {
	store     *Store
	query     eventstore.Query
	low, high uint64
	left      int // how many events are still wanted
	yield     func(event.Event, error) bool
}

func (s *Store) openAll(ctx context.Context, query eventstore.Query) (*reading, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if err := query.Validate(); err != nil {
		return nil, err
	}
	if bound := s.config.TenantID; bound != "" {
		if query.TenantID == "" {
			query.TenantID = bound
		}
		if err := s.checkTenant(query.TenantID); err != nil {
			return nil, err
		}
	}
	head, err := s.Head(ctx)
	if err != nil {
		return nil, err
	}
	if query.Until != 0 {
		head = min(head, query.Until)
	}
	return &reading{store: s, query: query, low: query.After, high: head, left: limitOf(query.Limit)}, nil
}

// forward reads what is near page by page and what is far by a consumer, which
// is faster for many events and costs more to begin with.
func (r *reading) forward(ctx context.Context) error {
	if r.low >= r.high {
		return nil
	}
	filters := r.store.subjects.filters(r.query)
	if r.high-r.low <= pageSize || filters == nil && r.few() {
		return r.pages(ctx)
	}
	end, err := r.end(ctx, filters)
	if err != nil || r.low >= end {
		return err
	}
	return r.follow(ctx, filters, end)
}

// few reports whether one page has all that is wanted.
func (r *reading) few() bool { return !r.picks() && r.left <= pageSize }

// picks reports whether some messages may not be wanted.
func (r *reading) picks() bool {
	q := r.query
	return len(q.Types) > 0 || q.ActorID != "" || q.CorrelationID != [16]byte{} || !q.OccurredFrom.IsZero() || !q.OccurredUntil.IsZero()
}

// end returns the position of a message at or below which the server has
// everything that is wanted of what filters let through. With filters the last
// message of the log may never come.
func (r *reading) end(ctx context.Context, filters []string) (uint64, error) {
	if filters == nil {
		return r.high, nil
	}
	last, err := r.store.lastOf(ctx, filters)
	return min(last, r.high), err
}

// lastOf asks the leader for the last message on any of some subjects, 0 if there
// is none.
func (s *Store) lastOf(ctx context.Context, filters []string) (last uint64, err error) {
	for _, filter := range filters {
		m, err := s.lookupUntil(ctx, question{Last: filter}, max(counting, s.config.PublishTimeout), func(*found) error { return nil })
		if err != nil {
			return 0, err
		}
		if m != nil {
			last = max(last, m.Seq)
		}
	}
	return last, nil
}

// pages reads without a filter.
func (r *reading) pages(ctx context.Context) error {
	for r.low < r.high {
		size := min(r.high-r.low, pageSize)
		if !r.picks() {
			size = min(size, uint64(r.left)) //nolint:gosec // is above 0 while anything is wanted.
		}
		messages, err := r.store.pageFrom(ctx, "", r.low+1, int(size))
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := r.take(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// pageFrom returns the next messages on a subject from a place on, at least one:
// there has to be one. A replica that does not have it yet is behind.
func (s *Store) pageFrom(ctx context.Context, filter string, from uint64, size int) ([]message, error) {
	tries := newTries()
	for {
		messages, err := s.page(ctx, pageQuestion{Seq: from, Next: filter, Batch: size})
		if len(messages) > 0 || err != nil {
			return messages, err
		}
		if !tries.more(ctx) {
			return nil, unavailable("read stream "+s.stream, errors.New("no replica has what the leader has"))
		}
	}
}

// take yields what m is, if it is wanted. It returns errEnough when nothing more
// is.
func (r *reading) take(ctx context.Context, m message) error {
	if m.seq > r.high {
		return errEnough
	}
	r.low = m.seq
	e, wanted, err := r.wanted(m)
	if err != nil || !wanted {
		return err
	}
	return r.give(ctx, &e)
}

// wanted returns the event that m is, and whether the query is about it.
func (r *reading) wanted(m message) (stored, bool, error) {
	if m.subject == r.store.subjects.guard {
		return stored{}, false, nil
	}
	e, err := r.store.decode(m)
	if err != nil {
		return stored{}, false, err
	}
	return e, r.query.Matches(&e.Event), nil
}

// give yields an event.
func (r *reading) give(ctx context.Context, e *stored) error {
	whole, err := e.whole()
	if err == nil {
		err = r.store.usable(ctx)
	}
	if err != nil {
		return err
	}
	if !r.yield(whole, nil) {
		return errEnough
	}
	if r.left--; r.left == 0 {
		return errEnough
	}
	return nil
}
