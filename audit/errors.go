package audit

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Sentinels for errors.Is.
var (
	// ErrImmutable says that a record is stored already and cannot become another.
	ErrImmutable = errors.New("record is stored already and cannot be changed")
	// ErrNotFound says that the log has no record with that id, or none that
	// the asker may see.
	ErrNotFound = errors.New("no such record")
	// ErrInvalid is [event.ErrInvalid]: refused before anything was stored.
	ErrInvalid = event.ErrInvalid
	// ErrTooLarge is [event.ErrTooLarge]: a stated limit is exceeded.
	ErrTooLarge = event.ErrTooLarge
)

// ImmutableError says which record somebody tried to replace by another.
type ImmutableError struct {
	ID       uuid.UUID // of the record that was given
	Position uint64    // 0 if an append had another number of records
	Changes  []Change  // what the stored record has, and what was given; nil if it has another position
}

// Error implements error.
func (e *ImmutableError) Error() string {
	if e.Position == 0 {
		return fmt.Sprintf("records of another append are stored under id %s already", e.ID)
	}
	if len(e.Changes) == 0 {
		return fmt.Sprintf("record %s at position %d is stored already under another position", e.ID, e.Position)
	}
	return fmt.Sprintf("record at position %d is stored already with another content: %s", e.Position, e.Changes[0])
}

// Is reports whether target is [ErrImmutable].
func (e *ImmutableError) Is(target error) bool { return target == ErrImmutable }

// NotFoundError says which record was not found.
type NotFoundError struct{ ID uuid.UUID }

// Error implements error.
func (e *NotFoundError) Error() string { return fmt.Sprintf("record %s: no such record", e.ID) }

// Is reports whether target is [ErrNotFound].
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }
