package process

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// compensate undoes what an instance has done before it failed, the last
// first, and then ends it. Each undoing is recorded by itself, so that it is not
// repeated when a later one has to be tried again.
func (m *Manager[S]) compensate(ctx context.Context, failed event.Event) error {
	a, err := m.instances.Load(ctx, failed.AggregateID)
	if err != nil && !errors.Is(err, aggregate.ErrNotFound) {
		return fmt.Errorf("compensate: %w", err)
	}
	if err != nil || a.State().Phase != Failing {
		return nil // it is over
	}
	steps, err := m.undoable(ctx, failed)
	if err != nil {
		return err
	}
	failing := func(r *record[S]) bool { return r.Phase == Failing }
	for i, u := range slices.Backward(steps) {
		err := m.handle(event.WithStep(ctx, stepName(steps[:i], u)), failed.AggregateID, handling[S]{
			cause: failed, meant: failing, run: u.run,
			after: []event.Payload{Undone{Event: u.event.ID, Type: u.event.Type}},
		})
		if err != nil {
			return fmt.Errorf("undo %s of version %d: %w", u.event.Type, u.event.AggregateVersion, err)
		}
	}
	return m.handle(event.WithStep(ctx, "end"), failed.AggregateID, handling[S]{
		cause: failed, meant: failing,
		run:   func(context.Context, *Instance[S]) error { return nil },
		after: []event.Payload{Ended{}},
	})
}

// stepName tells what is undone from everything else that is: by the version
// of its event, and by its number where that was split into several.
func stepName[S any](before []undo[S], u undo[S]) string {
	n := 0
	for _, b := range before {
		if b.event.AggregateVersion == u.event.AggregateVersion {
			n++
		}
	}
	if n == 0 {
		return fmt.Sprintf("undo %d", u.event.AggregateVersion)
	}
	return fmt.Sprintf("undo %d part %d", u.event.AggregateVersion, n)
}

// undoable returns what can be undone of what an instance did before it failed,
// the first first.
func (m *Manager[S]) undoable(ctx context.Context, failed event.Event) ([]undo[S], error) {
	var steps []undo[S]
	stream := m.stream(failed.TenantID, failed.AggregateID)
	for e, err := range m.events.ReadStream(ctx, stream, eventstore.StreamQuery{To: failed.AggregateVersion - 1}) {
		if err != nil {
			return nil, fmt.Errorf("read what is to be undone: %w", err)
		}
		if _, err := m.definition.undos.Handle(&steps, e); err != nil {
			return nil, fmt.Errorf("read what is to be undone: %w", err)
		}
	}
	return steps, ctx.Err()
}
