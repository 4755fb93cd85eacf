package projection_test

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// counted is a store that counts what it is asked. A wait counts nothing: a
// store waits once for all who do.
type counted struct {
	projection.Store

	asked atomic.Int64
}

func (c *counted) Head(ctx context.Context) (uint64, error) {
	c.asked.Add(1)
	return c.Store.Head(ctx)
}

func (c *counted) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	c.asked.Add(1)
	return c.Store.ReadAll(ctx, query)
}

func (c *counted) Begin(ctx context.Context) (projection.Tx, error) {
	c.asked.Add(1)
	return c.Store.Begin(ctx)
}

func (c *counted) Checkpoints() checkpoint.Store { c.asked.Add(1); return c.Store.Checkpoints() }
func (c *counted) DeadLetters() dlq.Store        { c.asked.Add(1); return c.Store.DeadLetters() }
func (c *counted) Leases() lease.Store           { c.asked.Add(1); return c.Store.Leases() }
func (c *counted) Registry() registry.Store {
	c.asked.Add(1)
	if r, ok := any(c.Store).(interface{ Registry() registry.Store }); ok {
		return r.Registry()
	}
	return nil
}

// TestTrapAnIdleRunnerAsksSeldom has twenty projections with nothing to do.
// What it costs to keep their leases and to look round does not grow with them.
func TestTrapAnIdleRunnerAsksSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: openMemory(t)}
		config := projection.Config{}
		for n := range 20 {
			config.Projections = append(config.Projections, projection.New(fmt.Sprintf("notes-%d", n), 1, projection.On(onNoted)))
		}
		stop := run(t, newRunner(t, store, config))
		note(t, store, "x")
		<-time.After(time.Minute)
		before := store.asked.Load()
		const seconds = 600
		<-time.After(seconds * time.Second)
		assert.LessOrEqual(t, store.asked.Load()-before, int64(10*seconds))
		stop()
	})
}
