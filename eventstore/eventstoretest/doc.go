// Package eventstoretest holds every event store to the promises of
// [eventstore.Store]: [Run] has the promises by number and words, and for each
// the clauses that a store has to pass.
//
//	func TestStore(t *testing.T) {
//		t.Parallel()
//		eventstoretest.Run(t, func(t *testing.T) eventstore.Store {
//			return openEmptyStore(t) // closed by t.Cleanup
//		})
//	}
//
// A store that cannot keep a clause declines it by name, with a reason that is
// printed ([Declined]). A store that several processes can open passes a way
// to open it once more ([Second]): then the clauses about durable appends, the
// stable prefix and waking up are checked across both.
//
// [Faults] is a store that fails when it is told to, before or after what it
// was asked to do has happened; it is for testing whatever stands on a store.
// [Benchmark] measures a store with the workloads that all stores are compared
// by.
package eventstoretest
