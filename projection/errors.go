package projection

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/registry"
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
	// ErrRefused says that what was ordered cannot be done.
	ErrRefused = errors.New("order was refused")
	// ErrInactive says that a version does not run: somebody has paused it, or it
	// was replaced or retired.
	ErrInactive = errors.New("projection does not run")
	// ErrOlderVersion says that a newer version is live than one that never ran.
	ErrOlderVersion = errors.New("projection's version goes backwards")
)

// OlderVersionError says which version is live already.
type OlderVersionError struct {
	Name registry.Name
	Live int
}

// Error implements error.
func (e *OlderVersionError) Error() string {
	return fmt.Sprintf("projection %s never ran, and version %d is live: versions only go up, so give it one above that", e.Name, e.Live)
}

// Is reports whether target is [ErrOlderVersion].
func (e *OlderVersionError) Is(target error) bool { return target == ErrOlderVersion }

// InactiveError says why a version does not run.
type InactiveError struct{ Record registry.Record }

// Error implements error.
func (e *InactiveError) Error() string {
	r := e.Record
	switch {
	case r.State == registry.Replaced:
		return fmt.Sprintf("projection %s was replaced by another version: retire it, or rebuild it and switch back", r.Name)
	case r.State == registry.Retired:
		return fmt.Sprintf("projection %s is retired: rebuild it to use it again", r.Name)
	case r.Pause.By != "":
		return fmt.Sprintf("projection %s was paused by %s: %s", r.Name, r.Pause.By, r.Pause.Reason)
	default:
		return fmt.Sprintf("projection %s was paused: %s", r.Name, r.Pause.Reason)
	}
}

// Is reports whether target is [ErrInactive].
func (e *InactiveError) Is(target error) bool { return target == ErrInactive }

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

// Sentinels for errors.Is, of what a [Control] refuses.
var (
	// ErrNotRecorded says that a command could not be recorded, so that nothing
	// was changed.
	ErrNotRecorded = errors.New("command was not recorded")
	// ErrOrdered says that something is ordered already and not done yet.
	ErrOrdered = errors.New("projection has an order that is not done yet")
	// ErrNotOrdered says that nothing is ordered.
	ErrNotOrdered = errors.New("projection has no order")
	// ErrPaused says that somebody has paused the projection.
	ErrPaused = errors.New("projection is paused")
	// ErrNotPaused says that nobody has paused the projection.
	ErrNotPaused = errors.New("projection is not paused")
	// ErrLiveVersion says that the version is the live one.
	ErrLiveVersion = errors.New("version of the projection is the live one")
	// ErrNotRunning says that the version was replaced or retired: no runner
	// runs it.
	ErrNotRunning = errors.New("version of the projection does not run any more")
	// ErrNotCaughtUp says that the version has not come as far as is needed.
	ErrNotCaughtUp = errors.New("version of the projection has not caught up")
)

// UnknownVersionError says which versions of a projection there are instead.
type UnknownVersionError struct {
	Name  registry.Name
	Known []int // in order; none if there is no projection of that name
}

// Error implements error.
func (e *UnknownVersionError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("nothing is known of projection %q: a runner makes it known when it first runs it", e.Name.Projection)
	}
	return fmt.Sprintf("projection %q has no version %d, but %v: a runner makes a version known when it first runs it", e.Name.Projection, e.Name.Version, e.Known)
}

// Unwrap returns [registry.ErrNotFound].
func (e *UnknownVersionError) Unwrap() error { return registry.ErrNotFound }

// RecordError says which command could not be recorded.
type RecordError struct {
	Command Command
	Err     error // the recorder's
}

// Error implements error.
func (e *RecordError) Error() string {
	return fmt.Sprintf("%s of projection %s could not be recorded, so nothing was changed: %v", e.Command.Kind, e.Command.Name, e.Err)
}

// Is reports whether target is [ErrNotRecorded].
func (e *RecordError) Is(target error) bool { return target == ErrNotRecorded }

