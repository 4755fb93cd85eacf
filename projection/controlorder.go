package projection

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// Pause stops a version until it is resumed, over restarts: its runners finish
// the batch in hand and wait. Orders are carried out meanwhile, but for those for
// which events would have to be applied. Errors: [registry.ErrNotFound], [ErrPaused],
// [ErrNotRunning], [ErrNotRecorded], [event.ErrInvalid] without a reason.
func (c *Control) Pause(ctx context.Context, name registry.Name, reason string) error {
	return c.decide(ctx, Command{Kind: PauseCommand, Name: name, Reason: reason}, func(_ context.Context, r *registry.Record, cmd *Command) error {
		if err := runs(r, cmd); err != nil {
			return err
		}
		if r.Paused() {
			return &PausedError{Name: r.Name, Pause: r.Pause}
		}
		r.Pause = registry.Pause{Reason: cmd.Reason, By: cmd.Actor, At: cmd.At}
		return nil
	})
}

// Resume lets a paused version go on where it stood. Errors:
// [registry.ErrNotFound], [ErrNotPaused], [ErrNotRecorded], [event.ErrInvalid]
// without a reason.
func (c *Control) Resume(ctx context.Context, name registry.Name, reason string) error {
	var meant registry.Pause // of what was loaded first; another one is not what the caller knows of
	return c.decide(ctx, Command{Kind: ResumeCommand, Name: name, Reason: reason}, func(_ context.Context, r *registry.Record, _ *Command) error {
		if !r.Paused() {
			return fmt.Errorf("projection %s: %w", r.Name, ErrNotPaused)
		}
		if meant = cmp.Or(meant, r.Pause); meant != r.Pause {
			return &PausedError{Name: r.Name, Pause: r.Pause}
		}
		r.Pause = registry.Pause{}
		return nil
	})
}

// Rebuild orders that a version is emptied and built anew from all events. A
// live one stays live, and its readers see it grow; to spare them, start a
// runner with a new version and [Control.Switch] to that. One that was replaced
// or retired is built again beside the live one. Errors:
// [registry.ErrNotFound], [ErrOrdered], [ErrNotRecorded], [event.ErrInvalid]
// without a reason.
func (c *Control) Rebuild(ctx context.Context, name registry.Name, reason string) error {
	return c.decide(ctx, Command{Kind: RebuildCommand, Name: name, Reason: reason}, func(_ context.Context, r *registry.Record, cmd *Command) error {
		return order(r, cmd, registry.Order{Kind: registry.Rebuild})
	})
}

// Rewind orders that a version goes back to a position and applies again what
// follows it; 0 is before the first event. Errors: [registry.ErrNotFound],
// [ErrNotRunning], [ErrOrdered], [ErrNotRecorded], [checkpoint.ErrOtherStore],
// [event.ErrInvalid] for a position that is not below the one where the version
// stands, or without a reason.
func (c *Control) Rewind(ctx context.Context, name registry.Name, position uint64, reason string) error {
	return c.decide(ctx, Command{Kind: RewindCommand, Name: name, Reason: reason, Position: position}, c.rewind)
}

// rewind is the decision to go back to the command's position.
func (c *Control) rewind(ctx context.Context, r *registry.Record, cmd *Command) error {
	if err := runs(r, cmd); err != nil {
		return err
	}
	if r.Ordered() {
		return &OrderedError{Name: r.Name, Order: r.Order}
	}
	lanes, err := c.lanes(ctx, r)
	if err != nil {
		return err
	}
	if low, high := extent(lanes); cmd.Position > low || cmd.Position == high {
		return cmd.tooHigh(low)
	}
	return order(r, cmd, registry.Order{Kind: registry.Rewind, Position: cmd.Position})
}

// tooHigh refuses a rewind of a version that stands at a position.
func (cmd *Command) tooHigh(at uint64) error {
	field, value := "position", strconv.FormatUint(cmd.Position, 10)
	if !cmd.Before.IsZero() {
		field, value = "time", cmd.Before.Format(time.RFC3339Nano)
	}
	return &event.InvalidError{
		Field: field, Value: value,
		Reason: fmt.Sprintf("leads to position %d, and projection %s stands at %d: a rewind only goes back", cmd.Position, cmd.Name, at),
	}
}

