// Package leasetest is the conformance suite of [lease.Store]: for each promise
// of its doc comment the clauses that every store passes.
//
//	func TestLeases(t *testing.T) {
//		leasetest.Run(t, func(t *testing.T, now func() time.Time) lease.Store { … })
//	}
package leasetest

import (
	"sync"
	"testing"
	"time"

	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/lease"
)

// Factory returns a store without leases whose clock is now, and closes it by
// t.Cleanup. It is called once for each clause; clauses run in parallel. Within
// a clause it may be called again: see [Reopener].
type Factory func(t *testing.T, now func() time.Time) lease.Store

// Reopener is implemented by stores that keep leases over restarts. Reopen
// returns another store over the same leases and the same clock, as a process
// that was started anew would have it.
type Reopener interface {
	Reopen() (lease.Store, error)
}

// Run holds the stores that open returns to every promise.
func Run(t *testing.T, open Factory) {
	t.Helper()
	promisetest.Run(t, promises(), open.harness)
}

// harness is what a clause works with.
type harness struct {
	lease.Store

	clock *clock
}

func (open Factory) harness(t *testing.T) harness {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)}
	return harness{Store: open(t, c.Now), clock: c}
}

// clock stands still until it is told otherwise.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now returns the time. It is safe for concurrent use.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func promises() []promisetest.Promise[harness] {
	return []promisetest.Promise[harness]{
		{Words: "1 A lease has at most one owner whose time has not run out", Clauses: []promisetest.Clause[harness]{
			{Name: "held by another", Check: heldByAnother},
			{Name: "leases of different names are independent", Check: independent},
			{Name: "bad names and times are refused", Check: refused},
		}},
		{Words: "2 Acquire by the owner renews it and keeps the fence; by anybody else it succeeds only after expiry or release, and the fence grows", Clauses: []promisetest.Clause[harness]{
			{Name: "the owner renews", Check: renewed},
			{Name: "anybody else after expiry", Check: afterExpiry},
			{Name: "anybody else after release", Check: afterRelease},
		}},
		{Words: "3 Of racing Acquires by different owners exactly one succeeds; the others are a HeldError", Clauses: []promisetest.Clause[harness]{
			{Name: "racing for a free lease", Check: racingForFree},
			{Name: "racing for an expired lease", Check: racingForExpired},
		}},
		{Words: "4 Release ends it at once, so that the next owner need not wait; by somebody who does not hold it, it does nothing", Clauses: []promisetest.Clause[harness]{
			{Name: "release ends it at once", Check: releaseEnds},
			{Name: "release by somebody who does not hold it", Check: releaseByOther},
			{Name: "release by a former owner", Check: releaseByFormer},
		}},
		{Words: "5 The fence never repeats and never shrinks, over releases and restarts", Clauses: []promisetest.Clause[harness]{
			{Name: "over releases and takeovers", Check: fenceGrows},
			{Name: "over restarts", Check: fenceOverRestarts},
		}},
		{Words: "6 Time is the store's clock, one for all owners, where it has one", Clauses: []promisetest.Clause[harness]{
			{Name: "a lease ends by the store's clock", Check: storesClock},
		}},
		{Words: "7 Renew gives each lease that is still held as it says ttl from now, and keeps its fence. One that was released or taken over is missing from the answer and stays as it is; one that has run out and that nobody has taken since is renewed, as Acquire by its owner does", Clauses: []promisetest.Clause[harness]{
			{Name: "all that are held are renewed", Check: renewsAll},
			{Name: "one that was released or taken over stays as it is", Check: renewsNoOther},
			{Name: "one that has run out and that nobody has taken is renewed", Check: renewsExpired},
			{Name: "of a renewal and a takeover exactly one succeeds", Check: renewalRaces},
			{Name: "renewals at once are in nobody's way", Check: racingRenewals},
			{Name: "bad renewals are refused", Check: badRenewals},
		}},
		{Words: "8 List returns the leases that have an owner whose time has not run out, ordered by name, those alone whose name begins with the prefix, byte for byte", Clauses: []promisetest.Clause[harness]{
			{Name: "List returns what is held now", Check: listsHeld},
			{Name: "List goes by prefix, byte for byte", Check: listsByPrefix},
		}},
	}
}
