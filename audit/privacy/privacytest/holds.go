package privacytest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

var law = event.User("law")

func place(t promisetest.T, s Store, scope privacy.Scope) privacy.Hold {
	t.Helper()
	hold, err := s.Holds.Place(t.Context(), privacy.Hold{Scope: scope, Reason: "case 4", PlacedBy: law})
	require.NoError(t, err)
	require.NotEqual(t, uuid.Nil, hold.ID)
	return hold
}

func release(t promisetest.T, s Store, hold privacy.Hold) privacy.Hold {
	t.Helper()
	released, err := s.Holds.Release(t.Context(), hold.Scope.TenantID, hold.ID, law, "case 4 is closed")
	require.NoError(t, err)
	return released
}

func listHolds(t promisetest.T, s Store, query privacy.HoldQuery) (holds []privacy.Hold) {
	t.Helper()
	for hold, err := range s.Holds.List(t.Context(), query) {
		require.NoError(t, err)
		holds = append(holds, hold)
	}
	return holds
}

func placedAndReleased(t promisetest.T, h harness) {
	for _, scope := range []privacy.Scope{
		{TenantID: acme, Person: uuid.New()},
		{TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "17"}},
		{TenantID: acme},
		{},
	} {
		hold := place(t, h.Store, scope)
		assert.Equal(t, privacy.Hold{ID: hold.ID, Scope: scope, Reason: "case 4", PlacedBy: law, PlacedAt: h.clock.Now()}, hold)
		assert.Equal(t, []privacy.Hold{hold}, listHolds(t, h.Store, privacy.HoldQuery{Active: true}))
		assert.False(t, release(t, h.Store, hold).IsActive())
		assert.Empty(t, listHolds(t, h.Store, privacy.HoldQuery{Active: true}))
	}
}

func holdOverRestarts(t promisetest.T, h harness) {
	if h.Reopen == nil {
		t.Log("what the store keeps ends with it")
		return
	}
	hold := place(t, h.Store, privacy.Scope{TenantID: acme})
	assert.Equal(t, []privacy.Hold{hold}, listHolds(t, h.Reopen(), privacy.HoldQuery{Active: true}))
}

func placedAgain(t promisetest.T, h harness) {
	given := privacy.Hold{ID: uuid.New(), Scope: privacy.Scope{TenantID: acme, Person: uuid.New()}, Reason: "case 4", PlacedBy: law}
	first, err := h.Holds.Place(t.Context(), given)
	require.NoError(t, err)
	h.clock.advance(time.Hour)
	second, err := h.Holds.Place(t.Context(), given)
	require.NoError(t, err)
	assert.Equal(t, first, second)
	assert.Len(t, listHolds(t, h.Store, privacy.HoldQuery{}), 1)

	for _, change := range []func(h *privacy.Hold){
		func(h *privacy.Hold) { h.Reason = "case 5" },
		func(h *privacy.Hold) { h.PlacedBy = event.User("joe") },
		func(h *privacy.Hold) { h.Scope.Person = uuid.New() },
		func(h *privacy.Hold) { h.Scope.TenantID = "other" },
	} {
		other := given
		change(&other)
		_, err := h.Holds.Place(t.Context(), other)
		var invalid *event.InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, "hold_id", invalid.Field)
	}
	assert.Equal(t, []privacy.Hold{first}, listHolds(t, h.Store, privacy.HoldQuery{}))
}

func racingPlaces(t promisetest.T, h harness) {
	given := privacy.Hold{ID: uuid.New(), Scope: privacy.Scope{TenantID: acme}, Reason: "case 4", PlacedBy: law}
	placed := make([]privacy.Hold, 6)
	for _, err := range promisetest.Race(len(placed), func(i int) (err error) {
		placed[i], err = h.Holds.Place(t.Context(), given)
		return err
	}) {
		require.NoError(t, err)
	}
	for _, hold := range placed {
		assert.Equal(t, placed[0], hold)
	}
	assert.Len(t, listHolds(t, h.Store, privacy.HoldQuery{}), 1)
}

func releasedOnce(t promisetest.T, h harness) {
	scope := privacy.Scope{TenantID: acme, Person: uuid.New()}
	first, second := place(t, h.Store, scope), place(t, h.Store, scope)
	released := release(t, h.Store, first)
	h.clock.advance(time.Hour)
	again, err := h.Holds.Release(t.Context(), acme, first.ID, event.User("joe"), "once more")
	require.NoError(t, err)
	assert.Equal(t, released, again)
	assert.Equal(t, []privacy.Hold{second}, listHolds(t, h.Store, privacy.HoldQuery{Active: true}))
	_, err = h.Holds.Release(t.Context(), acme, uuid.New(), law, "none")
	require.ErrorIs(t, err, privacy.ErrUnknown)
}

func racingReleases(t promisetest.T, h harness) {
	hold := place(t, h.Store, privacy.Scope{TenantID: acme})
	released := make([]privacy.Hold, 6)
	for _, err := range promisetest.Race(len(released), func(i int) (err error) {
		released[i], err = h.Holds.Release(t.Context(), acme, hold.ID, law, fmt.Sprint("reason ", i))
		return err
	}) {
		require.NoError(t, err)
	}
	for _, hold := range released {
		assert.Equal(t, released[0], hold, "the first counts")
	}
}

