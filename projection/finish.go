package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/registry"
)

// finishWhenCaughtUp finishes a version that was found to have come to where the
// head was a round ago. The process that runs the first lane looks.
func (s *steward) finishWhenCaughtUp(ctx context.Context, r registry.Record, crew *crew) error {
	if !unfinished(r) || crew.posts[0] == nil || !crew.posts[0].worker.owning.Load() {
		crew.headBefore = nil
		return nil
	}
	head := crew.headBefore
	now, err := s.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	crew.headBefore = &now
	if head == nil {
		return nil
	}
	return s.finish(ctx, *head)
}

// unfinished reports whether something is to be done when a version has caught up.
func unfinished(r registry.Record) bool { return !r.Finished || r.State == registry.Building }

// finish has a version that has come to the head build what it builds last, and
// notes that it has caught up. It does nothing while a lane is behind, and when it
// was done before.
func (s *steward) finish(ctx context.Context, head uint64) error {
	r, _, err := s.look(ctx)
	if err != nil || r.Revision == 0 || !unfinished(r) || r.Ordered() {
		return err
	}
	positions, err := s.positions(ctx, s.name, r.Lanes)
	if err != nil || slices.Min(positions) < head {
		return err
	}
	err = s.workers()[0].finish(ctx, func(ctx context.Context, tx Tx) error {
		done := r
		if !r.Finished {
			if err := s.buildLast(ctx, tx); err != nil {
				return err
			}
			done.Finished = true
		}
		if r.State == registry.Building {
			done = s.turn(done, registry.CaughtUp)
		}
		_, err := tx.Registry().Save(ctx, done)
		return err // typed by the registry.
	})
	if errors.Is(err, registry.ErrChanged) {
		return nil // looked at again soon
	}
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	if r, _, err = s.look(ctx); err == nil && !unfinished(r) {
		s.log.Info("projection has caught up", zap.Uint64("position", slices.Min(positions)))
	}
	return err
}

// buildLast builds what would have slowed the replay down.
func (s *steward) buildLast(ctx context.Context, tx Tx) error {
	p, ok := s.projection.(Finisher)
	if !ok {
		return nil
	}
	return Recovered(func() error { return p.Finish(ctx, tx) })
}

// finish runs f in a transaction between two batches. If the lane is owned, the
// transaction proves it.
func (w *worker) finish(ctx context.Context, f func(ctx context.Context, tx Tx) error) error {
	brief, cancel := context.WithTimeout(ctx, max(w.config.round(), 2*w.config.BatchTime))
	defer cancel()
	if w.work.take(brief) != nil {
		return ctx.Err() // a batch is in hand: there will be another time
	}
	defer w.work.Unlock()
	defer w.showAlive(ctx)()
	return w.inTx(ctx, func(tx Tx) error {
		if err := f(ctx, tx); err != nil {
			return err
		}
		if !w.owning.Load() {
			return nil
		}
		return w.stay(ctx, tx)
	})
}

// showAlive shows that the loop is alive until what it returns is called, while
// it waits for something that takes its time.
func (w *worker) showAlive(ctx context.Context) (stop func()) {
	return whileAlive(ctx, func() { w.board.update(func(s *Status) { s.Heartbeat = w.config.Now() }) })
}

// showAlive is that of a worker for all lanes.
func (s *steward) showAlive(ctx context.Context) (stop func()) {
	return whileAlive(ctx, func() {
		for _, w := range s.workers() {
			w.board.update(func(s *Status) { s.Heartbeat = w.config.Now() })
		}
	})
}

// whileAlive calls show now and then until what it returns is called.
func whileAlive(ctx context.Context, show func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for delay.For(ctx, idleRound) == nil {
			show()
		}
	}()
	return func() { cancel(); <-done }
}

// markCaughtUp notes that a version which does not run before it is switched to
// can be: it has nothing to build.
func (s *steward) markCaughtUp(ctx context.Context, r registry.Record) error {
	if r.State != registry.Building {
		return nil
	}
	r.Finished = true
	saved, err := s.config.Progress.Registry().Save(ctx, s.turn(r, registry.CaughtUp))
	if errors.Is(err, registry.ErrChanged) {
		return nil // looked at again soon
	}
	if err != nil {
		return fmt.Errorf("note that nothing is to be built: %w", err)
	}
	s.saw(saved)
	return nil
}

// retireDetached carries out orders to retire versions that no runner runs, of
// which this one has no code: the store knows their tables.
func (r *Runner) retireDetached(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.config.LeaseTTL)
	defer cancel()
	for _, record := range r.pulse.all() {
		if !record.Ordered() || record.Order.Kind != registry.Retire || record.State == registry.Live || r.stewardOf(record.Name) != nil {
			continue
		}
		if err := r.retireRecord(ctx, record); err != nil && ctx.Err() == nil {
			r.config.Logger.Warn("version could not be retired", zap.Stringer("version", record.Name), zap.Error(err))
		}
	}
}

// retireRecord retires a version under the leases of its lanes. If another
// process has them, it is left to that.
func (r *Runner) retireRecord(ctx context.Context, record registry.Record) error {
	s := r.stewards[0]
	owned, held, err := s.seize(ctx, s.orderly(record.Name), keysOf(record.Name, record.Lanes))
	if err != nil {
		return err
	}
	defer held.release()
	return s.inOwnTx(owned, held, func(tx Tx) error { return drop(owned, tx, s.turn(record, registry.Retired)) })
}

// dlqFilterOf selects all sequences of a version.
func dlqFilterOf(name registry.Name) dlq.Filter {
	return dlq.Filter{Projection: name.Projection, Version: name.Version}
}
