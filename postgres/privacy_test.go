package postgres_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/audit/privacy/privacytest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
)

func openPrivacy(t *testing.T, config postgres.Config) privacytest.Store {
	t.Helper()
	store := open(t, config)
	return privacytest.Store{
		Pseudonyms: store.Pseudonyms(), Holds: store.Holds(),
		Reopen: func() privacytest.Store { return openPrivacy(t, config) },
	}
}

func privacyStores(t *testing.T) privacytest.Factory {
	t.Helper()
	shared := newSharedDatabase(t)
	return func(t *testing.T, now func() time.Time) privacytest.Store {
		t.Helper()
		config := shared.config(t)
		config.Now = now
		return openPrivacy(t, config)
	}
}

func TestConformancePseudonyms(t *testing.T) {
	t.Parallel()
	privacytest.RunPseudonyms(t, privacyStores(t))
}

func TestConformanceHolds(t *testing.T) {
	t.Parallel()
	privacytest.RunHolds(t, privacyStores(t))
}

func TestPseudonymsBehindTheWall(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	tenantOnly := open(t, granted(t, config, postgres.CanAppend, postgres.CanErase))
	all := open(t, granted(t, config, postgres.CanAppend, postgres.CanErase, postgres.CanSeeAllTenants))
	jane := event.TenantID("acme")
	token, err := tenantOnly.Pseudonyms().TokenFor(t.Context(), jane, "jane")
	require.NoError(t, err)
	again, err := tenantOnly.Pseudonyms().TokenFor(t.Context(), jane, "jane")
	require.NoError(t, err)
	assert.Equal(t, token, again)
	_, err = tenantOnly.Pseudonyms().PersonOf(t.Context(), "umbrella", token)
	require.ErrorIs(t, err, privacy.ErrUnknown)
	_, err = tenantOnly.Pseudonyms().TokenFor(t.Context(), "", "nobody's")
	require.ErrorIs(t, err, postgres.ErrPermission, "the wall has no door for what belongs to no tenant")

	count := func(store *postgres.Store, query privacy.PseudonymQuery) (n int) {
		for _, err := range store.Pseudonyms().List(t.Context(), query) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	assert.Equal(t, 1, count(tenantOnly, privacy.PseudonymQuery{TenantID: jane}))
	assert.Zero(t, count(tenantOnly, privacy.PseudonymQuery{}), "fails closed")
	assert.Equal(t, 1, count(all, privacy.PseudonymQuery{}))

	given := privacy.Hold{ID: uuid.New(), Scope: privacy.Scope{TenantID: jane, Person: token}, Reason: "case 4", PlacedBy: event.User("law")}
	hold, err := tenantOnly.Holds().Place(t.Context(), given)
	require.NoError(t, err)
	_, err = tenantOnly.Pseudonyms().Cut(t.Context(), jane, "jane", "request 17")
	require.ErrorIs(t, err, privacy.ErrHeld)
	given.Scope.TenantID = "umbrella"
	_, err = tenantOnly.Holds().Place(t.Context(), given)
	require.ErrorIs(t, err, privacy.ErrInvalid, "the id is taken, by whom is not said")
	require.NotContains(t, err.Error(), "acme")
	_, err = tenantOnly.Holds().Release(t.Context(), jane, hold.ID, event.User("law"), "closed")
	require.NoError(t, err)
	cut, err := tenantOnly.Pseudonyms().Cut(t.Context(), jane, "jane", "request 17")
	require.NoError(t, err)
	assert.Equal(t, token, cut)
}

func TestWhoMayKnowAndCutPeople(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	stranger := open(t, granted(t, config, postgres.CanProject, postgres.CanReset, postgres.CanSeeAllTenants))
	_, err := stranger.Pseudonyms().TokenFor(t.Context(), "", "jane")
	require.ErrorIs(t, err, postgres.ErrPermission)

	clerk := open(t, granted(t, config, postgres.CanAppend, postgres.CanIdentify))
	_, err = clerk.Pseudonyms().TokenFor(t.Context(), "", "jane")
	require.NoError(t, err)
	_, err = clerk.Pseudonyms().Cut(t.Context(), "", "jane", "request 17")
	require.ErrorIs(t, err, postgres.ErrPermission)
	_, err = clerk.Holds().Place(t.Context(), privacy.Hold{Reason: "case 4", PlacedBy: event.User("law")})
	require.ErrorIs(t, err, postgres.ErrPermission)

	officer := open(t, granted(t, config, postgres.CanAppend, postgres.CanErase))
	token, err := officer.Pseudonyms().Cut(t.Context(), "", "jane", "request 17")
	require.NoError(t, err)
	assert.NotEqual(t, uuid.Nil, token)
}

func TestPseudonymsAndHoldsAreNotChangedInSQL(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	_, err := store.Pseudonyms().TokenFor(t.Context(), "acme", "joe")
	require.NoError(t, err)
	_, err = store.Pseudonyms().TokenFor(t.Context(), "acme", "jane")
	require.NoError(t, err)
	_, err = store.Pseudonyms().Cut(t.Context(), "acme", "jane", "request 17")
	require.NoError(t, err)
	_, err = store.Holds().Place(t.Context(), privacy.Hold{Reason: "case 5", PlacedBy: event.User("law")})
	require.NoError(t, err)
	for statement, code := range map[string]string{
		"UPDATE evident.pseudonyms SET person = 'jim' WHERE person = 'joe'":                                "23001",
		"UPDATE evident.pseudonyms SET person = 'jane', cut_at = NULL WHERE person IS NULL":                "23001",
		"UPDATE evident.pseudonyms SET person = NULL, cut_at = now(), tenant_id = '' WHERE person = 'joe'": "23001",
		"UPDATE evident.pseudonyms SET person = NULL WHERE person = 'joe'":                                 "23514",
		"DELETE FROM evident.pseudonyms":                                                                   "23001",
		"TRUNCATE evident.pseudonyms":                                                                      "23001",
		"UPDATE evident.legal_holds SET reason = 'none'":                                                   "23001",
		"UPDATE evident.legal_holds SET released_at = now(), placed_by = 'user:joe'":                       "23001",
		"DELETE FROM evident.legal_holds":                                                                  "23001",
	} {
		_, err := store.Pool().Exec(t.Context(), store.sql(statement))
		require.Error(t, err, statement)
		requireCode(t, code, err)
	}
}

// TestNothingOfAPersonIsLeftAfterACut looks at the rows, and behind VACUUM FULL
// at the bytes of the table's and its indexes' files.
func TestNothingOfAPersonIsLeftAfterACut(t *testing.T) {
	t.Parallel()
	const person = "jane.doe.0815@example.com"
	store := newHome(t)
	people := store.Pseudonyms()
	for range 50 {
		_, err := people.TokenFor(t.Context(), "acme", uuid.NewString())
		require.NoError(t, err)
	}
	_, err := people.TokenFor(t.Context(), "acme", person)
	require.NoError(t, err)
	_, err = people.Cut(t.Context(), "acme", person, "request 17")
	require.NoError(t, err)

	rows := value[string](t, store.Store, store.sql("SELECT json_agg(p)::text FROM evident.pseudonyms AS p"))
	require.True(t, json.Valid([]byte(rows)))
	assert.NotContains(t, rows, "jane")
	assert.Contains(t, rows, "request 17")

	// As long as an older transaction is open, the database keeps dead rows for it.
	require.Eventually(t, func() bool {
		store.run(t, "VACUUM FULL evident.pseudonyms")
		store.run(t, "CHECKPOINT")
		for _, relation := range []string{"evident.pseudonyms", "evident.pseudonyms_pkey", "evident.pseudonyms_by_person"} {
			content := value[[]byte](t, store.Store, store.sql("SELECT pg_read_binary_file(pg_relation_filepath('"+relation+"'))"))
			if len(content) == 0 || bytes.Contains(content, []byte(person)) {
				return false
			}
		}
		return true
	}, 20*time.Second, 50*time.Millisecond)
}

// TestACutWaitsForAHoldThatIsBeingPlaced has a transaction place a hold by hand
// and commit while the cut waits for it.
func TestACutWaitsForAHoldThatIsBeingPlaced(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	token, err := store.Pseudonyms().TokenFor(t.Context(), "", "jane")
	require.NoError(t, err)
	tx := beginPlain(t, store.Store)
	_, err = tx.Exec(t.Context(), store.sql(`INSERT INTO evident.legal_holds (id, tenant_id, person, entity_type, entity_id, reason, placed_by, placed_at)
		VALUES (gen_random_uuid(), '', $1, '', '', 'case 4', 'user:law', now())`), token)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := store.Pseudonyms().Cut(t.Context(), "", "jane", "request 17")
		done <- err
	}()
	require.Eventually(t, func() bool {
		return store.count(t, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'evident.legal_holds'::regclass") == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	require.ErrorIs(t, <-done, privacy.ErrHeld)
}

func TestAClosedStoreKnowsNobody(t *testing.T) {
	t.Parallel()
	store, err := postgres.Open(t.Context(), newDatabase(t))
	require.NoError(t, err)
	require.NoError(t, store.Close())
	people, holds := store.Pseudonyms(), store.Holds()
	_, tokenFor := people.TokenFor(t.Context(), "", "jane")
	_, personOf := people.PersonOf(t.Context(), "", uuid.New())
	_, cut := people.Cut(t.Context(), "", "jane", "request 17")
	_, place := holds.Place(t.Context(), privacy.Hold{Reason: "case 4", PlacedBy: event.User("law")})
	_, release := holds.Release(t.Context(), "", uuid.New(), event.User("law"), "closed")
	for _, err := range []error{tokenFor, personOf, cut, place, release} {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
}
