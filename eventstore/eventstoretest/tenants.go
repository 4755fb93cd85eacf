package eventstoretest

import (
	"iter"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// A store bound to a tenant can neither read nor append another's events, and
// an event without a tenant is not visible to it.
func tenants() []clause {
	return []clause{
		{Name: ownEvents, Check: readsItsOwn},
		{Name: othersEvents, Check: refusesOthers},
		{Name: "a store bound to no tenant refuses everything", Check: boundToNone},
		{Name: contextTenant, Check: tenantOfContext},
		{Name: sameIdentity, Check: sameTypeAndID},
	}
}

const (
	ownEvents     = "a bound store reads its tenant's events and nothing else"
	othersEvents  = "a bound store refuses another's streams, queries and appends"
	contextTenant = "a store that requires a tenant takes it from the context"
	sameIdentity  = "streams of two tenants with one type and id are two streams"
)

// severalTenants names the clauses that need more than one tenant.
func severalTenants() []string {
	return []string{ownEvents, othersEvents, contextTenant, sameIdentity, tenantsStayDistinct, noTenantStaysAbsent}
}

// of returns s with streams of another tenant.
func (s subject) of(tenant event.TenantID) subject {
	s.tenant = tenant
	return s
}

func readsItsOwn(t T, s subject) {
	near := []event.TenantID{"acme", "Acme", "acme ", "acm", "acme2", "%", ""}
	for _, tenant := range near {
		s.of(tenant).seed(t, 2)
	}
	for _, tenant := range near[:len(near)-1] {
		bound := eventstore.BindTenant(s.Store, tenant)
		for _, direction := range []eventstore.Direction{eventstore.Forward, eventstore.Backward} {
			for _, query := range []eventstore.Query{{Direction: direction}, {Direction: direction, TenantID: tenant}} {
				events, err := collect(bound.ReadAll(t.Context(), query))
				require.NoError(t, err)
				require.Len(t, events, 2)
				require.Equal(t, []event.TenantID{tenant, tenant}, []event.TenantID{events[0].TenantID, events[1].TenantID})
			}
		}
	}
}

func refusesOthers(t T, s subject) {
	own, foreign, nobodys := s.of("acme").seed(t, 1), s.of("umbrella").seed(t, 1), s.of("").seed(t, 1)
	bound := eventstore.BindTenant(s.Store, "acme")
	for _, stream := range []eventstore.Stream{foreign, nobodys} {
		want := &eventstore.TenantError{Bound: "acme", Given: stream.TenantID}
		requireTenantError(t, bound.ReadStream(t.Context(), stream, eventstore.StreamQuery{}), want)
		s.requireUnchanged(t, func() {
			_, err := bound.Append(t.Context(), to(own, eventstore.Any(), draft()), to(stream, eventstore.Any(), draft()))
			require.Equal(t, want, err)
			_, err = bound.Append(t.Context(), to(stream, eventstore.StreamExists()))
			require.Equal(t, want, err, "asking whether it exists")
		})
	}
	requireTenantError(t, bound.ReadAll(t.Context(), eventstore.Query{TenantID: "umbrella"}), &eventstore.TenantError{Bound: "acme", Given: "umbrella"})
	smuggled := draft()
	smuggled.TenantID = "umbrella"
	_, err := bound.Append(t.Context(), to(own, eventstore.Any(), smuggled))
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	_, err = bound.Append(t.Context(), to(own, eventstore.Exact(1), draft()))
	require.NoError(t, err)
}

func requireTenantError(t T, events iter.Seq2[event.Event, error], want *eventstore.TenantError) {
	t.Helper()
	requireFailsOnce(t, events, eventstore.ErrTenant, want.Error())
	for _, err := range events {
		require.Equal(t, error(want), err)
	}
}

func boundToNone(t T, s subject) {
	own := s.seed(t, 1)
	for name, closed := range map[string]eventstore.Store{
		"bound to none": eventstore.BindTenant(s.Store, ""), "no tenant in the context": eventstore.RequireTenant(s.Store),
	} {
		nobodys := s.of("").stream()
		for _, stream := range []eventstore.Stream{own, nobodys} {
			_, err := closed.Append(t.Context(), to(stream, eventstore.Any(), draft()))
			require.ErrorIs(t, err, eventstore.ErrTenant, name)
			requireFailsOnce(t, closed.ReadStream(t.Context(), stream, eventstore.StreamQuery{}), eventstore.ErrTenant, name)
			requireFailsOnce(t, closed.ReadAll(t.Context(), eventstore.Query{TenantID: stream.TenantID}), eventstore.ErrTenant, name)
		}
	}
	require.Len(t, s.readAll(t, eventstore.Query{}), 1)
}

func tenantOfContext(t T, s subject) {
	store := eventstore.RequireTenant(s.Store)
	acme, umbrella := event.WithTenant(t.Context(), "acme"), event.WithTenant(t.Context(), "umbrella")
	stream := s.of("acme").stream()
	_, err := store.Append(acme, to(stream, eventstore.NoStream(), draft()))
	require.NoError(t, err)
	_, err = store.Append(umbrella, to(stream, eventstore.Any(), draft()))
	require.Equal(t, &eventstore.TenantError{Bound: "umbrella", Given: "acme"}, err)
	requireFailsOnce(t, store.ReadStream(umbrella, stream, eventstore.StreamQuery{}), eventstore.ErrTenant, "stream")
	mine, err := collect(store.ReadAll(acme, eventstore.Query{}))
	require.NoError(t, err)
	require.Len(t, mine, 1)
	theirs, err := collect(store.ReadAll(umbrella, eventstore.Query{}))
	require.NoError(t, err)
	require.Empty(t, theirs)
}

func sameTypeAndID(t T, s subject) {
	id := event.NewID()
	for _, tenant := range []event.TenantID{"acme", "umbrella", ""} {
		stream, e := eventstore.Stream{TenantID: tenant, AggregateType: "Order", AggregateID: id}, draft()
		result := s.append(t, stream, eventstore.NoStream(), e)
		requireStored(t, stream, 0, result, []event.Event{e}, s.read(t, stream))
	}
	require.Len(t, s.readAll(t, eventstore.Query{AggregateID: id}), 3)
}
