// Package snapshottest is the conformance suite of [aggregate.SnapshotStore]:
// for each promise of its doc comment the clauses that every store passes.
//
//	func TestSnapshots(t *testing.T) {
//		snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore { … })
//	}
package snapshottest

import (
	"testing"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/internal/promisetest"
)

// Factory returns a store without snapshots, which it closes by t.Cleanup. It
// is called once for each clause; clauses run in parallel.
type Factory func(t *testing.T) aggregate.SnapshotStore

// Run holds the stores that open returns to every promise.
func Run(t *testing.T, open Factory) {
	t.Helper()
	promisetest.Run(t, promises(), open)
}

func promises() []promisetest.Promise[aggregate.SnapshotStore] {
	return []promisetest.Promise[aggregate.SnapshotStore]{
		{Words: "1 Load returns what the newest Save of the stream stored, byte for byte", Clauses: []promisetest.Clause[aggregate.SnapshotStore]{
			{Name: "nothing before the first Save", Check: nothing},
			{Name: "byte for byte", Check: roundTrip},
			{Name: "what the newest Save stored", Check: newest},
			{Name: "the state is copied", Check: copied},
			{Name: "nothing after Delete", Check: deleted},
		}},
		{Words: "2 Save never replaces a snapshot by one of an older version, whoever races", Clauses: []promisetest.Clause[aggregate.SnapshotStore]{
			{Name: "an older version does nothing", Check: older},
			{Name: "the same version replaces", Check: sameVersion},
			{Name: "of racing Saves the newest stays", Check: racing},
		}},
		{Words: "3 Streams that differ in tenant, type or id are independent", Clauses: []promisetest.Clause[aggregate.SnapshotStore]{
			{Name: "independent streams", Check: independent},
		}},
		{Words: "4 Bad input is refused with eventstore.ErrInvalid before anything is stored", Clauses: []promisetest.Clause[aggregate.SnapshotStore]{
			{Name: "bad snapshots are refused", Check: refused},
		}},
	}
}
