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
)

// catchUp applies everything up to head, in stretches of which each is saved, so
// that also a long way through events that nobody wants is gone only once.
// Where there are none the stretches grow: positions may have gaps of any size.
func (w *worker) catchUp(ctx context.Context, head uint64) error {
	for length := uint64(firstStretch); w.position < head; {
		some, err := w.stretch(ctx, min(head, w.position+length))
		if err != nil {
			return err
		}
		if length = min(2*length, longestStretch); some {
			length = firstStretch
		}
	}
	return nil
}

// Stretches, in positions. The sum of the longest and a position is a position.
const (
	firstStretch   = 50_000
	longestStretch = 1 << 62
)

// stretch applies everything up to a position, batch by batch, and reports whether
// there was anything. Positions of events that the projection does not want are
// passed over with the rest.
func (w *worker) stretch(ctx context.Context, head uint64) (some bool, err error) {
	w.board.update(func(s *Status) { s.State, s.Head = CatchingUp, max(s.Head, head) })
	batch := make([]event.Event, 0, min(w.config.BatchSize, 1024))
	var opened time.Time
	divided := w.lanes.Load() > 1
	query := eventstore.Query{After: w.position, Until: head, Types: w.projection.EventTypes()}
	for e, err := range w.events.ReadAll(ctx, query) {
		if err != nil {
			return some, errors.Join(fmt.Errorf("read events: %w", err), w.flush(ctx, batch, lastPosition(batch, w.position)))
		}
		some = true
		if divided {
			mine, err := w.isMine(e)
			if err != nil {
				return some, errors.Join(err, w.flush(ctx, batch, lastPosition(batch, w.position)))
			}
			if !mine {
				continue
			}
		}
		if len(batch) == 0 {
			opened = w.config.Now()
		}
		if batch = append(batch, e); len(batch) < w.config.BatchSize && !w.overdue(opened, len(batch)) {
			continue
		}
		if err := w.flushAll(ctx, batch, e.Position); err != nil {
			return some, err
		}
		batch = batch[:0]
	}
	return some, w.flushAll(ctx, batch, head)
}

// flushAll flushes a batch, in several transactions if its handlers take
// longer than BatchTime: while one is open others may not be able to write.
func (w *worker) flushAll(ctx context.Context, batch []event.Event, to uint64) error {
	for {
		if err := w.flush(ctx, batch, to); err != nil || w.position >= to {
			return err
		}
		for len(batch) > 0 && batch[0].Position <= w.position {
			batch = batch[1:]
		}
		if err := ctx.Err(); err != nil {
			return err // what is done is saved
		}
	}
}

// overdue reports whether a batch has been open for too long. Asking the clock
// for every event would cost more than some handlers do.
func (w *worker) overdue(opened time.Time, events int) bool {
	const often = 16
	return events%often == 0 && w.config.Now().Sub(opened) >= w.config.BatchTime
}

func lastPosition(batch []event.Event, otherwise uint64) uint64 {
	if len(batch) == 0 {
		return otherwise
	}
	return batch[len(batch)-1].Position
}

// flush applies a batch and moves the checkpoint to the position to. If it can,
// it first applies all events together; if that fails by the fault of one, the
// batch is redone event by event.
func (w *worker) flush(ctx context.Context, batch []event.Event, to uint64) error {
	if to <= w.position {
		return nil
	}
	w.work.Lock()
	defer w.work.Unlock()
	ending := ctx.Err
	ctx, stop := w.grace(ctx)
	defer stop()
	if w.renewer.hasExpired(w.lease) {
		return &lostError{fence: w.lease.Fence}
	}
	if len(batch) == 0 {
		return w.applyBatchOf(ctx, batch, ending, to)
	}
	ctx, end := w.config.begin(ctx, w.step(ApplyStep, batch))
	w.done = StepEnd{}
	err := w.applyBatchOf(ctx, batch, ending, to)
	w.done.Err, w.done.Class = err, w.classOf(err)
	end(w.done)
	return err
}

// step describes a step to the observer.
func (w *worker) step(kind StepKind, batch []event.Event) Step {
	s := Step{Kind: kind, Projection: w.key.Projection, Version: w.key.Version, Lane: w.key.Lane, Owner: w.config.Owner, Events: len(batch)}
	if len(batch) > 0 {
		s.First, s.Last = batch[0].Position, batch[len(batch)-1].Position
	}
	return s
}

