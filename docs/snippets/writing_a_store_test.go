package snippets_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/checkpoint/checkpointtest"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
)

//docs:begin decorator

// Counting counts the appends that a store has accepted.
type Counting struct {
	eventstore.Store // everything else is the store's

	accepted atomic.Uint64
}

func (c *Counting) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	result, err := c.Store.Append(ctx, appends...)
	if err == nil {
		c.accepted.Add(1)
	}
	return result, err // untouched: callers decide by the type of the error
}

//docs:end decorator

//docs:begin run

func TestCounting(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) eventstore.Store {
		t.Helper()
		return &Counting{Store: openMemory(t)} // empty; closed by t.Cleanup
	}
	eventstoretest.Run(t, open, eventstoretest.Declined(map[string]string{
		"a large stream does not come into memory as a whole": "it holds no events; the store beneath it is measured by itself",
	}))
}

//docs:end run

//docs:begin no-transactions

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		return checkpointtest.Harness{
			Store: openCheckpoints(t),
			NoTx:  "the key-value store has no transactions over several keys",
		}
	})
}

//docs:end no-transactions

func openCheckpoints(t *testing.T) checkpoint.Store {
	t.Helper()
	return openMemory(t).Checkpoints()
}
