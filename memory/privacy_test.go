package memory_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/audit/privacy/privacytest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func privacyStore(t *testing.T, now func() time.Time) privacytest.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return privacytest.Store{Pseudonyms: store.Pseudonyms(), Holds: store.Holds()}
}

func TestConformancePseudonyms(t *testing.T) {
	t.Parallel()
	privacytest.RunPseudonyms(t, privacyStore)
}

func TestConformanceHolds(t *testing.T) {
	t.Parallel()
	privacytest.RunHolds(t, privacyStore)
}

func TestAClosedStoreKnowsNobody(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	token, err := store.Pseudonyms().TokenFor(t.Context(), "", "jane")
	require.NoError(t, err)
	hold, err := store.Holds().Place(t.Context(), privacy.Hold{Reason: "case 4", PlacedBy: event.User("law")})
	require.NoError(t, err)
	require.NoError(t, store.Close())

	people, holds := store.Pseudonyms(), store.Holds()
	_, tokenFor := people.TokenFor(t.Context(), "", "jane")
	_, tokenOf := people.TokenOf(t.Context(), "", "jane")
	_, personOf := people.PersonOf(t.Context(), "", token)
	_, cut := people.Cut(t.Context(), "", "jane", "request 17")
	_, place := holds.Place(t.Context(), privacy.Hold{Reason: "case 4", PlacedBy: event.User("law")})
	_, release := holds.Release(t.Context(), "", hold.ID, event.User("law"), "closed")
	for _, err := range []error{tokenFor, tokenOf, personOf, cut, place, release} {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
	for _, err := range people.List(t.Context(), privacy.PseudonymQuery{}) {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
	for _, err := range holds.List(t.Context(), privacy.HoldQuery{}) {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
}
