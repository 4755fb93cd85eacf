// Package privacytest has the conformance suites of [privacy.Pseudonyms] and
// [privacy.Holds]: for each promise of their doc comments the clauses that every
// store passes.
//
//	func TestPseudonyms(t *testing.T) {
//		privacytest.RunPseudonyms(t, func(t *testing.T, now func() time.Time) privacytest.Store { … })
//	}
package privacytest

import (
	"sync"
	"testing"
	"time"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/internal/promisetest"
)

// Store is what a suite works with.
type Store struct {
	Pseudonyms privacy.Pseudonyms
	Holds      privacy.Holds
	// Reopen returns the same store, as a process that was started anew would
	// have it; nil if what it keeps ends with it.
	Reopen func() Store
}

// Factory returns an empty store whose clock is now, and closes it by t.Cleanup.
// It is called once for each clause; clauses run in parallel.
type Factory func(t *testing.T, now func() time.Time) Store

// RunPseudonyms holds the stores that open returns to every promise of
// [privacy.Pseudonyms].
func RunPseudonyms(t *testing.T, open Factory) {
	t.Helper()
	promisetest.Run(t, pseudonymPromises(), open.harness)
}

// RunHolds holds the stores that open returns to every promise of [privacy.Holds].
func RunHolds(t *testing.T, open Factory) {
	t.Helper()
	promisetest.Run(t, holdPromises(), open.harness)
}

// harness is what a clause works with.
type harness struct {
	Store

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

func pseudonymPromises() []promisetest.Promise[harness] {
	type clause = promisetest.Clause[harness]
	return []promisetest.Promise[harness]{
		{Words: "1 One token. A person of a tenant has one token at a time: TokenFor makes it once, however many ask for it at once, and answers the same until it is cut", Clauses: []clause{
			{Name: "the same token", Check: sameToken},
			{Name: "racing for a token", Check: racingForToken},
			{Name: "over restarts", Check: tokenOverRestarts},
		}},
		{Words: "2 Opaque. A token is a random UUID. It is never handed out again, not after a cut either", Clauses: []clause{
			{Name: "random", Check: random},
			{Name: "never again", Check: neverAgain},
		}},
		{Words: "3 Both ways. TokenOf and PersonOf lead from one to the other, exactly as the person was written", Clauses: []clause{
			{Name: "both ways", Check: bothWays},
			{Name: "exact names", Check: exactNames},
			{Name: "whoever is unknown", Check: unknownPeople},
		}},
		{Words: "4 Cut. Afterwards nothing that the table holds tells whose token it was, not even whether a given person ever had one. The token stays as a tombstone, with the time and the reason. Whoever comes again gets a new token", Clauses: []clause{
			{Name: "a tombstone stays", Check: tombstone},
			{Name: "whoever comes again", Check: comesAgain},
			{Name: "cut and made at once", Check: racingCutAndToken},
		}},
		{Words: "5 Idempotent. A cut of somebody who has no token changes nothing, and says so by answering with no token", Clauses: []clause{
			{Name: "cut twice", Check: cutTwice},
			{Name: "racing cuts", Check: racingCuts},
		}},
		{Words: "6 Holds win. Whoever is under a hold that the same store keeps, personally or with the whole tenant, is not cut: that is a HeldError. The hold is looked at in one step with the cut", Clauses: []clause{
			{Name: "a hold on the person", Check: heldPerson},
			{Name: "a hold on the tenant", Check: heldTenant},
			{Name: "a hold on others", Check: heldOthers},
			{Name: "a hold that comes at the same time", Check: racingHold},
		}},
		{Words: "7 Tenants. Equal persons of two tenants have different tokens, and a token of another tenant is unknown", Clauses: []clause{
			{Name: "equal persons of two tenants", Check: twoTenants},
		}},
		{Words: "8 Listing is streamed, in the order of tokens, with the last token as cursor. A break releases everything; an error is yielded once and ends it", Clauses: []clause{
			{Name: "conditions and order", Check: listing},
			{Name: "pages", Check: listingPages},
			{Name: "breaks and ends", Check: listingEnds},
			{Name: "cut while it is listed", Check: cutWhileListed},
		}},
		{Words: "9 Bad input is refused before anything is stored, with an error that names the field", Clauses: []clause{
			{Name: "bad input", Check: badPseudonyms},
		}},
	}
}

func holdPromises() []promisetest.Promise[harness] {
	type clause = promisetest.Clause[harness]
	return []promisetest.Promise[harness]{
		{Words: "1 Placed until released. A hold holds from the moment that Place has returned, over restarts, until it is released", Clauses: []clause{
			{Name: "placed and released", Check: placedAndReleased},
			{Name: "over restarts", Check: holdOverRestarts},
		}},
		{Words: "2 Idempotent. A hold that is placed again under its id is stored once, and answered with what was stored; another one under a stored id is refused", Clauses: []clause{
			{Name: "placed again", Check: placedAgain},
			{Name: "racing to place", Check: racingPlaces},
		}},
		{Words: "3 Released once. Release ends one hold and no other; the first release counts, and a later one answers with what the first has left", Clauses: []clause{
			{Name: "released once", Check: releasedOnce},
			{Name: "racing releases", Check: racingReleases},
		}},
		{Words: "4 Nothing is forgotten. A released hold stays in the list, with who placed and released it, when and why, and is never changed", Clauses: []clause{
			{Name: "a released hold", Check: releasedStays},
		}},
		{Words: "5 Listing is streamed, in the order of placing. A break releases everything; an error is yielded once and ends it", Clauses: []clause{
			{Name: "order and conditions", Check: holdListing},
			{Name: "breaks and ends", Check: holdListingEnds},
		}},
		{Words: "6 Time is the store's clock", Clauses: []clause{
			{Name: "the store's clock", Check: holdClock},
		}},
		{Words: "7 Tenants. A hold of another tenant is unknown", Clauses: []clause{
			{Name: "another tenant's", Check: holdTenants},
		}},
		{Words: "8 Bad input is refused before anything is stored, with an error that names the field", Clauses: []clause{
			{Name: "bad input", Check: badHolds},
		}},
	}
}
