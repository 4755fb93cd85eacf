package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var errBroken = fmt.Errorf("broken by the test: %w", eventstore.ErrUnavailable)

// brokenCommits rolls back instead of committing, a number of times, what moves
// checkpoints.
type brokenCommits struct {
	projection.Progress

	mu       sync.Mutex
	failures int
}

// Begin implements [projection.Progress].
func (b *brokenCommits) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := b.Progress.Begin(ctx)
	if err != nil {
		return nil, err // a decorator.
	}
	return &brokenTx{Tx: tx, from: b}, nil
}

// Unwrap returns what stores' own projections need to see.
func (b *brokenTx) Unwrap() projection.Tx { return b.Tx }

type brokenTx struct {
	projection.Tx

	from  *brokenCommits
	moves bool
}

// Checkpoints implements [projection.Tx].
func (b *brokenTx) Checkpoints() checkpoint.Store { return noting{b.Tx.Checkpoints(), b} }

// noting notes that a transaction moves a checkpoint.
type noting struct {
	checkpoint.Store

	tx *brokenTx
}

// Move implements [checkpoint.Store].
func (n noting) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	n.tx.moves = true
	return n.Store.Move(ctx, key, move)
}

// Commit implements [projection.Tx].
func (b *brokenTx) Commit(ctx context.Context) error {
	b.from.mu.Lock()
	defer b.from.mu.Unlock()
	if b.from.failures == 0 || !b.moves {
		return b.Tx.Commit(ctx) // a decorator.
	}
	b.from.failures--
	return errors.Join(errBroken, b.Rollback(ctx))
}

// brokenReads ends the reading of all events with an error, a number of times.
type brokenReads struct {
	projection.Store

	mu       sync.Mutex
	after    int
	failures int
}

// ReadAll implements [eventstore.Store].
func (b *brokenReads) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return b.Store.ReadAll(ctx, query)
	}
	b.failures--
	return func(yield func(event.Event, error) bool) {
		left := b.after
		for e, err := range b.Store.ReadAll(ctx, query) {
			if left == 0 {
				yield(event.Event{}, errBroken)
				return
			}
			left--
			if !yield(e, err) {
				return
			}
		}
	}
}

// brokenLetters cannot write dead letters of one projection.
type brokenLetters struct {
	projection.Progress

	projection string
}

// Begin implements [projection.Progress].
func (b *brokenLetters) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := b.Progress.Begin(ctx)
	if err != nil {
		return nil, err // a decorator.
	}
	return &lettersTx{Tx: tx, projection: b.projection}, nil
}

type lettersTx struct {
	projection.Tx

	projection string
}

// Unwrap returns what stores' own projections need to see.
func (l *lettersTx) Unwrap() projection.Tx { return l.Tx }

// DeadLetters implements [projection.Tx].
func (l *lettersTx) DeadLetters() dlq.Store {
	return &refusing{Store: l.Tx.DeadLetters(), projection: l.projection}
}

type refusing struct {
	dlq.Store

	projection string
}

// Park implements [dlq.Store].
func (r *refusing) Park(ctx context.Context, letters ...dlq.Letter) error {
	if letters[0].Sequence.Projection == r.projection {
		return errBroken
	}
	return r.Store.Park(ctx, letters...) // a decorator.
}
