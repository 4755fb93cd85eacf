package privacy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func TestAnOfficerNeedsEverything(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	whole := privacy.Config{Pseudonyms: o.store.Pseudonyms(), Holds: o.store.Holds(), Events: o.store, Records: o.log, Log: o.log}
	for field, spoil := range map[string]func(c *privacy.Config){
		"pseudonyms": func(c *privacy.Config) { c.Pseudonyms = nil },
		"holds":      func(c *privacy.Config) { c.Holds = nil },
		"events":     func(c *privacy.Config) { c.Events = nil },
		"records":    func(c *privacy.Config) { c.Records = nil },
		"log":        func(c *privacy.Config) { c.Log = nil },
	} {
		config := whole
		spoil(&config)
		_, err := privacy.NewOfficer(config)
		requireInvalid(t, err, field)
	}
	_, err := privacy.NewOfficer(whole)
	require.NoError(t, err)
}

func TestACutIsRecordedAndNamesNobody(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.token(t, "jane@example.com")
	cut, err := o.Cut(o.ctx, acme, "jane@example.com", "request 17")
	require.NoError(t, err)
	assert.Equal(t, token, cut)
	_, err = o.store.Pseudonyms().PersonOf(t.Context(), acme, token)
	require.ErrorIs(t, err, privacy.ErrCut)

	records := o.recorded(t, privacy.PseudonymCutAction)
	require.Len(t, records, 1)
	r := records[0]
	assert.Equal(t, acme, r.TenantID())
	assert.Equal(t, event.User("officer-1"), r.ActorID())
	assert.Equal(t, []string{token.String(), "request 17"}, []string{r.Entity().ID, r.Reason()})
	for e, err := range o.store.ReadAll(t.Context(), allEvents()) {
		require.NoError(t, err)
		assert.NotContains(t, strings.ToLower(fmt.Sprintf("%+v %s", e, e.Data)), "jane")
	}
	cut, err = o.Cut(o.ctx, acme, "jane@example.com", "request 17")
	require.NoError(t, err)
	assert.Equal(t, uuid.Nil, cut, "there is nothing to cut any more")
	assert.Len(t, o.recorded(t, privacy.PseudonymCutAction), 1)
}

func TestNothingIsDoneByNobody(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.token(t, "jane")
	for _, ctx := range []context.Context{t.Context(), event.WithActor(t.Context(), event.Anonymous)} {
		_, err := o.Cut(ctx, acme, "jane", "request 17")
		requireInvalid(t, err, "actor_id")
		_, err = o.Place(ctx, uuid.Nil, privacy.Scope{TenantID: acme, Person: token}, "case 4")
		requireInvalid(t, err, "actor_id")
		_, err = o.Release(ctx, acme, uuid.New(), "case 4")
		requireInvalid(t, err, "actor_id")
		_, err = o.Run(ctx, policy())
		requireInvalid(t, err, "actor_id")
	}
	_, err := o.Cut(o.ctx, acme, "jane", "")
	requireInvalid(t, err, "reason")
	_, err = o.Release(o.ctx, acme, uuid.Nil, "case 4")
	requireInvalid(t, err, "hold_id")
}

