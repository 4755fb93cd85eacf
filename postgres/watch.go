package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
)

// notifyEvery is how often other processes are notified at the most. A
// notification takes a lock of the whole server until after its commit, so it
// is sent beside the appends, never with one.
const notifyEvery = 10 * time.Millisecond

// watcher follows the head for all who wait, with one query for all of them.
// It runs from Open to Close and rests while nobody waits.
type watcher struct {
	store   *Store
	wanted  chan struct{} // holds something when it is time to look
	appends chan struct{} // holds something when others are to be notified

	waiting atomic.Int64

	mu      sync.Mutex
	current sight
}

// sight is what the watcher saw last.
type sight struct {
	view

	err      error
	replaced chan struct{} // closed when there is a newer one
}

func newWatcher(s *Store) *watcher {
	return &watcher{
		store:   s,
		wanted:  make(chan struct{}, 1),
		appends: make(chan struct{}, 1),
		current: sight{replaced: make(chan struct{})},
	}
}

// join and leave surround a wait.
func (w *watcher) join() {
	w.waiting.Add(1)
	w.mu.Lock()
	if w.current.err != nil { // of an earlier look: this one deserves its own
		w.replace(sight{view: w.current.view})
	}
	w.mu.Unlock()
	w.look()
}

func (w *watcher) leave() { w.waiting.Add(-1) }

func (w *watcher) anybody() bool { return w.waiting.Load() > 0 }

func (w *watcher) seen() sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current
}

// replace lets all who wait see s. The caller holds mu.
func (w *watcher) replace(s sight) {
	s.replaced = make(chan struct{})
	close(w.current.replaced)
	w.current = s
}

// look asks for a look at the head soon, if anybody waits. Who comes later looks
// by himself.
func (w *watcher) look() {
	if w.anybody() {
		signal(w.wanted)
	}
}

// stored says that events were stored: this process looks at once, others are
// notified.
func (w *watcher) stored() {
	w.look()
	signal(w.appends)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run looks whenever it is asked to, and while somebody waits from time to time.
func (w *watcher) run(ctx context.Context) {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() { w.notify(ctx) })
	listening := false
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	last := w.store.config.PollInterval
	for {
		select {
		case <-w.wanted:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if !w.anybody() {
			timer.Stop()
			continue
		}
		if !listening && !w.store.config.Replica { // a standby cannot listen
			listening = true
			helpers.Go(func() { w.listen(ctx) })
		}
		now, moved := w.observe(ctx)
		last = pause(last, w.store.config.PollInterval, now, moved)
		timer.Reset(last)
	}
}

// observe looks at the head and tells those who wait if something is new.
func (w *watcher) observe(ctx context.Context) (now view, moved bool) {
	brief, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	now, err := w.store.view(brief)
	if isContext(err) && ctx.Err() == nil {
		err = &Error{Op: "wait", Schema: string(w.store.schema), Err: fmt.Errorf("no answer within %s", w.patience())}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.replace(sight{view: w.current.view, err: err})
		return w.current.view, false
	}
	moved = now != w.current.view
	if moved || w.current.err != nil {
		w.replace(sight{view: now})
	}
	return now, moved
}

// patience bounds how long a statement of the watcher's own may take. Without
// it, one connection that is dead and does not say so would keep all who wait.
func (w *watcher) patience() time.Duration { return min(5*time.Second, w.store.config.WriteTimeout) }

// notify tells other processes that events were stored, at most once in
// notifyEvery. What fails is not tried again: they look by themselves.
func (w *watcher) notify(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-w.appends:
		case <-ctx.Done():
			return
		}
		brief, cancel := context.WithTimeout(ctx, w.patience())
		// Nothing that has to last is in this transaction: nobody waits for the disk.
		_, _ = w.store.pool.Exec(brief, "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')", string(w.store.schema))
		cancel()
		timer.Reset(notifyEvery)
	}
}

// listen hears of appends of other processes, over a connection of its own,
// which it takes from the pool and opens anew whenever it is lost.
func (w *watcher) listen(ctx context.Context) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = w.store.config.PollInterval
	for ctx.Err() == nil {
		if w.hear(ctx) {
			pauses.Reset()
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// hear listens until the connection is lost, and reports whether there was one.
func (w *watcher) hear(ctx context.Context) bool {
	pooled, err := w.store.pool.Acquire(ctx)
	if err != nil {
		return false
	}
	conn := pooled.Hijack()
	defer func() {
		// ctx has ended or the connection is lost: goodbye is a courtesy.
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(brief)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{string(w.store.schema)}.Sanitize()); err != nil {
		return false
	}
	w.look() // what came before is seen by this
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return true
		}
		w.look()
	}
}
