package event

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Handler is a function for the events of one payload type. A is what the
// function is given besides the event: an aggregate's state, a transaction.
// It is made by [Handle]; the zero value is refused by [NewHandlers].
type Handler[A any] struct {
	schema  *schema
	err     error
	current func(hs *Handlers[A], arg A, e Event) error // decodes and calls
	payload func(arg A, e Event, p Payload) error       // calls with a payload in hand
}

// Handle returns a handler that calls f. The payload type is taken from f's
// argument, the event's name and upcasts from the payload type.
func Handle[A any, P Payload](f func(A, Of[P]) error) Handler[A] {
	s, err := schemaOf[P]()
	if f == nil && err == nil {
		err = &DefinitionError{Subject: s.name, Reason: "handler is nil"}
	}
	return Handler[A]{
		schema: s,
		err:    err,
		current: func(hs *Handlers[A], arg A, e Event) error {
			var p P
			if err := hs.codec.Decode(e.Data, &p); err != nil {
				return decodeError(e, err)
			}
			return f(arg, Of[P]{Event: e, Payload: p})
		},
		payload: func(arg A, e Event, p Payload) error {
			typed, ok := p.(P)
			if !ok {
				return &DefinitionError{Subject: e.Type, Reason: fmt.Sprintf("payload is a %T, the handler takes a %T", p, *new(P))}
			}
			return f(arg, Of[P]{Event: e, Payload: typed})
		},
	}
}

// schemaOf asks the zero value of P for its name. A payload type whose zero
// value cannot be asked, such as an interface, is a definition error.
func schemaOf[P Payload]() (s *schema, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &DefinitionError{Subject: fmt.Sprintf("%T", *new(P)), Reason: fmt.Sprintf("EventType or Upcasts of the zero value panics: %v", r)}
		}
	}()
	var zero P
	if s, err = schemaFor(zero); err != nil {
		return nil, err
	}
	if n := len(s.steps); n > 0 && s.steps[n-1].kind == kindStep {
		if _, ok := s.steps[n-1].produces.(P); !ok {
			return nil, &DefinitionError{Subject: s.name, Reason: fmt.Sprintf("the last step returns a %T, not a %T", s.steps[n-1].produces, zero)}
		}
	}
	return s, nil
}

// Handlers finds the handler for an event by its type. It is immutable and
// safe for concurrent use.
type Handlers[A any] struct {
	codec  Codec
	byType map[string]*Handler[A] // by current name
	byOld  map[string]*Handler[A] // by older names
}

// NewHandlers returns a table of handlers that decode with codec, or with
// [JSON] if codec is nil. Two handlers for one type, or one old name claimed
// twice, are a [*DefinitionError].
func NewHandlers[A any](codec Codec, handlers ...Handler[A]) (*Handlers[A], error) {
	if codec == nil {
		codec = JSON{}
	}
	hs := &Handlers[A]{codec: codec, byType: make(map[string]*Handler[A]), byOld: make(map[string]*Handler[A])}
	for i := range handlers {
		if err := hs.add(&handlers[i]); err != nil {
			return nil, err
		}
	}
	for old := range hs.byOld {
		if _, taken := hs.byType[old]; taken {
			return nil, &DefinitionError{Subject: old, Reason: "is an old name of one payload type and the name of another"}
		}
	}
	return hs, nil
}

func (hs *Handlers[A]) add(h *Handler[A]) error {
	if h.err != nil {
		return h.err
	}
	if h.schema == nil {
		return &DefinitionError{Subject: "handler", Reason: "is the zero value; use event.Handle"}
	}
	if _, twice := hs.byType[h.schema.name]; twice {
		return &DefinitionError{Subject: h.schema.name, Reason: "has two handlers"}
	}
	hs.byType[h.schema.name] = h
	for _, old := range h.schema.oldNames() {
		first, twice := hs.byOld[old]
		switch {
		case !twice:
			hs.byOld[old] = h
		case !first.schema.isSplit(old) || !h.schema.isSplit(old):
			return &DefinitionError{Subject: old, Reason: "is claimed as an old name by two payload types"}
		}
	}
	return nil
}

// Types returns the names of all events that have a handler, older names
// included, sorted: what a reader has to ask a store for.
func (hs *Handlers[A]) Types() []string {
	types := slices.AppendSeq(make([]string, 0, len(hs.byType)+len(hs.byOld)), maps.Keys(hs.byType))
	types = slices.AppendSeq(types, maps.Keys(hs.byOld))
	slices.Sort(types)
	return types
}

// SchemaVersion returns the schema version that new events of the type have,
// and whether the type has a handler.
func (hs *Handlers[A]) SchemaVersion(eventType string) (int, bool) {
	h, ok := hs.byType[eventType]
	if !ok {
		return 0, false
	}
	return h.schema.version, true
}

// Handle decodes a stored event and calls its handler, once, or once for each
// payload that the event was split into. It reports whether there was a
// handler. Errors are [*DecodeError] and what the handler returned.
func (hs *Handlers[A]) Handle(arg A, e Event) (handled bool, err error) {
	if h, ok := hs.byType[e.Type]; ok {
		if e.SchemaVersion == h.schema.version {
			return true, h.current(hs, arg, e)
		}
		return true, hs.handleOld(h, arg, e)
	}
	if h, ok := hs.byOld[e.Type]; ok {
		return true, hs.handleOld(h, arg, e)
	}
	return false, nil
}

func (hs *Handlers[A]) handleOld(h *Handler[A], arg A, e Event) error {
	if !h.schema.isSplit(e.Type) && e.SchemaVersion == h.schema.version {
		e.Type = h.schema.name // renamed, and otherwise current
		return h.current(hs, arg, e)
	}
	value, err := h.schema.upcast(hs.codec, e)
	if err != nil {
		return decodeError(e, err)
	}
	payloads, split := value.([]Payload)
	if !split {
		p, ok := value.(Payload)
		if !ok {
			return decodeError(e, fmt.Errorf("upcasts end in a %T, which is not a payload", value))
		}
		payloads = []Payload{p}
	}
	return hs.handleEach(payloads, arg, e)
}

func (hs *Handlers[A]) handleEach(payloads []Payload, arg A, e Event) error {
	for _, p := range payloads {
		if p == nil {
			return decodeError(e, errors.New("was split into a nil payload"))
		}
		h, ok := hs.byType[p.EventType()]
		if !ok {
			continue // a part that nobody here asked for
		}
		part := e
		part.Type, part.SchemaVersion = h.schema.name, h.schema.version
		if err := h.payload(arg, part, p); err != nil {
			return err
		}
	}
	return nil
}

func decodeError(e Event, err error) error {
	return &DecodeError{EventID: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, Position: e.Position, Err: err}
}
