package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

const (
	// round is how long the keeper sleeps at the most: the clock by which
	// timeouts come may be another than the one by which programs sleep.
	round = 5 * time.Second
	// gather is how long it lets events come together before it reads them.
	gather = 50 * time.Millisecond
	// markEvery is how often it notes how far back timeouts reach.
	markEvery = 10 * time.Second
	// firstPause and mostPause bound how long it waits after an error.
	firstPause, mostPause = 100 * time.Millisecond, 30 * time.Second
	// parting is how long the end may take.
	parting = 5 * time.Second
)

// marks is what the checkpoint of a process's timeouts is called, behind its name.
const marks = checkpoint.TimeoutsSuffix

// keeper looks after the timeouts of a process: it reads what is waited for
// from the log, and records each that has come. The log is the only truth; what
// the keeper has in memory it can read again, from the checkpoint on. Its lease
// spares work, and correctness does not depend on it: instances know what they
// wait for.
type keeper struct {
	process  string
	events   eventstore.Store
	config   Config
	key      checkpoint.Key
	log      *zap.Logger
	timeouts *timeouts
	elapse   func(ctx context.Context, w *waiting) error

	running  sync.Mutex // held for as long as the keeper runs
	lease    lease.Lease
	read     uint64    // up to where the log was read
	mark     uint64    // the checkpoint
	markedAt time.Time // when it was last looked at, by the clock
	before   time.Time // what the clock said in the last round
	unread   uint64    // position of the first event that could not be read; 0 for none
	// unreadable says why.
	unreadable error

	mu    sync.Mutex
	board Status
}

func newKeeper(process string, codec event.Codec, events eventstore.Store, config Config, elapse func(context.Context, *waiting) error) (*keeper, error) {
	waited, err := newTimeouts(codec)
	if err != nil {
		return nil, err
	}
	return &keeper{
		process: process, events: events, config: config, timeouts: waited, elapse: elapse,
		// Instances outlive versions of the process, and so do their timeouts.
		key: checkpoint.Key{Projection: process + marks, Version: 1},
		log: config.Logger.With(zap.String("process", process)),
	}, nil
}

// run owns the timeouts until ctx ends, and tries again whatever goes wrong.
func (k *keeper) run(ctx context.Context) error {
	if !k.running.TryLock() {
		return fmt.Errorf("timeouts of process %q: %w", k.process, projection.ErrRunning)
	}
	defer k.running.Unlock()
	pause := firstPause
	for {
		err := k.own(ctx, func() { pause = firstPause })
		if ctx.Err() != nil {
			k.show(func(s *Status) { s.State = projection.Idle })
			return nil
		}
		if errors.Is(err, eventstore.ErrClosed) || errors.Is(err, event.ErrInvalid) {
			k.show(func(s *Status) { s.State, s.LastError = projection.Failed, err })
			return fmt.Errorf("timeouts of process %q: %w", k.process, err)
		}
		k.show(func(s *Status) { s.State, s.LastError = projection.Paused, err })
		k.log.Warn("timeouts wait", zap.Error(err), zap.Duration("retry_in", pause))
		if delay.For(ctx, pause) != nil {
			continue
		}
		pause = min(2*pause, mostPause)
	}
}

// own takes the lease and looks after the timeouts for as long as it is kept.
// It calls ok when that goes well.
func (k *keeper) own(ctx context.Context, ok func()) error {
	if err := k.acquire(ctx); err != nil {
		return err
	}
	owned, stop := k.keep(ctx)
	defer stop()
	err := k.claim(owned)
	for err == nil {
		if err = k.goRound(owned); err == nil {
			ok()
			err = k.rest(owned)
		}
	}
	if lost := context.Cause(owned); ctx.Err() == nil && lost != nil {
		return lost
	}
	return err
}

