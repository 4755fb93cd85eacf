package memory

import (
	"context"
	"fmt"
	"iter"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ eventstore.Importer = (*Store)(nil)

// Import implements [eventstore.Importer]. Events are stored one by one.
func (s *Store) Import(ctx context.Context, events iter.Seq2[event.Event, error]) (stored int, err error) {
	for e, err := range events {
		if err == nil {
			err = s.usable(ctx)
		}
		if err != nil {
			return stored, fmt.Errorf("import: %w", err)
		}
		added, err := s.take(&e)
		if err != nil {
			return stored, fmt.Errorf("import event %s: %w", e.ID, err)
		}
		if added {
			stored++
		}
	}
	return stored, nil
}

// take stores an event in the place that it names, and reports whether it was
// new.
func (s *Store) take(e *event.Event) (added bool, err error) {
	if err := eventstore.CheckImport(s.limits, e); err != nil {
		return false, err
	}
	metadata, err := event.EncodeMetadata(e.Metadata)
	if err != nil {
		return false, err
	}
	now := s.now().UnixMicro()

	s.mu.Lock()
	defer s.mu.Unlock()
	stream := eventstore.StreamOf(*e)
	t := s.target(&stream)
	if position, stored := s.position(e.ID); stored {
		return false, s.inPlace(e, stream, position)
	}
	if actual := s.version(t); e.AggregateVersion != actual+1 {
		return false, &eventstore.ConflictError{Stream: stream, Expected: eventstore.Exact(e.AggregateVersion - 1), Actual: actual}
	}
	number, st := s.openStream(&stream, t)
	s.extend(st, 1)
	s.head.Store(s.write(e, number, st, metadata, s.recordedAt(e, now)))
	s.wake()
	return true, nil
}

// recordedAt returns when an imported event was recorded: now, if it does not
// say. What others have recorded does not move the store's own clock.
func (s *Store) recordedAt(e *event.Event, now int64) int64 {
	if !e.RecordedAt.IsZero() {
		return e.RecordedAt.UnixMicro()
	}
	s.clock = max(s.clock, now)
	return s.clock
}

// inPlace refuses an event whose id is stored at another place than its own.
func (s *Store) inPlace(e *event.Event, stream eventstore.Stream, position uint64) error {
	r := s.log.at(position - 1)
	if s.identity(s.streams.at(r.stream)) != stream || r.version != e.AggregateVersion {
		return &eventstore.DuplicateEventError{EventID: e.ID, Stream: stream}
	}
	return nil
}
