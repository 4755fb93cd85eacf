package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Runner feeds projections from an event store.
//
// It makes these promises:
//
//  1. One loop for catch-up and live. The feed is always read from the last
//     position; a wake-up only says "look now".
//  2. Exactly once where it can be. A projection whose target lives in the
//     store's database moves its checkpoint in the same transaction as its
//     effects. Any other is at least once. Each says which.
//  3. Batches. If a batch fails it is rolled back and redone event by event,
//     each under a savepoint, so that a failing handler leaves nothing behind
//     and only the failing event is blamed. So is that of a [Batcher], which
//     is given a batch whole.
//  4. The checkpoint moves over filtered ranges too, never moves back, and is
//     saved when a run is cancelled.
//  5. Errors by class. Infrastructure errors are retried for ever and pause
//     the projection; they never count as poison and never skip.
//  6. Sequenced dead letters. A poison event is parked and later events of its
//     sequence queue behind it, while all others go on. A redrive goes through
//     a sequence in order, each letter under a savepoint. At the limit the
//     projection pauses; nothing is lost.
//  7. One owner. A projection runs under a lease whose fence every commit
//     checks, so that a process which slept through its lease cannot write.
//  8. Status tells the truth: it is measured against the store's head.
//  9. Read your own writes: WaitFor.
//  10. Shutdown finishes or rolls back the batch in hand, saves the checkpoint
//     and releases the lease, within ShutdownTimeout.
//  11. Events of types that no handler wants are passed over; a payload that
//     does not decode is poison.
//  12. Projections are independent: one that stops or pauses does not keep the
//     others.
//
// All methods are safe for concurrent use.
type Runner struct {
	events  eventstore.Store
	workers []*worker
	byName  map[string]*worker
}

// NewRunner returns a runner of events. It starts nothing. Errors are those of
// [Config.Validate].
func NewRunner(events eventstore.Store, config Config) (*Runner, error) {
	if events == nil {
		return nil, &event.InvalidError{Field: "events", Reason: "must not be nil"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Progress == nil {
		progress, ok := events.(Progress)
		if !ok {
			return nil, &event.InvalidError{Field: "progress", Reason: fmt.Sprintf("must be set: the event store (%T) has no place for checkpoints", events)}
		}
		config.Progress = progress
	}
	config = config.withDefaults()
	r := &Runner{events: events, byName: make(map[string]*worker)}
	for _, p := range config.Projections {
		w := newWorker(events, config, p)
		r.workers = append(r.workers, w)
		r.byName[p.Name()] = w
	}
	return r, nil
}

// Run runs all projections until ctx ends, and then returns nil. A projection
// that stops for good does not end the others; Run returns its error, joined
// with those of others, when all have ended.
func (r *Runner) Run(ctx context.Context) error {
	return r.each(r.workers, func(w *worker) error { return w.run(ctx, goal{}) })
}

// RunUntilCaughtUp runs all projections until each has come to where the
// store's head was when it was called, and returns. It is for jobs and tests.
// Unlike [Runner.Run] it does not wait for room in the dead-letter queue. It
// returns ctx's error if ctx ends first.
func (r *Runner) RunUntilCaughtUp(ctx context.Context) error {
	return r.catchUp(ctx, r.workers)
}

func (r *Runner) catchUp(ctx context.Context, workers []*worker) error {
	head, err := r.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	if err := r.each(workers, func(w *worker) error { return w.run(ctx, goal{bounded: true, position: head}) }); err != nil {
		return err
	}
	return ctx.Err() // the caller's own.
}

// each runs f for all workers at once and joins their errors.
func (r *Runner) each(workers []*worker, f func(*worker) error) error {
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() { errs[i] = f(w) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// WaitFor blocks until everything up to position is done in a projection,
// parked events included: after it a read model shows what was written. The
// projection may be run by another process. Errors: [ErrUnknownProjection],
// [ErrStopped], and ctx's own.
func (r *Runner) WaitFor(ctx context.Context, projection string, position uint64) error {
	w, err := r.worker(projection)
	if err != nil {
		return err
	}
	return w.waitFor(ctx, position)
}

// Status returns the state of all projections, in the order of the
// configuration, measured against the store's head.
func (r *Runner) Status(ctx context.Context) ([]Status, error) {
	head, err := r.events.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	all := make([]Status, 0, len(r.workers))
	for _, w := range r.workers {
		s, err := w.measure(ctx, head)
		if err != nil {
			return nil, fmt.Errorf("status of %s: %w", w.key, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// Reset empties a projection's target, its checkpoint and its dead letters, so
// that the next run builds it anew from the first event. Errors:
// [ErrUnknownProjection]; [ErrRunning] while this runner runs it;
// [lease.ErrHeld] while another process does. A reset that was interrupted
// must be repeated.
func (r *Runner) Reset(ctx context.Context, projection string) error {
	w, err := r.worker(projection)
	if err != nil {
		return err
	}
	return w.reset(ctx)
}

// Rebuild resets a projection and replays all events into it, and returns when
// it has caught up. [Config.OnProgress] sees it advance.
func (r *Runner) Rebuild(ctx context.Context, projection string) error {
	if err := r.Reset(ctx, projection); err != nil {
		return err
	}
	return r.catchUp(ctx, []*worker{r.byName[projection]})
}

func (r *Runner) worker(projection string) (*worker, error) {
	w, ok := r.byName[projection]
	if !ok {
		return nil, fmt.Errorf("projection %q: %w", projection, ErrUnknownProjection)
	}
	return w, nil
}
