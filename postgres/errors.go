package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var (
	// ErrTxEnded says that a transaction was used after it had ended.
	ErrTxEnded = errors.New("transaction has ended")
	// ErrTxNotYours says that somebody wanted to end a transaction that he was
	// only given to work in.
	ErrTxNotYours = errors.New("transaction is ended by whoever has begun it")
	// ErrTxFailed says that a statement of a transaction has failed and that its
	// error was passed over. PostgreSQL keeps nothing of such a transaction.
	ErrTxFailed = errors.New("a statement of the transaction has failed, and its error was passed over")
	// ErrPermission says that the role may not connect, or may not do what the
	// store needs.
	ErrPermission = errors.New("role lacks a right")
	// ErrUnsafe says that the database is set up in a way in which events could
	// be lost or skipped. See [UnsafeError].
	ErrUnsafe = errors.New("database could lose events")
)

// Error says what PostgreSQL could not do. It matches, by its code,
// [ErrPermission] and, of package eventstore, ErrCorrupt, ErrReadOnly, ErrFull,
// ErrSchema and ErrUnavailable.
type Error struct {
	Op     string // for example "append"
	Schema string
	Code   string // SQLSTATE; "" if the server did not answer
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Op, e.Schema, e.Err) }

// Unwrap returns the driver's error.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel that the code stands for.
func (e *Error) Is(target error) bool {
	meaning := meaningOf(e.Code)
	return meaning != nil && target == meaning
}

// UnsafeError names a setting under which events could be lost or skipped.
type UnsafeError struct {
	Setting string // for example "synchronous_commit"
	Value   string
	Fix     string // what to do
}

// Error implements error.
func (e *UnsafeError) Error() string {
	return fmt.Sprintf("database could lose events: %s is %s; %s", e.Setting, e.Value, e.Fix)
}

// Is reports whether target is [ErrUnsafe].
func (e *UnsafeError) Is(target error) bool { return target == ErrUnsafe }

// The SQLSTATE codes that the store itself acts on.
const (
	codeUniqueViolation  = "23505"
	codeSerialization    = "40001"
	codeDeadlock         = "40P01"
	codeCompletionUnsure = "40003"
	codeReadOnly         = "25006"
	codePermission       = "42501"
	codeStatementUnknown = "26000"
	codeLockTimeout      = "55P03"
	codeOtherColumns     = "42P16" // a view cannot be replaced by one with other columns
	codeInline           = "EV001" // of evident.refuse_inline
)

// meaningOf translates a code into a sentinel, or nil for a code that means
// none of them. No code at all is a server that did not answer.
func meaningOf(code string) error {
	switch code {
	case "", codeSerialization, codeDeadlock, codeCompletionUnsure, codeStatementUnknown,
		"53000", "53200", "53300", "53400", // out of memory, connections and the like
		codeLockTimeout, "57014", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", // lock or statement timeout, shutdown, crash
		"58000", "58030": // of the operating system
		return eventstore.ErrUnavailable
	case "53100":
		return eventstore.ErrFull
	case codeReadOnly:
		return eventstore.ErrReadOnly
	case codePermission, "28000", "28P01":
		return ErrPermission
	case "3F000", "42P01", "42883", "42703", codeInline:
		return eventstore.ErrSchema
	case "XX001", "XX002":
		return eventstore.ErrCorrupt
	}
	if strings.HasPrefix(code, "08") {
		return eventstore.ErrUnavailable
	}
	return nil
}

// codeOf returns the SQLSTATE of a driver's error, and whether it is an error
// of the database or of the way to it at all.
func codeOf(err error) (code string, ok bool) {
	if failed, answered := errors.AsType[*pgconn.PgError](err); answered {
		return failed.Code, true
	}
	if _, failed := errors.AsType[*pgconn.ConnectError](err); failed {
		return "", true
	}
	if _, failed := errors.AsType[net.Error](err); failed {
		return "", true
	}
	return "", errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// isDuplicate reports whether a unique index refused a row.
func isDuplicate(err error) bool {
	code, _ := codeOf(err)
	return code == codeUniqueViolation
}

// translate gives a driver's error its operation and its meaning. Any other
// error stays as it is, and so do those of a context that has ended.
func translate(op, schema string, err error) error {
	if err == nil || isContext(err) {
		return err
	}
	if _, done := errors.AsType[*Error](err); done {
		return err
	}
	code, ok := codeOf(err)
	if !ok {
		return err
	}
	return &Error{Op: op, Schema: schema, Code: code, Err: err}
}

// isContext reports whether err is that of a context that has ended. A
// deadline of the connection's own is not.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// isUnsure reports whether a failed call may have been committed all the same:
// the server was cut off, or shut down, before it could say. An error that it
// did send ended the transaction.
func isUnsure(err error) bool {
	if _, never := errors.AsType[*undoneError](err); never {
		return false
	}
	_, sent := errors.AsType[*commitError](err)
	_, answered := errors.AsType[*pgconn.PgError](err)
	return sent && !answered || isCut(err)
}

// commitError is an error of a COMMIT that was sent. The driver takes some of
// them for safe to repeat, although only the answer was lost.
type commitError struct{ error }

// Unwrap returns the error itself.
func (e *commitError) Unwrap() error { return e.error }

// undoneError is an error of a call that cannot have stored anything: it was
// not sent, or its transaction was not asked to commit.
type undoneError struct{ error }

// Unwrap returns the error itself.
func (e *undoneError) Unwrap() error { return e.error }

// isCut reports whether a statement has failed without an answer of the server,
// or with its end.
func isCut(err error) bool {
	failed, answered := errors.AsType[*pgconn.PgError](err)
	if !answered {
		return !pgconn.SafeToRetry(err)
	}
	return failed.SeverityUnlocalized != "ERROR" || failed.Code == codeCompletionUnsure
}

// Classify implements [projection.Classifier]: what PostgreSQL says of itself,
// in a handler's error too, is the fault of no event; a value or a row that it
// refuses is. Nor is it an event's fault that a projection breaks the rules.
func (s *Store) Classify(err error) (projection.Class, bool) {
	if errors.Is(err, event.ErrDefinition) {
		return projection.Infrastructure, true
	}
	code, ok := codeOf(err)
	switch {
	case !ok:
		return projection.Unclassified, false
	case meaningOf(code) != nil:
		return projection.Infrastructure, true
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"):
		return projection.Poison, true
	default:
		return projection.Unclassified, false
	}
}
