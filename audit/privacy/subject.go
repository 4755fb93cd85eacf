package privacy

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// MaxNames is how many ids and entities a [Subject] may have.
const MaxNames = 200

// Subject is a person as the log knows them: what they acted as, what is theirs,
// and what is about them.
type Subject struct {
	TenantID event.TenantID // "" for records of no tenant
	ActorIDs []event.ActorID
	OwnerIDs []string
	Entities []audit.EntityRef // in any version; for example their account, their file
}

// SubjectOf returns the person behind a token, as the log knows them if actors
// are named event.User(token) and owners by the token or that.
func SubjectOf(tenant event.TenantID, token uuid.UUID) Subject {
	user := event.User(token.String())
	return Subject{TenantID: tenant, ActorIDs: []event.ActorID{user}, OwnerIDs: []string{token.String(), string(user)}}
}

// Validate refuses a subject that is nobody. The error names the field.
func (s Subject) Validate() error {
	if err := s.TenantID.Validate(); err != nil {
		return err
	}
	names := len(s.ActorIDs) + len(s.OwnerIDs) + len(s.Entities)
	if names == 0 {
		return &event.InvalidError{Field: "subject", Reason: "must have an actor id, an owner id or an entity"}
	}
	if names > MaxNames {
		return &event.TooLargeError{Field: "subject", Size: names, Limit: MaxNames, Unit: "names"}
	}
	for i, actor := range s.ActorIDs {
		if actor == "" || actor == event.Anonymous || actor.Validate() != nil {
			return &event.InvalidError{Field: fmt.Sprintf("actor_ids[%d]", i), Value: string(actor), Reason: "must be the id of an actor who is known"}
		}
	}
	for i, owner := range s.OwnerIDs {
		if owner == "" {
			return &event.InvalidError{Field: fmt.Sprintf("owner_ids[%d]", i), Reason: "must not be empty"}
		}
		if err := event.ValidateText(fmt.Sprintf("owner_ids[%d]", i), owner, audit.MaxOwnerBytes); err != nil {
			return err
		}
	}
	for i, entity := range s.Entities {
		if err := entity.Validate(); err != nil {
			return fmt.Errorf("entities[%d]: %w", i, err)
		}
	}
	return nil
}

// Section is why a record is in an export.
type Section string

// The sections. A record may be in several, and stands in the export once.
const (
	Acted     Section = "acted"        // the person did it
	ActedFor  Section = "on_behalf_of" // it was done on their behalf
	Owned     Section = "owned"        // it was done to what is theirs
	SubjectIn Section = "subject"      // it was done to an entity that is about them
)

// sectionsOf returns why a record is about the person, nothing if it is not.
func (s Subject) sectionsOf(r audit.ActivityRecord) (all []Section) {
	if r.TenantID() != s.TenantID {
		return nil
	}
	if slices.Contains(s.ActorIDs, r.ActorID()) {
		all = append(all, Acted)
	}
	if r.OnBehalfOf() != "" && slices.Contains(s.ActorIDs, r.OnBehalfOf()) {
		all = append(all, ActedFor)
	}
	if slices.Contains(s.OwnerIDs, r.OwnerID()) {
		all = append(all, Owned)
	}
	if slices.ContainsFunc(s.Entities, func(e audit.EntityRef) bool { return e.Type == r.Entity().Type && e.ID == r.Entity().ID }) {
		all = append(all, SubjectIn)
	}
	return all
}

// queries are the questions whose answers together are all about the person.
func (s Subject) queries() (all []audit.Query) {
	for _, actor := range s.ActorIDs {
		all = append(all, audit.Query{ActorID: actor}, audit.Query{OnBehalfOf: actor})
	}
	for _, owner := range s.OwnerIDs {
		all = append(all, audit.Query{OwnerID: owner})
	}
	for _, entity := range s.Entities {
		all = append(all, audit.Query{EntityType: entity.Type, EntityID: entity.ID})
	}
	for i := range all {
		all[i].TenantID = s.TenantID
	}
	return all
}
