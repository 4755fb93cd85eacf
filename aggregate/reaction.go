package aggregate

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// call is one decision about one aggregate that is part of an
// [event.Reaction]. The ids of its events follow from it, so that it can be seen
// in the stream whether an earlier try of the reaction has made it.
type call struct {
	reaction *event.Reaction
	stream   eventstore.Stream
	number   uint64
	first    uuid.UUID // the id of its first event

	stored  bool   // the first event was met in the stream
	base    uint64 // position of the event that a shortcut ended with; 0 without one
	unread  uint64 // versions up to this were passed over, as older than the cause
	looked  bool   // the stream was searched before the decision
	refused bool   // the decision was made, and was not to do it
}

func newCall(reaction *event.Reaction, stream eventstore.Stream) *call {
	c := &call{reaction: reaction, stream: stream}
	c.number = reaction.Begin(stream.TenantID, stream.AggregateType, stream.AggregateID)
	c.first = c.id(0)
	return c
}

// id returns the id of the call's event with an ordinal, from 0.
func (c *call) id(ordinal int) uuid.UUID {
	s := c.stream
	return c.reaction.EventID(s.TenantID, s.AggregateType, s.AggregateID, c.number, uint64(ordinal)) //nolint:gosec // never negative.
}

// end says whether the call was made, or is made again by the next one.
func (c *call) end(made bool) {
	s := c.stream
	c.reaction.End(s.TenantID, s.AggregateType, s.AggregateID, c.number, made)
}

// isStored reports whether an earlier try has made the call. There may be none.
func (c *call) isStored() bool { return c != nil && c.stored }

// refuse takes note that the call was decided on, and is not to be.
func (c *call) refuse() {
	if c != nil {
		c.refused = true
	}
}

// see takes note of an event of the stream.
func (c *call) see(e *event.Event) {
	if e.ID == c.first {
		c.stored = true
	}
}

// calling returns the call that the pending events belong to, or nil.
func (r *AggregateRoot[S]) calling() *call {
	if r.unit == nil {
		return nil
	}
	return r.unit.call
}

// join lets what is emitted from now on belong to the call that is being made,
// or to a new one if the context carries a reaction.
func (u *unit[S]) join(current *call, origin *event.Origin, stream eventstore.Stream) {
	switch {
	case u.call != nil || len(u.events) > 0:
	case current != nil:
		u.call = current
	case origin.Reaction != nil:
		u.call = newCall(origin.Reaction, stream)
	}
}

// begin returns the call that an update with ctx is, or nil if it is nobody's
// reaction.
func (r *Repository[A]) begin(ctx context.Context, id uuid.UUID) *call {
	reaction := event.ReactionFrom(ctx)
	if reaction == nil || r.err != nil {
		return nil
	}
	_, root := r.fresh(id)
	c := newCall(reaction, r.home.streamOf(ctx, root))
	c.looked = true
	return c
}

// loadFor loads an aggregate for a call, and finds out whether the call was
// made before.
func (r *Repository[A]) loadFor(ctx context.Context, id uuid.UUID, c *call) (*A, Root, error) {
	if c == nil {
		return r.load(ctx, id, 0)
	}
	a, root := r.fresh(id)
	root.at().call = c
	if err := r.home.load(ctx, root, 0); err != nil {
		return nil, nil, err
	}
	if err := r.home.lookBack(ctx, c, root.at().cost.base); err != nil {
		return nil, nil, err
	}
	r.home.shelve(ctx, c.stream, root)
	return a, root, nil
}

// lookBack searches what a load has not seen, because it began with a shortcut
// to version base. Nothing of a reaction is older than its cause, so usually
// there is nothing to read.
func (h *home) lookBack(ctx context.Context, c *call, base uint64) error {
	c.unread = 0
	if c.stored || base <= 1 {
		return nil
	}
	c.unread = base - 1
	if c.base <= c.reaction.Position {
		return nil
	}
	return h.search(ctx, c, c.unread, c.reaction.Position)
}

