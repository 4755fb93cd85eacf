package auth_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

type guarded struct {
	*auth.Repository[TaskRoot]

	log *logbook
	id  uuid.UUID // of alice's task
}

func guard(t *testing.T, store eventstore.Store, change func(*auth.RepositoryConfig[TaskRoot])) guarded {
	t.Helper()
	log := &logbook{}
	config := auth.RepositoryConfig[TaskRoot]{
		Repository: aggregate.NewRepository[TaskRoot](store, tasks), Type: "Task",
		Owner:    func(a *TaskRoot) event.ActorID { return a.State().Owner },
		Recorder: newRecorder(t, log, auth.RecorderConfig{}),
	}
	if change != nil {
		change(&config)
	}
	repo, err := auth.NewRepository(config)
	require.NoError(t, err)
	return guarded{Repository: repo, log: log, id: event.NewID()}
}

func guardedTask(t *testing.T) guarded {
	t.Helper()
	g := guard(t, openStore(t), nil)
	require.NoError(t, g.rename(t, alice, "Plan", true))
	return g
}

// rename changes alice's task, or creates it, as p.
func (g guarded) rename(t *testing.T, p auth.Principal, title string, create bool) error {
	t.Helper()
	ctx := auth.With(t.Context(), p)
	if create {
		return g.Create(ctx, g.id, func(a *TaskRoot) error { return a.Create(ctx, title, p.Subject()) })
	}
	return g.Update(ctx, g.id, func(a *TaskRoot) error { return a.Rename(ctx, title) })
}

func (g guarded) recorded(t *testing.T, p auth.Principal, reason string) {
	t.Helper()
	record := g.log.only(t)
	assert.Equal(t, auth.ActionDenied, record.Action())
	assert.Equal(t, audit.Denied, record.Outcome())
	assert.Equal(t, p.ActorID, record.ActorID())
	assert.Equal(t, p.TenantID, record.TenantID())
	assert.Equal(t, audit.Aggregate("Task", g.id), record.Entity())
	assert.Equal(t, reason, record.Reason())
}

func TestOwnerAndAdminMayAll(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	for _, p := range []auth.Principal{alice, admin, {ActorID: event.Service("bot"), TenantID: "acme", OnBehalfOf: event.User("alice")}} {
		ctx := auth.With(t.Context(), p)
		a, err := g.Load(ctx, g.id)
		require.NoError(t, err)
		require.NoError(t, a.Rename(ctx, "by "+string(p.ActorID)))
		require.NoError(t, g.Save(ctx, a))
		require.NoError(t, g.rename(t, p, "again", false))
	}
	assert.Empty(t, g.log.all())
}

func TestOthersAreDenied(t *testing.T) {
	t.Parallel()
	for name, attempt := range map[string]func(g guarded, p auth.Principal) error{
		"load":   func(g guarded, p auth.Principal) error { _, err := g.Load(auth.With(t.Context(), p), g.id); return err },
		"update": func(g guarded, p auth.Principal) error { return g.rename(t, p, "mine", false) },
		"save": func(g guarded, p auth.Principal) error {
			owner := auth.With(t.Context(), alice)
			a, err := g.Load(owner, g.id)
			require.NoError(t, err)
			ctx := auth.With(t.Context(), p)
			require.NoError(t, a.Create(ctx, "mine", p.ActorID)) // takes it over, in memory
			return g.Save(ctx, a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guardedTask(t)
			err := attempt(g, bob)
			require.ErrorIs(t, err, auth.ErrDenied)
			denied, ok := errors.AsType[*auth.DeniedError](err)
			require.True(t, ok)
			assert.Equal(t, audit.Aggregate("Task", g.id), denied.Entity)
			g.recorded(t, bob, "is neither owner nor administrator")
			a, err := g.Load(auth.With(t.Context(), alice), g.id)
			require.NoError(t, err)
			assert.Equal(t, "Plan", a.State().Title)
		})
	}
}

func TestOwnerWhoActsForSomebodyElseIsNotOwner(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	p := alice
	p.OnBehalfOf = event.User("bob")
	require.ErrorIs(t, g.rename(t, p, "x", false), auth.ErrDenied, "the rights are bob's")
}

func TestAttackAnotherTenantsAggregate(t *testing.T) {
	t.Parallel()
	for name, bind := range map[string]func(eventstore.Store) eventstore.Store{
		"shared store": func(s eventstore.Store) eventstore.Store { return s },
		"bound by ctx": eventstore.RequireTenant,
		"bound store":  func(s eventstore.Store) eventstore.Store { return eventstore.BindTenant(s, "acme") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, bind(openStore(t)), nil)
			require.NoError(t, g.rename(t, alice, "Plan", true))
			a, err := g.Load(auth.With(t.Context(), eve), g.id)
			if name != "bound store" { // that one has no other tenants
				require.ErrorIs(t, err, aggregate.ErrNotFound)
				g.recorded(t, eve, "not found for this tenant")
			}
			require.ErrorIs(t, err, aggregate.ErrNotFound)
			require.NotErrorIs(t, err, auth.ErrDenied, "an administrator of another tenant does not learn that it exists")
			require.NotContains(t, err.Error(), "acme")
			assert.Nil(t, a)
		})
	}
}

