package process

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// handling is what is done with one event for one instance.
type handling[S any] struct {
	cause  event.Event
	meant  func(r *record[S]) bool // whether the instance is to handle it
	before []event.Payload         // recorded first
	run    func(ctx context.Context, p *Instance[S]) error
	after  []event.Payload // recorded last
}

// react has whoever an event is for handle it.
func (m *Manager[S]) react(ctx context.Context, e event.Event) error {
	if m.isOwn(e) {
		if err := m.goOn(ctx, e); err != nil {
			return err
		}
	}
	found, err := m.deliveries(e)
	if err != nil {
		return err
	}
	for i, d := range found {
		if d.key != found[0].key {
			return &event.InvalidError{Field: "key", Value: d.key.String(), Reason: "of a part of the event differs from that of another: all parts of one event must belong to one instance"}
		}
		if d.key == uuid.Nil {
			continue
		}
		if m.isOwn(e) && d.key != e.AggregateID {
			return &event.InvalidError{Field: "key", Value: d.key.String(), Reason: "of what happened to an instance must be that instance: to tell another one, give it a command"}
		}
		part := ctx
		if i > 0 {
			part = event.WithStep(ctx, fmt.Sprintf("part %d", i))
		}
		if err := m.handle(part, d.key, d.handling(e)); err != nil {
			return err
		}
	}
	return nil
}

// isOwn reports whether e is one by which an instance goes on by itself.
func (m *Manager[S]) isOwn(e event.Event) bool {
	return e.AggregateType == m.definition.name && (e.Type == TimeoutElapsed{}.EventType() || e.Type == Failed{}.EventType())
}

// goOn handles what an instance has recorded itself.
func (m *Manager[S]) goOn(ctx context.Context, e event.Event) error {
	if e.Type == (Failed{}).EventType() {
		return m.compensate(ctx, e)
	}
	var elapsed TimeoutElapsed
	if err := m.definition.state.Codec().Decode(e.Data, &elapsed); err != nil {
		return &event.DecodeError{EventID: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, Position: e.Position, Err: err}
	}
	handle, ok := m.definition.timeouts[elapsed.Name]
	if !ok { // another version of the process has set it
		handle = func(_ context.Context, p *Instance[S]) error {
			p.refuse("timeout", elapsed.Name, "has come, but the process has no handler for it: add process.OnTimeout")
			return nil
		}
	}
	return m.handle(ctx, e.AggregateID, handling[S]{
		cause:  e,
		meant:  func(r *record[S]) bool { return r.Phase == Running && r.Elapsed[elapsed.Name] == e.ID },
		before: []event.Payload{Handled{Event: e.ID, Type: e.Type}},
		run:    handle,
	})
}

// deliveries returns for whom e is, and what they do with it.
func (m *Manager[S]) deliveries(e event.Event) ([]delivery[S], error) {
	var found []delivery[S]
	_, err := m.definition.inputs.Handle(&found, e)
	return found, err
}

// handling returns what an instance does with an event of others. What is
// older than its beginning was not meant for it when it came, so it is not when
// it comes again.
func (d delivery[S]) handling(e event.Event) handling[S] {
	h := handling[S]{cause: e, run: d.handle}
	h.meant = func(r *record[S]) bool {
		if r.Phase == "" {
			return d.starts
		}
		return r.Phase == Running && e.Position >= r.From
	}
	return h
}

// handle has an instance handle an event, once: what it records is the first
// call for its stream in the reaction to the event. So the handler may run again
// until that is stored, each time in the same steps, and not afterwards.
func (m *Manager[S]) handle(ctx context.Context, id uuid.UUID, h handling[S]) error {
	return m.instances.Update(ctx, id, func(a *root[S]) error {
		if r := a.State(); !h.meant(&r) {
			return nil
		}
		p := &Instance[S]{
			ctx: ctx, root: a, definition: m.definition, now: m.config.Now,
			steps: make(map[string]bool),
		}
		return h.record(event.WithStep(ctx, "do"), p)
	})
}

// record runs the handler and leaves in the instance what is to be stored: at
// least one event, by which the handling is known.
func (h handling[S]) record(ctx context.Context, p *Instance[S]) error {
	if p.root.Version() == 0 {
		p.emit(Started{Event: h.cause.ID, Type: h.cause.Type, Position: h.cause.Position})
	}
	p.emit(h.before...)
	if p.err != nil {
		return p.err
	}
	if err := h.run(ctx, p); err != nil {
		return cmp.Or(p.err, err) // the first
	}
	p.emit(h.after...)
	if p.err == nil && p.root.Version() == p.root.SavedVersion() {
		p.emit(Handled{Event: h.cause.ID, Type: h.cause.Type})
	}
	return p.err
}

// sequence returns what an event is ordered by: its instance. One that cannot
// be read, or is for none, is ordered by its own stream.
func (m *Manager[S]) sequence(e event.Event) string {
	if m.isOwn(e) {
		return projection.DefaultSequenceKey(e)
	}
	var found []delivery[S]
	err := projection.Recovered(func() (err error) { found, err = m.deliveries(e); return err })
	if err != nil || len(found) == 0 || found[0].key == uuid.Nil {
		return projection.DefaultSequenceKey(e)
	}
	return projection.DefaultSequenceKey(event.Event{TenantID: e.TenantID, AggregateType: m.definition.name, AggregateID: found[0].key})
}
