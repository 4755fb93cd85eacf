package aggregate

import (
	"context"
	"fmt"
	"slices"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Save appends the aggregate's pending events, expecting the version that it
// was loaded with. Nothing pending is nothing to do.
//
// After an error the events are still pending, and saving again sends the same
// ones: that is safe after any error, [eventstore.ErrOutcomeUnknown] included,
// since a store keeps each event once. After an [eventstore.ErrConflict] it
// cannot succeed any more: load the aggregate and decide again, or use
// [Repository.Update].
//
// If the events are part of an [event.Reaction] which an earlier try has saved
// already, nothing is stored: the aggregate drops them and becomes what the
// store has.
func (r *Repository[A]) Save(ctx context.Context, a *A) error {
	if r.err != nil {
		return r.err
	}
	if a == nil {
		return &event.InvalidError{Field: "aggregate", Reason: "must not be nil"}
	}
	return r.home.save(ctx, r.root(a))
}

func (h *home) save(ctx context.Context, root Root) error {
	if err := root.check(); err != nil {
		return err
	}
	if !root.unsaved() {
		return nil
	}
	stream, err := h.target(ctx, root)
	if err != nil {
		return err
	}
	if made, err := h.wasMade(ctx, root, stream); made || err != nil {
		return wrap("save aggregate", err)
	}
	result, err := h.store.Append(ctx, root.outgoing(stream)...)
	if err != nil {
		return wrap("save aggregate", h.failed(ctx, root, stream, err))
	}
	tell(ctx, settle(ctx, h, root, stream, result), result)
	return nil
}

// settle takes note of a save, in the aggregate and among its shortcuts. It
// returns those who joined it, and who are to be told.
func settle(ctx context.Context, h *home, root Root, stream eventstore.Stream, result eventstore.Result) []joined {
	before, companions, c := root.SavedVersion(), root.companions(), root.calling()
	root.committed(stream, result.Position)
	if c != nil {
		c.end(true)
		return companions
	}
	if root.SavedVersion() > before {
		h.saved(ctx, stream, root, before)
	}
	return companions
}

// wrap says what was being done when err came up; nil stays nil.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// saved looks after the shortcuts.
func (h *home) saved(ctx context.Context, stream eventstore.Stream, root Root, before uint64) {
	if h == nil {
		return
	}
	h.keep(stream, root)
	if h.snapshots != nil {
		h.snapshots.consider(ctx, stream, root, before)
	}
}

// SaveAll saves several aggregates, of any types, as one unit: all or none.
// One that has nothing pending takes part with its version: the save fails if
// it has changed since it was loaded. If none has anything pending, there is
// nothing to do.
//
// As to errors, saving again and reactions it is like [Repository.Save]. An
// aggregate must not be given twice.
func SaveAll(ctx context.Context, store eventstore.Store, aggregates ...Root) error {
	if store == nil {
		return &event.InvalidError{Field: "store", Reason: "must not be nil"}
	}
	target := &home{store: store, bound: tenantedStore(store)}
	streams, err := target.streams(ctx, aggregates)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(aggregates, Root.unsaved) {
		return nil
	}
	doing := fmt.Sprintf("save %d aggregates", len(aggregates))
	if made, err := target.areMade(ctx, aggregates, streams, false); made || err != nil {
		return wrap(doing, err)
	}
	var appends []eventstore.Append
	for i, root := range aggregates {
		appends = append(appends, root.outgoing(streams[i])...)
	}
	result, err := store.Append(ctx, appends...)
	if err != nil {
		return wrap(doing, target.allFailed(ctx, aggregates, streams, err))
	}
	var companions []joined // told when all aggregates know that they are saved
	for i, root := range aggregates {
		if root.unsaved() {
			companions = append(companions, settle(ctx, root.at().home, root, streams[i], result)...)
		}
	}
	tell(ctx, companions, result)
	return nil
}

// streams returns where each aggregate is saved to.
func (h *home) streams(ctx context.Context, aggregates []Root) ([]eventstore.Stream, error) {
	streams := make([]eventstore.Stream, len(aggregates))
	for i, root := range aggregates {
		if isNil(root) {
			return nil, &event.InvalidError{Field: fmt.Sprintf("aggregates[%d]", i), Reason: "must not be nil"}
		}
		if err := root.check(); err != nil {
			return nil, err
		}
		stream, err := h.target(ctx, root)
		if err != nil {
			return nil, err
		}
		streams[i] = stream
	}
	return streams, nil
}
