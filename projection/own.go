package projection

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/lease"
)

// acquire waits until this process owns the projection, or until whoever owns
// it has reached the goal.
func (w *worker) acquire(ctx context.Context, g goal) (done bool, err error) {
	for {
		l, err := w.progress.Leases().Acquire(ctx, leaseName(w.key), w.config.Owner, w.config.LeaseTTL)
		if err == nil {
			w.took(l)
			w.board.update(func(s *Status) { s.State, s.Owner, s.Fence, s.Heartbeat = Waiting, l.Owner, l.Fence, w.config.Now() })
			return false, nil
		}
		held, ok := isHeld(err)
		if !ok {
			return false, fmt.Errorf("acquire lease: %w", err)
		}
		if done, err := w.reachedByOther(ctx, g); done || err != nil {
			return done, err
		}
		w.board.update(func(s *Status) {
			s.State, s.Owner, s.Fence, s.Heartbeat = Waiting, held.Owner, held.Fence, w.config.Now()
			s.LastError, s.ErrorAt = nil, 0
		})
		if err := delay.For(ctx, w.config.round()); err != nil {
			return false, err
		}
	}
}

// reachedByOther reports whether a bounded run has nothing left to do, because
// another process has come as far.
func (w *worker) reachedByOther(ctx context.Context, g goal) (bool, error) {
	if !g.bounded {
		return false, nil
	}
	c, err := w.progress.Checkpoints().Load(ctx, w.key)
	if err != nil {
		return false, fmt.Errorf("load checkpoint: %w", err)
	}
	return c.StoreID == w.events.ID() && c.Position >= g.position, nil
}

func (w *worker) took(l lease.Lease) {
	w.work.Lock()
	w.lease = l
	w.work.Unlock()
}

// keep has the lease renewed until stop is called or it is lost; then the
// returned context ends, with the loss as its cause. stop releases it.
func (w *worker) keep(ctx context.Context) (owned context.Context, stop func()) {
	owned, cancel := context.WithCancelCause(ctx)
	l := w.lease
	drop := w.renewer.hold(ctx, l, w.config.Now(), cancel)
	return owned, func() {
		w.disown()
		drop()
		cancel(nil)
		w.release(ctx, l)
	}
}

// disown notes that the lease is no longer held.
func (w *worker) disown() {
	w.work.Lock()
	w.owning.Store(false)
	w.work.Unlock()
}

// release gives the lease up, even when ctx has ended: the next owner then
// need not wait. It is bounded by the shutdown time-out.
func (w *worker) release(ctx context.Context, l lease.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.ShutdownTimeout)
	defer cancel()
	if err := w.progress.Leases().Release(ctx, l); err != nil {
		w.log.Warn("lease could not be released; it expires by itself", zap.Error(err), zap.Duration("ttl", w.config.LeaseTTL))
	}
}

// borrow takes the lease for one command, without waiting for its owner, and
// keeps it until stop is called. The returned context ends if it is lost.
func (w *worker) borrow(ctx context.Context) (owned context.Context, stop func(), err error) {
	l, err := w.progress.Leases().Acquire(ctx, leaseName(w.key), w.config.Owner, w.config.LeaseTTL)
	if err != nil {
		return nil, nil, fmt.Errorf("projection %q: %w", w.key.Projection, err)
	}
	w.took(l)
	owned, stop = w.keep(ctx)
	return owned, stop, nil
}

// grace returns a context for work that may go on for ShutdownTimeout after
// ctx has ended, unless it ended because the lease was lost.
func (w *worker) grace(ctx context.Context) (context.Context, func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	finished := make(chan struct{})
	go func() {
		defer cancel()
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		if is[*lostError](context.Cause(ctx)) {
			return
		}
		select {
		case <-finished:
		case <-time.After(w.config.ShutdownTimeout):
		}
	}()
	return work, func() { close(finished) }
}
