package jetstream

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Sentinels for errors.Is.
var (
	// ErrUnavailable says that the server did not answer, or not with what was
	// needed. Trying again may help; what was sent may have been stored.
	ErrUnavailable = errors.New("JetStream is not available")
	// ErrStream says that the stream is missing, or is set up so that messages
	// could be lost.
	ErrStream = errors.New("stream is not fit to be published on")
	// ErrUnknownType says that a message is of a type, or of a major version,
	// that the reader does not know.
	ErrUnknownType = errors.New("unknown type of message")
	// ErrPoison says that a message could not be handled and that nobody was
	// told to take it away.
	ErrPoison = errors.New("message cannot be handled")
)

// UnavailableError says what was being done when the server did not answer. A
// projection's runner takes it for the fault of no event: it pauses, and tries
// again for as long as it takes.
type UnavailableError struct {
	Doing string // for example "publish on audit.v1.acme.activity.recorded.Task.created"
	Err   error
}

// Error implements error.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s: %v: %v", e.Doing, ErrUnavailable, e.Err)
}

// Is reports whether target is [ErrUnavailable], or that of package eventstore.
func (e *UnavailableError) Is(target error) bool {
	return target == ErrUnavailable || target == eventstore.ErrUnavailable
}

// Unwrap returns the client's error.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Timeout reports true: so says a network's error that trying again may help.
func (e *UnavailableError) Timeout() bool { return true }

// Temporary reports true, see Timeout.
func (e *UnavailableError) Temporary() bool { return true }

// StreamError names the setting of a stream that must be mended before
// anything is published on it.
type StreamError struct {
	Stream  string
	Setting string // as the server's configuration calls it, for example "duplicate_window"
	Have    string
	Want    string
	Reason  string // why it must be so
}

// Error implements error.
func (e *StreamError) Error() string {
	return fmt.Sprintf("stream %q: setting %s is %s and must be %s: %s", e.Stream, e.Setting, e.Have, e.Want, e.Reason)
}

// Is reports whether target is [ErrStream].
func (e *StreamError) Is(target error) bool { return target == ErrStream }

// UnknownTypeError says which type of message was met, and which is known.
type UnknownTypeError struct {
	Type  string // what the message says, or its version of the envelope
	Known string
}

// Error implements error.
func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("message of type %q is not known here; known is %s", e.Type, e.Known)
}

// Is reports whether target is [ErrUnknownType].
func (e *UnknownTypeError) Is(target error) bool { return target == ErrUnknownType }

// PoisonError says which message stopped a consumer.
type PoisonError struct{ Poisoned }

// Error implements error.
func (e *PoisonError) Error() string {
	return fmt.Sprintf("message %d on %s (id %q) failed %d times: %v", e.Sequence, e.Subject, e.Event.ID, e.Attempts, e.Err)
}

// Is reports whether target is [ErrPoison].
func (e *PoisonError) Is(target error) bool { return target == ErrPoison }

// Unwrap returns what the handler said last.
func (e *PoisonError) Unwrap() error { return e.Err }

// IsRetryable reports whether doing the same again may help: the server was
// down, or had no leader, or the connection broke.
func IsRetryable(err error) bool { return errors.Is(err, ErrUnavailable) }

// Answers of the server that the client has no name for.
const (
	codeHeaderTooLarge  natsjs.ErrorCode = 10097
	codeSubjectsOverlap natsjs.ErrorCode = 10065
	codeReplicas        natsjs.ErrorCode = 10074
	codeInvalidConfig   natsjs.ErrorCode = 10052
)

// unavailable is what an answer means that is about the server, not about what
// was asked of it.
func unavailable(doing string, err error) error { return &UnavailableError{Doing: doing, Err: err} }

// sizeError returns what an answer means that is about the message itself, or
// nil if it is about something else.
func sizeError(m *nats.Msg, limit int64, err error) error {
	switch code := codeOf(err); {
	case errors.Is(err, nats.ErrMaxPayload):
		return &event.TooLargeError{Field: "message", Size: m.Size(), Limit: int(limit), Unit: "bytes"}
	case code == natsjs.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("stream's max_msg_size: %w: %w", event.ErrTooLarge, err)
	case code == codeHeaderTooLarge:
		return fmt.Errorf("message's header: %w: %w", event.ErrTooLarge, err)
	default:
		return nil
	}
}

// codeOf returns the code of a server's answer, 0 if err is none.
func codeOf(err error) natsjs.ErrorCode {
	if answer, ok := errors.AsType[*natsjs.APIError](err); ok {
		return answer.ErrorCode
	}
	if known, ok := errors.AsType[natsjs.JetStreamError](err); ok && known.APIError() != nil {
		return known.APIError().ErrorCode
	}
	return 0
}