// Unwrap returns the recorder's error.
func (e *RecordError) Unwrap() error { return e.Err }

// OrderedError says what is ordered and not done yet.
type OrderedError struct {
	Name  registry.Name
	Order registry.Order
}

// Error implements error.
func (e *OrderedError) Error() string {
	text := fmt.Sprintf("projection %s has an order to %s, given at %s", e.Name, e.Order.Kind, e.Order.At.UTC().Format(time.RFC3339))
	if e.Order.By != "" {
		text += " by " + string(e.Order.By)
	}
	return text + ": wait until it is done, or withdraw it"
}

// Is reports whether target is [ErrOrdered].
func (e *OrderedError) Is(target error) bool { return target == ErrOrdered }

// RefusedError says which order was refused, and by its Problem why: it cannot be
// carried out and is not tried again.
type RefusedError struct {
	Name  registry.Name
	Order registry.Order
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("order to %s projection %s was refused: %s", e.Order.Kind, e.Name, e.Order.Problem)
}

// Is reports whether target is [ErrRefused].
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// PausedError says who has paused a projection, when and why.
type PausedError struct {
	Name  registry.Name
	Pause registry.Pause
}

// Error implements error.
func (e *PausedError) Error() string {
	text := fmt.Sprintf("projection %s is paused since %s", e.Name, e.Pause.At.UTC().Format(time.RFC3339))
	if e.Pause.By != "" {
		text += " by " + string(e.Pause.By)
	}
	return text + ": " + e.Pause.Reason + ": resume it first"
}

// Is reports whether target is [ErrPaused].
func (e *PausedError) Is(target error) bool { return target == ErrPaused }

// LiveVersionError says what cannot be done with the live version.
type LiveVersionError struct {
	Name    registry.Name
	Command CommandKind
}

// Error implements error.
func (e *LiveVersionError) Error() string {
	if e.Command == SwitchCommand {
		return fmt.Sprintf("projection %s is live already", e.Name)
	}
	return fmt.Sprintf("projection %s is live, and %s is for versions that are not: switch to another version first", e.Name, e.Command)
}

// Is reports whether target is [ErrLiveVersion].
func (e *LiveVersionError) Is(target error) bool { return target == ErrLiveVersion }

// NotRunningError says what cannot be done with a version that was replaced or
// retired.
type NotRunningError struct {
	Name    registry.Name
	State   registry.State
	Command CommandKind // "" if it was waited for
}

// Error implements error.
func (e *NotRunningError) Error() string {
	switch {
	case e.Command == RetireCommand:
		return fmt.Sprintf("projection %s is retired already", e.Name)
	case e.Command == AbortCommand && e.State == registry.Replaced:
		return fmt.Sprintf("projection %s is replaced, there is nothing to abort: retire it", e.Name)
	default:
		return fmt.Sprintf("projection %s is %s and does not run: order a rebuild of it, or use the live version", e.Name, e.State)
	}
}

// Is reports whether target is [ErrNotRunning].
func (e *NotRunningError) Is(target error) bool { return target == ErrNotRunning }

// NotCaughtUpError says how far a version has come.
type NotCaughtUpError struct {
	Name     registry.Name
	State    registry.State
	Position uint64 // of the lane furthest behind
	Target   uint64 // where it was expected
	Paused   bool
}

// Error implements error.
func (e *NotCaughtUpError) Error() string {
	text := fmt.Sprintf("projection %s is %s and stands at position %d of %d: ", e.Name, e.State, e.Position, e.Target)
	switch {
	case e.State == registry.Replaced, e.State == registry.Retired:
		return text + "order a rebuild of it, and wait until it has caught up again"
	case e.Paused:
		return text + "it is paused, resume it and wait until it has caught up"
	default:
		return text + "wait until it has caught up"
	}
}

// Is reports whether target is [ErrNotCaughtUp].
func (e *NotCaughtUpError) Is(target error) bool { return target == ErrNotCaughtUp }
