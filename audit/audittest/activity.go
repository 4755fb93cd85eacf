package audittest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

func everyActivityField(t promisetest.T, h ActivityHarness) {
	e := full(1 << 40)
	h.apply(t, e)
	found := all(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{}))
	assert.Equal(t, []audit.Activity{audit.ActivityOf(e)}, found)
}

func anonymousFeed(t promisetest.T, h ActivityHarness) {
	h.apply(t, at(1, by("")), at(2, by(event.Anonymous)), at(3, by("system:cleanup")))
	assert.Equal(t, []uint64{2, 1}, entries(t, h.reader().ByActor(t.Context(), event.Anonymous, audit.Page{})))
	assert.Equal(t, []uint64{3}, entries(t, h.reader().ByActor(t.Context(), "system:cleanup", audit.Page{})))
}

func explicitEntry(t promisetest.T, h ActivityHarness) {
	e := at(1, by("user:bob"), explicit(audit.Success))
	h.apply(t, e)
	found := all(t, h.reader().ByActor(t.Context(), "user:bob", audit.Page{}))
	assert.Equal(t, []audit.Activity{audit.ActivityOf(e)}, found)
	require.Len(t, found, 1)
	assert.Equal(t, "task.close", found[0].Action)
	assert.Equal(t, audit.EntityRef{Type: "Task", ID: "task/5", Version: 3}, found[0].Entity)
}

func activityAppliedAgain(t promisetest.T, h ActivityHarness) {
	events := mixed(40)
	h.apply(t, events...)
	before := all(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{}))
	require.Len(t, before, 40)
	h.apply(t, events[10:30]...)
	h.apply(t, events...)
	assert.Equal(t, before, all(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{})))
}

func anotherActivity(t promisetest.T, h ActivityHarness) {
	h.apply(t, run(1, 3)...)
	err := apply(t.Context(), h.Home, h.Begin, run(2, 2, by("user:mallory")))
	require.ErrorIs(t, err, audit.ErrImmutable)
	assert.Equal(t, []uint64{3, 2, 1}, entries(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{})))
}

func activityOrder(t promisetest.T, h ActivityHarness) {
	back := func(e *event.Event) { e.OccurredAt = start.Add(-time.Duration(e.Position) * time.Hour) }
	h.apply(t, at(1, back), at(2, back), at(5, back))
	h.apply(t, at(4, back), at(3, back))
	assert.Equal(t, down(5, 1), entries(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{})))
	assert.Equal(t, up(1, 5), entries(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{OldestFirst: true})))
}

func nearEqualActors(t promisetest.T, h ActivityHarness) {
	near := []event.ActorID{"user:Émile", "user:émile", "user:E\u0301mile", "user:Émile ", "user: Émile", "user:Émile%"}
	for i, actor := range near {
		h.apply(t, at(uint64(i+1), by(actor)))
	}
	for i, actor := range near {
		assert.Equal(t, []uint64{uint64(i + 1)}, entries(t, h.reader().ByActor(t.Context(), actor, audit.Page{})), actor)
	}
	assert.Len(t, all(t, h.reader().ActiveSince(t.Context(), time.Time{})), len(near))
}

func activityConditions(t promisetest.T, h ActivityHarness) {
	events := mixed(60)
	h.apply(t, events...)
	for _, query := range []audit.ActivityQuery{
		{},
		{TenantID: "acme"},
		{ActorID: "user:alice"},
		{OccurredFrom: start},
		{OccurredUntil: start},
		{ActorID: event.Anonymous, TenantID: "Acme"},
		{Page: audit.Page{Before: 90, After: 30}},
		{ActorID: "user:bob", TenantID: "acme", OccurredFrom: start, OccurredUntil: start.Add(2 * time.Hour), Page: audit.Page{After: 9}},
	} {
		want := []uint64{}
		for _, e := range slices.Backward(events) {
			if a := audit.ActivityOf(e); query.Matches(a) {
				want = append(want, a.Position)
			}
		}
		require.Equal(t, want, entries(t, h.Home.FindActivities(t.Context(), query)), "%+v", query)
	}
}

