// Package chaostest runs projections in processes of their own, kills and
// freezes those processes and cuts them off from their database, and judges
// what they have made of the log. It is for the tests of stores:
//
//	func TestMain(m *testing.M) {
//		if !chaostest.Run(home) {
//			m.Run()
//		}
//	}
//
//	func TestChaosKilledRunner(t *testing.T) { chaostest.Kill(t, arena) }
//
// A process is the test's program, started again. It runs three projections:
// effects writes a row for each event and tallies counts and sums them by
// stream, both exactly once, or at least once if the arena says so; outside
// writes lines to a file, at least once. Events may be poison until somebody
// heals them.
package chaostest
