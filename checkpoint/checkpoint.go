// Package checkpoint is the port for how far a projection has come.
//
// A checkpoint is a position in one store's order of events, under the name,
// version and lane of a projection. It moves by compare-and-set, and where the
// projection's effects live in the same database it moves in the same
// transaction as they do: that is what makes them happen exactly once.
//
// Package checkpointtest has one suite that every [Store] passes.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// TimeoutsSuffix ends the names under which package process keeps how far it has
// read the timeouts of a process: checkpoints of no projection.
const TimeoutsSuffix = "/timeouts"

// Key names a checkpoint.
type Key struct {
	Projection string
	Version    int // of the projection, from 1
	Lane       int // from 0; a projection that is not divided has lane 0 only
}

// String returns "titles v1", with the lane behind it unless it is 0.
func (k Key) String() string {
	if k.Lane == 0 {
		return fmt.Sprintf("%s v%d", k.Projection, k.Version)
	}
	return fmt.Sprintf("%s v%d lane %d", k.Projection, k.Version, k.Lane)
}

// Validate checks the name, the version and the lane. The error is an
// [*event.InvalidError] or [*event.TooLargeError] that names the field.
func (k Key) Validate() error {
	if err := event.ValidateName("projection", k.Projection); err != nil {
		return err
	}
	if k.Version < 1 {
		return &event.InvalidError{Field: "version", Reason: "of projection " + k.Projection + " must be 1 or more"}
	}
	if k.Lane < 0 {
		return &event.InvalidError{Field: "lane", Reason: "of projection " + k.Projection + " must not be negative"}
	}
	return nil
}

// Checkpoint is where a projection stands: everything up to Position is done.
type Checkpoint struct {
	Key       Key
	Position  uint64
	StoreID   uuid.UUID // the event store whose positions these are
	Fence     uint64    // of the lease under which it moved last
	UpdatedAt time.Time // zero if the checkpoint never moved
}

// Move is one step of a checkpoint.
type Move struct {
	From    uint64 // where it must stand
	To      uint64 // where it goes; at least From
	StoreID uuid.UUID
	Fence   uint64 // of the mover's lease; at least that of the last move
}

// Store keeps checkpoints.
//
// Every store makes these promises:
//
//  1. A checkpoint that was never moved stands at 0.
//  2. Compare-and-set. A move succeeds only from where the checkpoint stands;
//     of racing moves exactly one succeeds, the others are [ErrMoved].
//  3. It never moves back: To below From is refused with [event.ErrInvalid].
//     Only Reset puts it back to 0.
//  4. Fenced. A move with a smaller fence than the last move's is [ErrMoved].
//     Reset keeps the fence.
//  5. One history. A move whose store id differs from the last move's is
//     [ErrOtherStore]. Reset forgets the store id.
//  6. Keys that differ in name, version or lane are independent; names that
//     differ by case or trailing space are different names.
//  7. Bound to a transaction, a move is visible to others only when that
//     commits, and is undone when it is rolled back.
//
// All methods are safe for concurrent use, except on a store that is bound to
// a transaction.
type Store interface {
	// Load returns the checkpoint of key, at position 0 if it never moved.
	Load(ctx context.Context, key Key) (Checkpoint, error)
	// Move moves it. Errors: [ErrMoved], [ErrOtherStore], [event.ErrInvalid].
	Move(ctx context.Context, key Key, move Move) error
	// Reset puts it back to 0. It is not an error if it stands there.
	Reset(ctx context.Context, key Key) error
	// List returns the checkpoints of a projection, or of all if projection is
	// "", ordered by name, version and lane.
	List(ctx context.Context, projection string) ([]Checkpoint, error)
}

// Sentinels for errors.Is.
var (
	// ErrMoved says that the checkpoint does not stand where the mover believed,
	// or that a newer owner has moved it: ownership was lost.
	ErrMoved = errors.New("checkpoint was moved by somebody else")
	// ErrOtherStore says that the checkpoint belongs to another event store:
	// one that was restored, copied or replaced.
	ErrOtherStore = errors.New("checkpoint belongs to another event store")
)

// MovedError says where the checkpoint stands and where the mover believed it.
type MovedError struct {
	Key    Key
	Move   Move
	Actual Checkpoint
}

// Error implements error.
func (e *MovedError) Error() string {
	if e.Actual.Fence > e.Move.Fence {
		return fmt.Sprintf("checkpoint of %s was taken over: fence %d is now %d", e.Key, e.Move.Fence, e.Actual.Fence)
	}
	return fmt.Sprintf("checkpoint of %s stands at %d, not at %d", e.Key, e.Actual.Position, e.Move.From)
}

// Is reports whether target is [ErrMoved].
func (e *MovedError) Is(target error) bool { return target == ErrMoved }

// OtherStoreError says which two stores are concerned.
type OtherStoreError struct {
	Key        Key
	Have, Want uuid.UUID
}

// Error implements error.
func (e *OtherStoreError) Error() string {
	return fmt.Sprintf("checkpoint of %s belongs to event store %s, this is %s: reset the projection to rebuild it from this store", e.Key, e.Have, e.Want)
}

// Is reports whether target is [ErrOtherStore].
func (e *OtherStoreError) Is(target error) bool { return target == ErrOtherStore }

// AheadError says that a checkpoint stands above the store's head: the store
// was restored from an older copy, and new events take positions that the
// projection believes to have seen. It is an [ErrOtherStore].
type AheadError struct {
	Key      Key
	Position uint64
	Head     uint64
}

// Error implements error.
func (e *AheadError) Error() string {
	return fmt.Sprintf("checkpoint of %s stands at %d, the event store ends at %d: it was restored from an older copy; reset the projection to rebuild it from this store", e.Key, e.Position, e.Head)
}

// Is reports whether target is [ErrOtherStore].
func (e *AheadError) Is(target error) bool { return target == ErrOtherStore }

// Check says whether move may be made from where the checkpoint stands. Stores
// that hold the checkpoint under a lock decide by it.
func Check(actual Checkpoint, key Key, move Move) error {
	if err := key.Validate(); err != nil {
		return err
	}
	if move.To < move.From {
		return &event.InvalidError{Field: "to", Reason: fmt.Sprintf("a checkpoint never moves back, from %d to %d", move.From, move.To)}
	}
	if actual.StoreID != uuid.Nil && actual.StoreID != move.StoreID {
		return &OtherStoreError{Key: key, Have: actual.StoreID, Want: move.StoreID}
	}
	if actual.Position != move.From || actual.Fence > move.Fence {
		return &MovedError{Key: key, Move: move, Actual: actual}
	}
	return nil
}
