package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
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
// another process runs the projection, or has taken it over meanwhile, and while
// this one is paused or another command has it. The sequences are then scheduled,
// so that whoever runs the projection tries them at once.
func (r *Runner) Redrive(ctx context.Context, projection string, keys ...string) (Redriven, error) {
	s, err := r.steward(ctx, projection)
	if err != nil {
		return Redriven{}, err
	}
	_, workers, err := s.look(ctx)
	if err != nil {
		return Redriven{}, fmt.Errorf("redrive: %w", err)
	}
	parked, err := s.parkedSequences(ctx, keys)
	if err != nil {
		return Redriven{}, err
	}
	var total Redriven
	var errs []error
	for _, w := range workers {
		one, err := w.redriveNow(ctx, w.mine(parked))
		total.Applied += one.Applied
		total.Failed += one.Failed
		errs = append(errs, err)
	}
	return total, errors.Join(errs...)
}

// mine returns those of parked sequences that belong to the worker's lane.
func (w *worker) mine(parked []dlq.Parked) []dlq.Parked {
	lanes := int(w.lanes.Load())
	return slices.DeleteFunc(slices.Clone(parked), func(p dlq.Parked) bool { return LaneOf(p.Sequence.Key, lanes) != w.key.Lane })
}

// redriveNow tries sequences again, or has whoever runs the lane do so.
func (w *worker) redriveNow(ctx context.Context, parked []dlq.Parked) (Redriven, error) {
	if w.running.TryLock() {
		defer w.running.Unlock()
		return w.redriveBorrowed(ctx, parked)
	}
	if status, _ := w.board.look(); status.State == Waiting {
		held := &lease.HeldError{Lease: lease.Lease{Name: leaseName(w.key), Owner: status.Owner, Fence: status.Fence}}
		return Redriven{}, w.leaveToOwner(ctx, parked, held)
	}
	done, err := w.redriveAll(ctx, parked)
	if errors.Is(err, errNotOwned) { // it is paused, starting or ending, or another command has it
		held := &lease.HeldError{Lease: lease.Lease{Name: leaseName(w.key), Owner: w.config.Owner}}
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
func (r *Runner) DeadLetters() dlq.Store { return r.config.Progress.DeadLetters() }

// Discard takes the first letter of a sequence out for good, with a reason
// that is kept beside it, and who did it: the actor of ctx. Later letters of
// the sequence stay; they are tried again by themselves. Errors:
// [ErrUnknownProjection], [dlq.ErrNotFound], [event.ErrInvalid] without a reason.
func (r *Runner) Discard(ctx context.Context, projection, key, reason string) error {
	steward, err := r.steward(ctx, projection)
	if err != nil {
		return err
	}
	_, workers, err := steward.look(ctx)
	if err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	w := workers[LaneOf(key, len(workers))]
	if err := w.work.take(ctx); err != nil {
		return fmt.Errorf("discard: wait for the batch in hand: %w", err)
	}
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
		w.letters.lookAgain()
		return tx.DeadLetters().Schedule(ctx, s, w.config.Now())
	})
}

func (s *steward) parkedSequences(ctx context.Context, keys []string) ([]dlq.Parked, error) {
	filter := dlqFilterOf(s.name)
	if len(keys) == 0 {
		return s.config.Progress.DeadLetters().Sequences(ctx, filter) // typed by the store.
	}
	var all []dlq.Parked
	for _, key := range keys {
		filter.Key = key
		found, err := s.config.Progress.DeadLetters().Sequences(ctx, filter)
		if err != nil {
			return nil, err // typed by the store.
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("sequence %q of projection %q: %w", key, s.name.Projection, dlq.ErrNotFound)
		}
		all = append(all, found...)
	}
	return all, nil
}

