package event

import (
	"errors"
	"fmt"
	"slices"
)

// Upcaster is implemented by payload types whose stored form has changed.
//
//	func (Edited) Upcasts() []event.Upcast {
//		return []event.Upcast{
//			event.Step(func(old editedV1) editedV2 { … }), // version 1 → 2
//			event.Step(func(old editedV2) Edited { … }),   // version 2 → 3, the current one
//		}
//	}
//
// The payload's schema version is the number of steps plus one. Stored bytes
// are never rewritten: an old event is decoded into the type that it had when
// it was written, and taken through the remaining steps when it is read.
type Upcaster interface {
	Payload
	Upcasts() []Upcast
}

// Upcast is one entry of [Upcaster]: made by [Step], [StepErr], [Split],
// [SplitFrom] or [RenamedFrom].
type Upcast struct {
	kind     upcastKind
	oldName  string                           // for renames and SplitFrom
	decode   func(Codec, []byte) (any, error) // into the type that the step takes
	run      func(any) (any, error)           // the step itself; for splits the result is []Payload
	accepts  func(any) bool                   // whether a value has the type that the step takes
	produces any                              // a zero value of the type that the step returns
}

type upcastKind uint8

const (
	kindStep upcastKind = iota + 1
	kindSplit
	kindSplitFrom
	kindRename
)

var errNotCalled = errors.New("upcast was given a value of another step")

// Step is one version of a payload turned into the next.
func Step[From, To any](f func(From) To) Upcast {
	if f == nil {
		return Upcast{}
	}
	return StepErr(func(old From) (To, error) { return f(old), nil })
}

// StepErr is a [Step] that may fail. The failure makes the event one that does
// not decode: [ErrDecode].
func StepErr[From, To any](f func(From) (To, error)) Upcast {
	if f == nil {
		return Upcast{}
	}
	var zero To
	u := upcastFrom(kindStep, func(old From) (any, error) { return f(old) })
	u.produces = zero
	return u
}

// Split is a step in which one stored event becomes several, or none. It
// counts as a version like any other step. What it returns must be current
// payloads: later steps are not applied to them.
//
// Whoever handles only another type that f returns is not shown these events,
// since they are stored under this type's name: it has to handle this type too.
func Split[From any](f func(From) []Payload) Upcast {
	if f == nil {
		return Upcast{}
	}
	return upcastFrom(kindSplit, func(old From) (any, error) { return f(old), nil })
}

// SplitFrom takes over events of a type that is no longer emitted and turns
// each into several current payloads, or none. It does not count as a version.
//
// Each of the types that f returns should declare it, with the same f, so that
// whoever handles only one of them sees its part of the old events. Where
// several are handled together f runs once for an event.
func SplitFrom[From any](oldType string, f func(From) []Payload) Upcast {
	if f == nil {
		return Upcast{}
	}
	u := upcastFrom(kindSplitFrom, func(old From) (any, error) { return f(old), nil })
	u.oldName = oldType
	return u
}

// RenamedFrom says that events stored under an older name are of this payload
// type. They keep their schema version and go through the same steps. It does
// not count as a version.
func RenamedFrom(oldType string) Upcast { return Upcast{kind: kindRename, oldName: oldType} }

func upcastFrom[From any](kind upcastKind, f func(From) (any, error)) Upcast {
	return Upcast{
		kind: kind,
		decode: func(codec Codec, data []byte) (any, error) {
			var old From
			err := codec.Decode(data, &old)
			return old, err // wrapped in a DecodeError by the caller.
		},
		run: func(value any) (any, error) {
			old, ok := value.(From)
			if !ok {
				return nil, errNotCalled
			}
			return f(old)
		},
		accepts: func(value any) bool { _, ok := value.(From); return ok },
	}
}

// SchemaVersion returns the schema version that new events of payload have:
// the number of its steps plus one, or 1 without [Upcaster]. The error is a
// [*DefinitionError] for upcasts that do not fit together.
func SchemaVersion(payload Payload) (int, error) {
	if _, ok := payload.(Upcaster); !ok {
		return 1, nil
	}
	s, err := schemaFor(payload)
	if err != nil {
		return 0, err
	}
	return s.version, nil
}

// schema is what a payload type says of itself, worked out once.
type schema struct {
	name    string
	version int
	steps   []Upcast          // in order; steps[i] takes version i+1
	renames []string          // older names
	splits  map[string]Upcast // by the type that they take over
}

// schemaFor reads name and upcasts of a payload type from one value of it, and
// checks that each step takes what the one before returns. isCurrent reports
// whether a value has the payload's own type.
func schemaFor(payload Payload) (*schema, error) {
	s := &schema{name: payload.EventType(), version: 1}
	if err := ValidateName("event_type", s.name); err != nil {
		return nil, &DefinitionError{Subject: s.name, Reason: err.Error()}
	}
	up, ok := payload.(Upcaster)
	if !ok {
		return s, nil
	}
	for i, u := range up.Upcasts() {
		if err := s.add(u); err != nil {
			return nil, &DefinitionError{Subject: s.name, Reason: fmt.Sprintf("upcast %d: %v", i+1, err)}
		}
	}
	s.version = len(s.steps) + 1
	return s, nil
}

func (s *schema) add(u Upcast) error {
	switch u.kind {
	case kindStep, kindSplit:
		if n := len(s.steps); n > 0 && s.steps[n-1].kind == kindStep && !u.accepts(s.steps[n-1].produces) {
			return fmt.Errorf("does not take the %T that the step before returns", s.steps[n-1].produces)
		}
		s.steps = append(s.steps, u)
		return nil
	case kindRename, kindSplitFrom:
		return s.addOldName(u)
	default:
		return errors.New("is the zero value or has a nil function; use event.Step, Split, SplitFrom or RenamedFrom")
	}
}

func (s *schema) addOldName(u Upcast) error {
	if err := ValidateName("event_type", u.oldName); err != nil {
		return err
	}
	if _, twice := s.splits[u.oldName]; twice || u.oldName == s.name || slices.Contains(s.renames, u.oldName) {
		return fmt.Errorf("old name %q is taken already", u.oldName)
	}
	if u.kind == kindRename {
		s.renames = append(s.renames, u.oldName)
		return nil
	}
	if s.splits == nil {
		s.splits = make(map[string]Upcast)
	}
	s.splits[u.oldName] = u
	return nil
}

// isSplit reports whether events of an older type are split into this one.
func (s *schema) isSplit(oldType string) bool {
	_, ok := s.splits[oldType]
	return ok
}

// oldNames returns the names under which older events of this type are stored.
func (s *schema) oldNames() []string {
	names := slices.Clone(s.renames)
	for name := range s.splits {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// upcast turns a stored event of an older form into current payloads. One
// value that is not a []Payload is of the payload's own type.
func (s *schema) upcast(codec Codec, e Event) (any, error) {
	if split, ok := s.splits[e.Type]; ok {
		return runFrom(codec, []Upcast{split}, e.Data)
	}
	if e.SchemaVersion < 1 || e.SchemaVersion > s.version {
		return nil, fmt.Errorf("this program knows schema versions 1 to %d of %s; a newer program wrote it", s.version, s.name)
	}
	return runFrom(codec, s.steps[e.SchemaVersion-1:], e.Data)
}

func runFrom(codec Codec, steps []Upcast, data []byte) (any, error) {
	value, err := steps[0].decode(codec, data)
	if err != nil {
		return nil, err
	}
	for _, step := range steps {
		if value, err = step.run(value); err != nil {
			return nil, err
		}
		if step.kind != kindStep {
			return value, nil
		}
	}
	return value, nil
}
