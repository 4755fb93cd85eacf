package privacy_test

import (
	"context"
	"iter"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

const day = 24 * time.Hour

func allEvents() eventstore.Query { return eventstore.Query{} }

// policy cuts after a year.
func policy() privacy.Policy {
	return privacy.Policy{Rules: []privacy.Rule{{Name: "a year", Keep: 365 * day, Then: privacy.ThenCut}}}
}

// bucket is an archive in memory.
type bucket struct {
	fstest.MapFS

	left int // how many files it takes; negative for any number
}

func newBucket() *bucket { return &bucket{MapFS: fstest.MapFS{}, left: -1} }

func (b *bucket) Put(_ context.Context, name string, content []byte) error {
	if b.left == 0 {
		return errBroken
	}
	b.left--
	b.MapFS[name] = &fstest.MapFile{Data: append([]byte(nil), content...)}
	return nil
}

func (o *office) whole(tb testing.TB) (people []string) {
	tb.Helper()
	for _, p := range collect(tb, o.store.Pseudonyms().List(tb.Context(), privacy.PseudonymQuery{State: privacy.Whole})) {
		people = append(people, p.Person)
	}
	return people
}

func TestWhoeverWasInactiveForLongEnoughIsCut(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	active, inactive, owner, behalf := o.token(t, "active"), o.token(t, "inactive"), o.token(t, "owner"), o.token(t, "behalf")
	o.token(t, "nothing known")
	for _, token := range []uuid.UUID{active, inactive, owner, behalf} {
		o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed", OccurredAt: start.Add(1000 * day)}) // a claim about the future
	}
	o.clock.advance(366 * day)
	o.act(t, audit.Draft{ActorID: user(active), Action: "order.placed", OccurredAt: start.Add(-1000 * day)}) // and one about the past
	o.act(t, audit.Draft{OwnerID: owner.String(), Action: "order.sent"})
	o.act(t, audit.Draft{OnBehalfOf: user(behalf), Action: "order.sent"})
	o.token(t, "new")

	plan, err := o.Plan(t.Context(), policy())
	require.NoError(t, err)
	assert.Equal(t, privacy.Retention{At: start.Add(366 * day), AsOf: 7, Rules: []privacy.RuleResult{
		{Rule: "a year", Then: privacy.ThenCut, Before: start.Add(day), Persons: 2},
	}}, plan)
	assert.Len(t, o.whole(t), 6, "a plan does nothing")
	expired := collect(t, o.Expired(t.Context(), policy()))
	require.Len(t, expired, 2)
	assert.Empty(t, expired[0].Pseudonym.Person)
	for _, err := range o.Expired(t.Context(), policy()) {
		require.NoError(t, err)
		break
	}

	run, err := o.Run(o.ctx, policy())
	require.NoError(t, err)
	assert.Equal(t, plan.Rules, run.Rules)
	assert.ElementsMatch(t, []string{"active", "owner", "behalf", "new"}, o.whole(t))
	assert.Len(t, o.recorded(t, privacy.PseudonymCutAction), 2)
	started, finished := o.recorded(t, privacy.RetentionStartedAction), o.recorded(t, privacy.RetentionFinishedAction)
	require.Len(t, started, 1)
	require.Len(t, finished, 1)
	assert.Equal(t, run.RunID.String(), started[0].Entity().ID)
	assert.Equal(t, event.Metadata{"as_of": int64(7), "rules": int64(1), "archived": int64(0), "cut": int64(2), "held": int64(0)}, finished[0].Metadata())

	again, err := o.Run(o.ctx, policy())
	require.NoError(t, err)
	assert.Zero(t, again.Rules[0].Persons)
	assert.Len(t, o.recorded(t, privacy.PseudonymCutAction), 2)
}

func TestTheRuleThatKeepsLongestDecides(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	buyer, payer, other := o.token(t, "buyer"), o.token(t, "payer"), o.token(t, "other")
	o.act(t, audit.Draft{ActorID: user(buyer), Action: "order.placed"})
	o.act(t, audit.Draft{ActorID: user(payer), Action: "order.placed"})
	o.act(t, audit.Draft{ActorID: user(payer), Action: "payment.made"})
	o.act(t, audit.Draft{ActorID: user(other), Action: "order.placed"})
	o.act(t, audit.Draft{ActorID: user(other), Action: "vote.cast", Entity: audit.EntityRef{Type: "Vote", ID: "1"}})
	rules := privacy.Policy{Rules: []privacy.Rule{
		{Name: "orders", Action: "order.*", Keep: 365 * day, Then: privacy.ThenCut},
		{Name: "payments", Action: "payment.made", TenantID: acme, Keep: 10 * 365 * day, Then: privacy.ThenCut},
	}}
	o.clock.advance(400 * day)
	run, err := o.Run(o.ctx, rules)
	require.NoError(t, err)
	assert.Equal(t, []uint64{1, 0}, []uint64{run.Rules[0].Persons, run.Rules[1].Persons})
	assert.ElementsMatch(t, []string{"payer", "other"}, o.whole(t))

	o.clock.advance(10 * 365 * day)
	run, err = o.Run(o.ctx, rules)
	require.NoError(t, err)
	assert.Equal(t, []uint64{0, 1}, []uint64{run.Rules[0].Persons, run.Rules[1].Persons})
	assert.Equal(t, []string{"other"}, o.whole(t), "no rule is about votes: they are kept")

	rules.Rules = append(rules.Rules, privacy.Rule{Name: "votes", EntityType: "Vote", Keep: day, Then: privacy.ThenCut})
	_, err = o.Run(o.ctx, rules)
	require.NoError(t, err)
	assert.Empty(t, o.whole(t))
}

func TestAHoldWinsOverRetention(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.token(t, "jane")
	o.token(t, "joe")
	o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed"})
	o.clock.advance(400 * day)
	hold, err := o.Place(o.ctx, uuid.Nil, privacy.Scope{TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "17"}}, "case 4")
	require.NoError(t, err)
	plan, err := o.Plan(t.Context(), policy())
	require.NoError(t, err)
	run, err := o.Run(o.ctx, policy())
	require.NoError(t, err)
	assert.Equal(t, []uint64{1, 1}, []uint64{run.Rules[0].Persons, run.Rules[0].Held})
	assert.Equal(t, plan.Rules, run.Rules)
	assert.Equal(t, []string{"jane"}, o.whole(t))
	expired := collect(t, o.Expired(t.Context(), policy()))
	require.Len(t, expired, 1)
	assert.Equal(t, &hold, expired[0].Hold)

	// Holds, and cuts that were denied, are about the person, but they keep nobody.
	_, err = o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, privacy.ErrHeld)
	_, err = o.Release(o.ctx, acme, hold.ID, "closed")
	require.NoError(t, err)
	run, err = o.Run(o.ctx, policy())
	require.NoError(t, err)
	assert.Equal(t, uint64(1), run.Rules[0].Persons)
	assert.Empty(t, o.whole(t))
}

