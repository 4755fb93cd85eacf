package audit

import (
	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// EntityRef says what an activity was about.
type EntityRef struct {
	Type    string
	ID      string // opaque; of an aggregate, its id in the usual form
	Version uint64 // that the activity led to or was about; 0 if unknown
}

// Aggregate refers to an aggregate, in any version.
func Aggregate(aggregateType string, id uuid.UUID) EntityRef {
	return EntityRef{Type: aggregateType, ID: id.String()}
}

// String returns "Document/0190…". The version is left out.
func (r EntityRef) String() string { return r.Type + "/" + r.ID }

// Validate refuses a reference without type or id, and names that no store
// takes. The error names the field.
func (r EntityRef) Validate() error {
	if err := event.ValidateName("entity.type", r.Type); err != nil {
		return err
	}
	return validateID("entity.id", r.ID)
}
