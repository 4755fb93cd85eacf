package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Receipt says where an append was stored.
type Receipt struct {
	// Records are what was stored, in the order in which they were given, with
	// the time at which it was stored. They have their positions if there is one,
	// or if the first draft named its id; else other appends may stand between
	// them, and only the last is known.
	Records    []ActivityRecord
	Position   uint64 // of the last record
	RecordedAt time.Time
	// Replayed says that the records were stored by an earlier append already,
	// and that this one has changed nothing.
	Replayed bool
}

// replayed answers an append whose first id is stored already.
func replayed(drafts []Draft, records, stored []ActivityRecord) (Receipt, error) {
	if len(stored) != len(records) {
		return Receipt{}, &ImmutableError{ID: records[0].ID()}
	}
	for i, record := range records {
		if changes := repeats(drafts[i], record, stored[i]); len(changes) > 0 {
			return Receipt{}, &ImmutableError{ID: record.ID(), Position: stored[i].Position(), Changes: changes}
		}
	}
	last := stored[len(stored)-1]
	return Receipt{Records: stored, Position: last.Position(), RecordedAt: last.RecordedAt(), Replayed: true}, nil
}

// sameAppend reports whether what is stored came of this very append, as far as
// can be told: two that say the same at the same time are one.
func sameAppend(records, stored []ActivityRecord) bool {
	for i, record := range records {
		record.d.Position, record.d.RecordedAt = stored[i].d.Position, stored[i].d.RecordedAt
		if !record.Equal(stored[i]) {
			return false
		}
	}
	return true
}

// repeats returns in what a record differs from the stored one, leaving out
// what every call has its own of: its place and its request, what else its
// context said, and the chain and the time if the draft did not claim them.
func repeats(draft Draft, record, stored ActivityRecord) []Change {
	again := record.d
	again.Position, again.RecordedAt = stored.d.Position, stored.d.RecordedAt
	again.Request = stored.d.Request
	if draft.CorrelationID == uuid.Nil {
		again.CorrelationID = stored.d.CorrelationID
	}
	if draft.CausationID == uuid.Nil {
		again.CausationID = stored.d.CausationID
	}
	if draft.OccurredAt.IsZero() {
		again.OccurredAt = stored.d.OccurredAt
	}
	again.Metadata = repeated(draft.Metadata, again.Metadata, stored.d.Metadata)
	return stored.Changes(Restore(again))
}

// repeated returns the metadata of a record as they are stored, as far as they
// are not the draft's own: what its context says is of this call.
func repeated(said, given, stored event.Metadata) event.Metadata {
	again := make(event.Metadata, len(given))
	for key, value := range given {
		before, known := stored[key]
		if _, own := said[key]; own {
			again[key] = value
		} else if known {
			again[key] = before
		}
	}
	for _, key := range []string{KeyRequest, KeyTraceparent, KeySourceAddress, KeyUserAgent} {
		_, own := said[key]
		if before, known := stored[key]; known && !own {
			again[key] = before
		}
	}
	return again
}

// settled returns records with what the store said of them.
func settled(records []ActivityRecord, result eventstore.Result) []ActivityRecord {
	out := make([]ActivityRecord, len(records))
	for i, record := range records {
		record.d.RecordedAt = event.Time(result.RecordedAt)
		if len(records) == 1 {
			record.d.Position = result.Position
		}
		out[i] = record
	}
	return out
}
