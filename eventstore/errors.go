package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Sentinels for errors.Is. Those with fields are matched by the typed error of
// the same name.
var (
	// ErrConflict says that a stream was not as the append expected it.
	ErrConflict = errors.New("stream is not at the expected version")
	// ErrDuplicateEvent says that an event id is stored already, at another place.
	ErrDuplicateEvent = errors.New("event id is stored already")
	// ErrOutcomeUnknown says that an append may or may not have been stored.
	// Sending the same event ids at the same versions again is always safe.
	ErrOutcomeUnknown = errors.New("append may or may not have been stored")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrTenant says that another tenant's events were asked for or given.
	ErrTenant = errors.New("not this store's tenant")
	// ErrInvalid is [event.ErrInvalid]: refused before anything was stored.
	ErrInvalid = event.ErrInvalid
	// ErrTooLarge is [event.ErrTooLarge]: a stated limit is exceeded.
	ErrTooLarge = event.ErrTooLarge

	// ErrSchema says that the store's tables are missing, older than the
	// program or newer.
	ErrSchema = errors.New("store has another schema version than the program")
	// ErrCorrupt says that stored data is damaged.
	ErrCorrupt = errors.New("stored data is damaged")
	// ErrReadOnly says that the store cannot be written to.
	ErrReadOnly = errors.New("store is read-only")
	// ErrFull says that there is no room left to store anything.
	ErrFull = errors.New("no space left for the store")
	// ErrUnavailable says that the store cannot be reached now.
	ErrUnavailable = errors.New("store is unavailable")
)

// ConflictError says what was expected of which stream, and what was found.
type ConflictError struct {
	Stream   Stream
	Expected Expectation
	Actual   uint64 // the stream's last version; 0 if it has no events
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s is at version %d, expected: %s; load it and decide again", e.Stream, e.Actual, e.Expected)
}

// Is reports whether target is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// DuplicateEventError says which event id is stored already.
type DuplicateEventError struct {
	EventID uuid.UUID
	Stream  Stream // the stream of the append that was refused
}

// Error implements error.
func (e *DuplicateEventError) Error() string {
	return fmt.Sprintf("event id %s, given for stream %s, is stored already at another place", e.EventID, e.Stream)
}

// Is reports whether target is [ErrDuplicateEvent].
func (e *DuplicateEventError) Is(target error) bool { return target == ErrDuplicateEvent }

// OutcomeUnknownError wraps what hid an append's outcome, usually the end of
// the caller's deadline.
type OutcomeUnknownError struct {
	Stream Stream // the first stream of the append
	Err    error
}

// Error implements error.
func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("append to stream %s may or may not have been stored: %v; sending the same events again is safe", e.Stream, e.Err)
}

// Is reports whether target is [ErrOutcomeUnknown].
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap returns what hid the outcome.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// TenantError says which tenant was asked for at a store that is bound to another.
type TenantError struct {
	Bound event.TenantID // the store's; "" if the context named none
	Given event.TenantID // "" if none
}

// Error implements error.
func (e *TenantError) Error() string {
	return fmt.Sprintf("tenant %q asked for at a store that is bound to tenant %q", e.Given, e.Bound)
}

// Is reports whether target is [ErrTenant].
func (e *TenantError) Is(target error) bool { return target == ErrTenant }

// SchemaError says which schema a store has and which the program needs.
type SchemaError struct {
	Store string // a file or a schema name
	Have  int    // 0 if there is none
	Want  int
}

// Error implements error.
func (e *SchemaError) Error() string {
	switch {
	case e.Have == 0:
		return fmt.Sprintf("%s has no evident tables: call Migrate first", e.Store)
	case e.Have < e.Want:
		return fmt.Sprintf("%s has schema version %d, this program needs %d: call Migrate first", e.Store, e.Have, e.Want)
	default:
		return fmt.Sprintf("%s has schema version %d, this program knows only %d: use a newer program", e.Store, e.Have, e.Want)
	}
}

// Is reports whether target is [ErrSchema].
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// IsRetryable reports whether the same call may succeed later without anything
// being changed: the store was unreachable or full, or an append's outcome is
// unknown. A conflict is not retryable in this sense; the decision has to be
// made again on fresh state. Cancelled contexts are not retryable.
func IsRetryable(err error) bool {
	if errors.Is(err, ErrOutcomeUnknown) {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull)
}
