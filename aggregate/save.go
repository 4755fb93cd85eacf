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
	before := root.SavedVersion()
	if root.Version() == before {
		return nil
	}
	stream, err := h.target(ctx, root)
	if err != nil {
		return err
	}
	result, err := h.store.Append(ctx, root.outgoing(stream)...)
	if err != nil {
		root.failed()
		return fmt.Errorf("save aggregate: %w", err)
	}
	root.committed(stream, result.Position)
	h.saved(ctx, stream, root, before)
	return nil
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
// As to errors and saving again it is like [Repository.Save]. An aggregate must
// not be given twice.
func SaveAll(ctx context.Context, store eventstore.Store, aggregates ...Root) error {
	if store == nil {
		return &event.InvalidError{Field: "store", Reason: "must not be nil"}
	}
	target := &home{store: store, bound: tenantedStore(store)}
	appends, err := target.joined(ctx, aggregates)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(appends, func(a eventstore.Append) bool { return len(a.Events) > 0 }) {
		return nil
	}
	result, err := store.Append(ctx, appends...)
	if err != nil {
		for _, root := range aggregates {
			root.failed()
		}
		return fmt.Errorf("save %d aggregates: %w", len(aggregates), err)
	}
	for i, root := range aggregates {
		if len(appends[i].Events) == 0 {
			continue
		}
		before := root.SavedVersion()
		root.committed(appends[i].Stream, result.Position)
		root.at().home.saved(ctx, appends[i].Stream, root, before)
	}
	return nil
}

func (h *home) joined(ctx context.Context, aggregates []Root) ([]eventstore.Append, error) {
	appends := make([]eventstore.Append, 0, len(aggregates))
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
		appends = append(appends, root.outgoing(stream)...)
	}
	return appends, nil
}
