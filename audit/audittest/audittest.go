// Package audittest is the conformance suite of [audit.LogHome] and
// [audit.ActivityHome]: for each promise of their doc comments the clauses that
// every home passes.
//
//	func TestAuditLog(t *testing.T) {
//		audittest.RunLog(t, func(t *testing.T) audittest.LogHarness { … })
//	}
package audittest

import (
	"context"
	"testing"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/projection"
)

// LogHarness is what a clause works with: an empty log.
type LogHarness struct {
	// Home has no records yet and has the zero [audit.Config].
	Home audit.LogHome
	// Begin starts the transactions that the home takes part in. It may be nil
	// for a home that is at least once.
	Begin func(ctx context.Context) (projection.Tx, error)
	// Tamper are the ways to change or delete records that are left to somebody
	// who goes around the home, by name. Each must fail with an error that says
	// so. They are called when there are records.
	Tamper map[string]func(ctx context.Context) error
	// NoTamper says why there is no way around the home, if Tamper is empty.
	NoTamper string
}

// LogFactory returns a harness with an empty log, which it closes by
// t.Cleanup. It is called once for each clause; clauses run in parallel.
type LogFactory func(t *testing.T) LogHarness

// RunLog holds the homes that open returns to every promise of [audit.LogHome].
func RunLog(t *testing.T, open LogFactory) {
	t.Helper()
	promisetest.Run(t, logPromises(), open)
}

// ActivityHarness is what a clause works with: empty feeds. Begin is as in
// [LogHarness].
type ActivityHarness struct {
	Home  audit.ActivityHome
	Begin func(ctx context.Context) (projection.Tx, error)
}

// ActivityFactory returns a harness with empty feeds, as [LogFactory] does.
type ActivityFactory func(t *testing.T) ActivityHarness

// RunActivity holds the homes that open returns to every promise of
// [audit.ActivityHome].
func RunActivity(t *testing.T, open ActivityFactory) {
	t.Helper()
	promisetest.Run(t, activityPromises(), open)
}

func logPromises() []promisetest.Promise[LogHarness] {
	return []promisetest.Promise[LogHarness]{
		{Words: "1 Complete", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "every field comes back as it was", Check: everyField},
			{Name: "an explicit activity is recorded as it was said", Check: explicitActivity},
			{Name: "an event that says nothing is recorded as anonymous", Check: bareEvent},
			{Name: "metadata keeps its types", Check: metadataTypes},
			{Name: "an event beyond every limit is recorded", Check: hugeEvent},
			{Name: "the usual questions", Check: usualQuestions},
			{Name: "recent is a hundred by default", Check: recentIsAHundred},
		}},
		{Words: "2 Idempotent", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "an event that is applied again changes nothing", Check: appliedAgain},
			{Name: "another record in its place is refused", Check: anotherInItsPlace},
			{Name: "the same record in another place is refused", Check: anotherPlace},
		}},
		{Words: "3 Order is by position, never by time", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "clocks that run backwards", Check: clocksBackwards},
			{Name: "an event that comes late stands in its place", Check: lateEvent},
		}},
		{Words: "4 Queries are exact", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "each condition", Check: eachCondition},
			{Name: "conditions are combined", Check: combinedConditions},
			{Name: "near-equal names are different", Check: nearEqualNames},
			{Name: "time ranges include their start and not their end", Check: timeRanges},
			{Name: "what no record can match is refused", Check: refusedQueries},
			{Name: "random questions", Check: randomQuestions},
		}},
		{Words: "5 Pages are stable", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "limits and bounds", Check: limitsAndBounds},
			{Name: "paging while records are appended", Check: pagingWhileAppending},
			{Name: "polling with the oldest first misses nothing", Check: polling},
			{Name: "a sequence ends where the log ended", Check: sequenceEnds},
		}},
		{Words: "6 Streaming", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "a break releases everything", Check: breakReleases},
			{Name: "a sequence can be ranged over again", Check: rangedAgain},
			{Name: "an ended context ends it", Check: endedContext},
			{Name: "reads inside reads", Check: readsInsideReads},
			{Name: "readers beside a writer", Check: readersBesideWriter},
		}},
		{Words: "7 Replay", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "a reset leaves nothing behind", Check: resetEmpties},
			{Name: "a replay gives an equal log", Check: replayIsEqual},
			{Name: "a log that was reset takes other events", Check: resetTakesOthers},
		}},
		{Words: "8 Tenants", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "a query for a tenant sees that tenant's records only", Check: tenantSeesItsOwn},
			{Name: "a reader bound to a tenant fails closed", Check: tenantFailsClosed},
		}},
		{Words: "9 Immutable", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "what was handed out is a copy", Check: handedOutCopies},
			{Name: "nobody changes or deletes a record", Check: nobodyTampers},
			{Name: "nobody tampers after a reset, either", Check: nobodyTampersAfterReset},
		}},
		{Words: "10 Actions in use", Clauses: []promisetest.Clause[LogHarness]{
			{Name: "every action, with its last use", Check: actionsInUse},
			{Name: "actions within bounds, and how many", Check: actionBounds},
			{Name: "actions are those of the records", Check: actionsOfMany},
			{Name: "a tenant's actions, and no others", Check: actionsOfTenants},
			{Name: "errors and breaks are those of a query for records", Check: actionsRefused},
		}},
	}
}

func activityPromises() []promisetest.Promise[ActivityHarness] {
	return []promisetest.Promise[ActivityHarness]{
		{Words: "1 Complete", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "every field comes back as it was", Check: everyActivityField},
			{Name: "whoever was not named is anonymous", Check: anonymousFeed},
			{Name: "an explicit activity has its own action and entity", Check: explicitEntry},
		}},
		{Words: "2 Idempotent", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "an event that is applied again changes nothing", Check: activityAppliedAgain},
			{Name: "another entry in its place is refused", Check: anotherActivity},
		}},
		{Words: "3 Order is by position, never by time", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "clocks that run backwards, and an event that comes late", Check: activityOrder},
		}},
		{Words: "4 Queries are exact", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "near-equal actors are different", Check: nearEqualActors},
			{Name: "conditions are combined", Check: activityConditions},
			{Name: "what nothing can match is refused", Check: refusedActivityQueries},
			{Name: "random questions", Check: randomFeeds},
		}},
		{Words: "5 Pages are stable", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "a feed is fifty by default", Check: feedIsFifty},
			{Name: "paging while entries are appended", Check: activityPaging},
			{Name: "a sequence ends where the feed ended", Check: activitySequenceEnds},
		}},
		{Words: "6 Active actors", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "active since", Check: activeSince},
			{Name: "limits, bounds and direction", Check: activeBounds},
		}},
		{Words: "7 Streaming", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "a break releases everything", Check: activityBreak},
			{Name: "an ended context ends it", Check: activityEndedContext},
		}},
		{Words: "8 Replay", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "a reset leaves nothing behind, and a replay gives equal feeds", Check: activityReplay},
		}},
		{Words: "9 Tenants", Clauses: []promisetest.Clause[ActivityHarness]{
			{Name: "a query for a tenant sees that tenant's entries only", Check: activityTenants},
			{Name: "a reader bound to a tenant fails closed", Check: activityFailsClosed},
		}},
	}
}
