package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
)

// worker runs one lane of a projection: it holds the lease, goes round the
// loop, and decides what an error means.
type worker struct {
	events     eventstore.Store
	progress   Progress
	projection Projection
	batcher    Batcher // the projection, if it takes batches
	config     Config
	renewer    *renewer
	isBehind   func(position uint64) bool // whether there may be more above a position
	key        checkpoint.Key
	lanes      atomic.Int64 // of the projection; changed only while the worker does not run
	log        *zap.Logger
	board      *board

	running sync.Mutex // held for as long as the worker runs or is reset

	work     turn // taken while a batch is applied or a sequence redriven
	lease    lease.Lease
	owning   atomic.Bool // whether the lease is held and the checkpoint claimed; changed under work
	position uint64      // the checkpoint, as this worker last saw it
	attempt  attempt     // of the event that failed last
	commits  attempt     // of the batch whose commit failed last, by where the checkpoint stands
	inARow   int         // events that parked since one was applied, see Config.Circuit

	letters letterbox
	rouse   atomic.Pointer[context.CancelFunc] // ends the sleep of a loop that waits for events
	done    StepEnd                            // what has come of the step in hand, for the observer
}

// attempt counts how often an event has failed in a row.
type attempt struct {
	position uint64
	count    int
}

// at counts one more, and returns how often it was at this position in a row.
func (a *attempt) at(position uint64) int {
	if a.position != position {
		*a = attempt{position: position}
	}
	a.count++
	return a.count
}

// goal is where a run ends: at a position if it is bounded, else never.
type goal struct {
	bounded  bool
	position uint64
}

// idleRound is how often a loop that rests shows that it is alive.
const idleRound = 15 * time.Second

// idlePause keeps a loop from spinning that is woken again and again for nothing.
const idlePause = 10 * time.Millisecond

func newWorker(r *Runner, p Projection, lane int) *worker {
	key := checkpoint.Key{Projection: p.Name(), Version: p.Version(), Lane: lane}
	w := &worker{
		events: r.events, progress: r.config.Progress, projection: p, config: r.config, renewer: r.renewer, isBehind: r.pulse.isBehind, key: key,
		log:   r.config.Logger.With(zap.String("projection", key.Projection), zap.Int("version", key.Version), zap.Int("lane", key.Lane)),
		board: newBoard(p, lane),
		work:  newTurn(),
	}
	w.lanes.Store(1)
	if b, ok := p.(Batcher); ok && b.Batches() {
		w.batcher = b
	}
	return w
}

// run owns the projection and follows the log until ctx ends or the goal is
// reached. Whatever goes wrong is retried from the stored checkpoint.
func (w *worker) run(ctx context.Context, g goal) error {
	if !w.running.TryLock() {
		return fmt.Errorf("projection %q: %w", w.key.Projection, ErrRunning)
	}
	defer w.running.Unlock()
	return w.persist(ctx, g, func() error { return w.own(ctx, g) })
}

// persist tries until ctx ends, the goal is reached, or trying again is no use.
func (w *worker) persist(ctx context.Context, g goal, try func() error) error {
	for failures := 1; ; failures++ {
		before := w.board.position()
		err := try()
		if is[*endedError](err) || is[*outdatedError](err) {
			return err // one of the lanes has said all, or the steward has to decide anew
		}
		if err == nil || ctx.Err() != nil {
			w.board.update(func(s *Status) { s.State = Idle })
			return nil //nolint:nilerr // the run was to end.
		}
		if w.board.position() > before {
			failures = 1
		}
		wait, again := w.afterFailure(err, g, failures)
		if !again {
			return w.fail(err)
		}
		if w.rest(ctx, wait); ctx.Err() != nil {
			w.board.update(func(s *Status) { s.State = Idle })
			return nil //nolint:nilerr // the run was to end.
		}
	}
}

