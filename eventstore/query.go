package eventstore

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Direction is the order in which events are read. The zero value is [Forward].
type Direction uint8

// The two directions.
const (
	Forward Direction = iota
	Backward
)

// StreamQuery selects events of one stream. The zero value is all of them,
// oldest first.
type StreamQuery struct {
	From      uint64 // first version, inclusive; 0 for no bound
	To        uint64 // last version, inclusive; 0 for no bound
	Direction Direction
	Limit     int // how many events at the most; 0 for no limit
}

// Validate refuses a negative limit and an unknown direction.
func (q StreamQuery) Validate() error { return validateRead(q.Direction, q.Limit) }

// Matches reports whether a version lies within the bounds.
func (q StreamQuery) Matches(version uint64) bool {
	return version >= q.From && (q.To == 0 || version <= q.To)
}

// Query selects events of all streams. The zero value is all of them, oldest
// first. Conditions are combined with "and"; a list matches any of its values;
// an empty condition matches everything.
type Query struct {
	After uint64 // only positions above this
	Until uint64 // only positions up to this, inclusive; 0 for no bound

	Types          []string
	AggregateTypes []string
	AggregateID    uuid.UUID
	TenantID       event.TenantID
	ActorID        event.ActorID
	CorrelationID  uuid.UUID

	OccurredFrom  time.Time // inclusive
	OccurredUntil time.Time // exclusive

	Direction Direction
	Limit     int // how many events at the most; 0 for no limit
}

// Validate refuses a negative limit and an unknown direction.
func (q Query) Validate() error { return validateRead(q.Direction, q.Limit) }

// Matches reports whether e meets every condition: the meaning of a query, for
// stores that cannot evaluate a condition themselves.
func (q Query) Matches(e *event.Event) bool {
	return e.Position > q.After && (q.Until == 0 || e.Position <= q.Until) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		(len(q.AggregateTypes) == 0 || slices.Contains(q.AggregateTypes, e.AggregateType)) &&
		(q.AggregateID == uuid.Nil || e.AggregateID == q.AggregateID) &&
		(q.TenantID == "" || e.TenantID == q.TenantID) &&
		(q.ActorID == "" || e.ActorID == q.ActorID) &&
		(q.CorrelationID == uuid.Nil || e.CorrelationID == q.CorrelationID) &&
		(q.OccurredFrom.IsZero() || !e.OccurredAt.Before(q.OccurredFrom)) &&
		(q.OccurredUntil.IsZero() || e.OccurredAt.Before(q.OccurredUntil))
}

func validateRead(d Direction, limit int) error {
	if d != Forward && d != Backward {
		return &event.InvalidError{Field: "direction", Reason: "must be eventstore.Forward or eventstore.Backward"}
	}
	if limit < 0 {
		return &event.InvalidError{Field: "limit", Reason: "must not be negative; 0 means no limit"}
	}
	return nil
}
