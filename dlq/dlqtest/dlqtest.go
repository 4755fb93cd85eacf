// Package dlqtest is the conformance suite of [dlq.Store]: for each promise of
// its doc comment the clauses that every store passes.
//
//	func TestDeadLetters(t *testing.T) {
//		dlqtest.Run(t, func(t *testing.T) dlqtest.Harness { … })
//	}
package dlqtest

import (
	"context"
	"testing"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/internal/promisetest"
)

// Harness is what a clause works with: an empty store and its transactions.
type Harness struct {
	// Store has no letters yet.
	Store dlq.Store
	// InTx calls f with the letters bound to a new transaction and commits it.
	// If f returns an error, it rolls back and returns that error. When ctx ends
	// while it waits for another transaction, it returns an error. The
	// transaction must have ended when InTx returns.
	InTx func(ctx context.Context, f func(ctx context.Context, bound dlq.Store) error) error
	// NoTx says why the store has no transactions, if InTx is nil. The clauses
	// of promise 6 then print it and hold the store to nothing.
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
		{Words: "1 Letters of a sequence come back in the order of their positions", Clauses: []promisetest.Clause[Harness]{
			{Name: "in the order of their positions", Check: orderedByPosition},
			{Name: "as they were parked", Check: roundTrip},
			{Name: "up to a limit", Check: limited},
		}},
		{Words: "2 Parking a position that is parked already changes nothing", Clauses: []promisetest.Clause[Harness]{
			{Name: "parking again changes nothing", Check: parkedAgain},
			{Name: "parking twice at once parks once", Check: racingParks},
		}},
		{Words: "3 A sequence is parked as long as it has letters, and not longer", Clauses: []promisetest.Clause[Harness]{
			{Name: "parked until the last letter is gone", Check: parkedUntilEmpty},
			{Name: "retried by itself when scheduled", Check: scheduled},
			{Name: "a letter that failed again", Check: failedAgain},
			{Name: "a sequence that is parked anew is not scheduled", Check: parkedAnew},
			{Name: "Sequences selects and orders", Check: sequences},
			{Name: "Stats sums up", Check: stats},
			{Name: "Clear takes out all letters of a projection", Check: cleared},
		}},
		{Words: "4 Sequences are independent of each other; keys that differ by case or trailing space are different keys", Clauses: []promisetest.Clause[Harness]{
			{Name: "independent sequences", Check: independent},
			{Name: "letters parked together go each to its sequence", Check: parkedTogether},
		}},
		{Words: "5 Removing and discarding take out exactly one letter", Clauses: []promisetest.Clause[Harness]{
			{Name: "removing takes out exactly one letter", Check: removed},
			{Name: "of racing removals exactly one succeeds", Check: racingRemovals},
			{Name: "a discarded letter is kept with its reason, who did it and when", Check: discarded},
			{Name: "discarded letters come back oldest first", Check: discardedOrder},
			{Name: "a letter discarded again after a rebuild is kept twice", Check: discardedTwice},
			{Name: "what is not there is ErrNotFound", Check: notFound},
		}},
		{Words: "6 Bound to a transaction, changes are visible to others only when that commits, and are undone when it is rolled back", Clauses: []promisetest.Clause[Harness]{
			{Name: "visible when it commits", Check: inTx(visibleOnCommit)},
			{Name: "undone when it is rolled back", Check: inTx(undoneOnRollback)},
			{Name: "Parked holds the sequences against a concurrent redrive", Check: inTx(parkedHolds)},
			{Name: "Park holds the sequences against a concurrent redrive", Check: inTx(parkHolds)},
		}},
		{Words: "7 Bad input is refused with event.ErrInvalid before anything is stored; a cause is cut at MaxCauseBytes, at a character's edge", Clauses: []promisetest.Clause[Harness]{
			{Name: "bad letters are refused", Check: badLetters},
			{Name: "a discard without a reason is refused", Check: badDiscards},
			{Name: "a cause is cut at a character's edge", Check: causeIsCut},
		}},
		{Words: "8 A retry that is scheduled up to a position keeps that bound until the sequence is scheduled anew or its first letter has failed again. A letter counts how often it was tried since it was parked", Clauses: []promisetest.Clause[Harness]{
			{Name: "a retry keeps its bound", Check: boundIsKept},
			{Name: "a sequence that is scheduled anew has no bound", Check: boundIsReplaced},
			{Name: "a sequence that has failed again has no bound", Check: boundEndsWithFailure},
			{Name: "a sequence that is parked anew has no bound", Check: boundEndsWithSequence},
			{Name: "a letter counts its redrives", Check: redrivesCount},
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
