package audittest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/projection"
)

// AppendHarness is what a clause for [audit.Log] works with: an empty event
// store, and where its records are read from.
type AppendHarness struct {
	Store   eventstore.Store
	Records audit.Finder
	// Settle returns when Records has all that was appended. It may be nil for
	// a finder that has it at once.
	Settle func(ctx context.Context) error
}

// AppendFactory returns a harness with an empty store, which it closes by
// t.Cleanup. It is called once for each clause; clauses run in parallel.
type AppendFactory func(t *testing.T) AppendHarness

// RunAppend holds [audit.Log] on the stores that open returns to every promise
// of its doc comment.
func RunAppend(t *testing.T, open AppendFactory) {
	t.Helper()
	promisetest.Run(t, appendPromises(), open)
}

func appendPromises() []promisetest.Promise[AppendHarness] {
	return []promisetest.Promise[AppendHarness]{
		{Words: "1 One log", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "a record stands among the records of events", Check: recordAmongEvents},
			{Name: "a replay gives it again", Check: replayOfAppended},
		}},
		{Words: "2 Whole", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "every field comes back as it was appended", Check: everyAppendedField},
			{Name: "what was left out has its default", Check: appendedDefaults},
			{Name: "the usual questions find it", Check: questionsFindAppended},
		}},
		{Words: "3 Atomic", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "several records or none", Check: severalOrNone},
			{Name: "it joins a save", Check: joinsASave},
			{Name: "a save that meets a conflict stores neither", Check: conflictStoresNeither},
			{Name: "an update that starts over stores it once", Check: updateStoresOnce},
			{Name: "it joins a save of several aggregates", Check: joinsSaveAll},
		}},
		{Words: "4 From the context", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "what a draft leaves out the context says", Check: contextFillsIn},
			{Name: "what a draft says wins", Check: draftWins},
			{Name: "nobody is anonymous", Check: nobodyIsAnonymous},
		}},
		{Words: "5 Refused before anything is stored", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "a draft that breaks a rule", Check: badDrafts},
			{Name: "too many drafts, or none", Check: tooManyDrafts},
		}},
		{Words: "6 Idempotent", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "the same draft again", Check: appendedAgain},
			{Name: "another draft under its id is refused", Check: anotherUnderItsID},
			{Name: "several drafts again", Check: severalAgain},
			{Name: "joining a save again", Check: joinedAgain},
			{Name: "racing appends of one id store one", Check: racingAppends},
		}},
		{Words: "7 Hooks", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "they run in their order and patch", Check: hooksPatch},
			{Name: "a veto stores nothing", Check: hookVetoes},
			{Name: "a hook that panics stores nothing", Check: hookPanics},
			{Name: "a hook that blocks stores nothing", Check: hookBlocks},
			{Name: "a hook that changes who, what or when stores nothing", Check: hookOversteps},
			{Name: "what a hook leaves is checked", Check: hookLeavesBad},
			{Name: "hooks after the append see what was stored", Check: hooksAfter},
			{Name: "what they do undoes nothing", Check: hooksAfterFail},
			{Name: "they see what a save stored", Check: hooksAfterSave},
		}},
		{Words: "8 Tenants", Clauses: []promisetest.Clause[AppendHarness]{
			{Name: "a bound store gives the tenant and refuses others", Check: boundTenant},
			{Name: "without a tenant nothing is stored", Check: requiredTenant},
		}},
	}
}

// Fed returns a harness whose records are those of home, which a runner of the
// store feeds whenever the records have to settle.
func Fed(t *testing.T, store projection.Store, home audit.LogHome) AppendHarness {
	t.Helper()
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{home}})
	require.NoError(t, err)
	return AppendHarness{Store: store, Records: home, Settle: runner.RunUntilCaughtUp}
}
