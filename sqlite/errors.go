package sqlite

import (
	"errors"
	"fmt"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// ErrTxEnded says that a transaction was used after it had ended.
var ErrTxEnded = errors.New("transaction has ended")

// Error says what SQLite could not do. It matches, by its code,
// [eventstore.ErrCorrupt], [eventstore.ErrReadOnly], [eventstore.ErrFull] and
// [eventstore.ErrUnavailable].
type Error struct {
	Op   string // for example "append"
	Path string // of the database file
	Code int    // SQLite's extended result code; 0 if the error is not SQLite's
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the driver's error.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel that the code stands for.
func (e *Error) Is(target error) bool {
	meaning := meaningOf(e.Code)
	return meaning != nil && target == meaning
}

// meaningOf translates a result code into a sentinel of package eventstore, or
// nil for a code that means none of them.
func meaningOf(code int) error {
	if code == sqlite3.SQLITE_IOERR_CORRUPTFS {
		return eventstore.ErrCorrupt
	}
	switch primary(code) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return eventstore.ErrCorrupt
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return eventstore.ErrReadOnly
	case sqlite3.SQLITE_FULL:
		return eventstore.ErrFull
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return eventstore.ErrUnavailable
	default:
		return nil
	}
}

// primary returns the kind of an extended result code.
func primary(code int) int { return code & 0xff }

// codeOf returns SQLite's extended result code for a driver's error, or 0.
func codeOf(err error) int {
	if failed, ok := errors.AsType[*modernc.Error](err); ok {
		return failed.Code()
	}
	return 0
}

// isBusy reports whether another connection holds a lock that err wanted.
func isBusy(err error) bool {
	code := primary(codeOf(err))
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// isDuplicate reports whether a unique index refused a row.
func isDuplicate(err error) bool {
	code := codeOf(err)
	return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// undone reports whether a failed COMMIT is certain to have stored nothing. An
// I/O error is not: the log may hold the whole commit although the disk would
// not confirm it, and then it counts after a crash.
func undone(err error) bool {
	switch primary(codeOf(err)) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_ERROR: // "no transaction is active": it was rolled back before
		return codeOf(err) != 0
	default:
		return false
	}
}

// translate gives a driver's error its operation and its meaning. Any other
// error stays as it is.
func translate(op, path string, err error) error {
	code := codeOf(err)
	if code == 0 {
		return err
	}
	if _, done := errors.AsType[*Error](err); done {
		return err
	}
	return &Error{Op: op, Path: path, Code: code, Err: err}
}

// Classify implements [projection.Classifier]: what SQLite says of itself, in
// a handler's error too, is the fault of no event; a constraint that a
// handler's row violates is.
func (s *Store) Classify(err error) (projection.Class, bool) {
	code := codeOf(err)
	switch {
	case code == sqlite3.SQLITE_CONSTRAINT_COMMITHOOK: // see writer: the transaction was over
		return projection.Unclassified, true
	case meaningOf(code) != nil, primary(code) == sqlite3.SQLITE_NOLFS, primary(code) == sqlite3.SQLITE_SCHEMA:
		return projection.Infrastructure, true
	case primary(code) == sqlite3.SQLITE_CONSTRAINT, primary(code) == sqlite3.SQLITE_MISMATCH, primary(code) == sqlite3.SQLITE_TOOBIG:
		return projection.Poison, true
	default:
		return projection.Unclassified, false
	}
}