func TestAttackContextOfAnotherTenant(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	ctx := event.WithTenant(auth.With(t.Context(), eve), "acme")
	_, err := g.Load(ctx, g.id)
	require.ErrorIs(t, err, auth.ErrDenied)
	g.recorded(t, eve, "the context names another tenant")
}

func TestSaveForAnotherTenantIsNotFound(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	a, err := g.Load(auth.With(t.Context(), alice), g.id)
	require.NoError(t, err)
	require.ErrorIs(t, g.Save(auth.With(t.Context(), eve), a), aggregate.ErrNotFound)
	g.recorded(t, eve, "not found for this tenant")

	bound := guard(t, eventstore.BindTenant(openStore(t), "acme"), nil)
	require.ErrorIs(t, bound.rename(t, eve, "x", true), aggregate.ErrNotFound)
}

func TestNobodyGetsNothing(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	_, err := g.Load(event.WithActor(t.Context(), event.User("alice")), g.id)
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	require.ErrorIs(t, g.Update(t.Context(), g.id, func(*TaskRoot) error { panic("must not be called") }), auth.ErrUnauthenticated)
	require.ErrorIs(t, g.Save(t.Context(), g.New(g.id)), auth.ErrUnauthenticated)
	assert.Len(t, g.log.all(), 3)
	assert.Equal(t, event.Anonymous, g.log.all()[0].ActorID())
}

func TestMaking(t *testing.T) {
	t.Parallel()
	g := guard(t, openStore(t), func(c *auth.RepositoryConfig[TaskRoot]) { c.Create = "task:create" })
	require.ErrorIs(t, g.rename(t, bob, "x", true), auth.ErrDenied)
	ctx := auth.With(t.Context(), alice)
	other := event.NewID()
	require.ErrorIs(t, g.Create(ctx, other, func(a *TaskRoot) error { return a.Create(ctx, "x", event.User("bob")) }), auth.ErrDenied,
		"nobody makes what somebody else then owns")
	assert.Len(t, g.log.all(), 2)
	require.NoError(t, g.rename(t, alice, "Plan", true))
	require.NoError(t, g.Create(ctx, other, func(*TaskRoot) error { return nil }), "nothing made, nothing refused")
	require.ErrorIs(t, g.Create(ctx, other, func(*TaskRoot) error { return errDown }), errDown)

	ctx = auth.With(t.Context(), admin)
	require.NoError(t, g.Create(ctx, other, func(a *TaskRoot) error { return a.Create(ctx, "x", event.User("bob")) }))
}

func TestMakingWhatIsThere(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	err := g.rename(t, alice, "again", true)
	require.ErrorIs(t, err, eventstore.ErrConflict)
	require.ErrorIs(t, g.rename(t, bob, "again", true), eventstore.ErrConflict)
	assert.Empty(t, g.log.all())
}

// An id that nobody knows is never taken for a new aggregate.
func TestUpdatingWhatIsNotThere(t *testing.T) {
	t.Parallel()
	g := guard(t, openStore(t), nil)
	for _, p := range []auth.Principal{alice, admin} {
		ctx := auth.With(t.Context(), p)
		require.ErrorIs(t, g.Update(ctx, g.id, func(*TaskRoot) error { panic("must not be called") }), aggregate.ErrNotFound)
	}
	require.Len(t, g.log.all(), 2)
	assert.Equal(t, "not found for this tenant", g.log.all()[0].Reason())
}

func TestARuleOfOnesOwn(t *testing.T) {
	t.Parallel()
	g := guard(t, openStore(t), func(c *auth.RepositoryConfig[TaskRoot]) {
		c.Owner = nil
		c.May = func(p auth.Principal, a *TaskRoot) bool {
			return p.ActorID == event.User("bob") || a.State().Title == "Open"
		}
	})
	require.ErrorIs(t, g.rename(t, alice, "Plan", true), auth.ErrDenied)
	g.recorded(t, alice, "is none of those who may")
	require.NoError(t, g.rename(t, bob, "Plan", true))
	_, err := g.Load(auth.With(t.Context(), admin), g.id)
	require.ErrorIs(t, err, auth.ErrDenied, "the rule is all there is")
	require.NoError(t, g.rename(t, bob, "Open", false))
	_, err = g.Load(auth.With(t.Context(), alice), g.id)
	require.NoError(t, err)
	_, err = g.Load(auth.With(t.Context(), eve), g.id)
	require.ErrorIs(t, err, aggregate.ErrNotFound, "of another tenant, whatever the rule says")

	g = guard(t, openStore(t), func(c *auth.RepositoryConfig[TaskRoot]) { c.May = auth.AnyoneOfTenant[TaskRoot] })
	require.NoError(t, g.rename(t, alice, "Plan", true))
	require.NoError(t, g.rename(t, bob, "Plans", false))
}

