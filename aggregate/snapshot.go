package aggregate

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Snapshot is an aggregate's state at a version: a cache, and nothing more.
type Snapshot struct {
	Stream        eventstore.Stream
	StoreID       uuid.UUID // the event store that the state was built from
	Version       uint64    // of the aggregate
	SchemaVersion int       // of the state, from the definition
	State         []byte
	TakenAt       time.Time
}

// Validate checks everything about a snapshot that every store refuses; it is
// the first thing that Save does. An empty state is valid. The error is an
// [*event.InvalidError] or [*event.TooLargeError] that names the field.
func (s *Snapshot) Validate() error {
	if err := s.Stream.Validate(); err != nil {
		return err
	}
	if s.StoreID == uuid.Nil {
		return &event.InvalidError{Field: "store_id", Reason: "must be that of the event store the state was built from"}
	}
	if s.Version == 0 {
		return &event.InvalidError{Field: "version", Reason: "of a snapshot must be 1 or more"}
	}
	if s.SchemaVersion < 1 {
		return &event.InvalidError{Field: "schema_version", Reason: "of a snapshot must be 1 or more"}
	}
	if s.TakenAt.IsZero() {
		return &event.InvalidError{Field: "taken_at", Reason: "must be set"}
	}
	return nil
}

// SnapshotStore keeps the newest snapshot of each stream.
//
// Every store makes these promises:
//
//  1. Load returns what the newest Save of the stream stored, byte for byte.
//  2. Save never replaces a snapshot by one of an older version, whoever races;
//     it then does nothing and returns no error.
//  3. Streams that differ in tenant, type or id are independent.
//  4. Bad input is refused with [eventstore.ErrInvalid] before anything is stored.
//
// All methods are safe for concurrent use.
type SnapshotStore interface {
	// Load returns the snapshot of stream and whether there is one.
	Load(ctx context.Context, stream eventstore.Stream) (Snapshot, bool, error)
	// Save stores s unless a newer one is there.
	Save(ctx context.Context, s Snapshot) error
	// Delete removes the snapshot of stream, if there is one.
	Delete(ctx context.Context, stream eventstore.Stream) error
}
