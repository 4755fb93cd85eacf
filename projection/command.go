package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/registry"
)

// recheck is how often WaitFor looks at a checkpoint that another process moves.
const recheck = 100 * time.Millisecond

// waitFor waits until all lanes have come to a position. Their number may change
// meanwhile.
func (s *steward) waitFor(ctx context.Context, position uint64) error {
	for {
		_, workers, err := s.look(ctx)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", s.name, err)
		}
		behind, changed, err := firstBehind(ctx, workers, position)
		if err != nil || behind == nil {
			return err
		}
		timer := time.NewTimer(recheck)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for %s to reach position %d, it is at %d: %w", behind.Key, position, behind.Position, err)
		}
	}
}

// firstBehind returns the checkpoint of the first lane that is below a position,
// nil if none is, and a channel that is closed when it may have moved.
func firstBehind(ctx context.Context, workers []*worker, position uint64) (*checkpoint.Checkpoint, <-chan struct{}, error) {
	for _, w := range workers {
		status, changed := w.board.look()
		running := status.State == CatchingUp || status.State == Live // else somebody may have reset it
		if running && status.Position >= position {
			continue
		}
		c, err := w.progress.Checkpoints().Load(ctx, w.key)
		if err != nil {
			return nil, nil, fmt.Errorf("wait for %s: %w", w.key, err)
		}
		if c.Position >= position {
			continue
		}
		if status.State == Failed {
			return nil, nil, fmt.Errorf("projection %q: %w", w.key.Projection, errors.Join(ErrStopped, status.LastError))
		}
		return &c, changed, nil
	}
	return nil, nil, nil
}

// measure completes the status of a lane with what only the store knows.
func (w *worker) measure(ctx context.Context, head uint64) (Status, error) {
	c, err := w.progress.Checkpoints().Load(ctx, w.key)
	if err != nil {
		return Status{}, err // the caller says what was done.
	}
	return w.board.update(func(s *Status) { s.Position, s.Head = c.Position, head }), nil
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

// measure puts the status together from what the lanes know and what only the
// store does.
func (s *steward) measure(ctx context.Context, head uint64) (Status, error) {
	r, workers, err := s.look(ctx)
	if err != nil {
		return Status{}, err // the caller says what was done.
	}
	lanes := make([]Status, len(workers))
	for i, w := range workers {
		if lanes[i], err = w.measure(ctx, head); err != nil {
			return Status{}, err // the caller says what was done.
		}
	}
	status := summary(lanes).decided(r)
	status.DeadLetters, err = s.config.Progress.DeadLetters().Stats(ctx, s.name.Projection, s.name.Version)
	if err != nil {
		return Status{}, err // the caller says what was done.
	}
	status.Behind, err = workers[0].behind(ctx, status)
	return status, err
}

// pulse returns what is known without a look at the store.
func (s *steward) pulse() Status {
	workers, r := s.workers(), s.known()
	lanes := make([]Status, len(workers))
	for i, w := range workers {
		lanes[i], _ = w.board.look()
	}
	return summary(lanes).decided(r)
}

// decided adds what the registry says.
func (s Status) decided(r registry.Record) Status {
	s.Stage, s.Finished, s.Pause, s.Order = r.State, r.Finished, r.Pause, r.Order
	return s
}

// reset empties a projection that is not run, see [Runner.Reset].
func (s *steward) reset(ctx context.Context) error {
	if !s.running.TryLock() {
		return fmt.Errorf("reset projection %q: %w", s.name.Projection, ErrRunning)
	}
	defer s.running.Unlock()
	if err := s.resetAlone(ctx); err != nil {
		return fmt.Errorf("reset projection %q: %w", s.name.Projection, err)
	}
	return nil
}

func (s *steward) resetAlone(ctx context.Context) error {
	if c, ok := s.projection.(ResetChecker); ok {
		if err := c.CanReset(); err != nil {
			return err // says what to do.
		}
	}
	if _, err := s.enroll(ctx); err != nil {
		return err
	}
	r, _, err := s.look(ctx)
	if err != nil {
		return err
	}
	owned, held, err := s.seize(ctx, s.orderly(s.name), keysOf(s.name, r.Lanes))
	if err != nil {
		return err
	}
	defer held.release()
	if r, _, err = s.look(owned); err != nil {
		return err
	}
	err = s.empty(owned, held, r)
	if lost := context.Cause(owned); err != nil && lost != nil {
		return lost
	}
	return err
}
