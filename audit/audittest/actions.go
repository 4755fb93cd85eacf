package audittest

import (
	"context"
	"math"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

func typed(name string) func(*event.Event) { return func(e *event.Event) { e.Type = name } }

// named returns the actions of uses.
func named(uses []audit.ActionUse) []string {
	actions := []string{}
	for _, use := range uses {
		actions = append(actions, use.Action)
	}
	return actions
}

func actionsInUse(t promisetest.T, h LogHarness) {
	assert.Empty(t, all(t, h.reader().Actions(t.Context(), audit.Page{})))
	h.apply(t, at(1), at(2, typed("Archived")), at(4, typed("Ticked"), occurred(start)), at(5), at(6, explicit(audit.Failure)))
	h.apply(t, at(3, typed("Ticked"))) // late
	assert.Equal(t, []audit.ActionUse{
		{Action: "task.close", Last: 6, LastAt: at(6).OccurredAt},
		{Action: "document.created", Last: 5, LastAt: at(5).OccurredAt},
		{Action: "document.ticked", Last: 4, LastAt: start},
		{Action: "document.archived", Last: 2, LastAt: at(2).OccurredAt},
	}, all(t, h.reader().Actions(t.Context(), audit.Page{})))
	h.reset(t)
	assert.Empty(t, all(t, h.reader().Actions(t.Context(), audit.Page{})))
}

// actionBounds has the actions a, b, c, a, d, in this order.
func actionBounds(t promisetest.T, h LogHarness) {
	h.apply(t, at(1, typed("A")), at(2, typed("B")), at(3, typed("C")), at(4, typed("A")), at(5, typed("D")))
	find := func(p audit.Page) []string {
		return named(all(t, h.Home.FindActions(t.Context(), audit.ActionQuery{Page: p})))
	}
	assert.Equal(t, []string{"document.d", "document.a", "document.c", "document.b"}, find(audit.Page{}))
	assert.Equal(t, []string{"document.d", "document.a"}, find(audit.Page{Limit: 2}))
	assert.Equal(t, []string{"document.b", "document.c"}, find(audit.Page{Limit: 2, OldestFirst: true}))
	assert.Equal(t, []string{"document.c", "document.b"}, find(audit.Page{After: 1, Before: 4}))
	assert.Empty(t, find(audit.Page{After: math.MaxUint64}))
	assert.Empty(t, find(audit.Page{Before: 1}))
	asOf := all(t, h.reader().AsOf(3).Actions(t.Context(), audit.Page{}))
	require.Len(t, asOf, 3)
	assert.Equal(t, audit.ActionUse{Action: "document.a", Last: 1, LastAt: at(1).OccurredAt}, asOf[2])
}

func actionsOfMany(t promisetest.T, h LogHarness) {
	events := mixed(60)
	h.apply(t, events...)
	records := given(derived(t, events))
	for _, query := range []audit.ActionQuery{{}, {TenantID: "acme"}, {Page: audit.Page{After: 20, Before: 90, OldestFirst: true}}, {Page: audit.Page{Limit: 1}}} {
		matching := func(yield func(audit.ActivityRecord, error) bool) {
			for _, record := range records {
				if (audit.Query{Page: query.Page, TenantID: query.TenantID}).Matches(record) && !yield(record, nil) {
					return
				}
			}
		}
		want := all(t, audit.GroupActions(matching, query.Page))
		require.NotEmpty(t, want)
		require.Equal(t, want, all(t, h.Home.FindActions(t.Context(), query)), "%+v", query)
	}
}

func actionsOfTenants(t promisetest.T, h LogHarness) {
	h.apply(t, at(1), at(2, of("acme")), at(3, of("Acme"), typed("Archived")), at(4, of("acme"), typed("Ticked")), at(5, typed("Ticked")))
	r, ctx := h.reader(), t.Context()
	acme := []audit.ActionUse{
		{Action: "document.ticked", Last: 4, LastAt: at(4).OccurredAt},
		{Action: "document.created", Last: 2, LastAt: at(2).OccurredAt},
	}
	assert.Equal(t, acme, all(t, h.Home.FindActions(ctx, audit.ActionQuery{TenantID: "acme"})))
	assert.Equal(t, acme, all(t, r.ForTenant("acme").Actions(ctx, audit.Page{})))
	assert.Equal(t, acme, all(t, r.RequireTenant().Actions(event.WithTenant(ctx, "acme"), audit.Page{})))
	assert.Equal(t, acme[1:], all(t, r.ForTenant("acme").AsOf(3).Actions(ctx, audit.Page{})))
	assert.Empty(t, all(t, r.ForTenant("none").Actions(ctx, audit.Page{})))
	for _, bound := range []audit.Reader{r.ForTenant(""), r.RequireTenant(), r.ForTenant("acme").ForTenant("other")} {
		require.ErrorIs(t, onlyError(t, bound.Actions(ctx, audit.Page{})), eventstore.ErrTenant)
	}
	require.ErrorIs(t, onlyError(t, r.ForTenant("acme").FindActions(ctx, audit.ActionQuery{TenantID: "other"})), eventstore.ErrTenant)
}

func actionsRefused(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 3)...)
	for _, query := range []audit.ActionQuery{{Page: audit.Page{Limit: -1}}, {TenantID: "a\x00b"}} {
		require.ErrorIs(t, onlyError(t, h.Home.FindActions(t.Context(), query)), audit.ErrInvalid)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, onlyError(t, h.Home.FindActions(ended, audit.ActionQuery{})), context.Canceled)
	for range 100 { // more often than a home can have connections
		for _, err := range h.Home.FindActions(t.Context(), audit.ActionQuery{}) {
			require.NoError(t, err)
			break
		}
	}
	h.apply(t, at(4))
}
