package sqlite_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/audit/privacy/privacytest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

func privacyStore(t *testing.T, now func() time.Time) privacytest.Store {
	t.Helper()
	config := newFile(t)
	config.Now = now
	return openPrivacy(t, config)
}

func openPrivacy(t *testing.T, config sqlite.Config) privacytest.Store {
	t.Helper()
	store := open(t, config)
	return privacytest.Store{
		Pseudonyms: store.Pseudonyms(), Holds: store.Holds(),
		Reopen: func() privacytest.Store { return openPrivacy(t, config) },
	}
}

func TestConformancePseudonyms(t *testing.T) {
	t.Parallel()
	privacytest.RunPseudonyms(t, privacyStore)
}

func TestConformanceHolds(t *testing.T) {
	t.Parallel()
	privacytest.RunHolds(t, privacyStore)
}

const person = "jane.doe.0815@example.com"

// cutPerson leaves a file from which one of many people was cut.
func cutPerson(t *testing.T) (path string, token uuid.UUID) {
	t.Helper()
	config := newFile(t)
	store, err := sqlite.Open(t.Context(), config)
	require.NoError(t, err)
	people := store.Pseudonyms()
	for range 300 {
		_, err := people.TokenFor(t.Context(), "acme", uuid.NewString())
		require.NoError(t, err)
	}
	token, err = people.TokenFor(t.Context(), "acme", person)
	require.NoError(t, err)
	_, err = people.Cut(t.Context(), "acme", person, "request 17")
	require.NoError(t, err)
	require.NoError(t, store.Close())
	return config.Path, token
}

func TestNothingOfAPersonIsLeftInTheTablesAfterACut(t *testing.T) {
	t.Parallel()
	path, token := cutPerson(t)
	db := raw(t, path)
	rows, err := db.QueryContext(t.Context(), "SELECT hex(token) || '|' || tenant_id || '|' || quote(person) || '|' || reason FROM pseudonyms")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	found := false
	for rows.Next() {
		var row string
		require.NoError(t, rows.Scan(&row))
		assert.NotContains(t, row, "jane")
		found = found || strings.HasPrefix(row, strings.ToUpper(strings.ReplaceAll(token.String(), "-", "")))
	}
	require.NoError(t, rows.Err())
	assert.True(t, found, "the tombstone is there")
}

func TestNothingOfAPersonIsLeftInTheFileAfterACutAndVacuum(t *testing.T) {
	t.Parallel()
	path, _ := cutPerson(t)
	db := raw(t, path)
	for _, statement := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	for _, file := range files {
		content, err := os.ReadFile(filepath.Clean(file))
		require.NoError(t, err)
		assert.False(t, bytes.Contains(content, []byte(person)), file)
	}
}

func TestPseudonymsAndHoldsAreNotChangedInSQL(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	_, err := store.Pseudonyms().TokenFor(t.Context(), "acme", "joe")
	require.NoError(t, err)
	_, err = store.Pseudonyms().TokenFor(t.Context(), "acme", "jane")
	require.NoError(t, err)
	_, err = store.Pseudonyms().Cut(t.Context(), "acme", "jane", "request 17")
	require.NoError(t, err)
	hold, err := store.Holds().Place(t.Context(), privacy.Hold{Reason: "case 4", PlacedBy: event.User("law")})
	require.NoError(t, err)
	_, err = store.Holds().Release(t.Context(), "", hold.ID, event.User("law"), "closed")
	require.NoError(t, err)
	_, err = store.Holds().Place(t.Context(), privacy.Hold{Reason: "case 5", PlacedBy: event.User("law")})
	require.NoError(t, err)
	db := raw(t, config.Path)
	for _, statement := range []string{
		"UPDATE pseudonyms SET person = 'jim' WHERE person = 'joe'",
		"UPDATE pseudonyms SET person = 'jane', cut_at = NULL WHERE person IS NULL",
		"UPDATE pseudonyms SET reason = '' WHERE person IS NULL",
		"UPDATE pseudonyms SET person = NULL, cut_at = 1, tenant_id = '' WHERE person = 'joe'",
		"UPDATE pseudonyms SET person = NULL WHERE person = 'joe'",
		"DELETE FROM pseudonyms",
		"INSERT OR REPLACE INTO pseudonyms SELECT token, tenant_id, 'jim', created_at, NULL, '' FROM pseudonyms",
		"INSERT OR REPLACE INTO pseudonyms VALUES (x'00112233445566778899aabbccddeeff', 'acme', 'joe', 1, NULL, '')",
		"UPDATE legal_holds SET reason = 'none'",
		"UPDATE legal_holds SET released_at = NULL",
		"UPDATE legal_holds SET released_at = 1, released_by = 'user:joe', placed_by = 'user:joe' WHERE released_at IS NULL",
		"DELETE FROM legal_holds",
		"INSERT OR REPLACE INTO legal_holds SELECT * FROM legal_holds",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.Error(t, err, statement)
	}
}

func TestPseudonymsInAFileOfTheirOwn(t *testing.T) {
	t.Parallel()
	log, people := newStore(t), newStore(t)
	token, err := people.Pseudonyms().TokenFor(t.Context(), "", person)
	require.NoError(t, err)
	_, err = log.Pseudonyms().PersonOf(t.Context(), "", token)
	require.ErrorIs(t, err, privacy.ErrUnknown)
}

func TestAClosedStoreKnowsNobody(t *testing.T) {
	t.Parallel()
	store := newStore(t)
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

// A failing disk is what the triggers of this test play.
func TestFailuresOfPseudonymsAndHoldsAreErrors(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	_, err := store.Pseudonyms().TokenFor(t.Context(), "", "joe")
	require.NoError(t, err)
	hold, err := store.Holds().Place(t.Context(), privacy.Hold{Scope: privacy.Scope{TenantID: "acme"}, Reason: "case 4", PlacedBy: event.User("law")})
	require.NoError(t, err)
	for _, trigger := range []string{"INSERT ON pseudonyms", "UPDATE ON pseudonyms", "INSERT ON legal_holds", "UPDATE ON legal_holds"} {
		name := strings.ToLower(strings.ReplaceAll(trigger, " ", "_"))
		_, err := raw(t, config.Path).ExecContext(t.Context(), "CREATE TRIGGER "+name+" BEFORE "+trigger+" BEGIN SELECT RAISE(ABORT, 'broken'); END")
		require.NoError(t, err)
	}
	_, tokenFor := store.Pseudonyms().TokenFor(t.Context(), "", "jane")
	_, cut := store.Pseudonyms().Cut(t.Context(), "", "joe", "request 17")
	_, place := store.Holds().Place(t.Context(), privacy.Hold{Reason: "case 4", PlacedBy: event.User("law")})
	_, release := store.Holds().Release(t.Context(), "acme", hold.ID, event.User("law"), "closed")
	for _, err := range []error{tokenFor, cut, place, release} {
		require.ErrorContains(t, err, "broken")
	}
	token, err := store.Pseudonyms().TokenOf(t.Context(), "", "joe")
	require.NoError(t, err)
	assert.NotEqual(t, uuid.Nil, token)
	var secure sql.NullInt64
	require.NoError(t, store.DB().QueryRowContext(t.Context(), "PRAGMA secure_delete").Scan(&secure))
	assert.Zero(t, secure.Int64)
}
