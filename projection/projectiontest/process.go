package projectiontest

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

// process is one program in a game, on its own way to the store: it may be
// refused, not be answered, or be killed at any call.
type process struct {
	projection.Progress

	fate   *fate
	runner *projection.Runner
	ended  chan error      // gets what the runner returned, if it runs in the background
	ctx    context.Context //nolint:containedctx // the life of the process.
}

// Classify implements [projection.Classifier], as far as the store does. A
// process that is dead learns nothing any more.
func (p *process) Classify(err error) (projection.Class, bool) {
	if errors.Is(err, errDead) {
		return projection.Infrastructure, true
	}
	if c, ok := p.Progress.(projection.Classifier); ok {
		return c.Classify(err)
	}
	return projection.Unclassified, false
}

// Checkpoints implements [projection.Progress].
func (p *process) Checkpoints() checkpoint.Store {
	return &fatedCheckpoints{Store: p.Progress.Checkpoints(), fate: p.fate}
}

// DeadLetters implements [projection.Progress].
func (p *process) DeadLetters() dlq.Store {
	return &fatedLetters{Store: p.Progress.DeadLetters(), fate: p.fate}
}

// Leases implements [projection.Progress].
func (p *process) Leases() lease.Store { return &fatedLeases{Store: p.Progress.Leases(), fate: p.fate} }

// Begin implements [projection.Progress].
func (p *process) Begin(ctx context.Context) (projection.Tx, error) {
	p.fate.pass(ctx)
	tx, err := asked(p.fate, func() (projection.Tx, error) { return p.Progress.Begin(ctx) })
	if err != nil {
		if tx != nil { // who has no answer cannot end it; the store does
			err = errors.Join(err, tx.Rollback(ctx))
		}
		return nil, err
	}
	return &fatedTx{Tx: tx, fate: p.fate}, nil
}

// fatedTx is a transaction of a process. What its store undoes when a process
// is gone, it undoes by Rollback, which always works.
type fatedTx struct {
	projection.Tx

	fate *fate
}

// Unwrap returns what stores' own projections need to see.
func (t *fatedTx) Unwrap() projection.Tx { return t.Tx }

// Checkpoints implements [projection.Tx].
func (t *fatedTx) Checkpoints() checkpoint.Store {
	return &fatedCheckpoints{Store: t.Tx.Checkpoints(), fate: t.fate}
}

// DeadLetters implements [projection.Tx].
func (t *fatedTx) DeadLetters() dlq.Store {
	return &fatedLetters{Store: t.Tx.DeadLetters(), fate: t.fate}
}

// Commit implements [projection.Tx].
func (t *fatedTx) Commit(ctx context.Context) error {
	return t.fate.call(func() error { return t.Tx.Commit(ctx) })
}

type fatedCheckpoints struct {
	checkpoint.Store

	fate *fate
}

// Load implements [checkpoint.Store].
func (c *fatedCheckpoints) Load(ctx context.Context, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	return asked(c.fate, func() (checkpoint.Checkpoint, error) { return c.Store.Load(ctx, key) })
}

// Move implements [checkpoint.Store].
func (c *fatedCheckpoints) Move(ctx context.Context, key checkpoint.Key, m checkpoint.Move) error {
	return c.fate.call(func() error { return c.Store.Move(ctx, key, m) })
}

type fatedLetters struct {
	dlq.Store

	fate *fate
}

// Parked implements [dlq.Store].
func (l *fatedLetters) Parked(ctx context.Context, name string, version int, keys []string) (map[string]bool, error) {
	return asked(l.fate, func() (map[string]bool, error) { return l.Store.Parked(ctx, name, version, keys) })
}

// Park implements [dlq.Store].
func (l *fatedLetters) Park(ctx context.Context, letters ...dlq.Letter) error {
	return l.fate.call(func() error { return l.Store.Park(ctx, letters...) })
}

// Failed implements [dlq.Store].
func (l *fatedLetters) Failed(ctx context.Context, letter dlq.Letter, cause string, triedAt, nextRetry time.Time) error {
	return l.fate.call(func() error { return l.Store.Failed(ctx, letter, cause, triedAt, nextRetry) })
}

// Schedule implements [dlq.Store].
func (l *fatedLetters) Schedule(ctx context.Context, s dlq.Sequence, nextRetry time.Time) error {
	return l.fate.call(func() error { return l.Store.Schedule(ctx, s, nextRetry) })
}

// Remove implements [dlq.Store].
func (l *fatedLetters) Remove(ctx context.Context, letter dlq.Letter) error {
	return l.fate.call(func() error { return l.Store.Remove(ctx, letter) })
}

// Discard implements [dlq.Store].
func (l *fatedLetters) Discard(ctx context.Context, letter dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	return l.fate.call(func() error { return l.Store.Discard(ctx, letter, reason, by, at) })
}

// Letters implements [dlq.Store].
func (l *fatedLetters) Letters(ctx context.Context, s dlq.Sequence, limit int) ([]dlq.Letter, error) {
	return asked(l.fate, func() ([]dlq.Letter, error) { return l.Store.Letters(ctx, s, limit) })
}

// Sequences implements [dlq.Store].
func (l *fatedLetters) Sequences(ctx context.Context, f dlq.Filter) ([]dlq.Parked, error) {
	return asked(l.fate, func() ([]dlq.Parked, error) { return l.Store.Sequences(ctx, f) })
}

type fatedLeases struct {
	lease.Store

	fate *fate
}

// Acquire implements [lease.Store].
func (l *fatedLeases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	return asked(l.fate, func() (lease.Lease, error) { return l.Store.Acquire(ctx, name, owner, ttl) })
}

// Release implements [lease.Store].
func (l *fatedLeases) Release(ctx context.Context, held lease.Lease) error {
	return l.fate.call(func() error { return l.Store.Release(ctx, held) })
}

// fatedEvents is the log as a process sees it.
type fatedEvents struct {
	eventstore.Store

	fate *fate
}

// Head implements [eventstore.Store].
func (s *fatedEvents) Head(ctx context.Context) (uint64, error) {
	return asked(s.fate, func() (uint64, error) { return s.Store.Head(ctx) })
}

// ReadAll implements [eventstore.Store]. It may fail at each event.
func (s *fatedEvents) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for e, err := range s.Store.ReadAll(ctx, query) {
			if err == nil {
				err = s.fate.call(func() error { return nil })
			}
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}
