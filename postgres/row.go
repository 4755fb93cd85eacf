package postgres

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// eventColumns is how an event is read, in the order of the constants below.
const eventColumns = "position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id, correlation_id, causation_id, " +
	"event_type, aggregate_type, tenant_id, actor_id, metadata, payload"

const (
	colPosition = iota
	colAggregateVersion
	colOccurredAt
	colRecordedAt
	colSchemaVersion
	colID
	colAggregateID
	colCorrelationID
	colCausationID
	colType
	colAggregateType
	colTenantID
	colActorID
	colMetadata
	colPayload
	eventColumnCount
)

// decoder turns rows into events. Values arrive in PostgreSQL's binary format;
// to go through a codec for each would take longer than the rest of a read.
type decoder struct {
	names map[string]string // the few names that occur again and again
	err   error
}

func newDecoder() *decoder { return &decoder{names: make(map[string]string)} }

// decode returns the event of a row. The row's bytes are the connection's own
// and are copied.
func (d *decoder) decode(row [][]byte) (event.Event, error) {
	if len(row) != eventColumnCount {
		return event.Event{}, fmt.Errorf("%w: a row has %d columns", eventstore.ErrCorrupt, len(row))
	}
	d.err = nil
	e := event.Event{
		Position:         d.unsigned(row[colPosition]),
		AggregateVersion: d.unsigned(row[colAggregateVersion]),
		OccurredAt:       d.time(row[colOccurredAt]),
		RecordedAt:       d.time(row[colRecordedAt]),
		SchemaVersion:    int(d.integer(row[colSchemaVersion])),
		ID:               d.id(row[colID]),
		AggregateID:      d.id(row[colAggregateID]),
		CorrelationID:    d.optionalID(row[colCorrelationID]),
		CausationID:      d.optionalID(row[colCausationID]),
		Type:             d.name(row[colType]),
		AggregateType:    d.name(row[colAggregateType]),
		TenantID:         event.TenantID(d.name(row[colTenantID])),
		ActorID:          event.ActorID(d.name(row[colActorID])),
		Data:             append(make([]byte, 0, len(row[colPayload])), row[colPayload]...),
	}
	if row[colMetadata] != nil && d.err == nil {
		e.Metadata, d.err = event.DecodeMetadata(row[colMetadata])
	}
	if d.err != nil {
		return event.Event{}, fmt.Errorf("%w: event at position %d: %w", eventstore.ErrCorrupt, e.Position, d.err)
	}
	return e, nil
}

func (d *decoder) expect(value []byte, size int) bool {
	if len(value) != size && d.err == nil {
		d.err = fmt.Errorf("a value has %d bytes in place of %d", len(value), size)
	}
	return len(value) == size
}

func (d *decoder) integer(value []byte) int64 {
	if !d.expect(value, 8) {
		return 0
	}
	return int64(binary.BigEndian.Uint64(value))
}

// unsigned reads a position or a version, which are not negative.
func (d *decoder) unsigned(value []byte) uint64 { return unsigned(d.integer(value)) }

// epoch is where PostgreSQL counts microseconds from, in Unix time.
const epoch = 946684800

func (d *decoder) time(value []byte) time.Time {
	micros := d.integer(value)
	return time.UnixMicro(micros + epoch*1e6).UTC()
}

func (d *decoder) id(value []byte) (id uuid.UUID) {
	if d.expect(value, len(id)) {
		copy(id[:], value)
	}
	return id
}

func (d *decoder) optionalID(value []byte) uuid.UUID {
	if value == nil {
		return uuid.Nil
	}
	return d.id(value)
}

// mostNames bounds what a read remembers of actors.
const mostNames = 4096

// name returns a text, the same one for equal values.
func (d *decoder) name(value []byte) string {
	if len(value) == 0 {
		return ""
	}
	if known, ok := d.names[string(value)]; ok {
		return known
	}
	if len(d.names) == mostNames {
		clear(d.names)
	}
	name := string(value)
	d.names[name] = name
	return name
}

// page is a part of a read.
type page struct {
	events []event.Event
	asked  int  // how many it may be
	size   int  // of payloads, in bytes
	cut    bool // not all rows that came were kept
}

// fill reads rows into the page, in place of what it held, as far as it may
// grow. Rows beyond that are passed over.
func (p *page) fill(rows pgx.Rows, d *decoder) error {
	defer rows.Close()
	p.events, p.size, p.cut = p.events[:0], 0, false
	for rows.Next() {
		if p.cut = p.size >= pageBytes; p.cut {
			break
		}
		e, err := d.decode(rows.RawValues())
		if err != nil {
			return err
		}
		p.events = append(p.events, e)
		p.size += len(e.Data)
	}
	rows.Close()
	return rows.Err()
}
