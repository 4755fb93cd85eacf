package projection

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/registry"
)

// Await blocks until a version has no order that is not done yet. After a
// rebuild was ordered that means that the version is empty and begins to build;
// [Control.AwaitCaughtUp] waits for the rest. Errors: [registry.ErrNotFound];
// [ErrRefused] if the last order cannot be carried out, with the reason; when
// ctx ends, its own joined with an [*OrderedError]. Perhaps no runner has the
// version then: see [Control.Status].
func (c *Control) Await(ctx context.Context, name registry.Name) error {
	return c.until(ctx, func(ctx context.Context) (waiting, err error) {
		r, err := c.load(ctx, name)
		if err == nil && r.Refused() {
			err = &RefusedError{Name: name, Order: r.Order}
		}
		if err != nil || !r.Ordered() {
			return nil, err
		}
		return &OrderedError{Name: name, Order: r.Order}, nil
	})
}

// AwaitCaughtUp blocks until a version has nothing ordered and has caught up, so
// that it can be switched to; if it is live, until it stands where the store's
// head was when AwaitCaughtUp was called. A version that no runner has run yet is
// waited for, too. Errors: [ErrRefused] if the last order cannot be carried out; [ErrNotRunning] if the
// version was replaced or retired; when ctx ends, its own joined with a
// [*NotCaughtUpError], an [*OrderedError] or, for a version that still nobody
// runs, an [*UnknownVersionError].
func (c *Control) AwaitCaughtUp(ctx context.Context, name registry.Name) error {
	head, err := c.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return c.until(ctx, func(ctx context.Context) (waiting, err error) {
		r, err := c.load(ctx, name)
		if is[*UnknownVersionError](err) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case r.Refused():
			return nil, &RefusedError{Name: name, Order: r.Order}
		case r.Ordered():
			return &OrderedError{Name: name, Order: r.Order}, nil
		case r.State == registry.Replaced:
			return nil, &NotRunningError{Name: r.Name, State: r.State}
		case r.State == registry.CaughtUp: // one that reacts does not run before the switch, wherever it stands
			return nil, nil
		}
		waiting, err = c.behind(ctx, &r, head)
		if err == nil && waiting == nil && r.State == registry.Building {
			waiting = c.notCaughtUp(ctx, &r)
		}
		return waiting, err
	})
}

// WaitFor blocks until everything up to position is done in a version, in all
// of its lanes, parked events included: after it a read model shows what was
// written. Errors: [registry.ErrNotFound]; [ErrNotRunning] if the version was
// replaced or retired before it came so far; [checkpoint.ErrOtherStore]; when
// ctx ends, its own joined with a [*NotCaughtUpError].
func (c *Control) WaitFor(ctx context.Context, name registry.Name, position uint64) error {
	return c.until(ctx, func(ctx context.Context) (waiting, err error) {
		r, err := c.load(ctx, name)
		if err != nil {
			return nil, err
		}
		return c.behind(ctx, &r, position)
	})
}

// behind returns how far a version is from a position, nil if it has come so
// far, and refuses one that will not come.
func (c *Control) behind(ctx context.Context, r *registry.Record, position uint64) (waiting, err error) {
	at, err := c.position(ctx, r)
	if err != nil {
		return nil, err
	}
	over := r.State == registry.Replaced || r.State == registry.Retired
	switch {
	case r.State == registry.Retired, over && at < position && !r.Ordered():
		return nil, &NotRunningError{Name: r.Name, State: r.State}
	case at < position:
		return &NotCaughtUpError{Name: r.Name, State: r.State, Position: at, Target: position, Paused: r.Paused()}, nil
	default:
		return nil, nil
	}
}

// until looks again and again, more and more rarely, until nothing is waited
// for any more. A store that cannot be reached for a while is waited for, too.
func (c *Control) until(ctx context.Context, look func(ctx context.Context) (waiting, err error)) error {
	var waiting error
	for looks := 1; ; looks++ {
		found, err := look(ctx)
		switch {
		case err != nil && ctx.Err() != nil && waiting != nil: // it ended during the look
			return fmt.Errorf("%w: %w", waiting, ctx.Err())
		case err != nil && !eventstore.IsRetryable(err):
			return err
		case err != nil:
			waiting = err
		case found == nil:
			return nil
		default:
			waiting = found
		}
		if err := delay.For(ctx, c.poll.after(looks)); err != nil {
			return fmt.Errorf("%w: %w", waiting, err)
		}
	}
}
