package archive

import (
	"errors"
	"fmt"

	"github.com/evident-go/evident/event"
)

// Sentinels for errors.Is.
var (
	// ErrDamaged says that the archive is not as it was written.
	ErrDamaged = errors.New("archive is damaged")
	// ErrFormat says that the archive was written in a format that this program
	// does not know.
	ErrFormat = errors.New("archive has another format than the program")
	// ErrNotArchive says that there is no manifest.
	ErrNotArchive = errors.New("no archive is here")
	// ErrAhead says that the last event of the archive is not in its store any
	// more: the store was cut, or restored from an old backup, and may have gone on
	// since.
	ErrAhead = errors.New("archive is ahead of its store")
	// ErrInvalid is [event.ErrInvalid]: refused before anything was written.
	ErrInvalid = event.ErrInvalid
	// ErrTooLarge is [event.ErrTooLarge]: a stated limit is exceeded.
	ErrTooLarge = event.ErrTooLarge
)

// DamageError says which file is damaged, and where.
type DamageError struct {
	File   string
	Line   int // from 1; 0 if it is about the file as a whole
	Reason string
	Err    error // what was found out by, if somebody else did; may be nil
}

// Error implements error.
func (e *DamageError) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s, line %d", e.File, e.Line)
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", where, e.Reason, e.Err)
	}
	return where + ": " + e.Reason
}

// Is reports whether target is [ErrDamaged].
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the cause, if there is one.
func (e *DamageError) Unwrap() error { return e.Err }
