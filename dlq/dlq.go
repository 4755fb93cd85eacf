// Package dlq is the port for events that a projection could not apply, and
// for those that wait behind them.
//
// Letters are kept in sequences, by default one for each aggregate. The first
// letter of a sequence is one that failed; while a sequence has letters it is
// parked, and later events of the same aggregate are queued behind, untouched,
// so that a read model is late for one aggregate and never wrong for any. The
// idea of a sequenced queue is Axon Framework's.
//
// A letter holds an event's position and why it failed, not a copy of the
// event. Package dlqtest has one suite that every [Store] passes.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Sequence names the letters of one aggregate in one projection.
type Sequence struct {
	Projection string
	Version    int    // of the projection
	Key        string // the aggregate, or what the projection orders by
}

// Letter is one event that waits.
type Letter struct {
	Sequence  Sequence
	Position  uint64 // of the event; orders the letters of a sequence
	EventID   uuid.UUID
	EventType string
	Cause     string // why it failed; "" for one that waits behind a failed one
	Attempts  int    // how often it was tried
	Redrives  int    // how often it was tried since it was parked; they count as attempts, too
	ParkedAt  time.Time
	TriedAt   time.Time // zero if it was never tried
}

// Parked is the state of a sequence that has letters.
type Parked struct {
	Sequence  Sequence
	Letters   int
	First     Letter    // the one that has to succeed next
	NextRetry time.Time // when it is tried again by itself; zero: only by command
	Until     uint64    // the last position that this retry goes up to; 0 for all letters
}

// Discarded is a letter that somebody took out, and why.
type Discarded struct {
	Letter      Letter
	Reason      string
	By          event.ActorID
	DiscardedAt time.Time
}

// Filter selects sequences. The zero value is all of them.
type Filter struct {
	Projection string
	Version    int       // 0 for any
	Key        string    // "" for any
	DueBy      time.Time // only those to be retried by themselves up to then
	Limit      int       // 0 for no limit
}

// Stats sums up the letters of one projection.
type Stats struct {
	Sequences int
	Letters   int
	Oldest    time.Time // when the oldest letter was parked; zero if there is none
}

// MaxCauseBytes is how much of a cause is kept.
const MaxCauseBytes = 4096

// Store keeps letters.
//
// Every store makes these promises:
//
//  1. Letters of a sequence come back in the order of their positions.
//  2. Parking a position that is parked already changes nothing.
//  3. A sequence is parked as long as it has letters, and not longer.
//  4. Sequences are independent of each other; keys that differ by case or
//     trailing space are different keys.
//  5. Removing and discarding take out exactly one letter. A discarded one is
//     kept with its reason, who did it and when.
//  6. Bound to a transaction, changes are visible to others only when that
//     commits, and are undone when it is rolled back. Parked and Park then hold
//     the sequences against a concurrent redrive until the transaction ends.
//  7. Bad input is refused with [event.ErrInvalid] before anything is stored;
//     a cause is cut at MaxCauseBytes, at a character's edge.
//  8. A retry that is scheduled up to a position keeps that bound until the
//     sequence is scheduled anew or its first letter has failed again. A letter
//     counts how often it was tried since it was parked.
//
// All methods are safe for concurrent use, except on a store that is bound to
// a transaction.
type Store interface {
	// Parked returns which of the keys are parked for a projection.
	Parked(ctx context.Context, projection string, version int, keys []string) (map[string]bool, error)
	// Park adds letters, each to its sequence.
	Park(ctx context.Context, letters ...Letter) error
	// Failed records that the first letter of a sequence was tried again in
	// vain: its attempts and its redrives grow by one, cause and triedAt replace
	// what was there, and the sequence is retried by itself at nextRetry, never if
	// that is zero, and without a bound. Errors: [ErrNotFound].
	Failed(ctx context.Context, l Letter, cause string, triedAt, nextRetry time.Time) error
	// Schedule sets when a sequence is retried by itself, without a bound; zero
	// means never. Errors: [ErrNotFound] if the sequence is not parked.
	Schedule(ctx context.Context, s Sequence, nextRetry time.Time) error
	// ScheduleUntil is Schedule for a retry that goes only up to a position: it
	// leaves the letters behind that untried. 0 is no bound.
	ScheduleUntil(ctx context.Context, s Sequence, nextRetry time.Time, until uint64) error
	// Remove takes out a letter that succeeded. Errors: [ErrNotFound].
	Remove(ctx context.Context, l Letter) error
	// Discard takes out a letter for good. Errors: [ErrNotFound],
	// [event.ErrInvalid] without a reason.
	Discard(ctx context.Context, l Letter, reason string, by event.ActorID, at time.Time) error
	// Letters returns up to limit letters of a sequence, from the first; 0 for all.
	Letters(ctx context.Context, s Sequence, limit int) ([]Letter, error)
	// Sequences returns the parked sequences, those whose first letter was parked
	// longest ago first.
	Sequences(ctx context.Context, f Filter) ([]Parked, error)
	// Discarded returns the discarded letters of a projection, oldest first.
	Discarded(ctx context.Context, projection string, version int) ([]Discarded, error)
	// Stats sums up the letters of a projection.
	Stats(ctx context.Context, projection string, version int) (Stats, error)
	// Clear takes out all letters of a projection, for a rebuild from the start.
	// Discarded letters are kept.
	Clear(ctx context.Context, projection string, version int) error
}

// Sentinels for errors.Is.
var (
	// ErrNotFound says that there is no such letter or sequence.
	ErrNotFound = errors.New("no such letter")
	// ErrFull says that a limit on letters is reached: the projection pauses
	// rather than lose anything.
	ErrFull = errors.New("dead-letter queue is full")
)

// FullError says which limit was reached.
type FullError struct {
	Sequence Sequence
	What     string // "letters in the sequence" or "parked sequences"
	Limit    int
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("dead-letter queue of %s v%d is full: %d %s (%s); retry or discard letters; the projection goes on when there is room",
		e.Sequence.Projection, e.Sequence.Version, e.Limit, e.What, e.Sequence.Key)
}

// Is reports whether target is [ErrFull].
func (e *FullError) Is(target error) bool { return target == ErrFull }