func TestOldEventsAreArchived(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for range 3 {
		o.act(t, audit.Draft{Action: "order.placed"})
		o.act(t, audit.Draft{Action: "login.failed", Entity: audit.EntityRef{Type: "Session", ID: "1"}})
		o.clock.advance(100 * day)
	}
	all, logins := newBucket(), newBucket()
	rules := privacy.Policy{Rules: []privacy.Rule{
		{Name: "all", Keep: 150 * day, Then: privacy.ThenArchive, Archive: all},
		{Name: "log-ins", Action: "login.*", EntityType: "Session", Keep: 250 * day, Then: privacy.ThenArchive, Archive: logins},
	}}
	plan, err := o.Plan(t.Context(), rules)
	require.NoError(t, err)
	assert.Empty(t, all.MapFS)
	run, err := o.Run(o.ctx, rules)
	require.NoError(t, err)
	assert.Equal(t, plan.Rules, run.Rules)
	assert.Equal(t, []privacy.RuleResult{
		{Rule: "all", Then: privacy.ThenArchive, Before: start.Add(150 * day), Events: 4, Until: 4, First: 1, Last: 4, RecordedFrom: start, RecordedUntil: start.Add(100 * day)},
		{Rule: "log-ins", Then: privacy.ThenArchive, Before: start.Add(50 * day), Events: 1, Until: 2, First: 2, Last: 2, RecordedFrom: start, RecordedUntil: start},
	}, run.Rules)
	_, err = archive.Verify(t.Context(), logins)
	require.NoError(t, err)
	again, err := o.Run(o.ctx, rules)
	require.NoError(t, err)
	assert.Zero(t, again.Rules[0].Events)
	assert.Len(t, collect(t, o.store.ReadAll(t.Context(), allEvents())), 6+4, "nothing is taken out of the store")
}

