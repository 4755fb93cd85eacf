package transfer

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// ErrDifferent says that the target holds something else than the source.
var ErrDifferent = errors.New("stores hold different events")

// DifferenceError names the first event in which two stores differ. It matches
// [ErrDifferent].
type DifferenceError struct {
	// Number is the event's place in the order, from 1.
	Number uint64
	// Field is the first field that differs, for example "metadata"; "" if one
	// of the stores has no event there.
	Field string
	// Source and Target are what the stores have in that place. The zero event
	// stands for nothing: the store ends before it.
	Source, Target event.Event
}

// Error implements error.
func (e *DifferenceError) Error() string {
	switch {
	case e.Target.ID == uuid.Nil:
		return fmt.Sprintf("%v: event %d of the source, %s, is not in the target", ErrDifferent, e.Number, described(&e.Source))
	case e.Source.ID == uuid.Nil:
		return fmt.Sprintf("%v: event %d of the target, %s, is not in the source", ErrDifferent, e.Number, described(&e.Target))
	default:
		return fmt.Sprintf("%v: event %d differs in %s: the source has %s, the target %s",
			ErrDifferent, e.Number, e.Field, described(&e.Source), described(&e.Target))
	}
}

// Is reports whether target is [ErrDifferent].
func (e *DifferenceError) Is(target error) bool { return target == ErrDifferent }

// described says which event it is without what may be confidential in it.
func described(e *event.Event) string {
	return fmt.Sprintf("%s %s (version %d of %s, at position %d)", e.Type, e.ID, e.AggregateVersion, eventstore.StreamOf(*e), e.Position)
}
