package event

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Sentinels for errors.Is. Each is matched by the typed error of the same
// name, which carries the fields.
var (
	// ErrInvalid says that a value was refused before anything was stored.
	ErrInvalid = errors.New("invalid value")
	// ErrTooLarge says that a value exceeds a stated limit.
	ErrTooLarge = errors.New("value over the limit")
	// ErrEncode says that a payload could not be turned into bytes.
	ErrEncode = errors.New("payload does not encode")
	// ErrDecode says that stored bytes could not be turned into a payload.
	ErrDecode = errors.New("payload does not decode")
	// ErrDefinition says that a payload type, its upcasts or a set of
	// handlers contradict themselves. It is a programming error.
	ErrDefinition = errors.New("invalid definition")
)

// InvalidError names the field that was refused and says what to do.
type InvalidError struct {
	Field  string // for example "actor_id" or "metadata.retries"
	Value  string // the offending value, shortened; may be empty
	Reason string
}

// Error implements error.
func (e *InvalidError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("invalid %s: %s", e.Field, e.Reason)
	}
	return fmt.Sprintf("invalid %s %q: %s", e.Field, e.Value, e.Reason)
}

// Is reports whether target is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// TooLargeError names the field that exceeds its limit.
type TooLargeError struct {
	Field string // for example "payload"
	Size  int    // what was given
	Limit int    // what is accepted at the most
	Unit  string // "bytes", "events", "keys"
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d %s, the limit is %d", e.Field, e.Size, e.Unit, e.Limit)
}

// Is reports whether target is [ErrTooLarge].
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// EncodeError says which payload did not encode.
type EncodeError struct {
	Type string // the event type
	Err  error  // the codec's error
}

// Error implements error.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("payload of event %q does not encode: %v", e.Type, e.Err)
}

// Is reports whether target is [ErrEncode].
func (e *EncodeError) Is(target error) bool { return target == ErrEncode }

// Unwrap returns the codec's error.
func (e *EncodeError) Unwrap() error { return e.Err }

// DecodeError says which stored event did not decode.
type DecodeError struct {
	EventID       uuid.UUID
	Type          string
	SchemaVersion int
	Position      uint64
	Err           error
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("event %s (%s, schema version %d, position %d) does not decode: %v",
		e.EventID, e.Type, e.SchemaVersion, e.Position, e.Err)
}

// Is reports whether target is [ErrDecode].
func (e *DecodeError) Is(target error) bool { return target == ErrDecode }

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// DefinitionError says which part of a definition contradicts itself.
type DefinitionError struct {
	Subject string // the event type, aggregate or projection concerned
	Reason  string
}

// Error implements error.
func (e *DefinitionError) Error() string {
	return fmt.Sprintf("definition of %q: %s", e.Subject, e.Reason)
}

// Is reports whether target is [ErrDefinition].
func (e *DefinitionError) Is(target error) bool { return target == ErrDefinition }

// shorten keeps an error message readable when the value is not.
func shorten(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
