package dlq

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

const (
	// MaxKeyBytes bounds a sequence's key. An aggregate's tenant, type and id
	// fit in with room to spare.
	MaxKeyBytes = 1024
	// MaxReasonBytes bounds the reason for which a letter is discarded.
	MaxReasonBytes = 1024
)

// Validate checks the projection's name and version and the key. The error is
// an [*event.InvalidError] or [*event.TooLargeError] that names the field.
func (s Sequence) Validate() error {
	if err := event.ValidateName("projection", s.Projection); err != nil {
		return err
	}
	if s.Version < 1 {
		return &event.InvalidError{Field: "version", Reason: "of projection " + s.Projection + " must be 1 or more"}
	}
	if s.Key == "" {
		return &event.InvalidError{Field: "key", Reason: "must not be empty"}
	}
	return event.ValidateText("key", s.Key, MaxKeyBytes)
}

// CheckLetter checks everything about a letter that every store refuses; it is
// the first thing that Park does with each. The cause is not checked but cut,
// see [CutCause]. The error is an [*event.InvalidError] or
// [*event.TooLargeError] that names the field.
func CheckLetter(l *Letter) error {
	if err := l.Sequence.Validate(); err != nil {
		return err
	}
	if l.Position == 0 {
		return &event.InvalidError{Field: "position", Reason: "must be the event's, from 1"}
	}
	if l.EventID == uuid.Nil {
		return &event.InvalidError{Field: "event_id", Reason: "must be set"}
	}
	if err := event.ValidateName("event_type", l.EventType); err != nil {
		return err
	}
	if l.Attempts < 0 {
		return &event.InvalidError{Field: "attempts", Reason: "must not be negative"}
	}
	if l.Redrives < 0 {
		return &event.InvalidError{Field: "redrives", Reason: "must not be negative"}
	}
	if l.ParkedAt.IsZero() {
		return &event.InvalidError{Field: "parked_at", Reason: "must be set"}
	}
	return nil
}

// CheckDiscard checks what a letter is discarded with: a reason that is not
// blank and may have several lines, a valid actor or none, and a time. The
// error is an [*event.InvalidError] or [*event.TooLargeError] that names the
// field.
func CheckDiscard(reason string, by event.ActorID, at time.Time) error {
	if strings.TrimSpace(reason) == "" {
		return &event.InvalidError{Field: "reason", Reason: "must say why the letter is discarded"}
	}
	if len(reason) > MaxReasonBytes {
		return &event.TooLargeError{Field: "reason", Size: len(reason), Limit: MaxReasonBytes, Unit: "bytes"}
	}
	if !storable(reason) {
		return &event.InvalidError{Field: "reason", Reason: "is not valid UTF-8 or contains NUL"}
	}
	if err := by.Validate(); err != nil {
		return err
	}
	if at.IsZero() {
		return &event.InvalidError{Field: "discarded_at", Reason: "must be set"}
	}
	return nil
}

// Stored returns l as stores keep it: the cause cut, times in UTC to the
// microsecond.
func Stored(l Letter) Letter {
	l.Cause = CutCause(l.Cause)
	l.ParkedAt, l.TriedAt = event.Time(l.ParkedAt), event.Time(l.TriedAt)
	return l
}

// CutCause returns as much of a cause as is kept: at most [MaxCauseBytes], cut
// at a character's edge. A cause is an error's text and may hold anything, so
// what no database stores as text, invalid UTF-8 and NUL, is replaced by U+FFFD.
func CutCause(cause string) string {
	cause = cutAtEdge(cause, MaxCauseBytes)
	if storable(cause) {
		return cause
	}
	// A replacement may be longer than what it replaces.
	replaced := strings.ReplaceAll(strings.ToValidUTF8(cause, "\uFFFD"), "\x00", "\uFFFD")
	return cutAtEdge(replaced, MaxCauseBytes)
}

// storable reports whether every database can keep s as text.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// cutAtEdge returns at most limit bytes of s and splits no character.
func cutAtEdge(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for back := range utf8.UTFMax {
		if utf8.RuneStart(s[limit-back]) {
			return s[:limit-back]
		}
	}
	return s[:limit] // not UTF-8, so there is no edge
}