func refusedActivityQueries(t promisetest.T, h ActivityHarness) {
	h.apply(t, at(1))
	for _, query := range []audit.ActivityQuery{{Page: audit.Page{Limit: -1}}, {ActorID: "usr:alice"}, {TenantID: "a\x00b"}} {
		require.ErrorIs(t, onlyError(t, h.Home.FindActivities(t.Context(), query)), audit.ErrInvalid)
		require.ErrorIs(t, onlyError(t, h.Home.FindActors(t.Context(), query)), audit.ErrInvalid)
	}
	require.ErrorIs(t, onlyError(t, h.reader().ByActor(t.Context(), "", audit.Page{})), audit.ErrInvalid)
}

func feedIsFifty(t promisetest.T, h ActivityHarness) {
	h.apply(t, run(1, 70)...)
	assert.Equal(t, down(70, 21), entries(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{})))
	assert.Equal(t, down(70, 61), entries(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{Limit: 10})))
	assert.Equal(t, down(70, 1), entries(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{Limit: 1000})))
	assert.Equal(t, down(70, 1), entries(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{})))
}

func activityPaging(t promisetest.T, h ActivityHarness) {
	h.apply(t, run(1, 21)...)
	last, page, seen := uint64(21), audit.Page{Limit: 2}, []uint64{}
	for range 30 { // eleven pages and an empty one are enough
		found := entries(t, h.reader().ByActor(t.Context(), "user:alice", page))
		if len(found) == 0 {
			break
		}
		seen = append(seen, found...)
		page.Before = found[len(found)-1]
		h.apply(t, run(last+1, last+3)...)
		last += 3
	}
	assert.Equal(t, down(21, 1), seen)
}

func activitySequenceEnds(t promisetest.T, h ActivityHarness) {
	h.apply(t, run(1, 1200)...)
	seen := uint64(0)
	for activity, err := range h.Home.FindActivities(t.Context(), audit.ActivityQuery{Page: audit.Page{OldestFirst: true}}) {
		require.NoError(t, err)
		if seen == 0 {
			h.apply(t, run(1201, 1300)...)
		}
		seen++
		require.Equal(t, seen, activity.Position)
	}
	assert.EqualValues(t, 1200, seen)
}

func activeSince(t promisetest.T, h ActivityHarness) {
	noon := start.Add(2 * time.Hour)
	h.apply(t,
		at(1, by("user:alice"), occurred(noon.Add(time.Hour))),
		at(2, by("user:bob"), occurred(noon.Add(-time.Microsecond))),
		at(3, by(""), occurred(noon)),
		at(4, by("user:alice"), occurred(noon.Add(time.Minute))),
		at(5, by("user:carol"), occurred(noon.Add(3*time.Hour))),
		at(6, by("user:alice"), occurred(noon.Add(-time.Hour))))
	assert.Equal(t, []audit.ActiveActor{
		{ActorID: "user:carol", Count: 1, Last: 5, LastAt: noon.Add(3 * time.Hour)},
		{ActorID: "user:alice", Count: 2, Last: 4, LastAt: noon.Add(time.Minute)},
		{ActorID: event.Anonymous, Count: 1, Last: 3, LastAt: noon},
	}, all(t, h.reader().ActiveSince(t.Context(), noon.In(time.FixedZone("elsewhere", -7*3600)))))
	assert.Empty(t, all(t, h.reader().ActiveSince(t.Context(), noon.Add(24*time.Hour))))
	assert.Len(t, all(t, h.reader().ActiveSince(t.Context(), time.Time{})), 4)
}

