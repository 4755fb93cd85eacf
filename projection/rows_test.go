package projection_test

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
)

// rows is a table beside a store's progress that commits and rolls back with
// it: what an adapter's database does, without one.
type rows struct {
	projection.Progress

	mu        sync.Mutex
	committed map[string][]uint64
}

func newRows(progress projection.Progress) *rows {
	return &rows{Progress: progress, committed: make(map[string][]uint64)}
}

// Begin implements projection.Progress.
func (r *rows) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := r.Progress.Begin(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pending := make(map[string][]uint64, len(r.committed))
	for name, positions := range r.committed {
		pending[name] = slices.Clone(positions)
	}
	return &rowsTx{Tx: tx, table: r, pending: pending}, nil
}

type rowsTx struct {
	projection.Tx

	table   *rows
	pending map[string][]uint64
}

// Savepoint implements projection.Tx.
func (t *rowsTx) Savepoint(ctx context.Context, f func(context.Context) error) error {
	before := make(map[string][]uint64, len(t.pending))
	for name, positions := range t.pending {
		before[name] = slices.Clone(positions)
	}
	err := t.Tx.Savepoint(ctx, f)
	if err != nil {
		t.pending = before
	}
	return err
}

// Commit implements projection.Tx.
func (t *rowsTx) Commit(ctx context.Context) error {
	t.table.mu.Lock() // whoever begins when the progress has committed sees these rows, too
	defer t.table.mu.Unlock()
	if err := t.Tx.Commit(ctx); err != nil {
		return err
	}
	t.table.committed = t.pending
	return nil
}

// own returns the transaction over rows that a runner's is, or refuses it.
func own(_ context.Context, tx projection.Tx) (*rowsTx, error) {
	t, ok := projection.TxAs[*rowsTx](tx)
	if !ok {
		return nil, errors.New("not a transaction over rows")
	}
	return t, nil
}

func (r *rows) newLedger(_ projectiontest.T, name string, hook projectiontest.Hook) projectiontest.Ledger {
	d := projection.Declare[*rowsTx](name, 1)
	d.OnEvery(func(ctx context.Context, tx *rowsTx, e event.Event) error {
		tx.write(name, e)
		return hook(ctx, e)
	})
	return r.ledger(name, d)
}

func (r *rows) newBatchLedger(_ projectiontest.T, name string, hook projectiontest.BatchHook) projectiontest.Ledger {
	d := projection.Declare[*rowsTx](name, 1)
	d.OnBatch(func(ctx context.Context, tx *rowsTx, events []event.Event) error {
		tx.write(name, events...)
		return hook(ctx, events)
	})
	return r.ledger(name, d)
}

// ledger returns the ledger that d declares: it writes to rows, exactly once.
func (r *rows) ledger(name string, d *projection.Declaration[*rowsTx]) projectiontest.Ledger {
	d.OnReset(func(_ context.Context, tx *rowsTx) error {
		delete(tx.pending, name)
		return nil
	})
	return projectiontest.Ledger{
		Projection: d.Build(own),
		Positions: func(context.Context) ([]uint64, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.committed[name]), nil
		},
	}
}

func (t *rowsTx) write(name string, events ...event.Event) {
	for _, e := range events {
		t.pending[name] = append(t.pending[name], e.Position)
	}
}
