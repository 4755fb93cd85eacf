// Package checkpointtest is the conformance suite of [checkpoint.Store]: for
// each promise of its doc comment the clauses that every store passes.
//
//	func TestCheckpoints(t *testing.T) {
//		checkpointtest.Run(t, func(t *testing.T) checkpointtest.Harness { … })
//	}
package checkpointtest

import (
	"context"
	"testing"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/internal/promisetest"
)

// Harness is what a clause works with: an empty store and its transactions.
type Harness struct {
	// Store has no checkpoints yet.
	Store checkpoint.Store
	// InTx calls f with the checkpoints bound to a new transaction and commits
	// it. If f returns an error, it rolls back and returns that error. The
	// transaction must have ended when InTx returns, also when ctx has ended.
	InTx func(ctx context.Context, f func(ctx context.Context, bound checkpoint.Store) error) error
	// NoTx says why the store has no transactions, if InTx is nil. The clauses
	// of promise 7 then print it and hold the store to nothing.
	NoTx string
}

// Factory returns a harness with an empty store, which it closes by t.Cleanup.
// It is called once for each clause; clauses run in parallel.
type Factory func(t *testing.T) Harness

// Run holds the stores that open returns to every promise.
func Run(t *testing.T, open Factory) {
	t.Helper()
	promisetest.Run(t, promises(), open)
}

func promises() []promisetest.Promise[Harness] {
	return []promisetest.Promise[Harness]{
		{Words: "1 A checkpoint that was never moved stands at 0", Clauses: []promisetest.Clause[Harness]{
			{Name: "never moved", Check: neverMoved},
			{Name: "reset without a move", Check: resetWithoutMove},
		}},
		{Words: "2 Compare-and-set", Clauses: []promisetest.Clause[Harness]{
			{Name: "a move is kept", Check: moveIsKept},
			{Name: "a move succeeds only from where the checkpoint stands", Check: onlyFromWhereItStands},
			{Name: "of racing moves exactly one succeeds, the others are ErrMoved", Check: racingMoves},
			{Name: "racing movers lose no step", Check: racingMovers},
		}},
		{Words: "3 It never moves back", Clauses: []promisetest.Clause[Harness]{
			{Name: "To below From is refused", Check: toBelowFrom},
			{Name: "To equal to From is a move", Check: toEqualFrom},
			{Name: "only Reset puts it back to 0", Check: resetPutsBack},
		}},
		{Words: "4 Fenced", Clauses: []promisetest.Clause[Harness]{
			{Name: "a move with a smaller fence is ErrMoved", Check: smallerFence},
			{Name: "Reset keeps the fence", Check: resetKeepsFence},
		}},
		{Words: "5 One history", Clauses: []promisetest.Clause[Harness]{
			{Name: "a move under another store id is ErrOtherStore", Check: otherStore},
			{Name: "Reset forgets the store id", Check: resetForgetsStore},
		}},
		{Words: "6 Keys that differ in name, version or lane are independent", Clauses: []promisetest.Clause[Harness]{
			{Name: "independent keys", Check: independentKeys},
			{Name: "List returns those of a projection, ordered", Check: listed},
			{Name: "bad keys are refused", Check: badKeys},
		}},
		{Words: "7 Bound to a transaction, a move is visible to others only when that commits, and is undone when it is rolled back", Clauses: []promisetest.Clause[Harness]{
			{Name: "visible when it commits", Check: inTx(visibleOnCommit)},
			{Name: "undone when it is rolled back", Check: inTx(undoneOnRollback)},
			{Name: "undone when the context ends", Check: inTx(undoneOnCancel)},
			{Name: "racing transactions lose no step", Check: inTx(racingTransactions)},
		}},
	}
}

// inTx prints why a store without transactions is not held to a clause.
func inTx(check func(t promisetest.T, h Harness)) func(t promisetest.T, h Harness) {
	return func(t promisetest.T, h Harness) {
		t.Helper()
		if h.InTx != nil {
			check(t, h)
			return
		}
		if h.NoTx == "" {
			t.Errorf("Harness.InTx is nil and Harness.NoTx does not say why")
		}
		t.Log("not held to this: " + h.NoTx)
	}
}