func TestAHoldWinsOverACut(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string]func(token uuid.UUID) privacy.Scope{
		"on the person": func(token uuid.UUID) privacy.Scope { return privacy.Scope{TenantID: acme, Person: token} },
		"on the tenant": func(uuid.UUID) privacy.Scope { return privacy.Scope{TenantID: acme} },
		"on an entity that they changed": func(uuid.UUID) privacy.Scope {
			return privacy.Scope{TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "17"}}
		},
		"on an entity that somebody owned": func(uuid.UUID) privacy.Scope {
			return privacy.Scope{TenantID: acme, Entity: audit.EntityRef{Type: "Parcel", ID: "1"}}
		},
		"on an entity, by somebody for them": func(uuid.UUID) privacy.Scope {
			return privacy.Scope{TenantID: acme, Entity: audit.EntityRef{Type: "Parcel", ID: "2"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			token := o.token(t, "jane")
			o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed"})
			o.act(t, audit.Draft{OwnerID: token.String(), Action: "parcel.sent", Entity: audit.EntityRef{Type: "Parcel", ID: "1"}})
			o.act(t, audit.Draft{ActorID: event.User("x"), OnBehalfOf: user(token), Action: "parcel.sent", Entity: audit.EntityRef{Type: "Parcel", ID: "2"}})
			hold, err := o.Place(o.ctx, uuid.Nil, scope(token), "case 4")
			require.NoError(t, err)
			_, err = o.Cut(o.ctx, acme, "jane", "request 17")
			var held *privacy.HeldError
			require.ErrorAs(t, err, &held)
			assert.Equal(t, hold, held.Hold)
			assert.Equal(t, token, o.token(t, "jane"))
			denied := o.recorded(t, privacy.PseudonymCutAction)
			require.Len(t, denied, 1)
			assert.Equal(t, audit.Denied, denied[0].Outcome())
			assert.Equal(t, hold.ID.String(), denied[0].Metadata()["hold_id"])

			_, err = o.Release(o.ctx, acme, hold.ID, "case 4 is closed")
			require.NoError(t, err)
			_, err = o.Cut(o.ctx, acme, "jane", "request 17")
			require.NoError(t, err)
		})
	}
}

func TestAHoldOnOthersDoesNotMatter(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.token(t, "jane")
	o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed"})
	for _, scope := range []privacy.Scope{
		{TenantID: acme, Person: uuid.New()},
		{TenantID: "other"},
		{},
		{TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "18"}},
		{Entity: audit.EntityRef{Type: "Order", ID: "17"}},
	} {
		_, err := o.Place(o.ctx, uuid.Nil, scope, "case 4")
		require.NoError(t, err)
	}
	cut, err := o.Cut(o.ctx, acme, "jane", "request 17")
	require.NoError(t, err)
	assert.Equal(t, token, cut)
}

func TestHoldsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.token(t, "jane")
	scope, err := o.PersonScope(t.Context(), acme, "jane")
	require.NoError(t, err)
	_, err = o.PersonScope(t.Context(), acme, "nobody")
	require.ErrorIs(t, err, privacy.ErrUnknown)
	id := uuid.New()
	for range 2 {
		_, err := o.Place(o.ctx, id, scope, "case 4")
		require.NoError(t, err)
	}
	for range 2 {
		o.clock.advance(time.Hour)
		hold, err := o.Release(o.ctx, acme, id, "closed")
		require.NoError(t, err)
		assert.Equal(t, start.Add(time.Hour), hold.ReleasedAt)
	}
	placed, released := o.recorded(t, privacy.HoldPlacedAction), o.recorded(t, privacy.HoldReleasedAction)
	require.Len(t, placed, 1)
	require.Len(t, released, 1)
	assert.Equal(t, []string{"case 4", "closed"}, []string{placed[0].Reason(), released[0].Reason()})
	assert.Equal(t, id.String(), released[0].Entity().ID)
	assert.Equal(t, scope.String(), placed[0].Metadata()["scope"])

	_, err = o.Release(o.ctx, "other", id, "closed")
	require.ErrorIs(t, err, privacy.ErrUnknown)
	_, err = o.Place(o.ctx, id, privacy.Scope{TenantID: acme}, "case 5")
	requireInvalid(t, err, "hold_id")
}