// redriveBorrowed redrives under a lease that is taken for this one command. If it
// is lost on the way, the rest is left to whoever runs the lane now.
func (w *worker) redriveBorrowed(ctx context.Context, parked []dlq.Parked) (Redriven, error) {
	owned, stop, err := w.borrow(ctx)
	if err != nil {
		return Redriven{}, w.leaveToOwner(ctx, parked, err)
	}
	defer stop()
	done, err := w.redriveOwned(owned, parked)
	if lost := context.Cause(owned); err != nil && lost != nil && ctx.Err() == nil {
		return done, w.leaveToOwner(ctx, parked, fmt.Errorf("redrive of projection %q: %w: %w", w.key.Projection, lease.ErrHeld, lost))
	}
	return done, err
}

// redriveOwned is redriveAll under a lease that was just taken.
func (w *worker) redriveOwned(owned context.Context, parked []dlq.Parked) (Redriven, error) {
	if err := w.load(owned); err != nil {
		return Redriven{}, err
	}
	if err := w.checkDecisions(owned); err != nil {
		return Redriven{}, err
	}
	w.begin()
	return w.redriveAll(owned, parked)
}

func (w *worker) redriveAll(ctx context.Context, parked []dlq.Parked) (Redriven, error) {
	var total Redriven
	for _, p := range parked {
		if err := ctx.Err(); err != nil {
			return total, err // each sequence has a time of grace; all together have one
		}
		one, err := w.redrive(ctx, p.Sequence, p.Until)
		total.Applied += one.Applied
		total.Failed += one.Failed
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// redriveDue tries the sequences of the lane whose time has come.
func (w *worker) redriveDue(ctx context.Context) error {
	now := w.config.Now()
	if !w.letters.due(now) {
		return nil
	}
	parked, err := w.parkedHere(ctx)
	if err != nil {
		return fmt.Errorf("look for letters to retry: %w", err)
	}
	var due []dlq.Parked
	for _, p := range parked {
		if !p.NextRetry.IsZero() && !p.NextRetry.After(now) {
			due = append(due, p)
		}
	}
	if len(due) > 0 {
		for _, p := range due {
			if err := w.redriveByItself(ctx, p); err != nil {
				return err
			}
		}
		if parked, err = w.parkedHere(ctx); err != nil {
			return fmt.Errorf("look for letters to retry: %w", err)
		}
	}
	w.letters.seen(w.config.Now(), len(parked) > 0, nextRetry(parked))
	return nil
}

// redriveByItself tries a sequence whose time has come. Whatever a handler says
// that blames no event, such as that a service is down, is no reason to keep the
// others waiting: the sequence is tried again later.
func (w *worker) redriveByItself(ctx context.Context, p dlq.Parked) error {
	if err := ctx.Err(); err != nil {
		return err // each sequence has a time of grace; all together have one
	}
	_, err := w.redrive(ctx, p.Sequence, p.Until)
	if _, fromHandler := failedAt(err); !fromHandler || final(err, true, goal{}) {
		return err
	}
	next := event.Time(w.config.Now().Add(w.config.Redrive.after(p.First.Redrives + 1)))
	w.log.Warn("letter could not be tried", zap.Error(err), zap.String("sequence", p.Sequence.Key), zap.Time("next_retry", next))
	err = w.progress.DeadLetters().ScheduleUntil(ctx, p.Sequence, next, p.Until)
	if errors.Is(err, dlq.ErrNotFound) {
		return nil // somebody has taken it out
	}
	return wrap("put off a letter", err)
}

// parkedHere returns the parked sequences of this lane.
func (w *worker) parkedHere(ctx context.Context) ([]dlq.Parked, error) {
	parked, err := w.progress.DeadLetters().Sequences(ctx, dlq.Filter{Projection: w.key.Projection, Version: w.key.Version})
	if err != nil {
		return nil, err // typed by the store.
	}
	return w.mine(parked), nil
}

// nextRetry returns when the first of sequences is tried again by itself; zero
// for none.
func nextRetry(parked []dlq.Parked) (next time.Time) {
	for _, p := range parked {
		if !p.NextRetry.IsZero() && (next.IsZero() || p.NextRetry.Before(next)) {
			next = p.NextRetry
		}
	}
	return next
}

// lettersPerTx bounds the letters that one transaction goes through.
const lettersPerTx = 100

// redrive goes through one sequence in order until it is empty, a letter fails,
// or the next is above the position until; 0 is no bound.
func (w *worker) redrive(ctx context.Context, s dlq.Sequence, until uint64) (Redriven, error) {
	if err := w.work.take(ctx); err != nil {
		return Redriven{}, fmt.Errorf("wait for the batch in hand: %w", err)
	}
	defer w.work.Unlock()
	if !w.owning.Load() {
		return Redriven{}, errNotOwned
	}
	ctx, stop := w.grace(ctx)
	defer stop()
	step := w.step(RedriveStep, nil)
	step.Detail = s.Key
	ctx, end := w.config.begin(ctx, step)
	done, err := w.drain(ctx, s, until)
	end(StepEnd{Applied: done.Applied, Err: err, Class: w.classOf(err)})
	return done, err
}

// drain is what redrive does with a sequence.
func (w *worker) drain(ctx context.Context, s dlq.Sequence, until uint64) (Redriven, error) {
	var total Redriven
	for {
		applied, more, err := w.redriveChunk(ctx, s, until, lettersPerTx)
		if w.commitBlames(err) {
			applied, more, err = w.redriveUncommitted(ctx, s, until)
		}
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
func (w *worker) redriveChunk(ctx context.Context, s dlq.Sequence, until uint64, limit int) (applied int, more bool, err error) {
	if w.projection.Guarantee() != ExactlyOnce {
		return w.redriveOne(ctx, s, until)
	}
	var failed error
	err = w.inTx(ctx, func(tx Tx) error {
		next, err := nextLetters(ctx, tx.DeadLetters(), s, until, limit)
		if err != nil {
			return err
		}
		opened := w.config.Now()
		for i, l := range next.letters {
			if i > 0 && w.config.Now().Sub(opened) >= w.config.BatchTime {
				next.more = true // in the next transaction: while one is open others may not be able to write
				break
			}
			if failed = w.redriveLetter(ctx, tx, l); failed != nil {
				break
			}
			applied++
		}
		if failed != nil && !isLetterError(failed) {
			return failed
		}
		if failed == nil {
			if err := w.scheduleRest(ctx, tx.DeadLetters(), s, until, next); err != nil {
				return err
			}
		}
		more = next.more
		return w.stay(ctx, tx)
	})
	if err != nil {
		return 0, false, err
	}
	return applied, more, failed
}

// upNext are the letters of a sequence that a redrive takes next.
type upNext struct {
	letters []dlq.Letter
	more    bool // whether the redrive goes on behind them
	rest    bool // whether there are letters behind them at all
}

func nextLetters(ctx context.Context, store dlq.Store, s dlq.Sequence, until uint64, limit int) (upNext, error) {
	letters, err := store.Letters(ctx, s, limit+1)
	if err != nil {
		return upNext{}, err // typed by the store.
	}
	next := upNext{letters: letters}
	if until > 0 {
		next.letters = slices.DeleteFunc(slices.Clone(letters), func(l dlq.Letter) bool { return l.Position > until })
	}
	next.rest = len(letters) > min(limit, len(next.letters))
	next.more = len(next.letters) > limit
	next.letters = next.letters[:min(limit, len(next.letters))]
	return next, nil
}

// scheduleRest has the letters tried that stand behind those that were taken
// out, even if this drain is cut off; those above the bound wait for a command.
func (w *worker) scheduleRest(ctx context.Context, store dlq.Store, s dlq.Sequence, until uint64, next upNext) error {
	switch {
	case next.more:
		return store.ScheduleUntil(ctx, s, w.config.Now(), until)
	case next.rest:
		return store.Schedule(ctx, s, time.Time{})
	default:
		return nil
	}
}

// redriveUncommitted redrives the first letter of a sequence, in which there is
// one that can be applied but not committed. If it is this one, it has failed.
func (w *worker) redriveUncommitted(ctx context.Context, s dlq.Sequence, until uint64) (applied int, more bool, err error) {
	applied, more, err = w.redriveChunk(ctx, s, until, 1)
	if !w.commitBlames(err) {
		return applied, more, err
	}
	cause := err
	err = w.inTx(ctx, func(tx Tx) error {
		letters, err := tx.DeadLetters().Letters(ctx, s, 1)
		if err != nil || len(letters) == 0 {
			return err // typed by the store.
		}
		cause = w.letterFailed(ctx, tx, letters[0], cause)
		if !isLetterError(cause) {
			return cause
		}
		return w.stay(ctx, tx)
	})
	return 0, false, errors.Join(err, cause)
}

func (w *worker) redriveOne(ctx context.Context, s dlq.Sequence, until uint64) (applied int, more bool, err error) {
	next, err := nextLetters(ctx, w.progress.DeadLetters(), s, until, 1)
	if err != nil || len(next.letters) == 0 {
		return 0, false, err // typed by the store.
	}
	first := next.letters[0]
	cause, gone := w.applyLetter(ctx, nil, first), false
	err = w.inTx(ctx, func(tx Tx) error {
		if cause != nil {
			said := cause
			cause = w.letterFailed(ctx, tx, first, cause)
			gone = !errors.Is(said, dlq.ErrNotFound) && errors.Is(cause, dlq.ErrNotFound)
			if !gone && !isLetterError(cause) {
				return cause
			}
			return w.stay(ctx, tx)
		}
		err := tx.DeadLetters().Remove(ctx, first)
		if err == nil {
			err = w.scheduleRest(ctx, tx.DeadLetters(), s, until, next)
		}
		if gone = errors.Is(err, dlq.ErrNotFound); err != nil && !gone {
			return err // typed by the store.
		}
		return w.stay(ctx, tx) // whoever took it out may also own the projection now
	})
	if err == nil && gone {
		return 0, true, nil // somebody has taken it out meanwhile: on to the next
	}
	if err != nil {
		return 0, false, err
	}
	if cause != nil {
		return 0, false, cause
	}
	return 1, next.more, nil
}

// applyLetter applies the event of a letter. What the handler says is marked as
// its own, and so is that the event cannot be had.
func (w *worker) applyLetter(ctx context.Context, tx Tx, l dlq.Letter) error {
	e, err := w.eventOf(ctx, l)
	if err == nil {
		err = w.apply(ctx, tx, &e)
	} else if !is[*missingError](err) {
		return err
	}
	if err == nil {
		return nil
	}
	return &handlerError{position: l.Position, err: err}
}

// redriveLetter applies one letter and takes it out, under one savepoint.
func (w *worker) redriveLetter(ctx context.Context, tx Tx, l dlq.Letter) error {
	cause := tx.Savepoint(ctx, func(ctx context.Context) error {
		if err := w.applyLetter(ctx, tx, l); err != nil {
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
	class := w.classify(cause)
	if _, fromHandler := failedAt(cause); fromHandler {
		class = unowned(class)
	}
	if ctx.Err() != nil || errors.Is(cause, ErrTxUndone) || !blamesEvent(class) && !is[*missingError](cause) {
		return cause
	}
	next := w.nextRedrive(l.Redrives + 2)
	if said, ok := errors.AsType[*handlerError](cause); ok {
		cause = said.err
	}
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
		if e.ID != l.EventID {
			return event.Event{}, &missingError{letter: l, instead: e.ID}
		}
		return e, nil
	}
	return event.Event{}, &missingError{letter: l}
}

// missingError says that the event which a letter stands for is not in the store:
// it was restored from an older copy.
type missingError struct {
	letter  dlq.Letter
	instead uuid.UUID // what stands there; uuid.Nil for nothing
}

func (e *missingError) Error() string {
	if e.instead != uuid.Nil {
		return fmt.Sprintf("event %s of letter at position %d is not in the store: %s stands there", e.letter.EventID, e.letter.Position, e.instead)
	}
	return fmt.Sprintf("event %s of letter at position %d is not in the store", e.letter.EventID, e.letter.Position)
}

func (e *missingError) Is(target error) bool { return target == eventstore.ErrCorrupt }

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
