package process

import (
	"context"
	"errors"

	"github.com/evident-go/evident/event"
)

// errEarly says that the clock went back while a timeout was about to come.
var errEarly = errors.New("timeout is not due any more: the clock went back")

// elapse records that a timeout has come, if the instance waits for it still.
// The event's id follows from that of the TimeoutSet, so that it is recorded
// once whoever else does so.
func (m *Manager[S]) elapse(ctx context.Context, w *waiting) error {
	ctx = event.WithOrigin(ctx, event.Origin{ActorID: m.definition.actor, TenantID: w.stream.TenantID})
	ctx = event.WithStep(event.WithReaction(ctx, m.definition.name, w.cause()), "elapsed")
	return m.instances.Update(ctx, w.stream.AggregateID, func(a *root[S]) error {
		if r := a.State(); !r.waitsFor(w.name, w.set) {
			return nil
		}
		if m.config.Now().Before(w.due) {
			return errEarly
		}
		return a.Emit(ctx, TimeoutElapsed{Name: w.name, Set: w.set, Due: w.due})
	})
}
