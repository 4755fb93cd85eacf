package projection

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// Retry has the dead letters of a version tried again at once by whoever runs
// it: those of the named sequences, or all. It returns how many sequences that
// are. Those of a paused version are tried when it is resumed. Errors:
// [registry.ErrNotFound], [ErrNotRunning], [dlq.ErrNotFound] for a sequence that
// is not parked, [ErrNotRecorded].
func (c *Control) Retry(ctx context.Context, name registry.Name, keys ...string) (int, error) {
	letters := c.progress.DeadLetters()
	return c.schedule(ctx, Command{Kind: RetryCommand, Name: name, Keys: keys}, func(ctx context.Context, s dlq.Sequence, at time.Time) error {
		return letters.Schedule(ctx, s, at)
	})
}

// RetryAll is [Control.Retry] for every version that runs.
func (c *Control) RetryAll(ctx context.Context) (int, error) {
	all, err := c.registry.List(ctx, "")
	if err != nil {
		return 0, fmt.Errorf("list projections: %w", err)
	}
	total := 0
	for _, r := range all {
		if runs(&r, &Command{}) != nil {
			continue
		}
		n, err := c.Retry(ctx, r.Name)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// RetryUntil is [Control.Retry] for letters up to a position: those behind it
// wait on, untried. Without keys it is about every sequence that has a letter
// up to there. Errors: those of Retry, and [event.ErrInvalid] for a position
// below the first letter of a named sequence.
func (c *Control) RetryUntil(ctx context.Context, name registry.Name, position uint64, keys ...string) (int, error) {
	if position == 0 {
		return 0, &event.InvalidError{Field: "position", Reason: "must be that of a letter, from 1; Retry has no bound"}
	}
	letters := c.progress.DeadLetters()
	return c.schedule(ctx, Command{Kind: RetryUntilCommand, Name: name, Keys: keys, Position: position}, func(ctx context.Context, s dlq.Sequence, at time.Time) error {
		return letters.ScheduleUntil(ctx, s, at, position)
	})
}

// schedule carries out a command that schedules sequences. One that has been
// emptied in the meantime needs no retry.
func (c *Control) schedule(ctx context.Context, cmd Command, do func(ctx context.Context, s dlq.Sequence, at time.Time) error) (int, error) {
	c.stamp(ctx, &cmd)
	if err := cmd.validate(); err != nil {
		return 0, err
	}
	r, err := c.load(ctx, cmd.Name)
	if err != nil {
		return 0, err
	}
	if err := runs(&r, &cmd); err != nil {
		return 0, err
	}
	parked, err := c.parked(ctx, &cmd)
	if err != nil || len(parked) == 0 {
		return 0, err
	}
	scheduled := 0
	err = c.carryOut(ctx, cmd, func() error {
		for _, p := range parked {
			err := do(ctx, p.Sequence, cmd.At)
			if err != nil && !errors.Is(err, dlq.ErrNotFound) {
				return fmt.Errorf("schedule sequence %q of projection %s: %w", p.Sequence.Key, cmd.Name, err)
			}
			if err == nil {
				scheduled++
			}
		}
		return nil
	})
	return scheduled, err
}

// parked returns the sequences that a retry is about.
func (c *Control) parked(ctx context.Context, cmd *Command) ([]dlq.Parked, error) {
	if len(cmd.Keys) > 0 {
		return c.named(ctx, cmd)
	}
	all, err := c.List(ctx, dlq.Filter{Projection: cmd.Name.Projection, Version: cmd.Name.Version})
	if err != nil || cmd.Position == 0 {
		return all, err
	}
	var reached []dlq.Parked
	for _, p := range all {
		if p.First.Position <= cmd.Position {
			reached = append(reached, p)
		}
	}
	return reached, nil
}

func (c *Control) named(ctx context.Context, cmd *Command) ([]dlq.Parked, error) {
	var all []dlq.Parked
	for _, key := range cmd.Keys {
		s := dlq.Sequence{Projection: cmd.Name.Projection, Version: cmd.Name.Version, Key: key}
		if err := s.Validate(); err != nil {
			return nil, err
		}
		found, err := c.List(ctx, dlq.Filter{Projection: s.Projection, Version: s.Version, Key: key})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, notParked(cmd.Name, key)
		}
		if first := found[0].First.Position; cmd.Position != 0 && first > cmd.Position {
			return nil, &event.InvalidError{
				Field: "position", Value: strconv.FormatUint(cmd.Position, 10),
				Reason: fmt.Sprintf("is below %d, where the first letter of sequence %q is: nothing would be tried", first, key),
			}
		}
		all = append(all, found...)
	}
	return all, nil
}

func notParked(name registry.Name, key string) error {
	return fmt.Errorf("sequence %q of projection %s is not parked: %w", key, name, dlq.ErrNotFound)
}

// Discard takes the first letter of a sequence out for good, with a reason that
// is kept beside it, and who did it. The letters behind it are tried at once.
// Whoever has looked at the letter before should rather use [Control.DiscardAt].
// Errors: [registry.ErrNotFound], [dlq.ErrNotFound], also if the letter was
// taken out in the meantime, [ErrNotRecorded], [event.ErrInvalid] without a
// reason.
func (c *Control) Discard(ctx context.Context, name registry.Name, key, reason string) error {
	return c.discard(ctx, Command{Kind: DiscardCommand, Name: name, Keys: []string{key}, Reason: reason})
}

// DiscardAt is [Control.Discard] for the letter at a position, and for no other:
// if that has succeeded since somebody has looked, the one behind it stays.
func (c *Control) DiscardAt(ctx context.Context, name registry.Name, key string, position uint64, reason string) error {
	if position == 0 {
		return &event.InvalidError{Field: "position", Reason: "must be that of a letter, from 1"}
	}
	return c.discard(ctx, Command{Kind: DiscardCommand, Name: name, Keys: []string{key}, Position: position, Reason: reason})
}

func (c *Control) discard(ctx context.Context, cmd Command) error {
	c.stamp(ctx, &cmd)
	if err := cmd.validateReason(); err != nil {
		return err
	}
	if _, err := c.load(ctx, cmd.Name); err != nil {
		return err
	}
	s := dlq.Sequence{Projection: cmd.Name.Projection, Version: cmd.Name.Version, Key: cmd.Keys[0]}
	letters, err := firstLetters(ctx, c.progress.DeadLetters(), s, cmd.Position)
	if err != nil {
		return err
	}
	cmd.Position, cmd.EventID = letters[0].Position, letters[0].EventID
	return c.carryOut(ctx, cmd, func() error {
		return c.inTx(ctx, func(tx Tx) error { return discardIn(ctx, tx.DeadLetters(), s, &cmd) })
	})
}

// discardIn takes out the letter that the command is about, if it is still the
// first, and has the next one tried.
func discardIn(ctx context.Context, letters dlq.Store, s dlq.Sequence, cmd *Command) error {
	found, err := firstLetters(ctx, letters, s, cmd.Position)
	if err != nil {
		return err
	}
	if err := letters.Discard(ctx, found[0], cmd.Reason, cmd.Actor, cmd.At); err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	if len(found) == 1 {
		return nil
	}
	return letters.Schedule(ctx, s, cmd.At)
}

// firstLetters returns the first two letters of a sequence, if the first is at
// a position, or at any if that is 0.
func firstLetters(ctx context.Context, letters dlq.Store, s dlq.Sequence, position uint64) ([]dlq.Letter, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	found, err := letters.Letters(ctx, s, 2)
	name := registry.Name{Projection: s.Projection, Version: s.Version}
	switch {
	case err != nil:
		return nil, fmt.Errorf("letters of sequence %q of projection %s: %w", s.Key, name, err)
	case len(found) == 0:
		return nil, notParked(name, s.Key)
	case position != 0 && found[0].Position != position:
		return nil, fmt.Errorf("first letter of sequence %q of projection %s is at position %d, not at %d: look again: %w", s.Key, name, found[0].Position, position, dlq.ErrNotFound)
	default:
		return found, nil
	}
}

// List returns the parked sequences that a filter selects, of every version if
// it names none, those whose first letter was parked longest ago first.
func (c *Control) List(ctx context.Context, filter dlq.Filter) ([]dlq.Parked, error) {
	found, err := c.progress.DeadLetters().Sequences(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list parked sequences: %w", err)
	}
	return found, nil
}

// ParkedEvent is a letter and the event that it stands for.
type ParkedEvent struct {
	Letter dlq.Letter
	// Event is as the store has it, payload included. It is zero if the store
	// does not have it: it was restored from an older copy since.
	Event event.Event
}

// Show returns up to limit letters of a sequence with their events, from the
// first; 0 for all. Errors: [dlq.ErrNotFound] if the sequence is not parked,
// [event.ErrInvalid].
func (c *Control) Show(ctx context.Context, name registry.Name, key string, limit int) ([]ParkedEvent, error) {
	s := dlq.Sequence{Projection: name.Projection, Version: name.Version, Key: key}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if limit < 0 {
		return nil, &event.InvalidError{Field: "limit", Reason: "must not be negative; 0 means all"}
	}
	letters, err := c.progress.DeadLetters().Letters(ctx, s, limit)
	if err != nil {
		return nil, fmt.Errorf("letters of sequence %q of projection %s: %w", key, name, err)
	}
	if len(letters) == 0 {
		return nil, notParked(name, key)
	}
	shown := make([]ParkedEvent, len(letters))
	for i, l := range letters {
		e, _, err := firstFrom(ctx, c.events, l.Position, l.Position)
		if err != nil {
			return nil, fmt.Errorf("read event of letter: %w", err)
		}
		if shown[i].Letter = l; e.ID == l.EventID {
			shown[i].Event = e
		}
	}
	return shown, nil
}

// Statistics sums up the dead letters of a version.
func (c *Control) Statistics(ctx context.Context, name registry.Name) (dlq.Stats, error) {
	if err := name.Validate(); err != nil {
		return dlq.Stats{}, err
	}
	stats, err := c.progress.DeadLetters().Stats(ctx, name.Projection, name.Version)
	if err != nil {
		return dlq.Stats{}, fmt.Errorf("dead letters of projection %s: %w", name, err)
	}
	return stats, nil
}

// Discarded returns the letters of a version that somebody has discarded, with
// the reasons, oldest first.
func (c *Control) Discarded(ctx context.Context, name registry.Name) ([]dlq.Discarded, error) {
	if err := name.Validate(); err != nil {
		return nil, err
	}
	found, err := c.progress.DeadLetters().Discarded(ctx, name.Projection, name.Version)
	if err != nil {
		return nil, fmt.Errorf("discarded letters of projection %s: %w", name, err)
	}
	return found, nil
}

// inTx runs f in a transaction of the progress store.
func (c *Control) inTx(ctx context.Context, f func(tx Tx) error) error {
	tx, err := c.progress.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", errors.Join(err, tx.Rollback(ctx)))
	}
	return nil
}
