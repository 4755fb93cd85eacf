package memory

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// target is the stream that an append of several goes to. If it exists it has
// a number.
type target struct {
	exists       bool
	number       uint64
	hash         uint64
	tenant, kind uint32
}

// Append implements [eventstore.Store]. A context that has ended stores
// nothing; once the store has begun, the append is finished, so the outcome is
// never unknown.
func (s *Store) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	if err := s.usable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	if err := eventstore.CheckAppends(s.limits, appends); err != nil {
		return eventstore.Result{}, err
	}
	metadata, err := encodeMetadata(appends)
	if err != nil {
		return eventstore.Result{}, err
	}
	now := s.now().UnixMicro()

	s.mu.Lock()
	result, err := s.decide(appends, metadata, now)
	s.mu.Unlock()
	return result, err
}

// decide is what of an append happens under the lock.
func (s *Store) decide(appends []eventstore.Append, metadata [][]byte, now int64) (eventstore.Result, error) {
	if s.seen(appends) {
		return s.repeat(appends)
	}
	if err := s.judge(appends); err != nil {
		return eventstore.Result{}, err
	}
	return s.store(appends, metadata, now), nil
}

// encodeMetadata returns the metadata of all events in order, up to the last
// that has any. It is done before the lock is taken.
func encodeMetadata(appends []eventstore.Append) ([][]byte, error) {
	var encoded [][]byte
	n := 0
	for i := range appends {
		for j := range appends[i].Events {
			if e := &appends[i].Events[j]; len(e.Metadata) > 0 {
				data, err := event.EncodeMetadata(e.Metadata)
				if err != nil {
					return nil, err
				}
				encoded = slices.Grow(encoded, n+1-len(encoded))[:n+1]
				encoded[n] = data
			}
			n++
		}
	}
	return encoded, nil
}

// judge checks everything that depends on what is stored. Afterwards the
// append cannot fail any more.
func (s *Store) judge(appends []eventstore.Append) error {
	s.targets = s.targets[:0]
	for i := range appends {
		a := &appends[i]
		t := s.target(&a.Stream)
		if actual := s.version(t); !a.Expected.Holds(actual) {
			return &eventstore.ConflictError{Stream: a.Stream, Expected: a.Expected, Actual: actual}
		}
		s.targets = append(s.targets, t)
	}
	for i := range appends {
		a := &appends[i]
		for j := 1; j < len(a.Events); j++ { // that the first is new is known already
			if _, stored := s.position(a.Events[j].ID); stored {
				return &eventstore.DuplicateEventError{EventID: a.Events[j].ID, Stream: a.Stream}
			}
		}
	}
	return nil
}

// store writes the events of an append that was judged, and lets everybody see
// them at once.
func (s *Store) store(appends []eventstore.Append, metadata [][]byte, now int64) eventstore.Result {
	s.clock = max(s.clock, now)
	result := eventstore.Result{RecordedAt: time.UnixMicro(s.clock).UTC()}
	result.Versions, _ = s.versions.take(len(appends))
	n := 0
	for i := range appends {
		a := &appends[i]
		if len(a.Events) == 0 {
			continue
		}
		number, st := s.openStream(&a.Stream, s.targets[i])
		s.extend(st, len(a.Events))
		for j := range a.Events {
			var encoded []byte
			if n < len(metadata) {
				encoded = metadata[n]
			}
			n++
			result.Position = s.write(&a.Events[j], number, st, encoded, s.clock)
		}
		result.Versions[i] = st.version
	}
	if n > 0 {
		s.head.Store(result.Position)
		s.wake()
	}
	return result
}

// write adds one event to the log and to its stream.
func (s *Store) write(e *event.Event, number uint64, st *stream, metadata []byte, recordedAt int64) (position uint64) {
	r, index := s.log.add()
	position = index + 1
	s.places.at(st.positions)[st.version] = position
	st.version++
	s.byID.put(&e.ID, s.hash.id(&e.ID), position-1)

	content, place := s.content.take(len(e.Data) + len(metadata))
	copy(content[copy(content, e.Data):], metadata)
	r.id, r.correlation, r.causation = e.ID, e.CorrelationID, e.CausationID
	r.stream, r.version = number, st.version
	r.kind, r.actor = s.names.number(e.Type), s.names.number(string(e.ActorID))
	r.schemaVersion = e.SchemaVersion
	r.occurredAt, r.recordedAt = e.OccurredAt.UnixMicro(), recordedAt
	r.content, r.metadata = place, uint32(len(metadata)) //nolint:gosec // at most event.MaxMetadataBytes.
	return position
}

// extend makes room for n more versions of a stream. If there is too little it
// moves to a larger place; those who read the old one can go on.
func (s *Store) extend(st *stream, n int) {
	room := s.places.at(st.positions)
	needed := int(st.version) + n //nolint:gosec // a stream's versions fit in memory.
	if needed <= len(room) {
		return
	}
	larger, place := s.places.take(max(needed, 2*len(room)))
	copy(larger, room)
	st.positions = place
}

// openStream returns the stream at t, which is made if it does not exist.
func (s *Store) openStream(id *eventstore.Stream, t target) (number uint64, st *stream) {
	if t.exists {
		return t.number, s.streams.at(t.number)
	}
	if t.hash == 0 {
		t.tenant, t.kind = s.names.number(string(id.TenantID)), s.names.number(id.AggregateType)
		t.hash = s.hash.stream(&id.AggregateID, t.tenant, t.kind)
	}
	st, number = s.streams.add()
	st.id, st.tenant, st.kind = id.AggregateID, t.tenant, t.kind
	s.byIdentity.put(&st.id, t.hash, number)
	return number, st
}

// target finds the stream with the given identity. A name that nobody has used
// yet names no stream; it is taken in only when the append is stored.
func (s *Store) target(id *eventstore.Stream) target {
	tenant, known := s.names.find(string(id.TenantID))
	if !known {
		return target{}
	}
	kind, known := s.names.find(id.AggregateType)
	if !known {
		return target{}
	}
	t := target{tenant: tenant, kind: kind, hash: s.hash.stream(&id.AggregateID, tenant, kind)}
	t.number, t.exists = s.byIdentity.find(&id.AggregateID, t.hash, func(number uint64) bool {
		st := s.streams.at(number)
		return st.id == id.AggregateID && st.tenant == tenant && st.kind == kind
	})
	return t
}

func (s *Store) version(t target) uint64 {
	if !t.exists {
		return 0
	}
	return s.streams.at(t.number).version
}

// position returns where the event with the given id is stored.
func (s *Store) position(id uuid.UUID) (position uint64, stored bool) {
	number, stored := s.byID.find(&id, s.hash.id(&id), func(number uint64) bool { return s.log.at(number).id == id })
	return number + 1, stored
}
