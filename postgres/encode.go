package postgres

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// array is a PostgreSQL array of one dimension in the binary format.
type array struct{ values }

// The header of an array: dimensions, whether there may be nulls, the type of
// the elements, their number, and the index of the first.
const (
	arrayCount  = 12
	arrayHeader = 20
)

func (a *array) reset(oid uint32) {
	a.values = append(a.values[:0], 0, 0, 0, 1, 0, 0, 0, 1)
	a.values = binary.BigEndian.AppendUint32(a.values, oid)
	a.values = append(a.values, 0, 0, 0, 0, 0, 0, 0, 1)
}

// finish returns the array, which has so many elements. It is good until the
// next reset. One without elements has no dimension.
func (a *array) finish(count int) []byte {
	if count == 0 {
		clear(a.values[:4])
		return a.values[:arrayCount]
	}
	binary.BigEndian.PutUint32(a.values[arrayCount:], uint32(count))
	return a.values
}

func encodeInt64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// encodeID returns an id's bytes, nil for none.
func encodeID(id *uuid.UUID) []byte {
	if *id == uuid.Nil {
		return nil
	}
	return id[:]
}

// encodeTime returns the store's time, nil to let the database take its own.
func encodeTime(t *time.Time) []byte {
	if t == nil {
		return nil
	}
	return encodeInt64(micros(*t))
}

// notNil returns b as a value that is empty, where it would be none.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// integers reads an array of bigint.
func integers(b []byte) ([]int64, error) {
	if len(b) < arrayHeader {
		return nil, nil // an array without elements has no dimension
	}
	const size = 4 + 8
	count := int(binary.BigEndian.Uint32(b[arrayCount:]))
	if b = b[arrayHeader:]; len(b) != count*size {
		return nil, fmt.Errorf("%w: an array of %d numbers has %d bytes", eventstore.ErrCorrupt, count, len(b))
	}
	all := make([]int64, count)
	for i := range all {
		all[i] = int64(binary.BigEndian.Uint64(b[i*size+4:]))
	}
	return all, nil
}

// The arrays of evident.append, behind its first three arguments.
const (
	targetAppend = iota
	targetTenant
	targetType
	targetID
	targetExpected
	eventTarget
	eventPlace
	eventID
	eventType
	eventSchema
	eventActor
	eventCorrelation
	eventCausation
	eventOccurred
	eventMetadata
	eventPayload
	callArrays
)

// call is the arguments of a shared call. It is used again and again.
type call struct {
	arrays          [callArrays]array
	targets, events int
}

// elementTypes are the types of the arrays' elements.
func elementTypes() [callArrays]uint32 {
	return [callArrays]uint32{
		pgtype.Int4OID, pgtype.TextOID, pgtype.TextOID, pgtype.UUIDOID, pgtype.Int8OID,
		pgtype.Int4OID, pgtype.Int4OID, pgtype.UUIDOID, pgtype.TextOID, pgtype.Int8OID, pgtype.TextOID,
		pgtype.UUIDOID, pgtype.UUIDOID, pgtype.TimestamptzOID, pgtype.JSONOID, pgtype.ByteaOID,
	}
}

// fill encodes a batch.
func (c *call) fill(batch []*request) {
	c.targets, c.events = 0, 0
	for i, oid := range elementTypes() {
		c.arrays[i].reset(oid)
	}
	for i, r := range batch {
		for j := range r.targets {
			c.addTarget(int32(i), &r.targets[j])
		}
	}
}

func (c *call) addTarget(request int32, t *target) {
	c.arrays[targetAppend].int32(request)
	c.arrays[targetTenant].text(string(t.Stream.TenantID))
	c.arrays[targetType].text(t.Stream.AggregateType)
	c.arrays[targetID].id(t.Stream.AggregateID)
	c.arrays[targetExpected].int64(expectation(t.Expected))
	c.targets++
	c.events += len(t.Events)
	for n := range t.Events {
		c.arrays[eventTarget].int32(int32(c.targets))
		c.arrays[eventPlace].int32(int32(n) + 1)
		c.addEvent(&t.Events[n], t.metadata[n])
	}
}

func (c *call) addEvent(e *event.Event, metadata []byte) {
	c.arrays[eventID].id(e.ID)
	c.arrays[eventType].text(e.Type)
	c.arrays[eventSchema].int64(int64(e.SchemaVersion))
	c.arrays[eventActor].text(string(e.ActorID))
	c.arrays[eventCorrelation].optionalID(e.CorrelationID)
	c.arrays[eventCausation].optionalID(e.CausationID)
	c.arrays[eventOccurred].time(e.OccurredAt)
	c.arrays[eventMetadata].optionalBlob(metadata)
	c.arrays[eventPayload].blob(e.Data)
}

// arguments returns all arguments of evident.append.
func (c *call) arguments(program string, at *time.Time, patient bool) [][]byte {
	all := make([][]byte, 0, 3+callArrays)
	all = append(all, []byte(program), encodeTime(at), []byte{0})
	if patient {
		all[2][0] = 1
	}
	for i := range c.arrays {
		count := c.events
		if i < eventTarget {
			count = c.targets
		}
		all = append(all, c.arrays[i].finish(count))
	}
	return all
}

// argumentsOfOne returns the arguments of evident.append_one.
func argumentsOfOne(program string, at *time.Time, t *target) [][]byte {
	e := &t.Events[0]
	return [][]byte{
		[]byte(program), encodeTime(at), []byte(t.Stream.TenantID), []byte(t.Stream.AggregateType), t.Stream.AggregateID[:], encodeInt64(expectation(t.Expected)),
		e.ID[:], []byte(e.Type), encodeInt64(int64(e.SchemaVersion)), []byte(e.ActorID), encodeID(&e.CorrelationID), encodeID(&e.CausationID),
		encodeInt64(micros(e.OccurredAt)), t.metadata[0], notNil(e.Data),
	}
}

// What evident.append takes for expectations that name no version.
const (
	expectAny    = -1
	expectExists = -2
)

func expectation(e eventstore.Expectation) int64 {
	if version, exact := e.Version(); exact {
		return signed(version) // beyond that no stream can be
	}
	if e == eventstore.StreamExists() {
		return expectExists
	}
	return expectAny
}
