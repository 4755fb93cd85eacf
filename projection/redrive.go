package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
)

// Redriven says what came of a redrive.
type Redriven struct {
	Applied int // letters that were applied and are gone
	Failed  int // sequences whose first letter failed again
}

// Redrive tries the letters of a projection again now: those of the named
// sequences, or all. Each sequence is gone through in order until it is empty
// or a letter fails. Errors: [ErrUnknownProjection]; [lease.ErrHeld] while
// another process runs the projection, and while this one is paused or another
// command has it. The sequences are then scheduled, so that whoever runs the
// projection tries them at once.
func (r *Runner) Redrive(ctx context.Context, projection string, keys ...string) (Redriven, error) {
	w, err := r.worker(projection)
	if err != nil {
		return Redriven{}, err
	}
	parked, err := w.parkedSequences(ctx, keys)
	if err != nil {
		return Redriven{}, err
	}
	if w.running.TryLock() {
		defer w.running.Unlock()
		return w.redriveBorrowed(ctx, parked)
	}
	if status, _ := w.board.look(); status.State == Waiting {
		held := &lease.HeldError{Lease: lease.Lease{Name: w.leaseName(), Owner: status.Owner, Fence: status.Fence}}
		return Redriven{}, w.leaveToOwner(ctx, parked, held)
	}
	done, err := w.redriveAll(ctx, parked)
	if errors.Is(err, errNotOwned) { // it is paused, starting or ending, or another command has it
		held := &lease.HeldError{Lease: lease.Lease{Name: w.leaseName(), Owner: w.config.Owner}}
		return done, w.leaveToOwner(ctx, parked, held)
	}
	return done, err
}

// errNotOwned says that handlers must not be run now: the lease is not held, or
// the checkpoint not claimed.
var errNotOwned = errors.New("projection is not owned")

// leaveToOwner schedules sequences to be tried at once by whoever runs the
// projection.
func (w *worker) leaveToOwner(ctx context.Context, parked []dlq.Parked, held error) error {
	for _, p := range parked {
		if err := w.progress.DeadLetters().Schedule(ctx, p.Sequence, w.config.Now()); err != nil && !errors.Is(err, dlq.ErrNotFound) {
			return errors.Join(held, fmt.Errorf("schedule: %w", err))
		}
	}
	return held
}

// DeadLetters returns the dead letters of the runner's projections, for
// listing and showing. Change them through [Runner.Redrive] and [Runner.Discard].
func (r *Runner) DeadLetters() dlq.Store { return r.workers[0].progress.DeadLetters() }

// Discard takes the first letter of a sequence out for good, with a reason
// that is kept beside it, and who did it: the actor of ctx. Later letters of
// the sequence stay; they are tried again by themselves. Errors:
// [ErrUnknownProjection], [dlq.ErrNotFound], [event.ErrInvalid] without a reason.
func (r *Runner) Discard(ctx context.Context, projection, key, reason string) error {
	w, err := r.worker(projection)
	if err != nil {
		return err
	}
	w.work.Lock()
	defer w.work.Unlock()
	s := dlq.Sequence{Projection: w.key.Projection, Version: w.key.Version, Key: key}
	return w.inTx(ctx, func(tx Tx) error {
		letters, err := tx.DeadLetters().Letters(ctx, s, 2)
		if err != nil {
			return fmt.Errorf("letters of %s: %w", key, err)
		}
		if len(letters) == 0 {
			return fmt.Errorf("sequence %q of projection %q: %w", key, projection, dlq.ErrNotFound)
		}
		if err := tx.DeadLetters().Discard(ctx, letters[0], reason, event.ActorFrom(ctx), w.config.Now()); err != nil {
			return fmt.Errorf("discard: %w", err)
		}
		if len(letters) == 1 {
			return nil
		}
		return tx.DeadLetters().Schedule(ctx, s, w.config.Now())
	})
}

func (w *worker) parkedSequences(ctx context.Context, keys []string) ([]dlq.Parked, error) {
	filter := dlq.Filter{Projection: w.key.Projection, Version: w.key.Version}
	if len(keys) == 0 {
		return w.progress.DeadLetters().Sequences(ctx, filter) // typed by the store.
	}
	var all []dlq.Parked
	for _, key := range keys {
		filter.Key = key
		found, err := w.progress.DeadLetters().Sequences(ctx, filter)
		if err != nil {
			return nil, err // typed by the store.
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("sequence %q of projection %q: %w", key, w.key.Projection, dlq.ErrNotFound)
		}
		all = append(all, found...)
	}
	return all, nil
}

