package audit

import "github.com/evident-go/evident/event"

// Outcome says how an activity ended. The zero value means [Success] in a
// [Draft], and is no outcome of a record.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Failure Outcome = "failure" // it was tried and did not work
	Denied  Outcome = "denied"  // it was not allowed
)

// Validate refuses everything but the three outcomes.
func (o Outcome) Validate() error {
	switch o {
	case Success, Failure, Denied:
		return nil
	default:
		return &event.InvalidError{Field: "outcome", Value: string(o), Reason: "must be success, failure or denied"}
	}
}