// search looks for the call's first event among the versions up to last, 0 for
// all, as far back as events stand above a position.
func (h *home) search(ctx context.Context, c *call, last, after uint64) error {
	query := eventstore.StreamQuery{To: last, Direction: eventstore.Backward}
	for e, err := range h.store.ReadStream(ctx, c.stream, query) {
		if err != nil {
			return fmt.Errorf("search %s for an earlier try: %w", c.stream, err)
		}
		if e.Position <= after {
			return nil
		}
		if c.see(&e); c.stored {
			return nil
		}
	}
	return ctx.Err()
}

// shelve feeds the snapshots with what was loaded. Where a reaction is saved
// they get nothing: the store may have answered for an earlier try, whose
// events have the same ids and versions but perhaps another content.
func (h *home) shelve(ctx context.Context, stream eventstore.Stream, root Root) {
	if h.snapshots != nil {
		h.snapshots.consider(ctx, stream, root, root.at().cost.base)
	}
}

// settled ends a call. One that failed may still have been made by an earlier
// try, in what the load has passed over, or by another process in the meantime:
// then it has succeeded.
func (h *home) settled(ctx context.Context, c *call, err error) error {
	if c == nil {
		return err
	}
	duplicate := errors.Is(err, eventstore.ErrDuplicateEvent)
	if duplicate || c.refused && c.unread > 0 {
		last := c.unread
		if duplicate {
			last = 0
		}
		if searchErr := h.search(ctx, c, last, 0); searchErr != nil {
			err = errors.Join(err, searchErr)
		} else if c.stored {
			err = nil
		}
	}
	c.end(err == nil || c.refused)
	return err
}

// isMade reports whether an earlier try has saved what the root is about to
// save: one that is found above a position. Then the root becomes what the store has.
func (h *home) isMade(ctx context.Context, root Root, stream eventstore.Stream, after uint64) (bool, error) {
	c := root.calling()
	if err := h.search(ctx, c, 0, after); err != nil || !c.stored {
		return false, err
	}
	return true, h.become(ctx, root, stream)
}

// become makes a root whose events an earlier try has saved what the store has.
func (h *home) become(ctx context.Context, root Root, stream eventstore.Stream) error {
	c := root.calling()
	root.reset()
	err := h.loadFrom(ctx, root, stream, 0)
	c.end(err == nil)
	return err
}

// areMade is isMade for aggregates that are saved together: an earlier try has
// saved those that have events of a reaction, or none of them.
func (h *home) areMade(ctx context.Context, roots []Root, streams []eventstore.Stream, whole bool) (bool, error) {
	found := false
	for _, root := range roots {
		c := root.calling()
		if c == nil {
			continue
		}
		after := c.reaction.Position
		if whole {
			after = 0
		}
		if err := h.search(ctx, c, 0, after); err != nil || !c.stored {
			return false, err
		}
		found = true
	}
	for i, root := range roots {
		if root.calling() == nil {
			continue
		}
		if err := h.become(ctx, root, streams[i]); err != nil {
			return true, err
		}
	}
	return found, nil
}

// allFailed is failed for aggregates that are saved together.
func (h *home) allFailed(ctx context.Context, roots []Root, streams []eventstore.Stream, err error) error {
	for _, root := range roots {
		root.failed()
	}
	if errors.Is(err, eventstore.ErrDuplicateEvent) {
		if made, searchErr := h.areMade(ctx, roots, streams, true); made || searchErr != nil {
			return searchErr
		}
	}
	for _, root := range roots {
		if c := root.calling(); c != nil {
			c.end(false)
		}
	}
	return err
}

// failed takes note of an append that failed. It returns nil if that was
// because an earlier try, or another process, has made the call.
func (h *home) failed(ctx context.Context, root Root, stream eventstore.Stream, err error) error {
	root.failed()
	c := root.calling()
	if c == nil || c.looked {
		return err
	}
	if errors.Is(err, eventstore.ErrDuplicateEvent) {
		if made, searchErr := h.isMade(ctx, root, stream, 0); made || searchErr != nil {
			return searchErr
		}
	}
	c.end(false)
	return err
}

// wasMade is isMade for a save: events of an update were looked for when that
// was begun, and events of no reaction need not be.
func (h *home) wasMade(ctx context.Context, root Root, stream eventstore.Stream) (bool, error) {
	c := root.calling()
	if c == nil || c.looked {
		return false, nil
	}
	return h.isMade(ctx, root, stream, c.reaction.Position)
}
