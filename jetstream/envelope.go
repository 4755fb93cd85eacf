package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// envelopeBytes bounds what a message has besides payload and metadata: names,
// ids and times, headers and subject.
const envelopeBytes = 4 << 10

// envelopeFormat is the first byte of a message. Stored events depend on the
// layout, so it never changes; another layout gets another number.
//
//	format, flags, event id, [correlation id,] [causation id,] schema version,
//	occurred at, recorded at, type, actor, metadata, payload
//
// Ids are 16 bytes, numbers are variable in length, times are microseconds since
// 1970, texts stand behind their length; the payload is the rest. Tenant,
// aggregate and version are in the subject, the position is the message's place.
const envelopeFormat = 1

const (
	hasCorrelation byte = 1 << iota
	hasCausation
)

// encodeEnvelope returns the message's body for e, with metadata encoded.
func encodeEnvelope(e *event.Event, metadata []byte, recordedAt time.Time) []byte {
	const fixed = 2 + 3*16 + 6*binary.MaxVarintLen64
	b := make([]byte, 0, fixed+len(e.Type)+len(e.ActorID)+len(metadata)+len(e.Data))
	b = append(b, envelopeFormat, flagsOf(e))
	b = append(b, e.ID[:]...)
	if e.CorrelationID != uuid.Nil {
		b = append(b, e.CorrelationID[:]...)
	}
	if e.CausationID != uuid.Nil {
		b = append(b, e.CausationID[:]...)
	}
	b = binary.AppendUvarint(b, uint64(e.SchemaVersion)) //nolint:gosec // checked to be 1 or more.
	b = binary.AppendVarint(b, event.Time(e.OccurredAt).UnixMicro())
	b = binary.AppendVarint(b, recordedAt.UnixMicro())
	b = appendText(b, e.Type)
	b = appendText(b, string(e.ActorID))
	b = appendText(b, metadata)
	return append(b, e.Data...)
}

func flagsOf(e *event.Event) (flags byte) {
	if e.CorrelationID != uuid.Nil {
		flags |= hasCorrelation
	}
	if e.CausationID != uuid.Nil {
		flags |= hasCausation
	}
	return flags
}

func appendText[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// message is one message of the stream as any of the ways to read gives it.
type message struct {
	subject string
	seq     uint64
	data    []byte
}

// stored is an event that was read. Its metadata is decoded when somebody wants
// the event.
type stored struct {
	event.Event

	metadata []byte
}

// decode returns the event that m is. What cannot be read is damaged.
func (s *Store) decode(m message) (stored, error) {
	of, version, err := s.subjects.parse(m.subject)
	if err != nil {
		return stored{}, damaged(m, err)
	}
	e, err := decodeEnvelope(m.data)
	if err != nil {
		return stored{}, damaged(m, err)
	}
	e.TenantID, e.AggregateType, e.AggregateID = of.TenantID, of.AggregateType, of.AggregateID
	e.AggregateVersion, e.Position = version, m.seq
	return e, nil
}

// whole returns the event with its metadata.
func (e *stored) whole() (event.Event, error) {
	metadata, err := event.DecodeMetadata(e.metadata)
	if err != nil {
		return event.Event{}, fmt.Errorf("message %d: %w: %w", e.Position, eventstore.ErrCorrupt, err)
	}
	e.Metadata = metadata
	return e.Event, nil
}

func damaged(m message, err error) error {
	return fmt.Errorf("message %d on %s: %w: %w", m.seq, shown(m.subject), eventstore.ErrCorrupt, err)
}

func decodeEnvelope(data []byte) (stored, error) {
	r := envelopeReader{rest: data}
	if format := r.byte(); format != envelopeFormat {
		return stored{}, fmt.Errorf("envelope has format %d, known is %d", format, envelopeFormat)
	}
	var e stored
	flags := r.byte()
	e.ID = r.id()
	if flags&hasCorrelation != 0 {
		e.CorrelationID = r.id()
	}
	if flags&hasCausation != 0 {
		e.CausationID = r.id()
	}
	e.SchemaVersion = int(r.unsigned()) //nolint:gosec // was an int when it was stored.
	e.OccurredAt, e.RecordedAt = r.time(), r.time()
	e.Type, e.ActorID = string(r.text()), event.ActorID(r.text())
	e.metadata = r.text()
	if r.short {
		return stored{}, errors.New("envelope is too short")
	}
	if len(r.rest) > 0 {
		e.Data = slices.Clip(r.rest)
	}
	return e, nil
}

// envelopeReader reads one field after the other, and notes when there is too
// little.
type envelopeReader struct {
	rest  []byte
	short bool
}

func (r *envelopeReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.short = nil, true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *envelopeReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *envelopeReader) id() (id uuid.UUID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *envelopeReader) unsigned() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		n = -1
	}
	r.take(n)
	return v
}

func (r *envelopeReader) time() time.Time {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		n = -1
	}
	r.take(n)
	return time.UnixMicro(v).UTC()
}

func (r *envelopeReader) text() []byte {
	n := r.unsigned()
	if n > uint64(len(r.rest)) {
		return r.take(-1)
	}
	return r.take(int(n)) //nolint:gosec // at most what there is.
}
