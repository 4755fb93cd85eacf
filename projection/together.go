package projection

import (
	"context"
	"errors"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

// goesTogether reports whether a batch is first applied as a whole: if what it
// does can be undone, or if the projection takes whole batches. Not while an
// event of it is known to have failed.
func (w *worker) goesTogether(batch []event.Event) bool {
	able := w.batcher != nil || w.projection.Guarantee() == ExactlyOnce
	return able && w.attempt.count == 0 && len(batch) != 1
}

// blamesAnEvent reports whether err calls for finding the event at fault, or
// the one for which there is no room in the dead-letter queue.
func (w *worker) blamesAnEvent(err error, ending func() error) bool {
	if errors.Is(err, dlq.ErrFull) || w.commitBlames(err) {
		return true
	}
	_, fromHandler := failedAt(err)
	return fromHandler && blamesEvent(w.meaning(err, ending))
}

// applyTogether applies a whole batch, without savepoints. With exactly once,
// nothing of it stays if that fails.
func (w *worker) applyTogether(ctx context.Context, o *outcome, to uint64) error {
	o.to = to
	if w.projection.Guarantee() != ExactlyOnce {
		return w.applyOutside(ctx, o)
	}
	return w.transact(ctx, o, func(tx Tx) error {
		if err := o.findParked(ctx, tx.DeadLetters()); err != nil {
			return err
		}
		if w.batcher != nil {
			return w.applyFree(ctx, tx, tx.DeadLetters(), o)
		}
		return w.applyInTurn(ctx, tx, o)
	})
}

// applyOutside gives a batch to a target outside of the store's database, and
// then saves the checkpoint.
func (w *worker) applyOutside(ctx context.Context, o *outcome) error {
	letters := w.progress.DeadLetters()
	if err := o.findParked(ctx, letters); err != nil {
		return err
	}
	if err := w.applyFree(ctx, nil, letters, o); err != nil {
		return err
	}
	saving, cancel := w.toSave(ctx)
	defer cancel()
	return w.transact(saving, o, func(Tx) error { return nil })
}

// applyFree applies the events that are not parked, in one call.
func (w *worker) applyFree(ctx context.Context, tx Tx, letters dlq.Store, o *outcome) error {
	free, err := o.setAside(ctx, letters)
	if err != nil || len(free) == 0 {
		return err
	}
	if err := w.applyBatch(ctx, tx, free); err != nil {
		return &handlerError{position: free[0].Position, last: free[len(free)-1].Position, err: err}
	}
	o.succeeded(len(free))
	return nil
}

func (w *worker) applyBatch(ctx context.Context, tx Tx, events []event.Event) error {
	return Recovered(func() error { return readable(w.batcher.ApplyBatch(ctx, tx, events)) })
}

// applyInTurn applies event after event until the end, or until the
// transaction has been open for too long.
func (w *worker) applyInTurn(ctx context.Context, tx Tx, o *outcome) error {
	opened := w.config.Now()
	for i := range o.batch {
		e := &o.batch[i]
		parked, err := o.isParked(i)
		if err != nil {
			return err
		}
		if parked {
			if err := o.wait(ctx, tx.DeadLetters(), i); err != nil {
				return err
			}
			continue
		}
		if err := w.apply(ctx, tx, e); err != nil {
			return &handlerError{position: e.Position, err: err}
		}
		o.succeeded(1)
		if i+1 < len(o.batch) && w.config.Now().Sub(opened) >= w.config.BatchTime {
			o.to = e.Position
			break
		}
	}
	return nil
}
