package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
)

// worker runs one projection: it holds the lease, goes round the loop, and
// decides what an error means.
type worker struct {
	events     eventstore.Store
	progress   Progress
	projection Projection
	batcher    Batcher // the projection, if it takes batches
	config     Config
	key        checkpoint.Key
	log        *zap.Logger
	board      *board

	running sync.Mutex // held for as long as the worker runs or is reset

	work     sync.Mutex // held while a batch is applied or a sequence redriven
	lease    lease.Lease
	owning   bool    // whether the lease is held and the checkpoint claimed
	position uint64  // the checkpoint, as this worker last saw it
	attempt  attempt // of the event that failed last
}

// attempt counts how often an event has failed in a row.
type attempt struct {
	position uint64
	count    int
}

// goal is where a run ends: at a position if it is bounded, else never.
type goal struct {
	bounded  bool
	position uint64
}

// idleRound is how long the loop sleeps at the most before it looks whether
// somebody else has scheduled a redrive.
const idleRound = 5 * time.Second

func newWorker(events eventstore.Store, config Config, p Projection) *worker {
	key := keyOf(p)
	w := &worker{
		events: events, progress: config.Progress, projection: p, config: config, key: key,
		log:   config.Logger.With(zap.String("projection", key.Projection), zap.Int("version", key.Version), zap.Int("lane", key.Lane)),
		board: newBoard(p),
	}
	if b, ok := p.(Batcher); ok && b.Batches() {
		w.batcher = b
	}
	return w
}

func keyOf(p Projection) checkpoint.Key {
	return checkpoint.Key{Projection: p.Name(), Version: p.Version()}
}

// run owns the projection and follows the log until ctx ends or the goal is
// reached. Whatever goes wrong is retried from the stored checkpoint.
func (w *worker) run(ctx context.Context, g goal) error {
	if !w.running.TryLock() {
		return fmt.Errorf("projection %q: %w", w.key.Projection, ErrRunning)
	}
	defer w.running.Unlock()
	for failures := 1; ; failures++ {
		before := w.board.position()
		err := w.own(ctx, g)
		if err == nil || ctx.Err() != nil {
			w.board.update(func(s *Status) { s.State = Idle })
			return nil
		}
		if w.board.position() > before {
			failures = 1
		}
		wait, again := w.afterFailure(err, g, failures)
		if !again {
			return w.fail(err)
		}
		if sleep(ctx, wait) != nil {
			w.board.update(func(s *Status) { s.State = Idle })
			return nil
		}
	}
}

// own takes the lease, makes the projection ready and follows the log for as
// long as the lease is kept.
func (w *worker) own(ctx context.Context, g goal) error {
	if done, err := w.acquire(ctx, g); done || err != nil {
		return err
	}
	owned, stop := w.keep(ctx)
	defer stop()
	err := w.prepare(owned)
	if err == nil {
		err = w.follow(owned, g)
	}
	if lost := context.Cause(owned); ctx.Err() == nil && lost != nil {
		return lost
	}
	return err
}

func (w *worker) prepare(ctx context.Context) error {
	p, ok := w.projection.(Preparer)
	if !ok {
		return nil
	}
	return w.inTx(ctx, func(tx Tx) error { return Recovered(func() error { return p.Prepare(ctx, tx) }) })
}

// follow is the one loop for catch-up and live.
func (w *worker) follow(ctx context.Context, g goal) error {
	if err := w.load(ctx); err != nil {
		return err
	}
	due := w.config.Now()
	for {
		var err error
		if due, err = w.redriveDue(ctx, due); err != nil { // first, since it may make room for more letters
			return err
		}
		head, err := w.events.Head(ctx)
		if err != nil {
			return fmt.Errorf("head: %w", err)
		}
		if g.bounded {
			head = min(head, max(g.position, w.position))
		}
		if err := w.catchUp(ctx, head); err != nil {
			return err
		}
		if g.bounded && w.position >= g.position {
			return nil
		}
		if err := w.waitForMore(ctx, due); err != nil {
			return err
		}
		if err := w.gather(ctx, g); err != nil {
			return err
		}
	}
}

// gather waits until more events have come. Whoever runs only up to a position
// does not wait for any beyond.
func (w *worker) gather(ctx context.Context, g goal) error {
	if w.config.Gather == 0 || g.bounded {
		return nil
	}
	return sleep(ctx, w.config.Gather)
}

// settling is how long a head may take to reach what another process has seen
// of it. Heads are worked out by each process for itself, and where writers are
// many one may be a moment behind the other.
const settling = time.Second

// headAt returns the head, which is expected to have come to position.
func (w *worker) headAt(ctx context.Context, position uint64) (uint64, error) {
	head, err := w.events.Head(ctx)
	if err != nil || head >= position {
		return head, err
	}
	brief, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	later, err := w.events.Wait(brief, position-1)
	if brief.Err() != nil && ctx.Err() == nil {
		return head, nil
	}
	return max(head, later), err
}

// load reads the checkpoint, refuses one of another store or of another past
// of this one, and moves it to where it stands: from then on whoever owned it before cannot move it.
func (w *worker) load(ctx context.Context) error {
	c, err := w.progress.Checkpoints().Load(ctx, w.key)
	if err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	head, err := w.headAt(ctx, c.Position)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if c.Position > head {
		return &checkpoint.AheadError{Key: w.key, Position: c.Position, Head: head}
	}
	w.work.Lock()
	defer w.work.Unlock()
	if err := w.progress.Checkpoints().Move(ctx, w.key, w.move(c.Position, c.Position)); err != nil {
		return fmt.Errorf("claim checkpoint: %w", err)
	}
	w.position, w.owning = c.Position, true
	w.board.begin(w.config.Now(), c.Position)
	return nil
}

