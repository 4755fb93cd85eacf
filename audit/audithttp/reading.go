package audithttp

import (
	"github.com/evident-go/evident/event"
)

// recordReading records who reads what, before the answer goes out. What cannot
// be recorded is not read.
func (x *exchange) recordReading(action string, details event.Metadata) error {
	draft := x.draft(action)
	draft.Metadata = details
	if _, err := x.h.config.Log.Append(x.r.Context(), draft); err != nil {
		return &problem{code: codeReadingNotRecorded, cause: err}
	}
	return nil
}