// TestWhatCannotBeRecordedIsNotDone fails the log, and goes on when it works
// again: nothing is done or recorded twice.
func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	t.Parallel()
	log := &refusing{}
	o := newOffice(t, func(c *privacy.Config) { log.Appender = c.Log; c.Log = log })
	token, id := o.token(t, "jane"), uuid.New()
	_, err := o.Place(o.ctx, id, privacy.Scope{TenantID: acme}, "case 4")
	require.ErrorIs(t, err, errBroken)
	log.left = 1
	hold, err := o.Place(o.ctx, id, privacy.Scope{TenantID: acme}, "case 4")
	require.NoError(t, err)
	_, err = o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, errBroken, "that it was denied is recorded, too")
	require.ErrorIs(t, err, privacy.ErrHeld)
	_, err = o.Release(o.ctx, acme, hold.ID, "closed")
	require.ErrorIs(t, err, errBroken)
	assert.Len(t, collect(t, o.store.Holds().List(t.Context(), privacy.HoldQuery{Active: true})), 1)
	log.left = 1
	_, err = o.Release(o.ctx, acme, hold.ID, "closed")
	require.NoError(t, err)
	_, err = o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, errBroken)
	assert.Equal(t, token, o.token(t, "jane"))
	log.left = 1
	_, err = o.Cut(o.ctx, acme, "jane", "request 17")
	require.NoError(t, err)
}

// crashing dies between the record of a cut and the cut.
type crashing struct {
	privacy.Pseudonyms

	times int
	with  error
}

func (c *crashing) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (uuid.UUID, error) {
	if c.times > 0 {
		c.times--
		return uuid.Nil, c.with
	}
	return c.Pseudonyms.Cut(ctx, tenant, person, reason)
}

func TestACutThatWasRecordedAndNotDoneIsDoneTheNextTime(t *testing.T) {
	t.Parallel()
	people := &crashing{times: 1, with: errBroken}
	o := newOffice(t, func(c *privacy.Config) { people.Pseudonyms = c.Pseudonyms; c.Pseudonyms = people })
	o.token(t, "jane")
	_, err := o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, errBroken)
	_, err = o.Cut(event.WithActor(o.ctx, event.User("officer-2")), acme, "jane", "request 17 again")
	require.NoError(t, err)
	records := o.recorded(t, privacy.PseudonymCutAction)
	require.Len(t, records, 2, "each who tried is recorded")
	assert.Equal(t, []event.ActorID{"user:officer-1", "user:officer-2"}, []event.ActorID{records[0].ActorID(), records[1].ActorID()})
	_, err = o.store.Pseudonyms().TokenOf(t.Context(), acme, "jane")
	require.ErrorIs(t, err, privacy.ErrUnknown)
}

func TestAHoldThatCameInBetweenIsRecorded(t *testing.T) {
	t.Parallel()
	people := &crashing{times: 1, with: &privacy.HeldError{Hold: privacy.Hold{ID: uuid.New(), Reason: "case 4", PlacedBy: event.User("law")}}}
	o := newOffice(t, func(c *privacy.Config) { people.Pseudonyms = c.Pseudonyms; c.Pseudonyms = people })
	o.token(t, "jane")
	_, err := o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, privacy.ErrHeld)
	require.ErrorContains(t, err, "case 4")
	records := o.recorded(t, privacy.PseudonymCutAction)
	require.Len(t, records, 2)
	assert.Equal(t, audit.Denied, records[1].Outcome())
}

func TestScopesInWords(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("01900000-0000-7000-8000-00000000000d")
	for want, scope := range map[string]privacy.Scope{
		"person 01900000-0000-7000-8000-00000000000d": {Person: id},
		"entity Order/17 of tenant acme":              {TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "17"}},
		"everything of tenant acme":                   {TenantID: acme},
		"everything":                                  {},
	} {
		assert.Equal(t, want, scope.String())
	}
}

