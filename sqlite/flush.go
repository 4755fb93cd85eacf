package sqlite

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/evident-go/evident/eventstore"
)

// mostPerFlush bounds the events that are written in one transaction, unless
// one append alone has more: how long others wait, and how far the log grows.
const mostPerFlush = 2048

// flusher writes appends: those that wait in the queue, in a goroutine of its
// own from Open to Close, and one that is alone in the goroutine of its caller.
type flusher struct {
	queue  *queue
	writer *writer
	path   string
	now    func() time.Time
	stored func() // called after events were stored
	crowd  int    // how many the last flush has written; belongs to whoever has the turn
}

// run flushes whenever somebody waits, until the store is closing.
func (f *flusher) run(ctx context.Context) {
	for {
		select {
		case <-f.queue.ready:
			f.flush(ctx)
		case <-f.writer.closing:
			f.queue.close()
			return
		}
	}
}

// flush writes in one transaction all who wait by the time that it begins.
func (f *flusher) flush(ctx context.Context) {
	if f.writer.acquire(ctx) != nil {
		return // closing: run says so to those who wait
	}
	// Whoever was answered by the flush before and appends again comes along.
	if f.crowd > 1 {
		runtime.Gosched()
	}
	if err := f.writer.begin(ctx); err != nil {
		f.writer.release()
		for _, r := range f.queue.take(mostPerFlush) {
			r.answer(eventstore.Result{}, translate("append", f.path, err))
		}
		return
	}
	f.finish(ctx, f.queue.take(mostPerFlush))
}

// finish writes a batch in the transaction that was begun and gives the turn up.
func (f *flusher) finish(ctx context.Context, batch []*request) {
	f.crowd = len(batch)
	answers, err := f.write(ctx, batch)
	f.writer.release()
	f.answer(batch, answers, err)
}

// alone writes an append at once if nobody else does, and reports whether it
// has. To hand it to another goroutine and back would take as long as a fifth
// of a commit. Where appends came in crowds it does not: they wait for each
// other's company.
func (f *flusher) alone(ctx context.Context, r *request) bool {
	if !f.writer.tryAcquire() {
		return false
	}
	if f.crowd > 1 {
		f.writer.release()
		return false
	}
	if err := f.writer.begin(ctx); err != nil {
		f.writer.release()
		r.answer(eventstore.Result{}, translate("append", f.path, err))
		return true
	}
	f.finish(context.WithoutCancel(ctx), []*request{r})
	return true
}

// answer is what the judge says to one append.
type answer struct {
	result eventstore.Result
	err    error // a refusal that concerns this append alone
}

// write judges and stores a batch and ends the transaction.
func (f *flusher) write(ctx context.Context, batch []*request) ([]answer, error) {
	j := judge{conn: f.writer.conn, recordedAt: f.now()}
	answers := make([]answer, len(batch))
	for i, r := range batch {
		result, err := j.decide(ctx, r)
		if err != nil && !isRefusal(err) {
			return nil, errors.Join(err, f.writer.rollback(ctx))
		}
		answers[i] = answer{result: result, err: err}
	}
	if err := f.writer.commit(ctx); err != nil {
		return nil, &commitError{err}
	}
	return answers, nil
}

// answer tells everybody of a batch what came of it.
func (f *flusher) answer(batch []*request, answers []answer, err error) {
	if err == nil && anyStored(batch, answers) {
		f.stored()
	}
	for i, r := range batch {
		if err != nil {
			r.answer(eventstore.Result{}, f.failure(r, err))
		} else {
			r.answer(answers[i].result, answers[i].err)
		}
	}
}

func anyStored(batch []*request, answers []answer) bool {
	for i, r := range batch {
		if r.events > 0 && answers[i].err == nil {
			return true
		}
	}
	return false
}

// failure is what an append is told whose flush failed as a whole. Nothing of
// it is stored, unless the commit failed in a way that leaves this open.
func (f *flusher) failure(r *request, err error) error {
	failed, atCommit := errors.AsType[*commitError](err)
	if !atCommit {
		return translate("append", f.path, err)
	}
	err = translate("append", f.path, failed.error)
	if r.events == 0 || undone(failed.error) {
		return err
	}
	return &eventstore.OutcomeUnknownError{Stream: r.streams[0].Stream, Err: err}
}

// commitError marks an error of the commit itself.
type commitError struct{ error }

// isRefusal reports whether err concerns one append and not the whole flush.
func isRefusal(err error) bool {
	return errors.Is(err, eventstore.ErrConflict) || errors.Is(err, eventstore.ErrDuplicateEvent)
}
