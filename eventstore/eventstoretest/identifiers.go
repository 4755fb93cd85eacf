package eventstoretest

import (
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Types, tenants and actors that differ by case, trailing space or Unicode
// form stay distinct; NUL, invalid UTF-8 and over-long names are refused before
// anything is stored.
func identifiers() []clause {
	return []clause{
		{Name: "aggregate types that are nearly equal stay distinct", Check: distinctAggregateTypes},
		{Name: "event types that are nearly equal stay distinct", Check: distinctEventTypes},
		{Name: "actors that are nearly equal stay distinct", Check: distinctActors},
		{Name: tenantsStayDistinct, Check: distinctTenants},
		{Name: "what is refused is refused before anything is stored", Check: refusedNames},
		{Name: "a name of the greatest length is taken", Check: longestNames},
	}
}

const tenantsStayDistinct = "tenants that are nearly equal stay distinct"

// nearlyEqual returns names that a careless store takes for each other, or for
// a pattern.
func nearlyEqual() []string {
	return []string{
		"Order", "order", "ORDER", "Order ", "Order  ", " Order", "Orders", "Or der",
		"Caf\u00e9", "Cafe\u0301", "CAF\u00c9", "Cafe", "Stra\u00dfe", "Strasse", "\u212a", "K", "k", "\u0130", "I", "i", "\u0131",
		"Or*er", "Or.er", "Or>er", "Or%er", "Or_er", "Or/er", `Or\er`, "Or?er", "Or[d]er", "Or:er", "Or,er", "Or-er", "Or|er", "Or#er", "Or$er", "Or@er", "Or~er",
		"*", ">", ".", "..", "%", "_", "/", `\`, "'", `"`, "`", "''", "Order'; --", "$1", "?1", "null", "NULL", "0", "00", "true",
		"\u65e5\u672c", "\U0001f98a", "\u200bOrder", "Order\u200b", "\u00a0Order", "\ufeffOrder",
	}
}

func distinctAggregateTypes(t T, s subject) {
	id := event.NewID()
	want := make(map[string]uuid.UUID)
	for _, name := range nearlyEqual() {
		e := draft()
		want[name] = e.ID
		s.append(t, eventstore.Stream{TenantID: s.tenant, AggregateType: name, AggregateID: id}, eventstore.NoStream(), e)
	}
	for name, only := range want {
		stored := s.read(t, eventstore.Stream{TenantID: s.tenant, AggregateType: name, AggregateID: id})
		s.requireOnly(t, only, name, stored)
		require.Equal(t, name, stored[0].AggregateType)
		s.requireOnly(t, only, name, s.readAll(t, eventstore.Query{AggregateTypes: []string{name}}))
	}
}

func distinctEventTypes(t T, s subject) {
	want := make(map[string]uuid.UUID)
	for _, name := range nearlyEqual() {
		e := draft()
		e.Type, want[name] = name, e.ID
		s.append(t, s.stream(), eventstore.NoStream(), e)
	}
	for name, only := range want {
		stored := s.readAll(t, eventstore.Query{Types: []string{name}})
		s.requireOnly(t, only, name, stored)
		require.Equal(t, name, stored[0].Type)
	}
}

func distinctActors(t T, s subject) {
	want := make(map[event.ActorID]uuid.UUID)
	for _, name := range nearlyEqual() {
		e := draft()
		e.ActorID = event.User(name)
		want[e.ActorID] = e.ID
		s.append(t, s.stream(), eventstore.NoStream(), e)
	}
	for actor, only := range want {
		stored := s.readAll(t, eventstore.Query{ActorID: actor})
		s.requireOnly(t, only, string(actor), stored)
		require.Equal(t, actor, stored[0].ActorID)
	}
}

func distinctTenants(t T, s subject) {
	id := event.NewID()
	want := make(map[event.TenantID]uuid.UUID)
	for _, name := range nearlyEqual() {
		e, tenant := draft(), event.TenantID(name)
		want[tenant] = e.ID
		s.append(t, eventstore.Stream{TenantID: tenant, AggregateType: "Order", AggregateID: id}, eventstore.NoStream(), e)
	}
	for tenant, only := range want {
		stored := s.read(t, eventstore.Stream{TenantID: tenant, AggregateType: "Order", AggregateID: id})
		s.requireOnly(t, only, string(tenant), stored)
		require.Equal(t, tenant, stored[0].TenantID)
		s.requireOnly(t, only, string(tenant), s.readAll(t, eventstore.Query{TenantID: tenant}))
	}
	require.Empty(t, s.read(t, eventstore.Stream{AggregateType: "Order", AggregateID: id}), "the stream of no tenant")
}

func (subject) requireOnly(t T, only uuid.UUID, name string, events []event.Event) {
	t.Helper()
	require.Equal(t, []uuid.UUID{only}, idsOf(events), "%q", name)
}

func refusedNames(t T, s subject) {
	for name, bad := range map[string]string{
		"NUL": "Or\x00er", "NUL at the end": "Order\x00", "newline": "Or\nder", "escape": "\x1b[31m", "delete": "\x7f",
		"invalid UTF-8": "Or\xffer", "half a rune": "Caf\xc3", "surrogate": "\xed\xa0\x80",
	} {
		s.requireRefused(t, name, bad, eventstore.ErrInvalid)
	}
	s.requireRefused(t, "over-long", strings.Repeat("n", event.MaxActorBytes+1), eventstore.ErrTooLarge)
	s.requireRefused(t, "over-long in bytes", strings.Repeat("\u00e9", event.MaxActorBytes/2+1), eventstore.ErrTooLarge)
}

// requireRefused requires that bad is refused wherever a name stands.
func (s subject) requireRefused(t T, name, bad string, want error) {
	t.Helper()
	for field, spoil := range map[string]func(a *eventstore.Append){
		"event_type":     func(a *eventstore.Append) { a.Events[1].Type = bad },
		"aggregate_type": func(a *eventstore.Append) { a.Stream.AggregateType = bad },
		"actor_id":       func(a *eventstore.Append) { a.Events[1].ActorID = event.User(bad) },
		"tenant_id":      func(a *eventstore.Append) { a.Stream.TenantID = event.TenantID(bad) },
	} {
		if field == "tenant_id" && s.bound {
			continue // it refuses another tenant before it looks at the name
		}
		s.requireUnchanged(t, func() {
			a := to(s.stream(), eventstore.Any(), drafts(2)...)
			spoil(&a)
			_, err := s.Append(t.Context(), a)
			require.ErrorIs(t, err, want, "%s in %s", name, field)
			require.Equal(t, field, fieldOf(err), name)
		})
	}
}

// fieldOf returns the field that an error names.
func fieldOf(err error) string {
	if invalid, ok := errors.AsType[*event.InvalidError](err); ok {
		return invalid.Field
	}
	if tooLarge, ok := errors.AsType[*event.TooLargeError](err); ok {
		return tooLarge.Field
	}
	return ""
}

func longestNames(t T, s subject) {
	for _, letter := range []string{"n", "\u00e9", "\U0001f98a"} {
		longest := strings.Repeat(letter, event.MaxNameBytes/len(letter))
		stream, e := s.stream(), draft()
		stream.AggregateType, e.Type = longest, longest
		e.ActorID = event.User(strings.Repeat(letter, (event.MaxActorBytes-len("user:"))/len(letter)))
		result := s.append(t, stream, eventstore.NoStream(), e)
		requireStored(t, stream, 0, result, []event.Event{e}, s.read(t, stream))
		requireStored(t, stream, 0, result, []event.Event{e}, s.readAll(t, eventstore.Query{
			AggregateTypes: []string{longest}, Types: []string{longest}, ActorID: e.ActorID,
		}))
	}
}
