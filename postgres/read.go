package postgres

import (
	"context"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

const (
	// pageEvents and pageBytes bound what a read holds in memory, twice over: one
	// page is worked on while the next is fetched. Larger pages are not faster.
	pageEvents = 480
	pageBytes  = 4 << 20
)

// ReadStream implements [eventstore.Store]. No connection is held while the
// caller works on what was yielded.
func (s *Store) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return s.readStream(ctx, s.pool, true, stream, query)
}

func (s *Store) readStream(ctx context.Context, q querier, ahead bool, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		r := reading{store: s, from: q, ahead: ahead, limit: limitOf(query.Limit), direction: query.Direction}
		err := stream.Validate()
		if err == nil {
			err = query.Validate()
		}
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		r.low, r.high = max(signed(query.From), 1)-1, math.MaxInt64
		if query.To != 0 {
			r.high = signed(query.To)
		}
		r.events(ctx, ofStream(stream), byVersion)(yield)
	}
}

// ReadAll implements [eventstore.Store]. No connection is held while the
// caller works on what was yielded.
func (s *Store) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return s.readAll(ctx, query)
}

func (s *Store) readAll(ctx context.Context, query eventstore.Query, premises ...premise) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		r := reading{store: s, ahead: true, limit: limitOf(query.Limit), direction: query.Direction}
		err := query.Validate()
		var head uint64
		if err == nil {
			err = s.usable(ctx)
		}
		if err == nil {
			head, err = s.upTo(ctx, query.Until)
		}
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		r.from = s.behind(s.upToDate(premises, head))
		r.low, r.high = signed(query.After), signed(head)
		r.events(ctx, ofAll(query), byPosition)(yield)
	}
}

func byVersion(e *event.Event) uint64  { return e.AggregateVersion }
func byPosition(e *event.Event) uint64 { return e.Position }

// reading goes through the events above low up to high, page by page.
type reading struct {
	store     *Store
	from      querier
	found     selection
	direction eventstore.Direction
	place     func(e *event.Event) uint64 // an event's version or position
	low, high int64                       // of those; what is left to be read
	limit     int                         // how many events are still wanted
	size      int                         // how many the next page asks for
	ahead     bool                        // whether a page is fetched while the one before is worked on
	decoder   *decoder
}

// events yields what a selection finds, in the order of place.
func (r *reading) events(ctx context.Context, found selection, place func(e *event.Event) uint64) iter.Seq2[event.Event, error] {
	r.found, r.place, r.decoder, r.size = found, place, newDecoder(), pageEvents
	return func(yield func(event.Event, error) bool) {
		if r.low >= r.high || r.limit == 0 {
			return
		}
		var fetching sync.WaitGroup
		// A page on its way is waited for: to cut it off would cost the connection.
		defer fetching.Wait()
		p, spare := &page{}, &page{}
		for err := r.fill(ctx, p); ; p, spare = spare, p {
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			more, next := r.advance(p), make(chan error, 1)
			if more && r.ahead {
				fetching.Go(func() { next <- r.fill(ctx, spare) })
			}
			if !r.yieldPage(ctx, p, yield) || !more {
				return
			}
			if r.ahead {
				err = <-next
			} else {
				err = r.fill(ctx, spare)
			}
		}
	}
}

// yieldPage reports whether reading goes on.
func (r *reading) yieldPage(ctx context.Context, p *page, yield func(event.Event, error) bool) bool {
	for i := range p.events {
		if err := r.store.usable(ctx); err != nil {
			yield(event.Event{}, err)
			return false
		}
		if !yield(p.events[i], nil) {
			return false
		}
	}
	return true
}

// fill reads the next page.
func (r *reading) fill(ctx context.Context, p *page) error {
	if err := r.store.usable(ctx); err != nil {
		return err
	}
	scope, free := r.store.scope(ctx)
	defer free()
	p.asked = min(r.size, r.limit)
	rows, err := r.from.Query(scope, r.store.sql(r.found.sql(r.direction)), r.found.where.within(r.low, r.high, p.asked)...)
	if err == nil {
		err = p.fill(rows, r.decoder)
	}
	return r.store.failure("read", err)
}

// advance takes from what is left what a page has covered, and reports whether
// there may be more behind it.
func (r *reading) advance(p *page) bool {
	r.limit -= len(p.events)
	if !p.cut && len(p.events) < p.asked {
		return false
	}
	last := signed(r.place(&p.events[len(p.events)-1]))
	if r.direction == eventstore.Backward {
		r.high = last - 1
	} else {
		r.low = last
	}
	r.size = max(1, min(pageEvents, pageBytes/(p.size/len(p.events)+1)))
	return r.low < r.high && r.limit > 0
}

// limitOf returns how many events a limit allows; 0 allows all.
func limitOf(limit int) int {
	if limit == 0 {
		return math.MaxInt
	}
	return limit
}

// signed returns n as PostgreSQL can hold it. A bound beyond that is beyond
// every event there can be.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// unsigned returns a count that PostgreSQL keeps as a signed number.
func unsigned(n int64) uint64 { return uint64(max(n, 0)) }

// ceilMicros returns the first microsecond that is not before t.
func ceilMicros(t time.Time) time.Time {
	if down := t.Truncate(time.Microsecond); !down.Equal(t) {
		return down.Add(time.Microsecond)
	}
	return t
}
