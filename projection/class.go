package projection

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Class is what an error means for the projection that met it.
type Class uint8

const (
	// Unclassified is an error that may be the event's fault or a passing
	// one: it is retried a few times and then taken for poison.
	Unclassified Class = iota
	// Infrastructure is the fault of no event: a database or a network that
	// is down. It is retried for ever, and never skips and never parks.
	Infrastructure
	// Poison is the event's fault for certain: trying again cannot help.
	Poison
	// Bug is a panic of the handler. It is treated as poison.
	Bug
	// Cancelled is the end of the run, not a failure.
	Cancelled
	// Lost says that another owner runs the projection now.
	Lost
)

// String returns the class in words.
func (c Class) String() string {
	switch c {
	case Infrastructure:
		return "infrastructure"
	case Poison:
		return "poison"
	case Bug:
		return "bug"
	case Cancelled:
		return "cancelled"
	case Lost:
		return "ownership lost"
	default:
		return "unclassified"
	}
}

// blamesEvent reports whether an error of this class is, or may be, the fault
// of the event that was being applied.
func blamesEvent(c Class) bool { return c == Unclassified || c == Poison || c == Bug }

// Classifier tells what errors mean. The second result is false for an error
// that it does not know; then [DefaultClass] decides. Stores implement it for
// the errors of their driver.
type Classifier interface {
	Classify(err error) (Class, bool)
}

// ClassifierFunc is a function that is a [Classifier].
type ClassifierFunc func(err error) (Class, bool)

// Classify calls f.
func (f ClassifierFunc) Classify(err error) (Class, bool) { return f(err) }

// DefaultClass is how an error is classified that nothing more specific knows.
func DefaultClass(err error) Class {
	if marked, ok := errors.AsType[*classifiedError](err); ok {
		return marked.class
	}
	switch {
	case is[*PanicError](err):
		return Bug
	case errors.Is(err, checkpoint.ErrMoved), is[*lostError](err):
		return Lost
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, event.ErrDecode), errors.Is(err, event.ErrInvalid), errors.Is(err, event.ErrTooLarge):
		return Poison
	case isInfrastructure(err):
		return Infrastructure
	default:
		return Unclassified
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isInfrastructure knows the store's own errors, those of package net, and
// whatever says of itself that it is a time-out or temporary.
func isInfrastructure(err error) bool {
	if eventstore.IsRetryable(err) || errors.Is(err, eventstore.ErrReadOnly) || errors.Is(err, dlq.ErrFull) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var network interface {
		error
		Timeout() bool
		Temporary() bool
	}
	return is[*net.OpError](err) || is[*net.DNSError](err) ||
		errors.As(err, &network) && (network.Timeout() || network.Temporary())
}

// AsPoison marks err as the event's fault: the handler is not tried again for
// it, but for being run alone when the event was part of a batch. Nil stays nil.
func AsPoison(err error) error { return marked(Poison, err) }

// AsInfrastructure marks err as the fault of no event: the projection pauses
// and tries again until it succeeds. Nil stays nil.
func AsInfrastructure(err error) error { return marked(Infrastructure, err) }

// Unfit marks err as what stops a projection whatever the event: it cannot run on
// this store, or its handlers break the rules. It is for those who write an
// adapter, whose code runs where handlers do; what handlers say themselves stops
// nothing. Nil stays nil.
func Unfit(err error) error {
	if err == nil {
		return nil
	}
	return &unfitError{err: err}
}

type unfitError struct{ err error }

func (e *unfitError) Error() string { return e.err.Error() }
func (e *unfitError) Unwrap() error { return e.err }

func marked(class Class, err error) error {
	if err == nil {
		return nil
	}
	return &classifiedError{class: class, err: err}
}

type classifiedError struct {
	class Class
	err   error
}

func (e *classifiedError) Error() string { return e.err.Error() }
func (e *classifiedError) Unwrap() error { return e.err }

// PanicError is a handler's panic, recovered.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error. It contains the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v\n%s", e.Value, e.Stack) }

// Recovered calls f and turns a panic into a [*PanicError]. It is for whoever
// calls handlers: the runner, and adapters that run projections inline.
func Recovered(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

// recovered turns a panic of the function that has deferred it into its error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = &PanicError{Value: r, Stack: debug.Stack()}
	}
}
