package privacy

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Sentinels for errors.Is. Those with fields are matched by the typed error of
// the same name.
var (
	// ErrUnknown says that there is no such person, token, hold or event, or none
	// of that tenant.
	ErrUnknown = errors.New("unknown")
	// ErrCut says that nobody can tell any more whose token it is.
	ErrCut = errors.New("pseudonym was cut")
	// ErrHeld says that a legal hold forbids it.
	ErrHeld = errors.New("under legal hold")
	// ErrBehind says that the audit log has not seen all events yet.
	ErrBehind = errors.New("audit log is behind its events")
	// ErrDamaged says that an export is not as it was written.
	ErrDamaged = errors.New("export is damaged")
	// ErrFormat says that an export was written in a format that this program
	// does not know.
	ErrFormat = errors.New("export has another format than the program")
	// ErrNotOpaque says that an id tells who somebody is.
	ErrNotOpaque = errors.New("id is not opaque")
	// ErrInvalid is [event.ErrInvalid]: refused before anything was stored.
	ErrInvalid = event.ErrInvalid
	// ErrTooLarge is [event.ErrTooLarge]: a stated limit is exceeded.
	ErrTooLarge = event.ErrTooLarge
)

// CutError says since when and why nobody can tell whose token it is.
type CutError struct {
	Token  uuid.UUID
	CutAt  time.Time
	Reason string
}

// Error implements error.
func (e *CutError) Error() string {
	return fmt.Sprintf("pseudonym %s was cut at %s: %s", e.Token, e.CutAt.Format(time.RFC3339), e.Reason)
}

// Is reports whether target is [ErrCut].
func (e *CutError) Is(target error) bool { return target == ErrCut }

// HeldError says which hold forbids it.
type HeldError struct{ Hold Hold }

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("legal hold %s on %s, placed by %s: %s", e.Hold.ID, e.Hold.Scope, e.Hold.PlacedBy, e.Hold.Reason)
}

// Is reports whether target is [ErrHeld].
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// BehindError says how far the log is behind.
type BehindError struct{ Log, Events uint64 } // the last position of each

// Error implements error.
func (e *BehindError) Error() string {
	return fmt.Sprintf("audit log ends at position %d, the events at %d: let its runner catch up", e.Log, e.Events)
}

// Is reports whether target is [ErrBehind].
func (e *BehindError) Is(target error) bool { return target == ErrBehind }

// DamageError says what is wrong with an export, and in which line.
type DamageError struct {
	Line   int // from 1
	Reason string
	Err    error // may be nil
}

// Error implements error.
func (e *DamageError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("export, line %d: %s: %v", e.Line, e.Reason, e.Err)
	}
	return fmt.Sprintf("export, line %d: %s", e.Line, e.Reason)
}

// Is reports whether target is [ErrDamaged].
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the cause, if there is one.
func (e *DamageError) Unwrap() error { return e.Err }