// acquire waits until this process may look after the timeouts.
func (k *keeper) acquire(ctx context.Context) error {
	for {
		l, err := k.config.Progress.Leases().Acquire(ctx, k.leaseName(), k.config.Owner, k.config.LeaseTTL)
		if err == nil {
			k.lease = l
			return nil
		}
		if !errors.Is(err, lease.ErrHeld) {
			return fmt.Errorf("acquire lease: %w", err)
		}
		k.show(func(s *Status) { s.State, s.Heartbeat = projection.Waiting, k.config.Now() })
		if err := delay.For(ctx, min(k.config.LeaseTTL/10, time.Second)); err != nil {
			return err
		}
	}
}

func (k *keeper) leaseName() string { return "process/" + k.process + marks }

// errLost says that somebody else looks after the timeouts now.
var errLost = errors.New("lease of timeouts was taken over")

// keep renews the lease until stop is called or it is lost; then the returned
// context ends. stop releases it.
func (k *keeper) keep(ctx context.Context) (owned context.Context, stop func()) {
	owned, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	l := k.lease
	go func() {
		defer close(done)
		if !k.renew(owned, l) {
			cancel(errLost)
		}
	}()
	return owned, func() {
		cancel(nil)
		<-done
		leaving, end := context.WithTimeout(context.WithoutCancel(ctx), parting)
		defer end()
		k.saveMark(leaving)
		if err := k.config.Progress.Leases().Release(leaving, l); err != nil {
			k.log.Warn("lease of timeouts could not be released; it expires by itself", zap.Error(err))
		}
	}
}

// renew takes the lease again at a third of its time, until ctx ends. It
// returns false if somebody else has it. Any other error is borne: that two
// look after timeouts for a while does no harm.
func (k *keeper) renew(ctx context.Context, l lease.Lease) bool {
	for delay.For(ctx, k.config.LeaseTTL/3) == nil {
		renewed, err := k.config.Progress.Leases().Acquire(ctx, l.Name, l.Owner, k.config.LeaseTTL)
		switch {
		case errors.Is(err, lease.ErrHeld), err == nil && renewed.Fence != l.Fence:
			return false
		case err != nil && ctx.Err() == nil:
			k.log.Warn("lease of timeouts could not be renewed", zap.Error(err))
		}
	}
	return true
}

// claim finds out where to read from, and makes sure that no earlier owner
// moves the checkpoint any more. A checkpoint of another store, or of one that
// was restored from an older copy, says nothing: then all is read.
func (k *keeper) claim(ctx context.Context) error {
	checkpoints := k.config.Progress.Checkpoints()
	c, err := checkpoints.Load(ctx, k.key)
	if err != nil {
		return fmt.Errorf("load checkpoint: %w", err)
	}
	head, err := k.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if c.Position > head || c.StoreID != uuid.Nil && c.StoreID != k.events.ID() {
		if err := checkpoints.Reset(ctx, k.key); err != nil {
			return fmt.Errorf("reset checkpoint: %w", err)
		}
		c.Position = 0
	}
	if err := checkpoints.Move(ctx, k.key, k.move(c.Position, c.Position)); err != nil {
		return fmt.Errorf("claim checkpoint: %w", err)
	}
	k.timeouts.clear()
	k.read, k.mark, k.markedAt = c.Position, c.Position, k.config.Now()
	k.unread, k.unreadable = 0, nil
	return nil
}

func (k *keeper) move(from, to uint64) checkpoint.Move {
	return checkpoint.Move{From: from, To: to, StoreID: k.events.ID(), Fence: k.lease.Fence}
}

