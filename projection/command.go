package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/eventstore"
)

// recheck is how often WaitFor looks at a checkpoint that another process moves.
const recheck = 100 * time.Millisecond

func (w *worker) waitFor(ctx context.Context, position uint64) error {
	for {
		status, changed := w.board.look()
		running := status.State == CatchingUp || status.State == Live // else somebody may have reset it
		if running && status.Position >= position {
			return nil
		}
		c, err := w.progress.Checkpoints().Load(ctx, w.key)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", w.key, err)
		}
		if c.Position >= position {
			return nil
		}
		if status.State == Failed {
			return fmt.Errorf("projection %q: %w", w.key.Projection, errors.Join(ErrStopped, status.LastError))
		}
		timer := time.NewTimer(recheck)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for %s to reach position %d, it is at %d: %w", w.key, position, c.Position, err)
		}
	}
}

// measure completes the status with what only the store knows.
func (w *worker) measure(ctx context.Context, head uint64) (Status, error) {
	c, err := w.progress.Checkpoints().Load(ctx, w.key)
	if err != nil {
		return Status{}, err // the caller says what was done.
	}
	stats, err := w.progress.DeadLetters().Stats(ctx, w.key.Projection, w.key.Version)
	if err != nil {
		return Status{}, err // the caller says what was done.
	}
	status := w.board.update(func(s *Status) {
		s.Position, s.Head, s.DeadLetters = c.Position, head, stats
	})
	status.Behind, err = w.behind(ctx, status)
	return status, err
}

// behind returns the age of the oldest event above the checkpoint.
func (w *worker) behind(ctx context.Context, s Status) (time.Duration, error) {
	if s.Lag() == 0 {
		return 0, nil
	}
	for e, err := range w.events.ReadAll(ctx, eventstore.Query{After: s.Position, Types: w.projection.EventTypes(), Limit: 1}) {
		if err != nil {
			return 0, err
		}
		return max(0, w.config.Now().Sub(e.RecordedAt)), nil
	}
	return 0, nil
}

// reset empties checkpoint, letters and target. For a target outside the
// store's database the checkpoint goes first: if that is all that happens,
// events are applied again, and none is missed.
func (w *worker) reset(ctx context.Context) error {
	if !w.running.TryLock() {
		return fmt.Errorf("reset projection %q: %w", w.key.Projection, ErrRunning)
	}
	defer w.running.Unlock()
	if c, ok := w.projection.(ResetChecker); ok {
		if err := c.CanReset(); err != nil {
			return fmt.Errorf("reset projection %q: %w", w.key.Projection, err)
		}
	}
	owned, stop, err := w.borrow(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := w.resetAll(owned); err != nil {
		return fmt.Errorf("reset projection %q: %w", w.key.Projection, err)
	}
	w.attempt = attempt{}
	w.board.update(func(s *Status) { s.State, s.Position, s.Applied, s.LastError, s.ErrorAt = Idle, 0, 0, nil, 0 })
	return nil
}

// resetAll does the work of reset, under a lease that ctx ends with.
func (w *worker) resetAll(ctx context.Context) error {
	if err := w.inTx(ctx, func(tx Tx) error { return w.resetIn(ctx, tx) }); err != nil {
		return err
	}
	if w.projection.Guarantee() != ExactlyOnce {
		if err := Recovered(func() error { return w.projection.Reset(ctx, nil) }); err != nil {
			return err
		}
	}
	return context.Cause(ctx) // a target that was reset too late may have been built by another owner
}

func (w *worker) resetIn(ctx context.Context, tx Tx) error {
	if err := tx.Checkpoints().Reset(ctx, w.key); err != nil {
		return err // the caller says what was done.
	}
	if err := tx.DeadLetters().Clear(ctx, w.key.Projection, w.key.Version); err != nil {
		return err // the caller says what was done.
	}
	if w.projection.Guarantee() != ExactlyOnce {
		return nil
	}
	return Recovered(func() error { return w.projection.Reset(ctx, tx) })
}
