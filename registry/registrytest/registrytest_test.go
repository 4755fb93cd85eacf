package registrytest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/registry/registrytest"
)

func TestSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	registrytest.RequireSameWords(t, "../registry.go")
}

func TestHonestStorePasses(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, open(honest))
}

// inTransactions are the clauses about transactions.
func inTransactions() []string {
	return []string{
		"versions are swapped in one transaction", "of transactions that race to make a version live exactly one succeeds",
		"visible when it commits", "undone when it is rolled back", "a save that is refused leaves the transaction usable", "racing transactions lose no change",
	}
}

func TestStoreWithoutTransactionsSaysWhy(t *testing.T) {
	t.Parallel()
	without := func(reason string) registrytest.Factory {
		return func(t *testing.T) registrytest.Harness {
			t.Helper()
			return registrytest.Harness{Store: open(honest)(t).Store, NoTx: reason}
		}
	}
	assert.Empty(t, registrytest.Failing(t, without("it is one key of a bucket")))
	assert.Equal(t, inTransactions(), registrytest.Failing(t, without("")))
}

func TestBrokenStoresFail(t *testing.T) {
	t.Parallel()
	type wrapper = func(registry.Store) registry.Store
	drops := func() wrapper {
		saves := new(atomic.Int32)
		return func(s registry.Store) registry.Store { return dropsSaves{s, saves} }
	}
	for clause, wrap := range map[string]wrapper{
		"as it was saved": func(s registry.Store) registry.Store { return forgetsProblems{s} },
		"a record that was never saved is ErrNotFound":                          func(s registry.Store) registry.Store { return findsAnything{s} },
		"every field changes":                                                   func(s registry.Store) registry.Store { return neverUnpauses{s} },
		"the revision grows with every change":                                  func(s registry.Store) registry.Store { return passesOverTheSame{s} },
		"a save succeeds only at the revision that is stored":                   func(s registry.Store) registry.Store { return lastWins{s} },
		"of racing first saves exactly one succeeds, the others are ErrChanged": func(s registry.Store) registry.Store { return lastWins{s} },
		"of racing saves exactly one succeeds, the others are ErrChanged":       func(s registry.Store) registry.Store { return lastWins{s} },
		"racing savers lose no change":                                          drops(),
		"independent records":                                                   func(s registry.Store) registry.Store { return folded{s} },
		"List returns those of a projection, ordered":                           func(s registry.Store) registry.Store { return listsBackward{s} },
		"a second live version is ErrLive and changes nothing":                  func(s registry.Store) registry.Store { return takesOver{s} },
		"what was changed is ErrChanged even if another version is live":        func(s registry.Store) registry.Store { return looksAtLiveFirst{s} },
		"another version can be live once the live one is not":                  func(s registry.Store) registry.Store { return liveForEver{s} },
		"of versions that race to be live exactly one succeeds":                 func(s registry.Store) registry.Store { return takesOver{s} },
		"of new versions that race to be live exactly one succeeds":             func(s registry.Store) registry.Store { return takesOver{s} },
		"versions are swapped in one transaction":                               func(s registry.Store) registry.Store { return liveForEver{s} },
		"of transactions that race to make a version live exactly one succeeds": func(s registry.Store) registry.Store { return takesOver{s} },
		"a save that is refused leaves the transaction usable":                  func(s registry.Store) registry.Store { return &poisoned{Store: s} },
		"racing transactions lose no change":                                    drops(),
		"bad records are refused":                                               func(s registry.Store) registry.Store { return takesAnyLanes{s} },
		"an order's problem is cut at a character's edge":                       func(s registry.Store) registry.Store { return forgetsProblems{s} },
	} {
		t.Run(clause, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, []string{clause}, registrytest.Failing(t, open(wrap), clause))
		})
	}
}

func TestBrokenTransactionsFail(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"visible when it commits", "undone when it is rolled back"},
		registrytest.Failing(t, func(t *testing.T) registrytest.Harness {
			t.Helper()
			h := open(honest)(t)
			h.InTx = func(ctx context.Context, f func(context.Context, registry.Store) error) error { return f(ctx, h.Store) }
			return h
		}, inTransactions()...))
}

// open returns a factory of memory stores, each wrapped.
func open(wrap func(registry.Store) registry.Store) registrytest.Factory {
	return func(t *testing.T) registrytest.Harness {
		t.Helper()
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		return registrytest.Harness{
			Store: wrap(store.Registry()),
			InTx: projectiontest.InTx(store, func(tx projection.Tx) registry.Store {
				bound, ok := tx.(interface{ Registry() registry.Store })
				assert.True(t, ok)
				return wrap(bound.Registry())
			}),
		}
	}
}

func honest(s registry.Store) registry.Store { return s }
