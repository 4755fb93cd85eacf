package process

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Instance is one run of a process, as its handlers see it while they handle
// one event. What they do with it is recorded together when the handler has
// returned, or not at all if it fails. It must not be kept, and belongs to the
// handler's goroutine.
//
// The methods that record something return no error: the first that there is
// makes the handling fail.
type Instance[S any] struct {
	ctx        context.Context //nolint:containedctx // the handler's own, for as long as it runs.
	root       *root[S]
	definition *Definition[S]
	now        func() time.Time
	steps      map[string]bool // that were done
	failed     bool            // whether this handler has called Fail
	err        error           // the first
}

// ID returns the instance's id: the key of its events.
func (p *Instance[S]) ID() uuid.UUID { return p.root.ID() }

// State returns what the instance remembers, what this handler emitted
// included. Maps and slices in it are the instance's own: do not modify them.
func (p *Instance[S]) State() S { return p.root.State().State }

// Failure returns the reason for which the instance failed, "" if it did not.
func (p *Instance[S]) Failure() string { return p.root.State().Failure }

// Emit records that something happened to the instance. Each type of event
// needs an [Apply] or an [Undo]. After [Instance.Fail] nothing more can be
// emitted by the same handler: it would never be undone.
func (p *Instance[S]) Emit(payloads ...event.Payload) {
	if p.failed && len(payloads) > 0 {
		p.refuse("event", payloads[0].EventType(), "comes after Fail, and would never be undone: emit it before")
	}
	p.emit(payloads...)
}

func (p *Instance[S]) emit(payloads ...event.Payload) {
	if p.err == nil {
		p.err = p.root.Emit(p.ctx, payloads...)
	}
}

// Do gives commands, or does something else that belongs together, as one step
// of what the handler does. In each try it does the step again, and what f
// appends through package aggregate with its context is appended once. What else
// it does should take the key of the context's reaction, [event.Reaction.Key],
// which is that of the step.
//
// The step's name tells it from others of the same handler, and stays when the
// code changes. The error is that of f, or the first of the instance, and then f
// is not called.
func (p *Instance[S]) Do(ctx context.Context, step string, f func(ctx context.Context) error) error {
	if p.err != nil {
		return p.err
	}
	ctx = event.WithStep(ctx, step)
	part := event.ReactionFrom(ctx)
	switch {
	case part == nil:
		p.refuse("step", step, "is done with a context that is not the handler's")
	case f == nil:
		p.refuse("step", step, "has no function")
	case p.steps[part.Step]:
		p.refuse("step", step, "is done twice by one handler; give each step a name of its own")
	}
	if p.err != nil {
		return p.err
	}
	p.steps[part.Step] = true
	return f(ctx)
}

// SetTimeout waits for so long from now, by the clock of [Config], and then has
// the handler of [OnTimeout] called, unless the timeout is cancelled, set again,
// or the instance has ended before. It takes effect when this handler has
// succeeded.
func (p *Instance[S]) SetTimeout(name string, after time.Duration) {
	p.SetTimeoutAt(name, p.now().Add(after))
}

// SetTimeoutAt is [Instance.SetTimeout] with the time given. One that is past
// comes at once.
func (p *Instance[S]) SetTimeoutAt(name string, due time.Time) {
	if p.mayWait(name, "set") {
		p.emit(TimeoutSet{Name: name, Due: event.Time(due)})
	}
}

// CancelTimeout ends a wait, also if it was in vain but was not handled yet.
// If there is none, it does nothing.
func (p *Instance[S]) CancelTimeout(name string) {
	if r := p.root.State(); p.mayWait(name, "cancelled") && r.knows(name) {
		p.emit(TimeoutCancelled{Name: name})
	}
}

func (p *Instance[S]) mayWait(name, doing string) bool {
	if _, known := p.definition.timeouts[name]; !known {
		p.refuse("timeout", name, "is "+doing+", but the process has no handler for it: add process.OnTimeout")
		return false
	}
	return p.mayGoOn("timeout", name)
}

// Fail has the instance undo what it has done: the functions given to [Undo]
// are called for its events, the last first, when this handler has succeeded.
// Then the instance has ended. Meanwhile it handles nothing else.
func (p *Instance[S]) Fail(reason string) {
	if p.mayGoOn("failure", reason) {
		p.emit(Failed{Reason: reason})
		p.failed = true
	}
}

// Done ends the instance when this handler has succeeded: it handles nothing
// any more, and waits for no timeout.
func (p *Instance[S]) Done() {
	if p.mayGoOn("end", "") {
		p.emit(Ended{})
	}
}

// mayGoOn refuses what an instance cannot do any more.
func (p *Instance[S]) mayGoOn(field, value string) bool {
	switch r := p.root.State(); {
	case p.err != nil:
		return false
	case r.Phase == Running:
		return true
	case r.Phase == Failing:
		p.refuse(field, value, "is too late: the instance has failed")
	default:
		p.refuse(field, value, "is too late: the instance has ended")
	}
	return false
}

// refuse makes the handling fail for what the handler did wrong.
func (p *Instance[S]) refuse(field, value, reason string) {
	if p.err == nil {
		invalid := &event.InvalidError{Field: field, Value: value, Reason: reason}
		p.err = fmt.Errorf("process %s: %w", p.definition.name, invalid)
	}
}
