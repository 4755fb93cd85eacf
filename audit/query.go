package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Page says which part of an answer is wanted. The zero value is all of it,
// most recent first. To turn to the next page, give the position of the last
// record as Before (or as After, oldest first): pages do not shift while
// records are appended.
type Page struct {
	Before      uint64 // only positions below this; 0 for no bound
	After       uint64 // only positions above this
	Limit       int    // how many at the most; 0 for no limit, or the method's own
	OldestFirst bool
}

// Validate refuses a negative limit.
func (p Page) Validate() error {
	if p.Limit < 0 {
		return &event.InvalidError{Field: "limit", Reason: "must not be negative; 0 means no limit"}
	}
	return nil
}

// Contains reports whether a position lies within the bounds.
func (p Page) Contains(position uint64) bool {
	return position > p.After && (p.Before == 0 || position < p.Before)
}

// upTo returns the page as it was when the log ended at position.
func (p Page) upTo(position uint64) Page {
	if end := position + 1; p.Before == 0 || end != 0 && end < p.Before {
		p.Before = end
	}
	return p
}

func (p Page) orLimit(limit int) Page {
	if p.Limit == 0 {
		p.Limit = limit
	}
	return p
}

// Query selects records. The zero value is all of them, most recent first.
// Conditions are combined with "and"; an empty condition matches everything.
// Names match if they are equal byte by byte.
type Query struct {
	Page

	ID            uuid.UUID
	TenantID      event.TenantID
	ActorID       event.ActorID // [event.Anonymous] finds those of whoever was not named
	OnBehalfOf    event.ActorID
	OwnerID       string
	Action        string
	EntityType    string
	EntityID      string
	Outcome       Outcome
	EventType     string // of the event that a record is derived from, see [Origin]
	CorrelationID uuid.UUID
	OccurredFrom  time.Time // inclusive, by the clock of whoever acted
	OccurredUntil time.Time // exclusive
}

// Validate refuses what no record can match, so that a mistyped condition is
// not taken for an empty answer. The error names the field.
func (q Query) Validate() error {
	if err := validateView(q.Page, q.TenantID); err != nil {
		return err
	}
	if err := q.ActorID.Validate(); err != nil {
		return err
	}
	if q.OnBehalfOf.Validate() != nil {
		return &event.InvalidError{Field: "on_behalf_of", Value: string(q.OnBehalfOf), Reason: "must be an actor id, as actor_id"}
	}
	if q.Action != "" {
		if err := ValidateAction(q.Action); err != nil {
			return err
		}
	}
	if q.Outcome != "" {
		if err := q.Outcome.Validate(); err != nil {
			return err
		}
	}
	return q.validateTexts()
}

func (q Query) validateTexts() error {
	if err := event.ValidateText("entity.type", q.EntityType, event.MaxNameBytes); err != nil {
		return err
	}
	if err := event.ValidateText("entity.id", q.EntityID, MaxEntityIDBytes); err != nil {
		return err
	}
	if err := event.ValidateText("event_type", q.EventType, event.MaxNameBytes); err != nil {
		return err
	}
	return event.ValidateText("owner_id", q.OwnerID, MaxOwnerBytes)
}

// validateView checks what every query has.
func validateView(page Page, tenant event.TenantID) error {
	if err := page.Validate(); err != nil {
		return err
	}
	return tenant.Validate()
}

// Matches reports whether r meets every condition: the meaning of a query, for
// homes that cannot evaluate a condition themselves. The limit is not looked at.
func (q Query) Matches(r ActivityRecord) bool {
	return q.Contains(r.d.Position) &&
		(q.ID == uuid.Nil || r.d.ID == q.ID) &&
		(q.TenantID == "" || r.d.TenantID == q.TenantID) &&
		(q.ActorID == "" || r.d.ActorID == q.ActorID) &&
		(q.OnBehalfOf == "" || r.d.OnBehalfOf == q.OnBehalfOf) &&
		(q.OwnerID == "" || r.d.OwnerID == q.OwnerID) &&
		(q.Action == "" || r.d.Action == q.Action) &&
		(q.EntityType == "" || r.d.Entity.Type == q.EntityType) &&
		(q.EntityID == "" || r.d.Entity.ID == q.EntityID) &&
		(q.Outcome == "" || r.d.Outcome == q.Outcome) &&
		(q.EventType == "" || r.d.Origin.EventType == q.EventType) &&
		(q.CorrelationID == uuid.Nil || r.d.CorrelationID == q.CorrelationID) &&
		within(r.d.OccurredAt, q.OccurredFrom, q.OccurredUntil)
}

func within(t, from, until time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (until.IsZero() || t.Before(until))
}
