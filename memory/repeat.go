package memory

import (
	"time"

	"github.com/evident-go/evident/eventstore"
)

// seen reports whether the first event of any stream is stored already: either
// the append is sent again, or its ids were used for something else.
func (s *Store) seen(appends []eventstore.Append) bool {
	for i := range appends {
		if len(appends[i].Events) == 0 {
			continue
		}
		if _, stored := s.position(appends[i].Events[0].ID); stored {
			return true
		}
	}
	return false
}

// repeat answers an append that is sent again as it was answered at first. All
// its events have to be where it wants them; expectations on streams that it
// does not write held at that time and are not judged again.
func (s *Store) repeat(appends []eventstore.Append) (eventstore.Result, error) {
	result := eventstore.Result{Versions: make([]uint64, len(appends))}
	for i := range appends {
		a := &appends[i]
		for j := range a.Events {
			position, stored := s.position(a.Events[j].ID)
			if !stored {
				return eventstore.Result{}, s.duplicate(appends)
			}
			if !s.placed(a, j, position) {
				return eventstore.Result{}, &eventstore.DuplicateEventError{EventID: a.Events[j].ID, Stream: a.Stream}
			}
			r := s.log.at(position - 1)
			if position > result.Position {
				result.Position, result.RecordedAt = position, time.UnixMicro(r.recordedAt).UTC()
			}
			result.Versions[i] = r.version
		}
	}
	return result, nil
}

// placed reports whether position is where a puts its event j: in its stream,
// at a version that its expectation allows, right behind the event before.
func (s *Store) placed(a *eventstore.Append, j int, position uint64) bool {
	r := s.log.at(position - 1)
	if s.identity(s.streams.at(r.stream)) != a.Stream {
		return false
	}
	if j == 0 {
		return a.Expected.Holds(r.version - 1)
	}
	before, stored := s.position(a.Events[j-1].ID)
	return stored && s.log.at(before-1).version == r.version-1
}

// duplicate names the first event of an append that is stored.
func (s *Store) duplicate(appends []eventstore.Append) error {
	for i := range appends {
		for j := range appends[i].Events {
			id := appends[i].Events[j].ID
			if _, stored := s.position(id); stored {
				return &eventstore.DuplicateEventError{EventID: id, Stream: appends[i].Stream}
			}
		}
	}
	return nil
}
