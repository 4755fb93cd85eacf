package privacy

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Holds keeps the legal holds.
//
// Every such store makes these promises:
//
//  1. Placed until released. A hold holds from the moment that Place has
//     returned, over restarts, until it is released.
//  2. Idempotent. A hold that is placed again under its id is stored once, and
//     answered with what was stored; another one under a stored id is refused.
//  3. Released once. Release ends one hold and no other; the first release
//     counts, and a later one answers with what the first has left.
//  4. Nothing is forgotten. A released hold stays in the list, with who placed
//     and released it, when and why, and is never changed.
//  5. Listing is streamed, in the order of placing. A break releases
//     everything; an error is yielded once and ends it.
//  6. Time is the store's clock.
//  7. Tenants. A hold of another tenant is unknown.
//  8. Bad input is refused before anything is stored, with an error that names
//     the field.
//
// All methods are safe for concurrent use. Errors besides those stated are the
// store's own.
type Holds interface {
	// Place places a hold and returns it as stored. ID, Scope, Reason and
	// PlacedBy are the caller's to say; an id that is left out is made.
	Place(ctx context.Context, hold Hold) (Hold, error)
	// Release ends a hold and returns it as it is now, or [ErrUnknown].
	Release(ctx context.Context, tenant event.TenantID, id uuid.UUID, by event.ActorID, reason string) (Hold, error)
	// List yields the holds that match query.
	List(ctx context.Context, query HoldQuery) iter.Seq2[Hold, error]
}

// Hold says that something must not be cut, and why.
type Hold struct {
	ID       uuid.UUID
	Scope    Scope
	Reason   string // for example the file number of the case
	PlacedBy event.ActorID
	PlacedAt time.Time

	ReleasedAt    time.Time // zero until it is released
	ReleasedBy    event.ActorID
	ReleaseReason string
}

// IsActive reports whether the hold holds.
func (h Hold) IsActive() bool { return h.ReleasedAt.IsZero() }

// Covers reports whether the hold forbids to cut a person: it is active and on
// them or on their whole tenant. A hold on an entity covers those who had to do
// with it, which only the log can tell; [Officer.Cut] asks it.
func (h Hold) Covers(tenant event.TenantID, token uuid.UUID) bool {
	s := h.Scope
	return h.IsActive() && s.TenantID == tenant && (s.Person == token || s.isTenant())
}

// Scope is what a hold is on: a person, an entity or, if it names neither, the
// whole tenant. A scope without a tenant is on what belongs to none.
type Scope struct {
	TenantID event.TenantID
	Person   uuid.UUID       // their token: the list of holds does not name people
	Entity   audit.EntityRef // in any version
}

func (s Scope) isTenant() bool { return s.Person == uuid.Nil && s.Entity == audit.EntityRef{} }

// String returns "person 0b2f…", "entity Order/17" or "everything", with the
// tenant behind if there is one.
func (s Scope) String() string {
	what := "everything"
	switch {
	case s.Person != uuid.Nil:
		what = "person " + s.Person.String()
	case !s.isTenant():
		what = "entity " + s.Entity.String()
	}
	if s.TenantID != "" {
		what += fmt.Sprintf(" of tenant %s", s.TenantID)
	}
	return what
}

// Validate refuses a scope of two things, and names that no log has. The error
// names the field.
func (s Scope) Validate() error {
	if err := s.TenantID.Validate(); err != nil {
		return err
	}
	if s.Entity == (audit.EntityRef{}) {
		return nil
	}
	if s.Person != uuid.Nil {
		return &event.InvalidError{Field: "scope", Reason: "must be a person or an entity, not both: place two holds"}
	}
	if s.Entity.Version != 0 {
		return &event.InvalidError{Field: "entity.version", Reason: "must be 0: a hold is on an entity in all its versions"}
	}
	return s.Entity.Validate()
}

// HoldQuery selects holds. The zero value is all of them.
type HoldQuery struct {
	TenantID event.TenantID // "" for those of all tenants and of none
	Active   bool           // only those that hold
}

// Validate refuses what nothing can match. The error names the field.
func (q HoldQuery) Validate() error { return q.TenantID.Validate() }

// Matches reports whether h meets every condition.
func (q HoldQuery) Matches(h Hold) bool {
	return (q.TenantID == "" || h.Scope.TenantID == q.TenantID) && (!q.Active || h.IsActive())
}

// CheckHold says whether a hold may be placed in these words; it is the first
// thing that Place does. The error names the field.
func CheckHold(h Hold) error {
	if err := h.Scope.Validate(); err != nil {
		return err
	}
	if !h.PlacedAt.IsZero() || !h.ReleasedAt.IsZero() || h.ReleasedBy != "" || h.ReleaseReason != "" {
		return &event.InvalidError{Field: "hold", Reason: "says when it was placed or released, which is the store's to say"}
	}
	return checkDecision("placed_by", h.PlacedBy, h.Reason)
}

// CheckRelease is [CheckHold] for the end of a hold.
func CheckRelease(tenant event.TenantID, id uuid.UUID, by event.ActorID, reason string) error {
	if id == uuid.Nil {
		return &event.InvalidError{Field: "hold_id", Reason: "must be set"}
	}
	if err := tenant.Validate(); err != nil {
		return err
	}
	return checkDecision("released_by", by, reason)
}

func checkDecision(field string, by event.ActorID, reason string) error {
	if by == "" || by == event.Anonymous || by.Validate() != nil {
		return &event.InvalidError{Field: field, Value: string(by), Reason: "must be an actor who is known"}
	}
	return checkReason("reason", reason)
}

// SameHold answers a Place whose id is stored already: with what is stored if
// it is the same hold, otherwise with an error. It is for those who write stores.
func SameHold(stored, given Hold) (Hold, error) {
	if stored.Scope != given.Scope || stored.Reason != given.Reason || stored.PlacedBy != given.PlacedBy {
		return Hold{}, &event.InvalidError{Field: "hold_id", Value: given.ID.String(), Reason: "is that of another hold, on " + stored.Scope.String()}
	}
	return stored, nil
}
