package projection

import (
	"context"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/registry"
)

// ClockSlack is by how much earlier an event may be recorded than any event
// before it without [Control.RewindTo] missing one.
const ClockSlack = 10 * time.Second

// RewindTo is [Control.Rewind] to a time: everything that was recorded at that
// time or later is applied again. It finds the position of the last event before
// the first of those, in a few short reads. Stores record by the clock of the
// machine or the database, which may be set back by up to [ClockSlack] in all; events
// that were imported keep the times that they had. Errors: those of Rewind.
func (c *Control) RewindTo(ctx context.Context, name registry.Name, at time.Time, reason string) error {
	if at.IsZero() {
		return &event.InvalidError{Field: "time", Reason: "must be set; to go back to the first event, rewind to position 0"}
	}
	at = event.Time(at)
	looked := false
	return c.decide(ctx, Command{Kind: RewindCommand, Name: name, Reason: reason, Before: at}, func(ctx context.Context, r *registry.Record, cmd *Command) error {
		if !looked {
			position, err := lastBefore(ctx, c.events, at)
			if err != nil {
				return fmt.Errorf("look for the last event before %s: %w", at.Format(time.RFC3339Nano), err)
			}
			cmd.Position, looked = position, true
		}
		return c.rewind(ctx, r, cmd)
	})
}

// lastBefore returns the position of the last event before the first one that
// was recorded at a time or later, 0 if there is none. Times grow with positions
// but for ClockSlack: so a search by halves finds a position below which none of
// those can be, and from there event after event is looked at.
func lastBefore(ctx context.Context, events eventstore.Store, at time.Time) (uint64, error) {
	head, err := events.Head(ctx)
	if err != nil {
		return 0, err // the caller says what was done.
	}
	found, err := searchBefore(ctx, events, at.Add(-ClockSlack), head)
	if err != nil || found == head {
		return found, err
	}
	for e, err := range events.ReadAll(ctx, eventstore.Query{After: found, Until: head}) {
		if err != nil {
			return 0, err // the caller says what was done.
		}
		if !e.RecordedAt.Before(at) {
			break
		}
		found = e.Position
	}
	return found, nil
}

// searchBefore returns the position of an event that was recorded before a
// time, of which the next was not, or 0, as if times grew with positions. It
// reads one event for each time that it halves the range.
func searchBefore(ctx context.Context, events eventstore.Store, at time.Time, head uint64) (uint64, error) {
	low, high := uint64(0), head
	for low < high {
		middle := low + (high-low+1)/2
		e, there, err := firstFrom(ctx, events, middle, high)
		if err != nil {
			return 0, err
		}
		if there && e.RecordedAt.Before(at) {
			low = e.Position
		} else {
			high = middle - 1
		}
	}
	return low, nil
}

// firstFrom returns the first event from one position to another, both
// included. Not every position has one.
func firstFrom(ctx context.Context, events eventstore.Store, from, to uint64) (e event.Event, there bool, err error) {
	for e, err := range events.ReadAll(ctx, eventstore.Query{After: from - 1, Until: to, Limit: 1}) {
		return e, err == nil, err
	}
	return event.Event{}, false, nil
}