func ExampleOfficer() {
	ctx := event.WithActor(context.Background(), event.User("officer-1"))
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	records := audit.Replay(store, audit.Config{})
	log, err := audit.NewLog(store, records, audit.LogConfig{Before: []audit.BeforeAppend{privacy.RequireOpaque()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	people := store.Pseudonyms() // or those of another store, with other backups
	officer, err := privacy.NewOfficer(privacy.Config{Pseudonyms: people, Holds: store.Holds(), Events: store, Records: records, Log: log})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := people.TokenFor(ctx, "", "jane@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}

	hold, err := officer.Place(ctx, uuid.Nil, privacy.Scope{Person: token}, "case 4")
	fmt.Println(hold.Reason, err)
	_, err = officer.Cut(ctx, "", "jane@example.com", "request 17")
	fmt.Println(strings.Contains(err.Error(), "legal hold"))
	_, err = officer.Release(ctx, "", hold.ID, "case 4 is closed")
	fmt.Println(err)
	_, err = officer.Cut(ctx, "", "jane@example.com", "request 17")
	fmt.Println(err)
	for record, err := range log.Recent(ctx, audit.Page{OldestFirst: true}) {
		fmt.Println(record.Action(), record.Outcome(), record.Reason(), err)
	}

	// Output:
	// case 4 <nil>
	// true
	// <nil>
	// <nil>
	// legal_hold.placed success case 4 <nil>
	// pseudonym.cut denied request 17 <nil>
	// legal_hold.released success case 4 is closed <nil>
	// pseudonym.cut success request 17 <nil>
}

func TestEveryDeedIsRecordedInTheNameOfWhoDidIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token := o.token(t, "jane")
	for _, what := range []string{"cut", "cut\x00user:officer-1\x00request 17"} { // what one could foresee
		o.act(t, audit.Draft{ID: uuid.NewSHA1(token, []byte(what)), Action: "page.viewed", ActorID: event.User("mallory")})
	}
	_, err := o.Cut(o.ctx, acme, "jane", "request 17")
	require.NoError(t, err)
	records := o.recorded(t, privacy.PseudonymCutAction)
	require.Len(t, records, 1)
	assert.Equal(t, event.User("officer-1"), records[0].ActorID())
}

func TestAHoldOnAnEntityWithALongNameIsRecorded(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for shift := range 3 {
		entity := audit.EntityRef{Type: strings.Repeat("T", 126+shift), ID: strings.Repeat("日", 85)}
		_, err := o.Place(o.ctx, uuid.Nil, privacy.Scope{TenantID: event.TenantID(strings.Repeat("é", 64)), Entity: entity}, "case 4")
		require.NoError(t, err)
	}
	assert.Len(t, o.recorded(t, privacy.HoldPlacedAction), 3)
}

func TestNobodyIsCutWhileTheLogCannotTellWhatTheyHadToDoWith(t *testing.T) {
	t.Parallel()
	home := memory.NewAuditLog(audit.Config{})
	o := newOffice(t, func(c *privacy.Config) { c.Records = home })
	token := o.token(t, "jane")
	_, err := o.Place(o.ctx, uuid.Nil, privacy.Scope{TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "17"}}, "case 4")
	require.NoError(t, err)
	o.act(t, audit.Draft{ActorID: user(token), Action: "order.placed"}) // which the home has not seen
	_, err = o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, privacy.ErrBehind)
	for e, err := range o.store.ReadAll(t.Context(), allEvents()) {
		require.NoError(t, err)
		require.NoError(t, home.Apply(t.Context(), nil, e))
	}
	_, err = o.Cut(o.ctx, acme, "jane", "request 17")
	require.ErrorIs(t, err, privacy.ErrHeld)
	assert.Equal(t, token, o.token(t, "jane"))
}

// returning has a person cut and come again just before they are cut.
type returning struct {
	privacy.Pseudonyms

	once  sync.Once
	token uuid.UUID // the new one
}

func (r *returning) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (uuid.UUID, error) {
	r.once.Do(func() {
		_, _ = r.Pseudonyms.Cut(ctx, tenant, person, "somebody else's")
		r.token, _ = r.TokenFor(ctx, tenant, person)
	})
	return r.Pseudonyms.Cut(ctx, tenant, person, reason)
}

func TestWhoeverWasCutInsteadIsRecorded(t *testing.T) {
	t.Parallel()
	people := &returning{}
	o := newOffice(t, func(c *privacy.Config) { people.Pseudonyms = c.Pseudonyms; c.Pseudonyms = people })
	token := o.token(t, "jane")
	_, err := o.Cut(o.ctx, acme, "jane", "request 17")
	require.NoError(t, err)
	records := o.recorded(t, privacy.PseudonymCutAction)
	require.Len(t, records, 2)
	assert.Equal(t, []string{token.String(), people.token.String()}, []string{records[0].Entity().ID, records[1].Entity().ID})
}