func TestMakingWithSave(t *testing.T) {
	t.Parallel()
	g := guard(t, openStore(t), func(c *auth.RepositoryConfig[TaskRoot]) { c.Create = "task:create" })
	for p, allowed := range map[event.ActorID]bool{"user:alice": true, "user:bob": false} {
		principal := map[event.ActorID]auth.Principal{"user:alice": alice, "user:bob": bob}[p]
		ctx := auth.With(t.Context(), principal)
		a := g.New(event.NewID())
		require.NoError(t, a.Create(ctx, "x", p))
		err := g.Save(ctx, a)
		if allowed {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, auth.ErrDenied)
		}
	}
}

func TestGuardFailsClosed(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	g.log.setDown(true)
	a, err := g.Load(auth.With(t.Context(), bob), g.id)
	require.ErrorIs(t, err, auth.ErrNotRecorded)
	require.ErrorIs(t, err, auth.ErrDenied)
	assert.Nil(t, a)
	_, err = g.Load(auth.With(t.Context(), eve), g.id)
	require.ErrorIs(t, err, auth.ErrNotRecorded)
	require.ErrorIs(t, g.rename(t, bob, "x", false), auth.ErrNotRecorded)
	_, err = g.Load(auth.With(t.Context(), alice), g.id)
	require.NoError(t, err, "who may is not hindered")
}

func TestStoreErrorsAreHandedOn(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	g := guard(t, store, nil)
	require.NoError(t, g.rename(t, alice, "Plan", true))
	ctx := auth.With(t.Context(), alice)
	a, err := g.Load(ctx, g.id)
	require.NoError(t, err)
	require.NoError(t, a.Rename(ctx, "x"))
	require.NoError(t, store.Close())
	_, err = g.Load(ctx, g.id)
	require.ErrorIs(t, err, eventstore.ErrClosed)
	require.ErrorIs(t, g.Save(ctx, a), eventstore.ErrClosed)
	assert.Empty(t, g.log.all())
}

func TestRepositoryRefuses(t *testing.T) {
	t.Parallel()
	g := guardedTask(t)
	ctx := auth.With(t.Context(), alice)
	require.ErrorContains(t, g.Save(ctx, nil), "aggregate")
	require.ErrorContains(t, g.Update(ctx, g.id, nil), "decide")

	repo := aggregate.NewRepository[TaskRoot](openStore(t), tasks)
	owner := func(*TaskRoot) event.ActorID { return "" }
	recorder := newRecorder(t, &logbook{}, auth.RecorderConfig{})
	for field, config := range map[string]auth.RepositoryConfig[TaskRoot]{
		"repository": {Type: "Task", Owner: owner, Recorder: recorder},
		"owner":      {Repository: repo, Type: "Task", Recorder: recorder},
		"recorder":   {Repository: repo, Type: "Task", Owner: owner},
		"type":       {Repository: repo, Owner: owner, Recorder: recorder},
	} {
		_, err := auth.NewRepository(config)
		require.ErrorContains(t, err, field)
	}
	_, err := auth.NewRepository(auth.RepositoryConfig[int]{
		Repository: new(aggregate.Repository[int]), Type: "Task", Owner: func(*int) event.ActorID { return "" }, Recorder: recorder,
	})
	require.ErrorContains(t, err, "AggregateRoot")
}

// Whoever belongs to no tenant does not get the one that a store is bound to.
func TestAttackNoTenantOnABoundStore(t *testing.T) {
	t.Parallel()
	root := auth.Principal{ActorID: event.User("root"), Roles: []string{auth.RoleAdmin}}
	for name, attempt := range map[string]func(g guarded) error{
		"load":   func(g guarded) error { _, err := g.Load(auth.With(t.Context(), root), g.id); return err },
		"update": func(g guarded) error { return g.rename(t, root, "mine", false) },
		"save": func(g guarded) error {
			a, err := g.Load(auth.With(t.Context(), alice), g.id)
			require.NoError(t, err)
			require.NoError(t, a.Rename(auth.With(t.Context(), alice), "mine"))
			return g.Save(auth.With(t.Context(), root), a)
		},
		"make": func(g guarded) error {
			g.id = event.NewID()
			return g.rename(t, root, "new", true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, eventstore.BindTenant(openStore(t), "acme"), nil)
			require.NoError(t, g.rename(t, alice, "Plan", true))
			require.ErrorIs(t, attempt(g), aggregate.ErrNotFound)
			assert.Equal(t, "not found for this tenant", g.log.only(t).Reason())
			a, err := g.Load(auth.With(t.Context(), alice), g.id)
			require.NoError(t, err)
			assert.Equal(t, "Plan", a.State().Title)
		})
	}
}