// rest sleeps, and shows all the while that the loop is alive.
func (w *worker) rest(ctx context.Context, d time.Duration) {
	for ; d > 0 && delay.For(ctx, min(d, idleRound)) == nil; d -= idleRound {
		w.board.update(func(s *Status) { s.Heartbeat = w.config.Now() })
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
	err := w.load(owned) // first, so that whoever owned it before can write no more
	if err == nil {
		err = w.checkDecisions(owned)
	}
	if err == nil {
		err = w.prepare(owned)
	}
	if err == nil {
		err = w.follow(owned, g)
	}
	if lost := context.Cause(owned); ctx.Err() == nil && lost != nil {
		return lost
	}
	return err
}

// checkDecisions makes sure, once the lease is held, that the lane is still to
// run, and how: whoever changes that holds the leases of all lanes.
func (w *worker) checkDecisions(ctx context.Context) error {
	r, err := w.progress.Registry().Load(ctx, registry.Name{Projection: w.key.Projection, Version: w.key.Version})
	if errors.Is(err, registry.ErrNotFound) {
		return nil // a command before the first run
	}
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	if r.Ordered() || standing(r) != nil || int64(r.Lanes) != w.lanes.Load() {
		return &outdatedError{name: r.Name, why: standing(r)}
	}
	return nil
}

// outdatedError says that something else was decided about a projection while a
// lane waited for its lease.
type outdatedError struct {
	name registry.Name
	why  error // why it does not run at all, or nil
}

func (e *outdatedError) Error() string {
	if e.why != nil {
		return e.why.Error()
	}
	return fmt.Sprintf("projection %s is about to run otherwise: try again in a moment", e.name)
}

func (e *outdatedError) Unwrap() error { return e.why }

func (w *worker) prepare(ctx context.Context) error {
	p, ok := w.projection.(Preparer)
	if !ok {
		return nil
	}
	return w.inTx(ctx, func(tx Tx) error { return Recovered(func() error { return p.Prepare(ctx, tx) }) })
}

// follow is the one loop for catch-up and live.
func (w *worker) follow(ctx context.Context, g goal) error {
	w.letters.lookAgain()
	w.begin()
	for {
		if err := w.redriveDue(ctx); err != nil { // first, since it may make room for more letters
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
		if err := w.waitForMore(ctx); err != nil {
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
	return delay.For(ctx, w.config.Gather)
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

// load reads the checkpoint and moves it to where it stands: from then on
// whoever owned it before cannot move it. It refuses one of another store or of
// another past of this one.
func (w *worker) load(ctx context.Context) error {
	c, err := w.progress.Checkpoints().Load(ctx, w.key)
	if err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	if err := w.claim(ctx, c.Position); err != nil {
		return err
	}
	head, err := w.headAt(ctx, c.Position)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if c.Position > head {
		return &checkpoint.AheadError{Key: w.key, Position: c.Position, Head: head}
	}
	return nil
}

func (w *worker) claim(ctx context.Context, position uint64) error {
	w.work.Lock()
	defer w.work.Unlock()
	if err := w.progress.Checkpoints().Move(ctx, w.key, w.move(position, position)); err != nil {
		return fmt.Errorf("claim checkpoint: %w", err)
	}
	w.position = position
	return nil
}

// begin notes that the lane is owned and ready: handlers may run.
func (w *worker) begin() {
	w.work.Lock()
	defer w.work.Unlock()
	w.owning.Store(true)
	w.board.begin(w.config.Now(), w.position)
}

// isMine reports whether an event belongs to this worker's lane, of several.
func (w *worker) isMine(e event.Event) (bool, error) {
	s, err := w.sequence(e)
	return err == nil && LaneOf(s.Key, int(w.lanes.Load())) == w.key.Lane, err
}

// move is a step of the checkpoint by this owner.
func (w *worker) move(from, to uint64) checkpoint.Move {
	return checkpoint.Move{From: from, To: to, StoreID: w.events.ID(), Fence: w.lease.Fence}
}

// waitForMore sleeps until there is an event, letters are to be looked at, or the
// pulse has seen that a wake-up was lost.
func (w *worker) waitForMore(ctx context.Context) error {
	for {
		w.board.update(func(s *Status) {
			s.State, s.Heartbeat, s.Head = Live, w.config.Now(), max(s.Head, w.position)
			s.LastError, s.ErrorAt = nil, 0 // whatever it was, it is over
		})
		limited, cancel := context.WithTimeout(ctx, w.letters.wait(w.config.Now()))
		w.rouse.Store(&cancel)
		head, err := w.events.Wait(limited, w.position)
		idle := limited.Err() != nil
		cancel()
		switch {
		case err == nil && head <= w.position:
			return delay.For(ctx, idlePause) // woken for nothing
		case err == nil:
			return nil
		case ctx.Err() != nil || !idle:
			return fmt.Errorf("wait: %w", err)
		case w.letters.due(w.config.Now()) || w.isBehind(w.position):
			return nil
		}
	}
}

// wake has a loop that waits for events look round.
func (w *worker) wake() {
	if rouse := w.rouse.Load(); rouse != nil {
		(*rouse)()
	}
}

// afterFailure decides whether and when a run is tried again. An error that no
// handler caused is the store's, and waits for the store to come back.
func (w *worker) afterFailure(err error, g goal, failures int) (wait time.Duration, again bool) {
	position, fromHandler := failedAt(err)
	if stopped, ok := errors.AsType[*StoppedError](err); ok {
		position = stopped.Position
	}
	class := w.classify(err)
	if fromHandler {
		class = unowned(class)
	}
	open, isOpen := errors.AsType[*circuitError](err)
	if isOpen {
		position, fromHandler, class = open.position, false, Infrastructure
	}
	w.board.update(func(s *Status) {
		s.State, s.LastError, s.ErrorAt, s.Heartbeat = Paused, err, position, w.config.Now()
	})
	switch {
	case final(err, fromHandler, g), g.bounded && (isOpen || errors.Is(err, dlq.ErrFull)), !fromHandler && (class == Poison || class == Bug):
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

// final reports whether trying again cannot help. What a handler says is never
// final: its errors may wrap those of a store or of a checkpoint of its own.
func final(err error, fromHandler bool, g goal) bool {
	if fromHandler {
		return is[*unfitError](err)
	}
	if is[*checkpoint.AheadError](err) && !g.bounded {
		return false // the head may be about to come there, see headAt
	}
	return errors.Is(err, ErrStopped) || errors.Is(err, checkpoint.ErrOtherStore) ||
		errors.Is(err, eventstore.ErrClosed) || errors.Is(err, ErrOlderVersion) || errors.Is(err, event.ErrDefinition)
}

// unowned returns what a class of error means that a handler has returned: it
// does not know who owns the projection.
func unowned(c Class) Class {
	if c == Lost {
		return Unclassified
	}
	return c
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
	return &endedError{projection: w.key.Projection, err: err}
}

// endedError says that a projection has stopped for good.
type endedError struct {
	projection string
	err        error
}

func (e *endedError) Error() string { return fmt.Sprintf("projection %q: %v", e.projection, e.err) }
func (e *endedError) Unwrap() error { return e.err }

// bring follows the log up to a position, under a lease that is held already.
func (w *worker) bring(ctx context.Context, l lease.Lease, to uint64) error {
	if !w.running.TryLock() {
		return fmt.Errorf("projection %q: %w", w.key.Projection, ErrRunning)
	}
	defer w.running.Unlock()
	g := goal{bounded: true, position: to}
	err := w.persist(ctx, g, func() error {
		w.took(l)
		defer w.disown()
		if err := w.load(ctx); err != nil {
			return err
		}
		return w.follow(ctx, g)
	})
	if err != nil {
		return err
	}
	return context.Cause(ctx) // persist ends quietly with ctx
}

// classOf is classify for an error that may be nil.
func (w *worker) classOf(err error) Class {
	if err == nil {
		return Unclassified
	}
	return w.classify(err)
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
	class := unowned(w.classify(err))
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
		return &commitError{err: errors.Join(err, tx.Rollback(ctx))}
	}
	return nil
}

// commitError says that a transaction could not be committed.
type commitError struct{ err error }

func (e *commitError) Error() string { return fmt.Sprintf("commit: %v", e.err) }
func (e *commitError) Unwrap() error { return e.err }

// commitBlames reports whether err is that of a commit which what handlers wrote
// has made impossible, as a constraint that is checked no sooner, or that of a
// transaction which a handler has undone. An error of which nobody knows what it
// means is tried again first.
func (w *worker) commitBlames(err error) bool {
	if w.projection.Guarantee() != ExactlyOnce || !is[*commitError](err) && !errors.Is(err, ErrTxUndone) {
		return false
	}
	switch w.classify(err) {
	case Poison, Bug:
		return true
	case Unclassified:
		return w.commits.at(w.position) >= w.config.Retry.MaxAttempts
	default:
		return false
	}
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
