package memory

import (
	"context"
	"iter"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// ReadStream implements [eventstore.Store]. It yields the stream as it was
// when reading began.
func (s *Store) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		positions, err := s.openRead(ctx, &stream, query)
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		left := query.Limit
		for version := range between(query.From, query.To, uint64(len(positions)), query.Direction) {
			e, r, err := s.look(ctx, positions[version-1])
			if !s.deliver(&e, r, err, yield) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// openRead returns the positions of a stream's versions as they are now. What
// they are never changes, so they are read without the lock.
func (s *Store) openRead(ctx context.Context, stream *eventstore.Stream, query eventstore.StreamQuery) ([]uint64, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if err := stream.Validate(); err != nil {
		return nil, err
	}
	if err := query.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.target(stream)
	if !t.exists {
		return nil, nil
	}
	st := s.streams.at(t.number)
	return s.places.at(st.positions)[:st.version], nil
}

// ReadAll implements [eventstore.Store]. It takes no lock.
func (s *Store) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		head, err := s.Head(ctx)
		if err == nil {
			err = query.Validate()
		}
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		if query.After >= head {
			return
		}
		left := query.Limit
		for position := range between(query.After+1, query.Until, head, query.Direction) {
			e, r, err := s.look(ctx, position)
			if err == nil && !query.Matches(&e) {
				continue
			}
			if !s.deliver(&e, r, err, yield) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// look returns what stands at a position, as far as queries ask for it.
func (s *Store) look(ctx context.Context, position uint64) (event.Event, *record, error) {
	if err := s.usable(ctx); err != nil {
		return event.Event{}, nil, err
	}
	r := s.log.at(position - 1)
	return s.envelope(position, r), r, nil
}

// deliver completes an event and yields it, or yields the error. It reports
// whether reading goes on.
func (s *Store) deliver(e *event.Event, r *record, err error, yield func(event.Event, error) bool) bool {
	if err == nil {
		err = s.fill(e, r)
	}
	if err != nil {
		yield(event.Event{}, err)
		return false
	}
	return yield(*e, nil)
}

// between yields the numbers of a range, both ends inclusive, as far as they
// lie within 1 to last; an end that is 0 is no bound.
func between(from, to, last uint64, direction eventstore.Direction) iter.Seq[uint64] {
	from = max(from, 1)
	if to == 0 || to > last {
		to = last
	}
	return func(yield func(uint64) bool) {
		if from > to {
			return
		}
		for i := range to - from + 1 {
			n := from + i
			if direction == eventstore.Backward {
				n = to - i
			}
			if !yield(n) {
				return
			}
		}
	}
}
