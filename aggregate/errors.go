package aggregate

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
)

// Sentinels for errors.Is. Those with fields are matched by the typed error of
// the same name.
var (
	// ErrUnbound says that an aggregate was made by hand. [New] and
	// repositories make aggregates that know their definition and their id.
	ErrUnbound = errors.New("aggregate is not bound: make it with aggregate.New or a repository")
	// ErrNotFound says that an aggregate has no events, or not so many.
	ErrNotFound = errors.New("aggregate not found")
	// ErrUnknownEvent says that an aggregate has no handler for an event.
	ErrUnknownEvent = errors.New("aggregate has no handler for the event")
	// ErrApply says that a handler failed or panicked.
	ErrApply = errors.New("event could not be applied")
	// ErrContention says that every attempt of an update met a conflict.
	ErrContention = errors.New("too many conflicts")
)

// NotFoundError says which aggregate is missing, or which version of it.
type NotFoundError struct {
	Stream  eventstore.Stream
	Version uint64 // the version that was asked for; 0 if any would do
	Last    uint64 // the last version there is; 0 if the aggregate has no events
}

// Error implements error.
func (e *NotFoundError) Error() string {
	if e.Last > 0 {
		return fmt.Sprintf("%s has no version %d, its last is %d", e.Stream, e.Version, e.Last)
	}
	return fmt.Sprintf("%s not found", e.Stream)
}

// Is reports whether target is [ErrNotFound].
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// UnknownEventError says which event an aggregate has no handler for.
type UnknownEventError struct {
	AggregateType string
	AggregateID   uuid.UUID
	EventType     string
	EventID       uuid.UUID // uuid.Nil for an event that was being emitted
	Version       uint64    // of the aggregate at the event
}

// Error implements error.
func (e *UnknownEventError) Error() string {
	if e.EventID == uuid.Nil {
		return fmt.Sprintf("%s has no handler for %q: add aggregate.On for it to the definition", e.AggregateType, e.EventType)
	}
	return fmt.Sprintf("%s/%s has event %q at version %d, for which the definition has no handler: add one, or aggregate.TolerateUnknown",
		e.AggregateType, e.AggregateID, e.EventType, e.Version)
}

// Is reports whether target is [ErrUnknownEvent].
func (e *UnknownEventError) Is(target error) bool { return target == ErrUnknownEvent }

// ApplyError says which event a handler failed on. The aggregate that it was
// emitted by is as it was before.
type ApplyError struct {
	AggregateType string
	AggregateID   uuid.UUID
	EventType     string
	Version       uint64 // of the aggregate at the event
	Err           error  // the handler's error, or a [*PanicError]
}

// Error implements error.
func (e *ApplyError) Error() string {
	return fmt.Sprintf("%s/%s: event %q at version %d could not be applied: %v",
		e.AggregateType, e.AggregateID, e.EventType, e.Version, e.Err)
}

// Is reports whether target is [ErrApply].
func (e *ApplyError) Is(target error) bool { return target == ErrApply }

// Unwrap returns the handler's error.
func (e *ApplyError) Unwrap() error { return e.Err }

// PanicError is a panic of a handler, an encoder or a Clone method that was
// caught.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine when it panicked
}

// Error implements error. The stack is not part of it.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value of the panic if it was an error.
func (e *PanicError) Unwrap() error {
	if err, ok := e.Value.(error); ok {
		return err
	}
	return nil
}

// ContentionError says how often an update was tried before it was given up.
// Nothing was stored.
type ContentionError struct {
	Stream   eventstore.Stream
	Attempts int
	Err      error // the last conflict
}

// Error implements error.
func (e *ContentionError) Error() string {
	return fmt.Sprintf("update of %s gave up after %d conflicts: %v", e.Stream, e.Attempts, e.Err)
}

// Is reports whether target is [ErrContention].
func (e *ContentionError) Is(target error) bool { return target == ErrContention }

// Unwrap returns the last conflict.
func (e *ContentionError) Unwrap() error { return e.Err }

// StreamError says that a store yielded an event that cannot be the next one
// of the stream that was read. It matches [eventstore.ErrCorrupt].
type StreamError struct {
	Stream  eventstore.Stream
	EventID uuid.UUID
	Got     eventstore.Stream // the stream that the event says it belongs to
	Version uint64            // the event's version
	Want    uint64            // the version that had to follow
}

// Error implements error.
func (e *StreamError) Error() string {
	if e.Got != e.Stream {
		return fmt.Sprintf("reading %s: event %s belongs to %s", e.Stream, e.EventID, e.Got)
	}
	return fmt.Sprintf("reading %s: event %s has version %d where %d had to follow", e.Stream, e.EventID, e.Version, e.Want)
}

// Is reports whether target is [eventstore.ErrCorrupt].
func (e *StreamError) Is(target error) bool { return target == eventstore.ErrCorrupt }
