package jetstream

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// How many versions are asked for at a time: fewer at first, for those who want
// the first ones only. Servers take 1,024 at the most.
const (
	firstVersions = 256
	mostVersions  = 512
)

// ReadStream implements [eventstore.Store]. It asks the leader for the stream's
// last version, and any replica for the events up to there: what was acknowledged
// before is never missed, and nothing is taken for the end that is none. A version
// that is not there is an error that matches [eventstore.ErrCorrupt].
func (s *Store) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		low, high, err := s.openStream(ctx, stream, query)
		name := s.subjects.stream(stream)
		left, size := limitOf(query.Limit), uint64(firstVersions)
		for err == nil && low < high && left > 0 {
			from, to := part(low, high, min(size, uint64(left)), query.Direction)
			var events []stored
			if events, err = s.readVersions(ctx, name, from, to); err != nil {
				break
			}
			if query.Direction == eventstore.Backward {
				slices.Reverse(events)
				high = from
			} else {
				low = to
			}
			left -= len(events)
			if !s.yieldAll(ctx, events, yield) {
				return
			}
			size = min(2*size, mostVersions)
		}
		if err != nil {
			yield(event.Event{}, err)
		}
	}
}

// openStream returns which versions a query is about: those above low, up to high.
func (s *Store) openStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) (low, high uint64, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, 0, err
	}
	if err := stream.Validate(); err != nil {
		return 0, 0, err
	}
	if err := query.Validate(); err != nil {
		return 0, 0, err
	}
	if err := s.checkTenant(stream.TenantID); err != nil {
		return 0, 0, err
	}
	if high, err = s.lastVersion(ctx, s.subjects.stream(stream)); err != nil {
		return 0, 0, err
	}
	if query.To != 0 {
		high = min(high, query.To)
	}
	return max(query.From, 1) - 1, high, nil
}

// part returns the next numbers above low, up to high, at most size of them.
func part(low, high, size uint64, direction eventstore.Direction) (from, to uint64) {
	switch {
	case high-low <= size:
		return low, high
	case direction == eventstore.Backward:
		return high - size, high
	default:
		return low, low + size
	}
}

// limitOf returns how many events a limit allows; 0 allows all.
func limitOf(limit int) int {
	if limit == 0 {
		return math.MaxInt
	}
	return limit
}

// yieldAll reports whether reading goes on.
func (s *Store) yieldAll(ctx context.Context, events []stored, yield func(event.Event, error) bool) bool {
	for i := range events {
		e, err := events[i].whole()
		if err == nil {
			err = s.usable(ctx)
		}
		if err != nil {
			yield(event.Event{}, err)
			return false
		}
		if !yield(e, nil) {
			return false
		}
		events[i] = stored{} // the caller's now
	}
	return true
}

// readVersions returns the versions of a stream above low, up to high, which all
// have to be there.
func (s *Store) readVersions(ctx context.Context, stream string, low, high uint64) ([]stored, error) {
	events := make([]stored, 0, high-low)
	tries := newTries()
	for low < high {
		before := low
		messages, err := s.page(ctx, pageQuestion{LastOf: versionsOf(stream, low, high)})
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			e, err := s.decode(m)
			if err != nil {
				return nil, err
			}
			if low++; e.AggregateVersion != low {
				return nil, fmt.Errorf("stream %s: version %d follows %d: %w", stream, e.AggregateVersion, low-1, eventstore.ErrCorrupt)
			}
			events = append(events, e)
		}
		if low > before {
			continue // the page was full, or the replica is behind
		}
		if err := s.missing(ctx, stream, low+1); err != nil {
			return nil, err
		}
		if !tries.more(ctx) {
			return nil, unavailable("read stream "+s.stream, fmt.Errorf("no replica has version %d of %s", low+1, stream))
		}
	}
	return events, nil
}

func versionsOf(stream string, low, high uint64) []string {
	subjects := make([]string, 0, high-low)
	for version := low + 1; version <= high; version++ {
		subjects = append(subjects, versionOf(stream, version))
	}
	return subjects
}

// missing returns an error if the leader does not have a version either that has
// to be there, nor the others.
func (s *Store) missing(ctx context.Context, stream string, version uint64) error {
	m, err := s.lookup(ctx, question{Last: versionOf(stream, version)})
	if m != nil || err != nil {
		return err
	}
	absent, err := s.isAbsent(ctx, stream, version)
	if absent {
		err = fmt.Errorf("stream %s has no version %d: %w", stream, version, eventstore.ErrCorrupt)
	}
	return err
}