// redriveBorrowed redrives under a lease that is taken for this one command.
func (w *worker) redriveBorrowed(ctx context.Context, parked []dlq.Parked) (Redriven, error) {
	owned, stop, err := w.borrow(ctx)
	if err != nil {
		return Redriven{}, w.leaveToOwner(ctx, parked, err)
	}
	defer stop()
	if err := w.load(owned); err != nil {
		return Redriven{}, err
	}
	return w.redriveAll(owned, parked)
}

func (w *worker) redriveAll(ctx context.Context, parked []dlq.Parked) (Redriven, error) {
	var total Redriven
	for _, p := range parked {
		if err := ctx.Err(); err != nil {
			return total, err // each sequence has a time of grace; all together have one
		}
		one, err := w.redrive(ctx, p.Sequence)
		total.Applied += one.Applied
		total.Failed += one.Failed
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// redriveDue tries the sequences whose time has come, and returns when to look
// again.
func (w *worker) redriveDue(ctx context.Context, due time.Time) (time.Time, error) {
	now := w.config.Now()
	if now.Before(due) {
		return due, nil
	}
	parked, err := w.progress.DeadLetters().Sequences(ctx, dlq.Filter{Projection: w.key.Projection, Version: w.key.Version, DueBy: now})
	if err != nil {
		return due, fmt.Errorf("look for letters to retry: %w", err)
	}
	if _, err := w.redriveAll(ctx, parked); err != nil {
		return due, err
	}
	return w.nextDue(ctx, now)
}

// nextDue returns when the next sequence is to be tried, at most idleRound ahead.
func (w *worker) nextDue(ctx context.Context, now time.Time) (time.Time, error) {
	horizon := now.Add(idleRound)
	parked, err := w.progress.DeadLetters().Sequences(ctx, dlq.Filter{Projection: w.key.Projection, Version: w.key.Version, DueBy: horizon})
	if err != nil {
		return now, fmt.Errorf("look for letters to retry: %w", err)
	}
	for _, p := range parked {
		if p.NextRetry.Before(horizon) {
			horizon = p.NextRetry
		}
	}
	return horizon, nil
}

// lettersPerTx bounds the letters that one transaction goes through.
const lettersPerTx = 100

// redrive goes through one sequence in order until it is empty or a letter fails.
func (w *worker) redrive(ctx context.Context, s dlq.Sequence) (Redriven, error) {
	w.work.Lock()
	defer w.work.Unlock()
	if !w.owning {
		return Redriven{}, errNotOwned
	}
	ctx, stop := w.grace(ctx)
	defer stop()
	var total Redriven
	for {
		applied, more, err := w.redriveChunk(ctx, s)
		total.Applied += applied
		if isLetterError(err) {
			total.Failed++
			return total, nil
		}
		if err != nil || !more {
			return total, err
		}
	}
}

// redriveChunk goes through the first letters of a sequence. With exactly once
// they share a transaction; else each has its own, after it was applied.
func (w *worker) redriveChunk(ctx context.Context, s dlq.Sequence) (applied int, more bool, err error) {
	if w.projection.Guarantee() != ExactlyOnce {
		return w.redriveOne(ctx, s)
	}
	var failed error
	err = w.inTx(ctx, func(tx Tx) error {
		letters, err := tx.DeadLetters().Letters(ctx, s, lettersPerTx)
		if err != nil {
			return err // typed by the store.
		}
		more = len(letters) == lettersPerTx
		for _, l := range letters {
			if failed = w.redriveLetter(ctx, tx, l); failed != nil {
				break
			}
			applied++
		}
		if failed != nil && !isLetterError(failed) {
			return failed
		}
		if more && failed == nil {
			if err := tx.DeadLetters().Schedule(ctx, s, w.config.Now()); err != nil {
				return err // typed by the store.
			}
		}
		return w.stay(ctx, tx)
	})
	if err != nil {
		return 0, false, err
	}
	return applied, more, failed
}

func (w *worker) redriveOne(ctx context.Context, s dlq.Sequence) (applied int, more bool, err error) {
	letters, err := w.progress.DeadLetters().Letters(ctx, s, 2)
	if err != nil || len(letters) == 0 {
		return 0, false, err // typed by the store.
	}
	e, err := w.eventOf(ctx, letters[0])
	if err != nil {
		return 0, false, err
	}
	cause := w.apply(ctx, nil, e)
	err = w.inTx(ctx, func(tx Tx) error {
		if cause != nil {
			cause = w.letterFailed(ctx, tx, letters[0], cause)
			if !isLetterError(cause) {
				return cause
			}
		} else if err := w.takeOut(ctx, tx, letters); err != nil {
			return err
		}
		return w.stay(ctx, tx)
	})
	if err != nil {
		return 0, false, err
	}
	if cause != nil {
		return 0, false, cause
	}
	return 1, true, nil
}

// redriveLetter applies one letter and takes it out, under one savepoint.
func (w *worker) redriveLetter(ctx context.Context, tx Tx, l dlq.Letter) error {
	e, err := w.eventOf(ctx, l)
	if err != nil {
		return err
	}
	cause := tx.Savepoint(ctx, func(ctx context.Context) error {
		if err := w.apply(ctx, tx, e); err != nil {
			return err
		}
		return tx.DeadLetters().Remove(ctx, l)
	})
	if cause == nil {
		return nil
	}
	return w.letterFailed(ctx, tx, l, cause)
}

// letterFailed records a failure that is the letter's own as a [letterError],
// and passes on any other.
func (w *worker) letterFailed(ctx context.Context, tx Tx, l dlq.Letter, cause error) error {
	if !blamesEvent(w.classify(cause)) {
		return cause
	}
	next := w.nextRedrive(w.redrives(l) + 1)
	if err := tx.DeadLetters().Failed(ctx, l, causeOf(cause), event.Time(w.config.Now()), next); err != nil {
		return fmt.Errorf("record failed letter: %w", err)
	}
	w.log.Info("letter failed again", zap.Error(cause), zap.Uint64("position", l.Position), zap.String("sequence", l.Sequence.Key), zap.Time("next_retry", next))
	return &letterError{err: cause}
}

// stay moves the checkpoint to where it stands: it proves, inside the
// transaction, that this process still owns the projection.
func (w *worker) stay(ctx context.Context, tx Tx) error {
	return tx.Checkpoints().Move(ctx, w.key, w.move(w.position, w.position))
}

// eventOf reads the event that a letter stands for.
func (w *worker) eventOf(ctx context.Context, l dlq.Letter) (event.Event, error) {
	for e, err := range w.events.ReadAll(ctx, eventstore.Query{After: l.Position - 1, Until: l.Position}) {
		if err != nil {
			return event.Event{}, fmt.Errorf("read event of letter: %w", err)
		}
		return e, nil
	}
	return event.Event{}, fmt.Errorf("event of letter at position %d is not in the store: %w", l.Position, eventstore.ErrCorrupt)
}

// redrives returns how often a letter was tried since it was parked. What was
// tried before is counted as configured; a letter that was known to be poison
// at once was tried less, and is retried a little more often.
func (w *worker) redrives(l dlq.Letter) int {
	return max(1, l.Attempts+1-w.config.Retry.MaxAttempts)
}

// nextRedrive returns when a letter that has been redriven so often is tried
// again by itself, or zero if it is left to a command.
func (w *worker) nextRedrive(attempts int) time.Time {
	if attempts >= w.config.Redrive.MaxAttempts {
		return time.Time{}
	}
	return event.Time(w.config.Now().Add(w.config.Redrive.after(attempts)))
}

// letterError says that a letter failed again, which was recorded.
type letterError struct{ err error }

func (e *letterError) Error() string { return e.err.Error() }
func (e *letterError) Unwrap() error { return e.err }

func isLetterError(err error) bool {
	_, ok := errors.AsType[*letterError](err)
	return ok
}

// takeOut removes the first of letters. The next one, which was not tried yet,
// is tried by itself even if this drain is cut off.
func (w *worker) takeOut(ctx context.Context, tx Tx, letters []dlq.Letter) error {
	if err := tx.DeadLetters().Remove(ctx, letters[0]); err != nil {
		return err // typed by the store.
	}
	if len(letters) == 1 {
		return nil
	}
	return tx.DeadLetters().Schedule(ctx, letters[0].Sequence, w.config.Now())
}