// TestARunThatIsKilledIsRunAgain fails each step of a run once.
func TestARunThatIsKilledIsRunAgain(t *testing.T) {
	t.Parallel()
	for steps := range 12 {
		log, people, files := &refusing{left: -1}, &crashing{with: errBroken}, newBucket()
		o := newOffice(t, func(c *privacy.Config) {
			log.Appender, people.Pseudonyms = c.Log, c.Pseudonyms
			c.Log, c.Pseudonyms = log, people
		})
		for _, person := range names(4) {
			o.act(t, audit.Draft{ActorID: user(o.token(t, person)), Action: "order.placed"})
		}
		o.clock.advance(400 * day)
		rules := policy()
		rules.Rules = append(rules.Rules, privacy.Rule{Name: "files", Keep: day, Then: privacy.ThenArchive, Archive: files})
		switch {
		case steps < 6:
			log.left = steps
		case steps < 8:
			files.left = steps - 6
		default:
			people.times = 1
		}
		_, err := o.Run(o.ctx, rules)
		require.ErrorIs(t, err, errBroken, steps)
		log.left, files.left = -1, -1
		_, err = o.Run(o.ctx, rules)
		require.NoError(t, err)
		assert.Empty(t, o.whole(t))
		assert.Len(t, o.recorded(t, privacy.PseudonymCutAction), 4, "each cut is recorded once")
		_, err = archive.Verify(t.Context(), files)
		require.NoError(t, err)
	}
}

func TestNobodyIsCutBecauseTheLogIsBehind(t *testing.T) {
	t.Parallel()
	home := memory.NewAuditLog(audit.Config{})
	o := newOffice(t, func(c *privacy.Config) { c.Records = home })
	o.act(t, audit.Draft{ActorID: user(o.token(t, "jane")), Action: "order.placed"})
	_, err := o.Plan(t.Context(), policy())
	var behind *privacy.BehindError
	require.ErrorAs(t, err, &behind)
	assert.Equal(t, &privacy.BehindError{Log: 0, Events: 1}, behind)
	require.ErrorIs(t, lastError(o.Expired(t.Context(), policy())), privacy.ErrBehind)
	_, err = o.Run(o.ctx, policy())
	require.ErrorIs(t, err, privacy.ErrBehind)
	require.ErrorContains(t, err, "catch up")
}

func TestRetentionSaysWhatFails(t *testing.T) {
	t.Parallel()
	for after := range 2 {
		o := newOffice(t, func(c *privacy.Config) { c.Records = brokenFinder{c.Records, after} })
		token := o.token(t, "jane")
		o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed"})
		o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed"})
		o.clock.advance(400 * day)
		_, err := o.Plan(t.Context(), policy())
		require.ErrorIs(t, err, errBroken)
		require.ErrorIs(t, lastError(o.Expired(t.Context(), policy())), errBroken)
	}
	o := newOffice(t)
	o.token(t, "jane")
	ended, cancel := context.WithCancel(o.ctx)
	cancel()
	_, err := o.Run(ended, policy())
	require.ErrorIs(t, err, context.Canceled)
}

func TestAPersonWhoIsCalledLikeTheRule(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, person := range []string{"a year", "retention", "rule"} {
		o.token(t, person)
	}
	o.clock.advance(400 * day)
	_, err := o.Run(o.ctx, policy())
	require.NoError(t, err)
	assert.Empty(t, o.whole(t))
}