func releasedStays(t promisetest.T, h harness) {
	hold := place(t, h.Store, privacy.Scope{TenantID: acme})
	h.clock.advance(time.Hour)
	want := hold
	want.ReleasedAt, want.ReleasedBy, want.ReleaseReason = h.clock.Now(), law, "case 4 is closed"
	assert.Equal(t, want, release(t, h.Store, hold))
	assert.Equal(t, []privacy.Hold{want}, listHolds(t, h.Store, privacy.HoldQuery{}))
}

func holdListing(t promisetest.T, h harness) {
	var all []privacy.Hold
	for i := range 9 {
		tenant := []event.TenantID{acme, "other", ""}[i%3]
		h.clock.advance(-time.Minute) // the order is that of placing, not of clocks
		all = append(all, place(t, h.Store, privacy.Scope{TenantID: tenant}))
	}
	assert.Equal(t, all, listHolds(t, h.Store, privacy.HoldQuery{}))
	assert.Equal(t, []privacy.Hold{all[0], all[3], all[6]}, listHolds(t, h.Store, privacy.HoldQuery{TenantID: acme}))
	release(t, h.Store, all[3])
	assert.Equal(t, []privacy.Hold{all[0], all[6]}, listHolds(t, h.Store, privacy.HoldQuery{TenantID: acme, Active: true}))
	assert.Len(t, listHolds(t, h.Store, privacy.HoldQuery{Active: true}), 8)
}

func holdListingEnds(t promisetest.T, h harness) {
	place(t, h.Store, privacy.Scope{TenantID: acme})
	place(t, h.Store, privacy.Scope{TenantID: acme})
	for _, err := range h.Holds.List(t.Context(), privacy.HoldQuery{}) {
		require.NoError(t, err)
		break
	}
	place(t, h.Store, privacy.Scope{TenantID: acme})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	errs := 0
	for hold, err := range h.Holds.List(ended, privacy.HoldQuery{}) {
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, hold)
		errs++
	}
	assert.Equal(t, 1, errs)
}

func holdClock(t promisetest.T, h harness) {
	hold := place(t, h.Store, privacy.Scope{TenantID: acme})
	assert.Equal(t, h.clock.Now(), hold.PlacedAt)
	h.clock.advance(90 * time.Minute)
	assert.Equal(t, h.clock.Now(), release(t, h.Store, hold).ReleasedAt)
}

func holdTenants(t promisetest.T, h harness) {
	hold := place(t, h.Store, privacy.Scope{TenantID: acme})
	for _, tenant := range []event.TenantID{"other", "Acme", ""} {
		_, err := h.Holds.Release(t.Context(), tenant, hold.ID, law, "not mine")
		require.ErrorIs(t, err, privacy.ErrUnknown)
	}
	assert.Empty(t, listHolds(t, h.Store, privacy.HoldQuery{TenantID: "other"}))
	assert.Len(t, listHolds(t, h.Store, privacy.HoldQuery{TenantID: acme, Active: true}), 1)
}

func badHolds(t promisetest.T, h harness) {
	good := privacy.Hold{Scope: privacy.Scope{TenantID: acme}, Reason: "case 4", PlacedBy: law}
	for field, spoil := range map[string]func(h *privacy.Hold){
		"tenant_id": func(h *privacy.Hold) { h.Scope.TenantID = "\x00" },
		"scope": func(h *privacy.Hold) {
			h.Scope.Person, h.Scope.Entity = uuid.New(), audit.EntityRef{Type: "Order", ID: "1"}
		},
		"entity.type":    func(h *privacy.Hold) { h.Scope.Entity.ID = "1" },
		"entity.id":      func(h *privacy.Hold) { h.Scope.Entity.Type = "Order" },
		"entity.version": func(h *privacy.Hold) { h.Scope.Entity = audit.EntityRef{Type: "Order", ID: "1", Version: 2} },
		"placed_by":      func(h *privacy.Hold) { h.PlacedBy = event.Anonymous },
		"reason":         func(h *privacy.Hold) { h.Reason = "" },
		"hold":           func(h *privacy.Hold) { h.ReleasedBy = law },
	} {
		bad := good
		spoil(&bad)
		_, err := h.Holds.Place(t.Context(), bad)
		var invalid *event.InvalidError
		require.ErrorAs(t, err, &invalid, field)
		assert.Equal(t, field, invalid.Field)
	}
	long := good
	long.Reason = strings.Repeat("r", privacy.MaxReasonBytes+1)
	_, err := h.Holds.Place(t.Context(), long)
	require.ErrorIs(t, err, privacy.ErrTooLarge)
	assert.Empty(t, listHolds(t, h.Store, privacy.HoldQuery{}))

	hold := place(t, h.Store, good.Scope)
	for _, release := range []func() (privacy.Hold, error){
		func() (privacy.Hold, error) { return h.Holds.Release(t.Context(), acme, uuid.Nil, law, "r") },
		func() (privacy.Hold, error) { return h.Holds.Release(t.Context(), acme, hold.ID, "", "r") },
		func() (privacy.Hold, error) { return h.Holds.Release(t.Context(), acme, hold.ID, law, " ") },
		func() (privacy.Hold, error) { return h.Holds.Release(t.Context(), "\x00", hold.ID, law, "r") },
	} {
		_, err := release()
		require.ErrorIs(t, err, privacy.ErrInvalid)
	}
	for _, err := range h.Holds.List(t.Context(), privacy.HoldQuery{TenantID: "\x00"}) {
		require.ErrorIs(t, err, privacy.ErrInvalid)
	}
	assert.Equal(t, []privacy.Hold{hold}, listHolds(t, h.Store, privacy.HoldQuery{Active: true}))
}
