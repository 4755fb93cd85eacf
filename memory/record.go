package memory

import (
	"bytes"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// record is an event as it is kept, without pointers. Its position is its
// number in the log plus one.
type record struct {
	id, correlation, causation uuid.UUID

	stream        uint64 // number in Store.streams
	version       uint64
	kind, actor   uint32 // numbers in Store.names
	schemaVersion int
	occurredAt    int64 // microseconds since 1970
	recordedAt    int64
	content       span   // the payload, and the metadata behind it
	metadata      uint32 // how many bytes of content are metadata
}

// stream is one aggregate's events. Who it is never changes and is read
// without the lock; the rest changes under it.
type stream struct {
	id           uuid.UUID
	tenant, kind uint32 // numbers in Store.names

	version   uint64
	positions span // of the versions; has room for more of them
}

// identity returns what the stream is called outside.
func (s *Store) identity(st *stream) eventstore.Stream {
	return eventstore.Stream{
		TenantID:      event.TenantID(s.names.text(st.tenant)),
		AggregateType: s.names.text(st.kind),
		AggregateID:   st.id,
	}
}

// envelope returns the event at a position without payload and metadata.
func (s *Store) envelope(position uint64, r *record) event.Event {
	id := s.identity(s.streams.at(r.stream))
	return event.Event{
		ID:               r.id,
		Type:             s.names.text(r.kind),
		SchemaVersion:    r.schemaVersion,
		AggregateType:    id.AggregateType,
		AggregateID:      id.AggregateID,
		AggregateVersion: r.version,
		TenantID:         id.TenantID,
		ActorID:          event.ActorID(s.names.text(r.actor)),
		CorrelationID:    r.correlation,
		CausationID:      r.causation,
		OccurredAt:       time.UnixMicro(r.occurredAt).UTC(),
		RecordedAt:       time.UnixMicro(r.recordedAt).UTC(),
		Position:         position,
	}
}

// fill adds copies of payload and metadata, so that nobody can change what is
// stored by changing what they read.
func (s *Store) fill(e *event.Event, r *record) error {
	content := s.content.at(r.content)
	end := len(content) - int(r.metadata)
	e.Data = bytes.Clone(content[:end])
	if r.metadata == 0 {
		return nil
	}
	var err error
	if e.Metadata, err = event.DecodeMetadata(content[end:]); err != nil {
		return fmt.Errorf("event at position %d: %w: %w", e.Position, eventstore.ErrCorrupt, err)
	}
	return nil
}