func TestBadPoliciesAreRefused(t *testing.T) {
	t.Parallel()
	good := privacy.Rule{Name: "r", Keep: day, Then: privacy.ThenCut}
	for field, spoil := range map[string]func(r *privacy.Rule){
		"name":        func(r *privacy.Rule) { r.Name = "" },
		"tenant_id":   func(r *privacy.Rule) { r.TenantID = "\x00" },
		"entity_type": func(r *privacy.Rule) { r.EntityType = "\x00" },
		"action":      func(r *privacy.Rule) { r.Action = "Order.*" },
		"keep":        func(r *privacy.Rule) { r.Keep = 0 },
		"then":        func(r *privacy.Rule) { r.Then = 9 },
		"archive":     func(r *privacy.Rule) { r.Archive = newBucket() },
	} {
		r := good
		spoil(&r)
		requireInvalid(t, privacy.Policy{Rules: []privacy.Rule{good, r}}.Validate(), field)
	}
	requireInvalid(t, privacy.Policy{}.Validate(), "rules")
	requireInvalid(t, privacy.Policy{Rules: []privacy.Rule{good, good}}.Validate(), "name")
	requireInvalid(t, privacy.Rule{Name: "r", Keep: day, Then: privacy.ThenArchive}.Validate(), "archive")
	for pattern, valid := range map[string]bool{"": true, "*": true, "a": true, "a.": false, "a.b": true, "a.*": true, "a.b*": true, ".*": false, "*.a": false, "a.*.b": false, "a b": false} {
		r := good
		r.Action = pattern
		assert.Equal(t, valid, r.Validate() == nil, pattern)
	}
	_, err := newOffice(t).Plan(t.Context(), privacy.Policy{})
	requireInvalid(t, err, "rules")
	assert.Equal(t, []string{"archive", "cut", "Then(7)"}, []string{privacy.ThenArchive.String(), privacy.ThenCut.String(), privacy.Then(7).String()})
}

func TestErrorsSaySoInWords(t *testing.T) {
	t.Parallel()
	require.EqualError(t, &privacy.CutError{CutAt: start, Reason: "request 17"}, "pseudonym 00000000-0000-0000-0000-000000000000 was cut at 2024-01-15T10:30:00Z: request 17")
	require.EqualError(t, &privacy.DamageError{Line: 3, Reason: "is no record", Err: errBroken}, "export, line 3: is no record: broken")
	require.ErrorIs(t, &privacy.DamageError{Err: errBroken}, errBroken)
}

// TestWhoeverComesAgainWhileARunIsAtWorkIsLeft has somebody cut, and come again,
// after they were listed.
func TestWhoeverComesAgainWhileARunIsAtWorkIsLeft(t *testing.T) {
	t.Parallel()
	listing := &listed{}
	o := newOffice(t, func(c *privacy.Config) { listing.Pseudonyms = c.Pseudonyms; c.Pseudonyms = listing })
	o.token(t, "jane")
	o.clock.advance(400 * day)
	again := uuid.Nil
	listing.then = func() {
		_, err := o.Cut(o.ctx, acme, "jane", "request 17")
		require.NoError(t, err)
		again = o.token(t, "jane")
	}
	done, err := o.Run(o.ctx, policy())
	require.NoError(t, err)
	assert.Zero(t, done.Rules[0].Persons)
	assert.Equal(t, again, o.token(t, "jane"))
	assert.Len(t, o.recorded(t, privacy.PseudonymCutAction), 1)
}

// listed calls then with each person that was listed.
type listed struct {
	privacy.Pseudonyms

	then func()
}

func (l *listed) List(ctx context.Context, query privacy.PseudonymQuery) iter.Seq2[privacy.Pseudonym, error] {
	return func(yield func(privacy.Pseudonym, error) bool) {
		for p, err := range l.Pseudonyms.List(ctx, query) {
			l.then()
			if !yield(p, err) {
				return
			}
		}
	}
}

func TestARuleThatArchivesKnowsTheNamesOfTheLog(t *testing.T) {
	t.Parallel()
	names := audit.Config{Action: func(e event.Event) string {
		if e.Metadata["broken"] == true {
			return "no action"
		}
		return "address.moved"
	}}
	o := newOffice(t, func(c *privacy.Config) { c.Audit = names })
	emit(t, o.store, jane, `{}`, nil)
	emit(t, o.store, jane, `{}`, event.Metadata{"broken": true}) // nobody can tell what it is about
	o.clock.advance(2 * day)
	files := newBucket()
	done, err := o.Run(o.ctx, privacy.Policy{Rules: []privacy.Rule{{Name: "moves", Action: "address.moved", Keep: day, Then: privacy.ThenArchive, Archive: files}}})
	require.NoError(t, err)
	assert.EqualValues(t, 2, done.Rules[0].Events)
}