// SetLanes orders that a version is divided into another number of lanes, from
// 1 to [Slots]. Errors: [registry.ErrNotFound], [ErrNotRunning], [ErrOrdered],
// [ErrNotRecorded], [event.ErrInvalid] for a number that is out of range or the
// present one, or without a reason.
func (c *Control) SetLanes(ctx context.Context, name registry.Name, lanes int, reason string) error {
	if err := registry.CheckLanes("lanes", lanes); err != nil {
		return err
	}
	return c.decide(ctx, Command{Kind: SetLanesCommand, Name: name, Reason: reason, Lanes: lanes}, func(_ context.Context, r *registry.Record, cmd *Command) error {
		if err := runs(r, cmd); err != nil {
			return err
		}
		if r.Lanes == lanes && !r.Ordered() {
			return &event.InvalidError{Field: "lanes", Value: strconv.Itoa(lanes), Reason: fmt.Sprintf("is how many projection %s has already", r.Name)}
		}
		return order(r, cmd, registry.Order{Kind: registry.ChangeLanes, Lanes: lanes})
	})
}

// Switch orders that a version that has caught up becomes the live one, at the
// moment when it stands where the live one does. The other is replaced, and
// what it has built stays until it is retired. A version that was replaced can
// be switched back to when it was rebuilt and has caught up again, since it has
// missed everything since: there is no other way to an older version. Errors:
// [registry.ErrNotFound], [ErrLiveVersion], [ErrNotCaughtUp], which says how far
// it is, [ErrPaused], [ErrOrdered], also by a switch to another version,
// [ErrNotRecorded], [event.ErrInvalid] without a reason.
func (c *Control) Switch(ctx context.Context, name registry.Name, reason string) error {
	return c.decide(ctx, Command{Kind: SwitchCommand, Name: name, Reason: reason}, func(ctx context.Context, r *registry.Record, cmd *Command) error {
		switch {
		case r.State == registry.Live:
			return &LiveVersionError{Name: r.Name, Command: cmd.Kind}
		case r.State != registry.CaughtUp:
			return c.notCaughtUp(ctx, r)
		case r.Paused():
			return &PausedError{Name: r.Name, Pause: r.Pause}
		}
		versions, err := c.registry.List(ctx, r.Name.Projection)
		if err != nil {
			return fmt.Errorf("look for the live version of projection %s: %w", r.Name, err)
		}
		for _, other := range versions {
			if other.Name != r.Name && other.Ordered() && other.Order.Kind == registry.Switch {
				return &OrderedError{Name: other.Name, Order: other.Order}
			}
			if other.State == registry.Live {
				cmd.Replaces = other.Name.Version
			}
		}
		return order(r, cmd, registry.Order{Kind: registry.Switch})
	})
}

// Abort orders that a version that is being built, or was built and is not live
// yet, is dropped: it is retired. It takes the place of any other order that is
// not done yet. Errors: [registry.ErrNotFound], [ErrLiveVersion],
// [ErrNotRunning], [ErrOrdered] if it is to be retired already,
// [ErrNotRecorded], [event.ErrInvalid] without a reason.
func (c *Control) Abort(ctx context.Context, name registry.Name, reason string) error {
	var meant registry.Order // that was there at first: only that is taken away
	looked := false
	return c.decide(ctx, Command{Kind: AbortCommand, Name: name, Reason: reason}, func(_ context.Context, r *registry.Record, cmd *Command) error {
		if looked && r.Ordered() && !sameOrder(meant, r.Order) {
			return &OrderedError{Name: r.Name, Order: r.Order}
		}
		meant, looked = r.Order, true
		if r.State == registry.Live {
			return &LiveVersionError{Name: r.Name, Command: cmd.Kind}
		}
		if err := runs(r, cmd); err != nil {
			return err
		}
		if cmd.Order = r.Order.Kind; cmd.Order != registry.Retire {
			r.Order = registry.Order{}
		}
		return order(r, cmd, registry.Order{Kind: registry.Retire})
	})
}

