package dlqtest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/dlq/dlqtest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
)

func TestSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	dlqtest.RequireSameWords(t, "../dlq.go")
}

func TestHonestStorePasses(t *testing.T) {
	t.Parallel()
	dlqtest.Run(t, open(honest))
}

func TestStoreWithoutTransactionsSaysWhy(t *testing.T) {
	t.Parallel()
	without := func(reason string) dlqtest.Factory {
		return func(t *testing.T) dlqtest.Harness {
			t.Helper()
			return dlqtest.Harness{Store: open(honest)(t).Store, NoTx: reason}
		}
	}
	assert.Empty(t, dlqtest.Failing(t, without("it is one key of a bucket")))
	assert.Equal(t, []string{
		"visible when it commits", "undone when it is rolled back",
		"Parked holds the sequences against a concurrent redrive", "Park holds the sequences against a concurrent redrive",
	}, dlqtest.Failing(t, without("")))
}

func TestBrokenStoresFail(t *testing.T) {
	t.Parallel()
	for clause, wrap := range map[string]func(dlq.Store) dlq.Store{
		"in the order of their positions":                                 func(s dlq.Store) dlq.Store { return lastFirst{s} },
		"as they were parked":                                             func(s dlq.Store) dlq.Store { return neverTried{s} },
		"up to a limit":                                                   func(s dlq.Store) dlq.Store { return unlimited{s} },
		"parking again changes nothing":                                   func(s dlq.Store) dlq.Store { return parksAnew{s} },
		"parking twice at once parks once":                                func(s dlq.Store) dlq.Store { return refusesTwice{s} },
		"parked until the last letter is gone":                            func(s dlq.Store) dlq.Store { return remembersParked{s, new(memo)} },
		"retried by itself when scheduled":                                func(s dlq.Store) dlq.Store { return dueForEver{s} },
		"a letter that failed again":                                      func(s dlq.Store) dlq.Store { return countsNoAttempt{s} },
		"a sequence that is parked anew is not scheduled":                 func(s dlq.Store) dlq.Store { return remembersParked{s, new(memo)} },
		"Sequences selects and orders":                                    func(s dlq.Store) dlq.Store { return selectsAll{s} },
		"Stats sums up":                                                   func(s dlq.Store) dlq.Store { return sumsVersions{s} },
		"Clear takes out all letters of a projection":                     func(s dlq.Store) dlq.Store { return clearsNothing{s} },
		"independent sequences":                                           func(s dlq.Store) dlq.Store { return folded{s} },
		"letters parked together go each to its sequence":                 func(s dlq.Store) dlq.Store { return oneSequence{s} },
		"removing takes out exactly one letter":                           func(s dlq.Store) dlq.Store { return removesFirst{s} },
		"of racing removals exactly one succeeds":                         func(s dlq.Store) dlq.Store { return removesAnyway{s} },
		"a discarded letter is kept with its reason, who did it and when": func(s dlq.Store) dlq.Store { return discardsAnonymously{s} },
		"discarded letters come back oldest first":                        func(s dlq.Store) dlq.Store { return discardsBackward{s} },
		"a letter discarded again after a rebuild is kept twice":          func(s dlq.Store) dlq.Store { return discardsOnce{s} },
		"what is not there is ErrNotFound":                                func(s dlq.Store) dlq.Store { return removesAnyway{s} },
		"bad letters are refused":                                         func(s dlq.Store) dlq.Store { return parksOneByOne{s} },
		"a discard without a reason is refused":                           func(s dlq.Store) dlq.Store { return needsNoReason{s} },
		"a cause is cut at a character's edge":                            func(s dlq.Store) dlq.Store { return cutsShort{s} },
		"a retry keeps its bound":                                         func(s dlq.Store) dlq.Store { return unbounded{s} },
		"a sequence that is scheduled anew has no bound":                  func(s dlq.Store) dlq.Store { return remembersBound{s, new(uint64)} },
		"a sequence that has failed again has no bound":                   func(s dlq.Store) dlq.Store { return remembersBound{s, new(uint64)} },
		"a sequence that is parked anew has no bound":                     func(s dlq.Store) dlq.Store { return remembersBound{s, new(uint64)} },
		"a letter counts its redrives":                                    func(s dlq.Store) dlq.Store { return parksAsFresh{s} },
	} {
		t.Run(clause, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, []string{clause}, dlqtest.Failing(t, open(wrap), clause))
		})
	}
}

func TestBrokenTransactionsFail(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"visible when it commits", "undone when it is rolled back",
		"Parked holds the sequences against a concurrent redrive", "Park holds the sequences against a concurrent redrive",
	}, dlqtest.Failing(t, func(t *testing.T) dlqtest.Harness {
		t.Helper()
		h := open(honest)(t)
		h.InTx = func(ctx context.Context, f func(context.Context, dlq.Store) error) error { return f(ctx, h.Store) }
		return h
	}))
}

// open returns a factory of memory stores, each wrapped.
func open(wrap func(dlq.Store) dlq.Store) dlqtest.Factory {
	return func(t *testing.T) dlqtest.Harness {
		t.Helper()
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, store.Close()) })
		return dlqtest.Harness{
			Store: wrap(store.DeadLetters()),
			InTx:  projectiontest.InTx(store, func(tx projection.Tx) dlq.Store { return wrap(tx.DeadLetters()) }),
		}
	}
}

func honest(s dlq.Store) dlq.Store { return s }
