package registry

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evident-go/evident/event"
)

const (
	// MaxLanes is the number of slots that lanes are ranges of.
	MaxLanes = 1024
	// MaxReasonBytes bounds the reason of a pause or an order.
	MaxReasonBytes = 1024
	// MaxProblemBytes is how much of an order's problem is kept.
	MaxProblemBytes = 4096
)

// Validate checks the projection's name and the version. The error is an
// [*event.InvalidError] or [*event.TooLargeError] that names the field.
func (n Name) Validate() error {
	if err := event.ValidateName("projection", n.Projection); err != nil {
		return err
	}
	if n.Version < 1 {
		return &event.InvalidError{Field: "version", Reason: "of projection " + n.Projection + " must be 1 or more"}
	}
	return nil
}

// Check is the first thing that Save does with a record. The error is an
// [*event.InvalidError] or [*event.TooLargeError] that names the field.
func Check(r Record) error {
	if err := r.Name.Validate(); err != nil {
		return err
	}
	switch r.State {
	case Building, CaughtUp, Live, Replaced, Retired:
	default:
		return &event.InvalidError{Field: "state", Value: string(r.State), Reason: "is no state of a projection"}
	}
	if r.Since.IsZero() {
		return &event.InvalidError{Field: "since", Reason: "must be set"}
	}
	if err := CheckLanes("lanes", r.Lanes); err != nil {
		return err
	}
	if err := r.Pause.check(); err != nil {
		return err
	}
	return r.Order.check()
}

// CheckSave is how a store decides on a save that passes [Check], with what it
// has in hand: the record has revision have, 0 if there is none, and version
// live of the projection is live besides it, 0 if none is. The error is a
// [*ChangedError] or a [*LiveError].
func CheckSave(r Record, have uint64, live int) error {
	if have != r.Revision {
		return &ChangedError{Name: r.Name, Have: have, Want: r.Revision}
	}
	if r.State == Live && live != 0 {
		return &LiveError{Name: r.Name, Live: live}
	}
	return nil
}

// CheckLanes refuses a number of lanes below 1 or above [MaxLanes].
func CheckLanes(field string, lanes int) error {
	if lanes < 1 || lanes > MaxLanes {
		return &event.InvalidError{Field: field, Value: strconv.Itoa(lanes), Reason: fmt.Sprintf("must be from 1 to %d", MaxLanes)}
	}
	return nil
}

func (p Pause) check() error {
	if p.At.IsZero() {
		if p.Reason != "" || p.By != "" {
			return &event.InvalidError{Field: "pause.at", Reason: "must be set, or no reason and nobody"}
		}
		return nil
	}
	return CheckWhy("pause.", p.Reason, p.By)
}

func (o Order) check() error {
	switch o.Kind {
	case "":
		if o != (Order{}) {
			return &event.InvalidError{Field: "order.kind", Reason: "must be set, or nothing else of the order"}
		}
		return nil
	case Rebuild, Rewind, ChangeLanes, Switch, Retire:
	default:
		return &event.InvalidError{Field: "order.kind", Value: string(o.Kind), Reason: "is no kind of order"}
	}
	if (o.Kind == ChangeLanes) != (o.Lanes != 0) {
		return &event.InvalidError{Field: "order.lanes", Reason: "must be set for a change of lanes, and for nothing else"}
	}
	if o.Lanes != 0 {
		if err := CheckLanes("order.lanes", o.Lanes); err != nil {
			return err
		}
	}
	if o.Position != 0 && o.Kind != Rewind {
		return &event.InvalidError{Field: "order.position", Reason: "must be set for a rewind only"}
	}
	if o.At.IsZero() {
		return &event.InvalidError{Field: "order.at", Reason: "must be set"}
	}
	return CheckWhy("order.", o.Reason, o.By)
}

// CheckWhy checks the reason for which something is asked for, which must not
// be blank, and who has asked, whom nobody need know. Field stands before the
// names of the fields in the error.
func CheckWhy(field, reason string, by event.ActorID) error {
	if strings.TrimSpace(reason) == "" {
		return &event.InvalidError{Field: field + "reason", Reason: "must say why"}
	}
	if len(reason) > MaxReasonBytes {
		return &event.TooLargeError{Field: field + "reason", Size: len(reason), Limit: MaxReasonBytes, Unit: "bytes"}
	}
	if !storable(reason) {
		return &event.InvalidError{Field: field + "reason", Reason: "is not valid UTF-8 or contains NUL"}
	}
	return by.Validate()
}

// Stored returns r as stores keep it: times in UTC to the microsecond, the
// order's problem cut at [MaxProblemBytes] and made storable.
func Stored(r Record) Record {
	for _, at := range []*time.Time{&r.Since, &r.Pause.At, &r.Order.At} {
		if !at.IsZero() {
			*at = event.Time(*at)
		}
	}
	r.Order.Problem = cut(r.Order.Problem)
	return r
}

func cut(problem string) string {
	problem = strings.ReplaceAll(strings.ToValidUTF8(problem, "\uFFFD"), "\x00", "\uFFFD")
	if len(problem) <= MaxProblemBytes {
		return problem
	}
	edge := MaxProblemBytes
	for !utf8.RuneStart(problem[edge]) {
		edge--
	}
	return problem[:edge]
}

// storable reports whether every database can keep s as text.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
