package aggregate

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func (h *home) streamOf(ctx context.Context, root Root) eventstore.Stream {
	return root.stream(h.tenantOr(ctx, event.TenantFrom(ctx)))
}

// load brings a fresh root to a version, or to the last if that is 0. It
// starts from the cache or a snapshot where there is one that the store
// confirms.
func (h *home) load(ctx context.Context, root Root, to uint64) error {
	stream := h.streamOf(ctx, root)
	started := h.startLoad()
	if err := h.loadFrom(ctx, root, stream, to); err != nil {
		return fmt.Errorf("load %s: %w", stream, err)
	}
	root.at().cost.took = h.loadTook(started)
	if to == 0 {
		h.keep(stream, root)
	}
	return nil
}

// loadFrom tries the shortcuts first.
func (h *home) loadFrom(ctx context.Context, root Root, stream eventstore.Stream, to uint64) error {
	if h.fromCache(root, stream, to) {
		if err := h.replay(ctx, root, stream, to); !errors.Is(err, errUnconfirmed) {
			return err
		}
		h.cache.drop(stream)
		root.reset()
	}
	if h.fromSnapshot(ctx, root, stream, to) {
		err := h.replay(ctx, root, stream, to)
		if !errors.Is(err, errUnconfirmed) {
			h.snapshots.countUsed(err)
			return err
		}
		h.snapshots.counts.ahead.Add(1)
		root.reset()
	}
	return h.replay(ctx, root, stream, to)
}

// errUnconfirmed says that the store has not the event that a shortcut ends with.
var errUnconfirmed = errors.New("shortcut is not part of this history")

// replay applies the events that follow the root's version. A root that stands
// at a version already begins with that one, to see that the store has it.
func (h *home) replay(ctx context.Context, root Root, stream eventstore.Stream, to uint64) error {
	p := root.at()
	unconfirmed := p.saved > 0
	var e event.Event // one place for all, since handlers take it by pointer
	for next, err := range h.store.ReadStream(ctx, stream, eventstore.StreamQuery{From: p.saved, To: to}) {
		if err != nil {
			return err // load wraps it.
		}
		e = next
		if p.call != nil {
			p.call.see(&e)
		}
		if unconfirmed {
			if !p.confirms(&e) {
				return errUnconfirmed
			}
			if unconfirmed = false; p.call != nil {
				p.call.base = e.Position
			}
			p.reached(&e)
			continue
		}
		if err := p.follows(stream, &e); err != nil {
			return err
		}
		if err := root.replay(&e); err != nil {
			return err
		}
		p.reached(&e)
	}
	if err := ctx.Err(); err != nil {
		return err // a sequence that ended early would be a short aggregate
	}
	if unconfirmed {
		return errUnconfirmed
	}
	return nil
}

func (h *home) exists(ctx context.Context, stream eventstore.Stream) (bool, error) {
	for _, err := range h.store.ReadStream(ctx, stream, eventstore.StreamQuery{Limit: 1}) {
		if err != nil {
			return false, fmt.Errorf("look for %s: %w", stream, err)
		}
		return true, nil
	}
	return false, ctx.Err()
}
