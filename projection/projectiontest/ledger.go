package projectiontest

import (
	"context"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// Hook is called for each event after a ledger has written it down. Its error
// is the handler's.
type Hook func(ctx context.Context, e event.Event) error

// BatchHook is called for each batch after a ledger has written its events
// down. Its error is the handler's.
type BatchHook func(ctx context.Context, events []event.Event) error

// Ledger is a projection that writes down the position of each event that it
// applies.
type Ledger struct {
	// Projection is what the runner runs.
	Projection projection.Projection
	// Positions returns what was written down, in order, repeated if an event
	// was applied twice.
	Positions func(ctx context.Context) ([]uint64, error)
}

// positions returns what a ledger has written down.
func (l Ledger) positions(t T) []uint64 {
	positions, err := l.Positions(t.Context())
	require.NoError(t, err)
	return positions
}

// external is a ledger in memory, whatever the store: at least once. It calls
// the hook first, so that a handler that fails leaves nothing behind.
type external struct {
	onEmpty func(ctx context.Context) // called before it is emptied

	mu    sync.Mutex
	lines []uint64
}

func newExternalLedger(_ T, name string, hook Hook) Ledger {
	return externalLedger(name, hook, func(context.Context) {})
}

func newExternalBatchLedger(_ T, name string, hook BatchHook) Ledger {
	return externalBatchLedger(name, hook, func(context.Context) {})
}

func externalLedger(name string, hook Hook, onEmpty func(ctx context.Context)) Ledger {
	x := &external{onEmpty: onEmpty}
	return x.ledger(name, projection.OnEvery(func(ctx context.Context, e event.Event) error {
		if err := hook(ctx, e); err != nil {
			return err
		}
		x.write(e)
		return nil
	}))
}

func externalBatchLedger(name string, hook BatchHook, onEmpty func(ctx context.Context)) Ledger {
	x := &external{onEmpty: onEmpty}
	return x.ledger(name, projection.OnBatch(func(ctx context.Context, events []event.Event) error {
		if err := hook(ctx, events); err != nil {
			return err
		}
		x.write(events...)
		return nil
	}))
}

func (x *external) ledger(name string, handler projection.Part) Ledger {
	return Ledger{
		Projection: projection.New(name, 1, handler, projection.OnReset(x.empty)),
		Positions:  x.positions,
	}
}

func (x *external) write(events ...event.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range events {
		x.lines = append(x.lines, e.Position)
	}
}

func (x *external) empty(ctx context.Context) error {
	x.onEmpty(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines = nil
	return nil
}

func (x *external) positions(context.Context) ([]uint64, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.lines), nil
}

func noHook(context.Context, event.Event) error { return nil }
