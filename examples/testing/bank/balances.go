package bank

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// Balances is a read model in memory: what is on each account. It is safe for
// concurrent use.
type Balances struct {
	mu    sync.RWMutex
	cents map[uuid.UUID]int
}

// NewBalances returns an empty read model.
func NewBalances() *Balances { return &Balances{cents: make(map[uuid.UUID]int)} }

// Projection returns what fills the read model.
func (b *Balances) Projection() projection.Projection {
	return projection.New("balances", 1,
		projection.On(func(_ context.Context, e event.Of[Deposited]) error { return b.add(e.AggregateID, e.Payload.Cents) }),
		projection.On(func(_ context.Context, e event.Of[Withdrawn]) error { return b.add(e.AggregateID, -e.Payload.Cents) }),
		projection.OnReset(func(context.Context) error { b.reset(); return nil }),
	)
}

func (b *Balances) add(account uuid.UUID, cents int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cents[account]+cents < 0 {
		return projection.AsPoison(fmt.Errorf("account %s would be at %d", account, b.cents[account]+cents))
	}
	b.cents[account] += cents
	return nil
}

func (b *Balances) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.cents)
}

// All returns a copy of all balances, in cents.
func (b *Balances) All() map[uuid.UUID]int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return maps.Clone(b.cents)
}