// move is a step of the checkpoint by this owner.
func (w *worker) move(from, to uint64) checkpoint.Move {
	return checkpoint.Move{From: from, To: to, StoreID: w.events.ID(), Fence: w.lease.Fence}
}

// waitForMore sleeps until there is an event or a redrive is due.
func (w *worker) waitForMore(ctx context.Context, due time.Time) error {
	w.board.update(func(s *Status) { s.State, s.Heartbeat, s.Head = Live, w.config.Now(), max(s.Head, w.position) })
	wait := min(idleRound, max(due.Sub(w.config.Now()), time.Millisecond))
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := w.events.Wait(limited, w.position)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return nil // nothing new, and time to look round
	}
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	return nil
}

// afterFailure decides whether and when a run is tried again. An error that no
// handler caused is the store's, and waits for the store to come back.
func (w *worker) afterFailure(err error, g goal, failures int) (wait time.Duration, again bool) {
	position, fromHandler := failedAt(err)
	if stopped, ok := errors.AsType[*StoppedError](err); ok {
		position = stopped.Position
	}
	w.board.update(func(s *Status) {
		s.State, s.LastError, s.ErrorAt, s.Heartbeat = Paused, err, position, w.config.Now()
	})
	class := w.classify(err)
	switch {
	case final(err), g.bounded && errors.Is(err, dlq.ErrFull), !fromHandler && (class == Poison || class == Bug):
		return 0, false
	case class == Lost:
		w.log.Warn("ownership lost", zap.Error(err))
		return w.config.Pause.First, true
	case class == Infrastructure:
		wait = w.config.Pause.after(failures)
		w.log.Warn("projection paused", zap.Error(err), zap.Duration("retry_in", wait))
		return wait, true
	case fromHandler:
		wait = w.config.Retry.after(w.attempt.count)
		w.log.Info("event failed and is tried again", zap.Error(err), zap.Uint64("position", position), zap.Int("attempt", w.attempt.count), zap.Duration("retry_in", wait))
		return wait, true
	default:
		wait = w.config.Pause.after(failures)
		w.log.Warn("projection paused by an error of the store", zap.Error(err), zap.Duration("retry_in", wait))
		return wait, !g.bounded || failures < w.config.Retry.MaxAttempts
	}
}

// final reports whether trying again cannot help.
func final(err error) bool {
	return errors.Is(err, ErrStopped) || errors.Is(err, checkpoint.ErrOtherStore) ||
		errors.Is(err, eventstore.ErrClosed) || errors.Is(err, event.ErrDefinition)
}

// failedAt returns the position of the event whose handler err comes from, and
// whether it comes from a handler at all.
func failedAt(err error) (position uint64, fromHandler bool) {
	if failed, ok := errors.AsType[*handlerError](err); ok {
		return failed.position, true
	}
	return 0, false
}

// fail notes that the projection has stopped for good.
func (w *worker) fail(err error) error {
	w.board.update(func(s *Status) { s.State, s.LastError = Failed, err })
	w.log.Error("projection stopped", zap.Error(err))
	return fmt.Errorf("projection %q: %w", w.key.Projection, err)
}

// classify asks the user's classifier, then the store's, then the default.
func (w *worker) classify(err error) Class {
	if class, ok := w.ask(w.config.Classifier, err); ok {
		return class
	}
	if c, ok := w.progress.(Classifier); ok {
		if class, ok := w.ask(c, err); ok {
			return class
		}
	}
	return DefaultClass(err)
}

// meaning is classify for a handler's error. A handler that says "cancelled"
// while the run goes on was not cancelled by it: that may be the event's fault.
func (w *worker) meaning(err error, ending func() error) Class {
	class := w.classify(err)
	if class == Cancelled && ending() == nil {
		return Unclassified
	}
	return class
}

// ask lets a classifier decide. One that panics does not know the error.
func (w *worker) ask(c Classifier, err error) (class Class, ok bool) {
	if c == nil {
		return Unclassified, false
	}
	if broken := Recovered(func() error { class, ok = c.Classify(err); return nil }); broken != nil {
		w.log.Error("classifier panicked", zap.Error(broken))
		return Unclassified, false
	}
	return class, ok
}

// inTx runs f in a transaction of the progress store.
func (w *worker) inTx(ctx context.Context, f func(tx Tx) error) error {
	tx, err := w.progress.Begin(ctx)
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

// sequence returns what e is ordered by. A projection whose key panics, or is
// none that can be stored, stops: its events cannot be kept in order.
func (w *worker) sequence(e event.Event) (s dlq.Sequence, err error) {
	s = dlq.Sequence{Projection: w.key.Projection, Version: w.key.Version}
	own, ok := w.projection.(Sequencer)
	if !ok {
		s.Key = DefaultSequenceKey(e)
		return s, nil
	}
	err = Recovered(func() error { s.Key = own.SequenceKey(e); return s.Validate() })
	if err != nil {
		return s, &event.DefinitionError{Subject: w.key.Projection, Reason: fmt.Sprintf("sequence key of the event at position %d: %v", e.Position, err)}
	}
	return s, nil
}

// sleep waits for d or for ctx, whichever ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() // the caller's own.
	}
}
