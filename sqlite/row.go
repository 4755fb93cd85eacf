package sqlite

import (
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// eventColumns is how an event is read, in the order of the constants below.
const eventColumns = "event_id, event_type, schema_version, aggregate_type, aggregate_id, aggregate_version, tenant_id, actor_id, " +
	"correlation_id, causation_id, occurred_at, recorded_at, metadata, payload, position"

const insertEvent = "INSERT INTO events (event_id, event_type, schema_version, aggregate_type, aggregate_id, aggregate_version, tenant_id, actor_id, " +
	"correlation_id, causation_id, occurred_at, recorded_at, metadata, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

const (
	colID = iota
	colType
	colSchemaVersion
	colAggregateType
	colAggregateID
	colAggregateVersion
	colTenantID
	colActorID
	colCorrelationID
	colCausationID
	colOccurredAt
	colRecordedAt
	colMetadata
	colPayload
	colPosition
)

const (
	insertedColumns = colPosition // SQLite sets the position
	readColumns     = colPosition + 1
)

// encode appends the arguments of the insert of e to args. Version and
// recorded-at time are left to the writer. Everything is copied: the caller
// may be gone, and its memory used anew, before the event is written.
func encode(args []driver.NamedValue, stream eventstore.Stream, e *event.Event) ([]driver.NamedValue, error) {
	metadata, err := event.EncodeMetadata(e.Metadata)
	if err != nil {
		return nil, err
	}
	at := len(args)
	args = append(args, make([]driver.NamedValue, insertedColumns)...)
	row := args[at:]
	for i := range row {
		row[i].Ordinal = i + 1
	}
	ids := make([]byte, 0, 4*len(e.ID)+len(e.Data))
	set := func(column int, id uuid.UUID) {
		if id != uuid.Nil {
			ids = append(ids, id[:]...)
			row[column].Value = ids[len(ids)-len(id) : len(ids) : len(ids)]
		}
	}
	set(colID, e.ID)
	set(colAggregateID, stream.AggregateID)
	set(colCorrelationID, e.CorrelationID)
	set(colCausationID, e.CausationID)
	row[colType].Value = e.Type
	row[colSchemaVersion].Value = int64(e.SchemaVersion)
	row[colAggregateType].Value = stream.AggregateType
	row[colTenantID].Value = string(stream.TenantID)
	row[colActorID].Value = string(e.ActorID)
	row[colOccurredAt].Value = event.Time(e.OccurredAt).UnixMicro()
	if metadata != nil {
		row[colMetadata].Value = string(metadata)
	}
	row[colPayload].Value = append(ids, e.Data...)[len(ids):]
	return args, nil
}

// decode returns the event that a row holds. A value of another type than the
// column has means that somebody else has written to the file.
func decode(row []driver.Value) (event.Event, error) {
	d := decoder{row: row}
	e := event.Event{
		ID:               d.id(colID),
		Type:             d.text(colType),
		SchemaVersion:    int(d.integer(colSchemaVersion)),
		AggregateType:    d.text(colAggregateType),
		AggregateID:      d.id(colAggregateID),
		AggregateVersion: d.unsigned(colAggregateVersion),
		TenantID:         event.TenantID(d.text(colTenantID)),
		ActorID:          event.ActorID(d.text(colActorID)),
		CorrelationID:    d.id(colCorrelationID),
		CausationID:      d.id(colCausationID),
		OccurredAt:       d.time(colOccurredAt),
		RecordedAt:       d.time(colRecordedAt),
		Position:         d.unsigned(colPosition),
		Data:             d.bytes(colPayload),
	}
	if row[colMetadata] != nil {
		metadata, err := event.DecodeMetadata([]byte(d.text(colMetadata)))
		if err != nil {
			return event.Event{}, fmt.Errorf("%w: event at position %d: %w", eventstore.ErrCorrupt, e.Position, err)
		}
		e.Metadata = metadata
	}
	return e, d.err
}

// decoder reads the values of one row and keeps the first error.
type decoder struct {
	row []driver.Value
	err error
}

func (d *decoder) fail(column int) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: column %d of a row is a %T", eventstore.ErrCorrupt, column, d.row[column])
	}
}

func (d *decoder) integer(column int) int64 {
	n, ok := d.row[column].(int64)
	if !ok {
		d.fail(column)
	}
	return n
}

func (d *decoder) unsigned(column int) uint64 { return fromInteger(d.integer(column)) }

func (d *decoder) text(column int) string {
	s, ok := d.row[column].(string)
	if !ok {
		d.fail(column)
	}
	return s
}

// bytes returns a blob, which the driver has allocated for this row alone. It
// gives nil for one that is empty.
func (d *decoder) bytes(column int) []byte {
	b, ok := d.row[column].([]byte)
	if !ok {
		d.fail(column)
	}
	if b == nil {
		return []byte{}
	}
	return b
}

// id returns an id, uuid.Nil for NULL.
func (d *decoder) id(column int) (id uuid.UUID) {
	if d.row[column] == nil {
		return uuid.Nil
	}
	if b := d.bytes(column); copy(id[:], b) != len(id) || len(b) != len(id) {
		d.fail(column)
	}
	return id
}

func (d *decoder) time(column int) time.Time { return fromMicros(d.integer(column)) }

func fromMicros(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// fromInteger returns a count that SQLite keeps as a signed number.
func fromInteger(n int64) uint64 { return uint64(max(n, 0)) }

// toInteger returns n as SQLite can hold it. A bound beyond that is beyond
// every event there can be.
func toInteger(n uint64) int64 {
	const most = 1<<63 - 1
	return int64(min(n, most))
}