// Retire orders that what a version has built is dropped, with its checkpoints
// and dead letters; its record stays. Errors: [registry.ErrNotFound],
// [ErrLiveVersion], [ErrNotRunning] if that is done already, [ErrOrdered],
// [ErrNotRecorded], [event.ErrInvalid] without a reason.
func (c *Control) Retire(ctx context.Context, name registry.Name, reason string) error {
	return c.decide(ctx, Command{Kind: RetireCommand, Name: name, Reason: reason}, func(_ context.Context, r *registry.Record, cmd *Command) error {
		switch r.State {
		case registry.Live:
			return &LiveVersionError{Name: r.Name, Command: cmd.Kind}
		case registry.Retired:
			return &NotRunningError{Name: r.Name, State: r.State, Command: cmd.Kind}
		default:
			return order(r, cmd, registry.Order{Kind: registry.Retire})
		}
	})
}

// Withdraw takes back an order that is not done yet, such as one for which no
// runner has the code, or that was refused. An order is carried out whole or not at all: this succeeds
// only if nothing of it has happened, but for targets outside of the store's
// database. Errors: [registry.ErrNotFound], [ErrNotOrdered], also if it was
// done in the meantime, [ErrNotRecorded], [event.ErrInvalid] without a reason.
func (c *Control) Withdraw(ctx context.Context, name registry.Name, reason string) error {
	var meant registry.Order // as in Resume
	return c.decide(ctx, Command{Kind: WithdrawCommand, Name: name, Reason: reason}, func(_ context.Context, r *registry.Record, cmd *Command) error {
		if r.Order.Kind == "" {
			return fmt.Errorf("projection %s: %w", r.Name, ErrNotOrdered)
		}
		if meant = cmp.Or(meant, r.Order); !sameOrder(meant, r.Order) {
			return fmt.Errorf("the order to %s was done, and another was given: %w", meant.Kind, &OrderedError{Name: r.Name, Order: r.Order})
		}
		cmd.Order, r.Order = r.Order.Kind, registry.Order{}
		return nil
	})
}

// sameOrder reports whether a and b are one order, whatever came of trying it.
func sameOrder(a, b registry.Order) bool {
	a.Problem, b.Problem = "", ""
	return a == b
}

// order gives a record an order, unless it has one.
func order(r *registry.Record, cmd *Command, o registry.Order) error {
	if r.Ordered() {
		return &OrderedError{Name: r.Name, Order: r.Order}
	}
	o.Reason, o.By, o.At = cmd.Reason, cmd.Actor, cmd.At
	r.Order = o
	return nil
}

// runs refuses a command to a version that no runner runs.
func runs(r *registry.Record, cmd *Command) error {
	if r.State == registry.Replaced || r.State == registry.Retired {
		return &NotRunningError{Name: r.Name, State: r.State, Command: cmd.Kind}
	}
	return nil
}

// notCaughtUp says how far a version has come.
func (c *Control) notCaughtUp(ctx context.Context, r *registry.Record) error {
	at, err := c.position(ctx, r)
	if err != nil {
		return err
	}
	head, err := c.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return &NotCaughtUpError{Name: r.Name, State: r.State, Position: at, Target: head, Paused: r.Paused()}
}

// position returns where the lane of a version stands that is furthest behind.
func (c *Control) position(ctx context.Context, r *registry.Record) (uint64, error) {
	lanes, err := c.lanes(ctx, r)
	if err != nil {
		return 0, err
	}
	low, _ := extent(lanes)
	return low, nil
}

// lanes returns where the lanes of a version stand. A checkpoint of another
// store is refused: its positions mean nothing here.
func (c *Control) lanes(ctx context.Context, r *registry.Record) ([]checkpoint.Checkpoint, error) {
	list, err := c.progress.Checkpoints().List(ctx, r.Name.Projection)
	if err != nil {
		return nil, fmt.Errorf("look up checkpoints of projection %s: %w", r.Name, err)
	}
	lanes := checkpointsOf(r, list)
	for _, lane := range lanes {
		if foreign(lane, c.events.ID()) {
			return nil, &checkpoint.OtherStoreError{Key: lane.Key, Have: lane.StoreID, Want: c.events.ID()}
		}
	}
	return lanes, nil
}
