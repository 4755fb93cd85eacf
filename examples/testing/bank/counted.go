package bank

import (
	"context"
	"sync/atomic"

	"github.com/evident-go/evident/eventstore"
)

// Counted is a store that counts the events which are appended through it, for
// example for a metric. Everything else is the embedded store's.
type Counted struct {
	eventstore.Store

	events atomic.Int64
}

// NewCounted returns a view of store that has counted nothing yet.
func NewCounted(store eventstore.Store) *Counted { return &Counted{Store: store} }

// Append implements [eventstore.Store].
func (c *Counted) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	result, err := c.Store.Append(ctx, appends...)
	if err == nil {
		for _, a := range appends {
			c.events.Add(int64(len(a.Events)))
		}
	}
	return result, err
}

// Events returns how many events were appended.
func (c *Counted) Events() int64 { return c.events.Load() }