// goRound reads what is new and records what has come.
func (k *keeper) goRound(ctx context.Context) error {
	now := k.config.Now()
	if now.Before(k.before) {
		k.timeouts.hasten()
	}
	k.before = now
	if err := k.catchUp(ctx); err != nil {
		return err
	}
	k.fire(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.config.Now().Sub(k.markedAt) >= markEvery {
		k.saveMark(ctx)
	}
	k.show(func(s *Status) {
		s.State, s.Heartbeat, s.LastError = projection.Live, k.config.Now(), cmp.Or(k.timeouts.failure, k.unreadable)
		s.Waiting, s.Next = k.timeouts.queue.Len(), time.Time{}
		if w := k.timeouts.first(); w != nil {
			s.Next = w.due
		}
	})
	return nil
}

// catchUp reads the log up to its head.
func (k *keeper) catchUp(ctx context.Context) error {
	head, err := k.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if head <= k.read {
		return nil
	}
	query := eventstore.Query{After: k.read, Until: head, Types: k.timeouts.types(), AggregateTypes: []string{k.process}}
	for e, err := range k.events.ReadAll(ctx, query) {
		if err != nil {
			return fmt.Errorf("read timeouts: %w", err)
		}
		if err := k.timeouts.observe(e); err != nil { // the others must not wait for it
			k.missed(e.Position, err)
			k.log.Error("timeout cannot be read", zap.Error(err), zap.Uint64("position", e.Position))
		}
		k.read = e.Position
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k.read = head
	return nil
}

// missed notes that an event could not be read. The mark stays in front of it, so
// that an owner who can read it finds it.
func (k *keeper) missed(position uint64, err error) {
	if k.unread == 0 {
		k.unread, k.unreadable = position, fmt.Errorf("timeout at position %d cannot be read: %w", position, err)
	}
}

// mostAtOnce is how many timeouts are recorded before the log is read on.
const mostAtOnce = 500

// fire records the timeouts that have come. One that cannot be recorded does
// not keep the others.
func (k *keeper) fire(ctx context.Context) {
	for range mostAtOnce {
		w := k.timeouts.first()
		if w == nil || w.next.After(k.config.Now()) || ctx.Err() != nil {
			return
		}
		err := k.elapse(ctx, w)
		if err == nil {
			k.timeouts.remove(w)
			continue
		}
		failure := fmt.Errorf("timeout %q of %s: %w", w.name, w.stream, err)
		pause := mostPause
		if w.failures < maxDoublings {
			pause = min(mostPause, firstPause<<w.failures)
		}
		k.log.Warn("timeout could not be recorded", zap.Error(failure), zap.Time("due", w.due), zap.Duration("retry_in", pause))
		k.timeouts.postpone(w, k.config.Now().Add(pause), failure)
	}
}

// maxDoublings is enough to go from firstPause to mostPause.
const maxDoublings = 10

// saveMark notes from where on the log says all that is waited for. That it
// could not be noted costs only reading.
func (k *keeper) saveMark(ctx context.Context) {
	k.markedAt = k.config.Now()
	low := k.timeouts.lowWater(k.read)
	if k.unread > 0 {
		low = min(low, k.unread-1)
	}
	if low <= k.mark {
		return
	}
	if err := k.config.Progress.Checkpoints().Move(ctx, k.key, k.move(k.mark, low)); err != nil {
		k.log.Warn("checkpoint of timeouts could not be saved", zap.Error(err))
		return
	}
	k.mark = low
}

// rest sleeps until something happens in the store, a timeout is due, or a
// round is over.
func (k *keeper) rest(ctx context.Context) error {
	wait := round
	if w := k.timeouts.first(); w != nil {
		wait = min(wait, max(w.next.Sub(k.config.Now()), time.Millisecond))
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := k.events.Wait(limited, k.read)
	if limited.Err() != nil {
		return ctx.Err() // time to look round, or the end
	}
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	return delay.For(ctx, min(gather, wait))
}

// Status is how the timeouts of a process are looked after.
type Status struct {
	// State is Idle, Waiting while another process looks after them, Live, Paused
	// while the store cannot be reached, or Failed.
	State     projection.State
	Waiting   int       // timeouts that are waited for
	Next      time.Time // when the first of them is due; zero if there is none
	LastError error     // why the store cannot be reached, or a timeout that has come cannot be recorded; nil if all is well
	Heartbeat time.Time // when the loop last went round
}

func (k *keeper) show(f func(s *Status)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.board)
}

func (k *keeper) status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.board
}