// applyBatchOf is what flush does with a batch.
func (w *worker) applyBatchOf(ctx context.Context, batch []event.Event, ending func() error, to uint64) error {
	if w.goesTogether(batch) {
		err := w.applyTogether(ctx, w.newOutcome(batch, ending), to)
		if err == nil || !w.blamesAnEvent(err, ending) {
			return err
		}
	}
	err := w.applyEach(ctx, w.newOutcome(batch, ending), to)
	if w.commitBlames(err) {
		return w.applySingly(ctx, batch, ending, to)
	}
	return err
}

// applySingly applies a batch event by event, each in a transaction of its own,
// to find the one that cannot be committed.
func (w *worker) applySingly(ctx context.Context, batch []event.Event, ending func() error, to uint64) error {
	for i := range batch {
		one, until := batch[i:i+1], batch[i].Position
		if i == len(batch)-1 {
			until = to
		}
		err := w.applyEach(ctx, w.newOutcome(one, ending), until)
		if w.commitBlames(err) {
			err = w.giveUpAlone(ctx, w.newOutcome(one, ending), until, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// giveUpAlone gives up the one event of a batch, which was not applied.
func (w *worker) giveUpAlone(ctx context.Context, o *outcome, to uint64, cause error) error {
	o.to = to
	w.attempt = attempt{position: o.batch[0].Position, count: 1}
	return w.transact(ctx, o, func(tx Tx) error { return w.giveUp(ctx, tx.DeadLetters(), o, 0, cause) })
}

// applyEach applies a batch event by event. What an error means is decided for
// each one; when it cannot go on, what stands before the event is kept.
func (w *worker) applyEach(ctx context.Context, o *outcome, to uint64) error {
	o.to = to
	if w.projection.Guarantee() == ExactlyOnce {
		err := w.transact(ctx, o, func(tx Tx) error { return w.walk(ctx, tx, tx.DeadLetters(), o) })
		return errors.Join(o.stopped, err)
	}
	if err := w.walk(ctx, nil, w.progress.DeadLetters(), o); err != nil {
		return err
	}
	saving, cancel := w.toSave(ctx)
	defer cancel()
	return errors.Join(o.stopped, w.transact(saving, o, func(Tx) error { return nil }))
}

// toSave returns a context for saving a checkpoint after effects outside of
// the store. They are there, even if the time of grace is over by now: then
// saving has a moment of its own.
func (w *worker) toSave(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), min(time.Second, w.config.ShutdownTimeout))
}

// expiryLook is how many events are applied outside of a transaction between two
// looks at the clock of the lease.
const expiryLook = 16

// walk goes through a batch until its end or until o.stopped is set.
func (w *worker) walk(ctx context.Context, tx Tx, letters dlq.Store, o *outcome) error {
	if err := o.findParked(ctx, letters); err != nil {
		return err
	}
	opened := w.config.Now()
	for i := range o.batch {
		if tx == nil && i%expiryLook == 0 && w.renewer.hasExpired(w.lease) {
			return &lostError{fence: w.lease.Fence} // what it does outside nobody could take back
		}
		if i > 0 && (ctx.Err() != nil || w.config.Now().Sub(opened) >= w.config.BatchTime) {
			o.to = o.batch[i-1].Position
			break
		}
		if o.stopped = w.applyOne(ctx, tx, letters, o, i); o.stopped != nil {
			o.to = o.batch[i].Position - 1
			break
		}
	}
	return nil
}

// applyOne applies one event, or parks it, or returns why the batch cannot go on.
func (w *worker) applyOne(ctx context.Context, tx Tx, letters dlq.Store, o *outcome, i int) error {
	parked, err := o.isParked(i)
	if err != nil {
		return err
	}
	if parked {
		return o.wait(ctx, letters, i)
	}
	e := &o.batch[i] // not copied: of an event that is applied nothing else is needed
	cause := w.applyAlone(ctx, tx, e)
	if cause == nil {
		o.succeeded(1)
		w.attempt = attempt{}
		return nil
	}
	class := w.meaning(cause, o.ending)
	if !blamesEvent(class) || ctx.Err() != nil || errors.Is(cause, ErrTxUndone) {
		return &handlerError{position: e.Position, err: cause}
	}
	if w.countAttempt(e.Position) < w.config.Retry.MaxAttempts && class == Unclassified {
		return &handlerError{position: e.Position, err: cause}
	}
	return w.giveUp(ctx, letters, o, i, cause)
}

// countAttempt returns how often the event has failed in a row.
func (w *worker) countAttempt(position uint64) int {
	return w.attempt.at(position)
}

// giveUp does with a poison event what the configuration says.
func (w *worker) giveUp(ctx context.Context, letters dlq.Store, o *outcome, i int, cause error) error {
	e := o.batch[i]
	fields := []zap.Field{
		zap.Error(cause), zap.Stringer("class", w.classify(cause)), zap.Stringer("event_id", e.ID), zap.String("event_type", e.Type),
		zap.Uint64("position", e.Position), zap.String("actor_id", string(e.ActorID)),
	}
	attempts := w.attempt.count
	switch w.config.OnPoison {
	case Stop:
		w.attempt = attempt{}
		return &StoppedError{Projection: w.key.Projection, EventID: e.ID, EventType: e.Type, Position: e.Position, Err: cause}
	case Skip:
		if err := o.skip(i, cause, attempts); err != nil {
			return err
		}
		w.log.Error("poison event skipped", fields...)
	default:
		if o.inARow >= w.config.Circuit {
			return &circuitError{position: e.Position, parked: o.inARow, err: cause}
		}
		if err := o.park(ctx, letters, i, cause, attempts); err != nil {
			return err
		}
		w.log.Error("poison event parked", fields...)
	}
	w.attempt = attempt{}
	return nil
}

// applyAlone applies one event so that its failure leaves nothing behind.
func (w *worker) applyAlone(ctx context.Context, tx Tx, e *event.Event) error {
	if tx == nil {
		return w.apply(ctx, nil, e)
	}
	return tx.Savepoint(ctx, func(ctx context.Context) error { return w.apply(ctx, tx, e) })
}

func (w *worker) apply(ctx context.Context, tx Tx, e *event.Event) (err error) {
	if w.batcher != nil {
		return w.applyBatch(ctx, tx, []event.Event{*e})
	}
	defer recovered(&err) // not Recovered, whose function would have the event moved to the heap
	return readable(w.projection.Apply(ctx, tx, *e))
}

// readable returns err once its text was read: of an error that is a typed nil
// that panics, and had better do so where panics are recovered.
func readable(err error) error {
	if err != nil {
		_ = err.Error()
	}
	return err
}

// transact runs f in a transaction and commits in it what came out: letters
// and checkpoint. A transaction in which nothing moved is rolled back.
func (w *worker) transact(ctx context.Context, o *outcome, f func(Tx) error) error {
	from := w.position
	err := w.inTx(ctx, func(tx Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if o.to <= from {
			return errNothingMoved
		}
		if err := o.post(ctx, tx.DeadLetters()); err != nil {
			return fmt.Errorf("write dead letters: %w", err)
		}
		return tx.Checkpoints().Move(ctx, w.key, w.move(from, o.to))
	})
	if errors.Is(err, errNothingMoved) {
		return nil
	}
	if err != nil {
		return err
	}
	w.position, w.inARow, w.commits = o.to, o.inARow, attempt{}
	w.done.Applied += int(o.applied) //nolint:gosec // at most a batch.
	w.done.Parked += len(o.letters)
	w.done.Skipped += len(o.discards)
	if len(o.letters) > 0 {
		w.letters.parked(w.config.Now(), o.firstRetry())
	}
	status := w.board.moved(w.config.Now(), o.to, o.applied)
	w.tell(status)
	return nil
}

// tell calls OnProgress. What it does wrong is no reason to stop.
func (w *worker) tell(status Status) {
	if w.config.OnProgress == nil {
		return
	}
	if err := Recovered(func() error { w.config.OnProgress(status); return nil }); err != nil {
		w.log.Error("OnProgress panicked", zap.Error(err))
	}
}

var errNothingMoved = errors.New("nothing moved")
