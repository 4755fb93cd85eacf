// Package registrytest is the conformance suite of [registry.Store]: for each
// promise of its doc comment the clauses that every store passes.
//
//	func TestRegistry(t *testing.T) {
//		registrytest.Run(t, func(t *testing.T) registrytest.Harness { … })
//	}
package registrytest

import (
	"context"
	"testing"

	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/registry"
)

// Harness is what a clause works with: an empty store and its transactions.
type Harness struct {
	// Store has no records yet.
	Store registry.Store
	// InTx calls f with the records bound to a new transaction and commits it. If
	// f returns an error, it rolls back and returns that error. The transaction
	// must have ended when InTx returns, also when ctx has ended.
	InTx func(ctx context.Context, f func(ctx context.Context, bound registry.Store) error) error
	// NoTx says why the store has no transactions, if InTx is nil. The clauses
	// about transactions then print it and hold the store to nothing.
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
		{Words: "1 A record comes back as it was saved, times in UTC to the microsecond, with the revision and the time of the change set by the store: the revision is one more than before, from 1", Clauses: []promisetest.Clause[Harness]{
			{Name: "as it was saved", Check: roundTrip},
			{Name: "a record that was never saved is ErrNotFound", Check: neverSaved},
			{Name: "every field changes", Check: everyFieldChanges},
			{Name: "the revision grows with every change", Check: revisionGrows},
		}},
		{Words: "2 Compare-and-set", Clauses: []promisetest.Clause[Harness]{
			{Name: "a save succeeds only at the revision that is stored", Check: onlyAtItsRevision},
			{Name: "of racing first saves exactly one succeeds, the others are ErrChanged", Check: racingCreators},
			{Name: "of racing saves exactly one succeeds, the others are ErrChanged", Check: racingSaves},
			{Name: "racing savers lose no change", Check: racingSavers},
		}},
		{Words: "3 Records that differ in name or version are independent; names that differ by case or trailing space are different names", Clauses: []promisetest.Clause[Harness]{
			{Name: "independent records", Check: independent},
			{Name: "List returns those of a projection, ordered", Check: listed},
		}},
		{Words: "4 At most one version of a projection is live", Clauses: []promisetest.Clause[Harness]{
			{Name: "a second live version is ErrLive and changes nothing", Check: secondLive},
			{Name: "what was changed is ErrChanged even if another version is live", Check: changedBeforeLive},
			{Name: "another version can be live once the live one is not", Check: liveAfterAnother},
			{Name: "of versions that race to be live exactly one succeeds", Check: racingToBeLive},
			{Name: "of new versions that race to be live exactly one succeeds", Check: racingToBeginLive},
			{Name: "versions are swapped in one transaction", Check: inTx(swapped)},
			{Name: "of transactions that race to make a version live exactly one succeeds", Check: inTx(racingTransactions)},
		}},
		{Words: "5 Bound to a transaction, a save is visible to others only when that commits, and is undone when it is rolled back. A save that is refused leaves the transaction usable", Clauses: []promisetest.Clause[Harness]{
			{Name: "visible when it commits", Check: inTx(visibleOnCommit)},
			{Name: "undone when it is rolled back", Check: inTx(undoneOnRollback)},
			{Name: "a save that is refused leaves the transaction usable", Check: inTx(usableAfterRefusal)},
			{Name: "racing transactions lose no change", Check: inTx(racingChanges)},
		}},
		{Words: "6 Bad input is refused with event.ErrInvalid before anything is stored; an order's problem is cut at MaxProblemBytes, at a character's edge", Clauses: []promisetest.Clause[Harness]{
			{Name: "bad records are refused", Check: badRecords},
			{Name: "an order's problem is cut at a character's edge", Check: problemIsCut},
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
