package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/lease"
)

// renewer keeps the leases of one runner: all are renewed in one call, at a
// third of their time, for as long as there is one.
type renewer struct {
	progress Progress
	ttl      time.Duration
	now      func() time.Time
	log      *zap.Logger

	mu   sync.Mutex
	held map[string]*holding // by the lease's name
	stop func()              // ends the goroutine; nil while nothing is held
}

// holding is a lease that is kept.
type holding struct {
	lease   lease.Lease
	expires time.Time // by this process's clock
	lost    func(error)
}

func newRenewer(config Config) *renewer {
	return &renewer{progress: config.Progress, ttl: config.LeaseTTL, now: config.Now, log: config.Logger, held: make(map[string]*holding)}
}

// hold keeps a lease that was acquired at the given time. If it is lost, lost is
// called, once. release gives it up.
func (r *renewer) hold(ctx context.Context, l lease.Lease, acquired time.Time, lost func(error)) (release func()) {
	h := &holding{lease: l, expires: acquired.Add(r.ttl), lost: lost}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.held[l.Name]; before != nil {
		before.lost(&lostError{fence: before.lease.Fence}) // it was taken again before it was given up
	}
	r.held[l.Name] = h
	if r.stop == nil {
		r.start(ctx)
	}
	return func() { r.drop(h) }
}

// start renews until stop is called, also after ctx has ended: the batch in
// hand is finished under its lease.
func (r *renewer) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for delay.For(ctx, r.ttl/3) == nil {
			r.renew(ctx)
		}
	}()
	r.stop = func() { cancel(); <-done }
}

// drop stops keeping a lease, and with the last one the goroutine.
func (r *renewer) drop(h *holding) {
	r.mu.Lock()
	if r.held[h.lease.Name] == h {
		delete(r.held, h.lease.Name)
	}
	var stop func()
	if len(r.held) == 0 {
		stop, r.stop = r.stop, nil
	}
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// renew renews all leases. A passing error is borne until a lease has expired;
// the fence guards what is written.
func (r *renewer) renew(ctx context.Context) {
	asked, held := r.now(), r.all()
	bounded, cancel := context.WithTimeout(ctx, r.untilFirstExpiry(asked))
	defer cancel()
	renewed, err := r.progress.Leases().Renew(bounded, leasesOf(held), r.ttl)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.log.Warn("leases could not be renewed", zap.Error(err), zap.Int("leases", len(held)))
	}
	fences := make(map[string]uint64, len(renewed))
	for _, l := range renewed {
		fences[l.Name] = l.Fence
	}
	for _, h := range held {
		switch {
		case err == nil && fences[h.lease.Name] == h.lease.Fence:
			r.extend(h, asked.Add(r.ttl))
		case err == nil:
			r.lose(h, &lostError{fence: h.lease.Fence})
		case !r.now().Before(h.expires):
			r.lose(h, &lostError{fence: h.lease.Fence, err: err})
		}
	}
}

// untilFirstExpiry returns how long all leases last: an answer that comes later
// is none.
func (r *renewer) untilFirstExpiry(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.ttl
	for _, h := range r.held {
		first = min(first, h.expires.Sub(now))
	}
	return max(first, 0)
}

func (r *renewer) all() []*holding {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*holding, 0, len(r.held))
	for _, h := range r.held {
		all = append(all, h)
	}
	return all
}

func leasesOf(held []*holding) []lease.Lease {
	leases := make([]lease.Lease, len(held))
	for i, h := range held {
		leases[i] = h.lease
	}
	return leases
}

func (r *renewer) extend(h *holding, expires time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.expires = expires
}

// hasExpired reports whether a lease that is held has run out by this process's
// clock, as it has when the process was frozen and wakes up. Then another one
// may have taken it, though nobody was told yet.
func (r *renewer) hasExpired(l lease.Lease) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[l.Name]
	return h == nil || h.lease.Fence != l.Fence || !r.now().Before(h.expires)
}

// lose tells whoever holds a lease that it is lost, unless it was given up
// meanwhile.
func (r *renewer) lose(h *holding, err error) {
	r.mu.Lock()
	kept := r.held[h.lease.Name] == h
	if kept {
		delete(r.held, h.lease.Name)
	}
	r.mu.Unlock()
	if kept {
		h.lost(err)
	}
}

// lostError says that the lease is no longer ours.
type lostError struct {
	fence uint64
	err   error
}

func (e *lostError) Error() string {
	if e.err != nil {
		return fmt.Sprintf("lease with fence %d expired, it could not be renewed: %v", e.fence, e.err)
	}
	return fmt.Sprintf("lease with fence %d has expired or was taken over", e.fence)
}

func (e *lostError) Unwrap() error { return e.err }

// isHeld returns who holds the lease that could not be had.
func isHeld(err error) (lease.Lease, bool) {
	held, ok := errors.AsType[*lease.HeldError](err)
	if !ok {
		return lease.Lease{}, false
	}
	return held.Lease, true
}
