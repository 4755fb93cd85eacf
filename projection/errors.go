package projection

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Sentinels for errors.Is.
var (
	// ErrUnknownProjection says that the runner has no projection of that name.
	ErrUnknownProjection = errors.New("runner has no such projection")
	// ErrRunning says that what was asked for cannot be done while the
	// projection is running.
	ErrRunning = errors.New("projection is running")
	// ErrStopped says that a projection stopped in front of an event, see [Stop].
	ErrStopped = errors.New("projection stopped")
)

// StoppedError says in front of which event a projection stopped, and why.
type StoppedError struct {
	Projection string
	EventID    uuid.UUID
	EventType  string
	Position   uint64
	Err        error
}

// Error implements error.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("projection %q stopped in front of event %s (%s, position %d): %v", e.Projection, e.EventID, e.EventType, e.Position, e.Err)
}

// Is reports whether target is [ErrStopped].
func (e *StoppedError) Is(target error) bool { return target == ErrStopped }

// Unwrap returns why.
func (e *StoppedError) Unwrap() error { return e.Err }

// handlerError says which event an error belongs to, or which events, if it is
// that of a whole batch.
type handlerError struct {
	position uint64
	last     uint64 // of the batch; 0 for a single event
	err      error
}

func (e *handlerError) Error() string {
	if e.last > e.position {
		return fmt.Sprintf("events at positions %d to %d: %v", e.position, e.last, e.err)
	}
	return fmt.Sprintf("event at position %d: %v", e.position, e.err)
}
func (e *handlerError) Unwrap() error { return e.err }
