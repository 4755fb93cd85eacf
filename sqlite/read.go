package sqlite

import (
	"context"
	"iter"
	"math"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// ReadStream implements [eventstore.Store]. No connection is held while the
// caller works on what was yielded.
func (s *Store) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		r := reading{store: s, limit: limitOf(query.Limit), direction: query.Direction}
		err := stream.Validate()
		if err == nil {
			err = query.Validate()
		}
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		r.low, r.high = max(toInteger(query.From), 1)-1, math.MaxInt64
		if query.To != 0 {
			r.high = toInteger(query.To)
		}
		sql := "SELECT " + eventColumns + " FROM events WHERE aggregate_id = ? AND aggregate_type = ? AND tenant_id = ?" +
			" AND aggregate_version > ? AND aggregate_version <= ? ORDER BY aggregate_version" + order(query.Direction) + " LIMIT ?"
		r.yieldAll(ctx, yield, func(c *connection, low, high int64) error {
			return r.page.fill(ctx, c, r.limit, sql, stream.AggregateID[:], stream.AggregateType, string(stream.TenantID), low, high)
		}, func(e *event.Event) uint64 { return e.AggregateVersion })
	}
}

// ReadAll implements [eventstore.Store]. No connection is held while the
// caller works on what was yielded.
func (s *Store) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		r := reading{store: s, limit: limitOf(query.Limit), direction: query.Direction}
		err := query.Validate()
		var head uint64
		if err == nil {
			head, err = s.Head(ctx)
		}
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		r.low, r.high = toInteger(query.After), toInteger(head)
		if query.Until != 0 {
			r.high = min(r.high, toInteger(query.Until))
		}
		where := conditionsOf(query)
		if !where.indexed {
			r.window = s.window
		}
		sql := "SELECT " + eventColumns + " FROM events WHERE position > ? AND position <= ?" + where.sql.String() +
			" ORDER BY position" + order(query.Direction) + " LIMIT ?"
		r.yieldAll(ctx, yield, func(c *connection, low, high int64) error {
			return r.page.fill(ctx, c, r.limit, sql, append(where.bounds(low, high), where.args...)...)
		}, func(e *event.Event) uint64 { return e.Position })
	}
}

// reading goes through the events above low up to high, page by page.
type reading struct {
	store     *Store
	direction eventstore.Direction
	low, high int64 // of versions or positions; what is left to be read
	window    int64 // how much of it a page looks at; 0 for all
	limit     int   // how many events are still wanted
	page      page
}

// yieldAll fetches pages with fetch and yields their events. place tells an
// event's version or position.
func (r *reading) yieldAll(ctx context.Context, yield func(event.Event, error) bool,
	fetch func(c *connection, low, high int64) error, place func(e *event.Event) uint64,
) {
	for r.low < r.high && r.limit > 0 {
		low, high := r.next()
		err := r.store.readers.use(ctx, func(c *connection) error { return fetch(c, low, high) })
		if err != nil {
			yield(event.Event{}, translate("read", r.store.config.Path, err))
			return
		}
		if !r.yieldPage(ctx, yield) {
			return
		}
		r.limit -= len(r.page.events)
		r.advance(low, high, place)
	}
}

// yieldPage reports whether reading goes on.
func (r *reading) yieldPage(ctx context.Context, yield func(event.Event, error) bool) bool {
	for i := range r.page.events {
		if err := r.store.usable(ctx); err != nil {
			yield(event.Event{}, err)
			return false
		}
		if !yield(r.page.events[i], nil) {
			return false
		}
	}
	return true
}

// next returns the bounds of the next page.
func (r *reading) next() (low, high int64) {
	low, high = r.low, r.high
	if r.window == 0 || high-low <= r.window {
		return low, high
	}
	if r.direction == eventstore.Backward {
		return high - r.window, high
	}
	return low, low + r.window
}

// advance takes from what is left what the page, which was asked for between
// low and high, has covered.
func (r *reading) advance(low, high int64, place func(e *event.Event) uint64) {
	backward := r.direction == eventstore.Backward
	if r.page.full {
		last := toInteger(place(r.page.last()))
		low, high = last-1, last
	}
	if backward {
		r.high = low
	} else {
		r.low = high
	}
}

// limitOf returns how many events a limit allows; 0 allows all.
func limitOf(limit int) int {
	if limit == 0 {
		return math.MaxInt
	}
	return limit
}
