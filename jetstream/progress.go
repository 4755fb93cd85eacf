package jetstream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var _ projection.Progress = (*progress)(nil)

// progressConfig says where progress is kept.
type progressConfig struct {
	prefix   string // names the bucket
	replicas int
	timeout  time.Duration    // of one question to the server; questions are repeated
	now      func() time.Time // nil for the server's clock
	logger   *zap.Logger
}

// progress keeps checkpoints, leases, dead letters, what is decided about
// projections, and snapshots in one key-value bucket. What is decided is decided
// by the bucket's revisions: whoever writes says which revision of each key he
// has read, and the server refuses him if there is a newer one.
//
// It is safe for concurrent use.
type progress struct {
	bucket *bucket
	now    func() time.Time
	server serverClock
	turns  turns
	closed atomic.Bool
}

// openProgress checks the bucket, which provisionProgress has made, and opens
// it. The errors are those of [ProvisionStream].
func openProgress(ctx context.Context, js natsjs.JetStream, c progressConfig) (*progress, error) {
	if err := validatePrefix(c.prefix); err != nil {
		return nil, err
	}
	have, err := checkProgress(ctx, js, c)
	if err != nil {
		return nil, err
	}
	p := &progress{bucket: newBucket(js, c, have.Replicas), now: c.now, server: serverClock{local: time.Now}}
	if err := p.bucket.checkAbout(ctx, c.prefix); err != nil {
		return nil, err
	}
	return p, nil
}

// close has everything that is asked from now on refused with
// [eventstore.ErrClosed]. The connection is the caller's.
func (p *progress) close() { p.closed.Store(true) }

// Checkpoints implements [projection.Progress].
func (p *progress) Checkpoints() checkpoint.Store { return checkpoints{session: p} }

// DeadLetters implements [projection.Progress].
func (p *progress) DeadLetters() dlq.Store { return deadLetters{session: p} }

// Leases implements [projection.Progress].
func (p *progress) Leases() lease.Store { return leases{progress: p} }

// Registry implements [projection.Progress].
func (p *progress) Registry() registry.Store { return decisions{session: p} }

// Snapshots returns the snapshots of aggregates.
func (p *progress) Snapshots() aggregate.SnapshotStore { return snapshots{progress: p} }

// session is where a port is used: on its own, where each change is a
// transaction, or in one.
type session interface {
	// look has f read.
	look(ctx context.Context, f operation) error
	// change has f read and write. What it wrote is undone if it fails. It may be
	// called again, if what it has read has changed.
	change(ctx context.Context, f operation) error
	// hold keeps others in this process from changing the letters of a version,
	// until what it returns is called or the transaction ends. Who only reads them
	// holds them in a transaction alone.
	hold(ctx context.Context, projection string, version int, access access) (release func(), err error)
	// clock returns the time.
	clock(ctx context.Context) (time.Time, error)
}

// access is what letters are held for.
type access bool

const (
	toRead   access = false
	toChange access = true
)

// operation is what a port does with a draft.
type operation func(ctx context.Context, d *draft) error

// look implements session.
func (p *progress) look(ctx context.Context, f operation) error {
	for pauses := newTries(); ; {
		if err := p.usable(ctx); err != nil {
			return err
		}
		err := f(ctx, newDraft(p.bucket))
		if !errors.Is(err, errTorn) {
			return err
		}
		if err := pauses.wait(ctx); err != nil {
			return unavailable("read progress", err)
		}
	}
}

// change implements session.
func (p *progress) change(ctx context.Context, f operation) error {
	if err := p.usable(ctx); err != nil {
		return err
	}
	return p.settle(ctx, nil, []operation{f})
}

// settle writes what a draft holds, or what operations make of a new one, if it
// is nil. Where somebody else was faster it has the operations decide again, on
// what is there now.
func (p *progress) settle(ctx context.Context, d *draft, operations []operation) error {
	first := d
	for pauses := newTries(); ; {
		if d == nil {
			var err error
			if d, err = p.redo(ctx, first, operations); err != nil && !errors.Is(err, errTorn) {
				return err
			}
		}
		if d != nil {
			written, err := p.bucket.commit(ctx, d.changes())
			if err == nil {
				d.follow(ctx, written)
				return nil
			}
			if !errors.Is(err, errMoved) {
				return err
			}
		}
		d = nil
		if err := pauses.wait(ctx); err != nil {
			return unavailable("write progress that others write, too", err)
		}
	}
}

// redo has operations decide on what is there now. What somebody was shown by
// the first draft must not have changed: he may have decided by it.
func (p *progress) redo(ctx context.Context, first *draft, operations []operation) (*draft, error) {
	d := newDraft(p.bucket)
	for _, f := range operations {
		if err := f(ctx, d); err != nil {
			return nil, err
		}
	}
	if first == nil {
		return d, nil
	}
	return d, first.confirm(ctx, d)
}

// hold implements session.
func (p *progress) hold(ctx context.Context, projection string, version int, access access) (func(), error) {
	if err := p.usable(ctx); err != nil {
		return nil, err
	}
	if access == toRead {
		return func() {}, nil
	}
	return p.turns.take(ctx, versionKey("", projection, version))
}

// clock implements session: the configured clock, or the server's.
func (p *progress) clock(ctx context.Context) (time.Time, error) {
	if p.now != nil {
		return event.Time(p.now()), nil
	}
	now, err := p.server.time(ctx, p.bucket)
	return event.Time(now), err
}

func (p *progress) usable(ctx context.Context) error {
	if p.closed.Load() {
		return eventstore.ErrClosed
	}
	return ctx.Err()
}

// turns are locks by name. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when it is given back
}

// take waits until nobody has the turn of a name, and takes it.
func (t *turns) take(ctx context.Context, name string) (release func(), err error) {
	for {
		release, busy := t.try(name)
		if release != nil {
			return release, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes the turn of a name, or returns what is closed when it is given back.
func (t *turns) try(name string) (release func(), busy <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if taken, ok := t.taken[name]; ok {
		return nil, taken
	}
	if t.taken == nil {
		t.taken = make(map[string]chan struct{})
	}
	mine := make(chan struct{})
	t.taken[name] = mine
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.taken, name)
		close(mine)
	}), nil
}

// serverClock is the clock of the server that leads the bucket, as far as this
// process knows it: the time of its last answer, and what has passed since by
// this process's own clock, which may be set to whatever it likes. It is behind
// the server's by no more than the way of an answer.
type serverClock struct {
	local func() time.Time // this process's own clock
	mu    sync.Mutex
	said  time.Time // by the server; zero if it was never asked
	heard time.Time // by this process, when the answer came
}

// freshClock is how long an answer is good for: in so short a time no two clocks
// drift apart by much.
const freshClock = 10 * time.Second

func (c *serverClock) time(ctx context.Context, b *bucket) (time.Time, error) {
	if now, ok := c.known(); ok {
		return now, nil
	}
	info, err := b.info(ctx)
	if err != nil {
		return time.Time{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said, c.heard = info.TimeStamp, c.local()
	return c.said, nil
}

// known returns the time, unless the last answer is too old.
func (c *serverClock) known() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := c.local().Sub(c.heard)
	return c.said.Add(passed), !c.said.IsZero() && passed < freshClock
}