func activeBounds(t promisetest.T, h ActivityHarness) {
	h.apply(t, at(1, by("user:a")), at(2, by("user:b")), at(3, by("user:c")), at(4, by("user:a")), at(5, by("user:d")))
	find := func(q audit.ActivityQuery) []event.ActorID {
		var actors []event.ActorID
		for _, actor := range all(t, h.Home.FindActors(t.Context(), q)) {
			actors = append(actors, actor.ActorID)
		}
		return actors
	}
	assert.Equal(t, []event.ActorID{"user:d", "user:a", "user:c", "user:b"}, find(audit.ActivityQuery{}))
	assert.Equal(t, []event.ActorID{"user:d", "user:a"}, find(audit.ActivityQuery{Page: audit.Page{Limit: 2}}))
	assert.Equal(t, []event.ActorID{"user:b", "user:c"}, find(audit.ActivityQuery{Page: audit.Page{Limit: 2, OldestFirst: true}}))
	assert.Equal(t, []event.ActorID{"user:c", "user:b"}, find(audit.ActivityQuery{Page: audit.Page{After: 1, Before: 4}}))
	assert.Equal(t, []event.ActorID{"user:a"}, find(audit.ActivityQuery{ActorID: "user:a"}))
	asOf := all(t, h.reader().AsOf(3).FindActors(t.Context(), audit.ActivityQuery{}))
	require.Len(t, asOf, 3)
	assert.Equal(t, audit.ActiveActor{ActorID: "user:a", Count: 1, Last: 1, LastAt: at(1).OccurredAt}, asOf[2])
}

func activityBreak(t promisetest.T, h ActivityHarness) {
	h.apply(t, mixed(50)...)
	for range 100 {
		for _, err := range h.Home.FindActivities(t.Context(), audit.ActivityQuery{}) {
			require.NoError(t, err)
			break
		}
		for _, err := range h.Home.FindActors(t.Context(), audit.ActivityQuery{}) {
			require.NoError(t, err)
			break
		}
	}
	h.apply(t, at(1))
}

func activityEndedContext(t promisetest.T, h ActivityHarness) {
	h.apply(t, run(1, 10)...)
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, onlyError(t, h.Home.FindActivities(ended, audit.ActivityQuery{})), context.Canceled)
	require.ErrorIs(t, onlyError(t, h.Home.FindActors(ended, audit.ActivityQuery{})), context.Canceled)
	require.Error(t, apply(ended, h.Home, h.Begin, run(11, 11)))
}

func activityReplay(t promisetest.T, h ActivityHarness) {
	events := append(mixed(60), full(1000))
	h.apply(t, events...)
	before := all(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{}))
	require.Len(t, before, len(events))
	h.reset(t)
	assert.Empty(t, all(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{})))
	assert.Empty(t, all(t, h.Home.FindActors(t.Context(), audit.ActivityQuery{})))
	for _, e := range events {
		h.apply(t, e)
	}
	assert.Equal(t, before, all(t, h.Home.FindActivities(t.Context(), audit.ActivityQuery{})))
}

func activityTenants(t promisetest.T, h ActivityHarness) {
	h.apply(t, at(1), at(2, of("acme")), at(3, of("Acme")), at(4, of("acme")))
	acme := h.reader().ForTenant("acme")
	assert.Equal(t, []uint64{4, 2}, entries(t, acme.ByActor(t.Context(), "user:alice", audit.Page{})))
	assert.Equal(t, []uint64{4, 2}, entries(t, h.reader().RequireTenant().ByActor(event.WithTenant(t.Context(), "acme"), "user:alice", audit.Page{})))
	actors := all(t, acme.ActiveSince(t.Context(), time.Time{}))
	assert.Equal(t, []audit.ActiveActor{{TenantID: "acme", ActorID: "user:alice", Count: 2, Last: 4, LastAt: at(4).OccurredAt}}, actors)
	everybody := all(t, h.reader().ActiveSince(t.Context(), time.Time{}))
	require.Len(t, everybody, 3, "equal actor ids of two tenants are two actors")
}

func activityFailsClosed(t promisetest.T, h ActivityHarness) {
	h.apply(t, at(1), at(2, of("acme")), at(3, of("other")))
	r, ctx := h.reader(), t.Context()
	for _, bound := range []audit.ActivityReader{r.ForTenant(""), r.RequireTenant(), r.ForTenant("acme").ForTenant("other")} {
		require.ErrorIs(t, onlyError(t, bound.ByActor(ctx, "user:alice", audit.Page{})), eventstore.ErrTenant)
		require.ErrorIs(t, onlyError(t, bound.ActiveSince(ctx, start)), eventstore.ErrTenant)
	}
	require.ErrorIs(t, onlyError(t, r.ForTenant("acme").FindActivities(ctx, audit.ActivityQuery{TenantID: "other"})), eventstore.ErrTenant)
}
