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
	if err := t.Tx.Commit(ctx); err != nil {
		return err
	}
	t.table.mu.Lock()
	defer t.table.mu.Unlock()
	t.table.committed = t.pending
	return nil
}

// ledger is a projection that writes to rows, exactly once.
type ledger struct {
	name string
	hook projectiontest.Hook
}

func (r *rows) newLedger(_ projectiontest.T, name string, hook projectiontest.Hook) projectiontest.Ledger {
	return projectiontest.Ledger{
		Projection: &ledger{name: name, hook: hook},
		Positions: func(context.Context) ([]uint64, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.committed[name]), nil
		},
	}
}

func (l *ledger) Name() string                    { return l.name }
func (l *ledger) Version() int                    { return 1 }
func (l *ledger) EventTypes() []string            { return nil }
func (l *ledger) Guarantee() projection.Guarantee { return projection.ExactlyOnce }

func (l *ledger) Apply(ctx context.Context, tx projection.Tx, e event.Event) error {
	t, ok := projection.TxAs[*rowsTx](tx)
	if !ok {
		return errors.New("not a transaction over rows")
	}
	t.pending[l.name] = append(t.pending[l.name], e.Position)
	return l.hook(ctx, e)
}

func (l *ledger) Reset(_ context.Context, tx projection.Tx) error {
	t, ok := projection.TxAs[*rowsTx](tx)
	if !ok {
		return errors.New("not a transaction over rows")
	}
	delete(t.pending, l.name)
	return nil
}
