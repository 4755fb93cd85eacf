package postgres_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// newRole makes a role that owns nothing, and returns its name and how it opens
// the store of config.
func newRole(tb testing.TB, config postgres.Config) (name string, as postgres.Config) {
	tb.Helper()
	owner := config.URL
	name = "evident_test_" + strings.ToLower(rand.Text())
	execute(tb, owner, "CREATE ROLE "+name+" LOGIN NOSUPERUSER PASSWORD 'secret'")
	tb.Cleanup(func() { execute(tb, owner, "DROP OWNED BY "+name+"; DROP ROLE "+name) })
	u, err := url.Parse(config.URL)
	require.NoError(tb, err)
	u.User = url.UserPassword(name, "secret")
	config.URL = u.String()
	return name, config
}

// granted is a role that was given rights.
func granted(tb testing.TB, config postgres.Config, rights ...postgres.Right) postgres.Config {
	tb.Helper()
	name, as := newRole(tb, config)
	require.NoError(tb, postgres.Grant(tb.Context(), config, name, rights...))
	return as
}

// beginPlain starts a transaction of the caller. Should the test fail before its end, it is undone.
func beginPlain(tb testing.TB, store *postgres.Store) pgx.Tx {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	tx, err := store.Pool().Begin(ctx)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = tx.Rollback(ctx) })
	return tx
}

func requireCode(tb testing.TB, code string, err error) {
	tb.Helper()
	var refused *pgconn.PgError
	require.ErrorAs(tb, err, &refused)
	require.Equal(tb, code, refused.Code, refused.Message)
}

// order is an append of n events to a new stream.
func order(tenant event.TenantID, n int) eventstore.Append {
	a := eventstore.Append{Stream: eventstore.Stream{TenantID: tenant, AggregateType: "Order", AggregateID: event.NewID()}}
	for range n {
		id := event.NewID()
		a.Events = append(a.Events, event.Event{
			ID: id, Type: "OrderPlaced", SchemaVersion: 1, CorrelationID: id, OccurredAt: time.UnixMicro(1777636800123456), Data: []byte(`{}`),
		})
	}
	return a
}

func TestAnApplicationOpensItsStoreWithoutOwningAnything(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, granted(t, config, postgres.CanAppend))
	a := order("acme", 2)
	_, err := store.Append(t.Context(), a)
	require.NoError(t, err)
	head, err := store.Wait(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), head)
	assert.Len(t, read(t, store.ReadAll(t.Context(), eventstore.Query{})), 2)
}

func TestARoleCanDoNothingThatItNeedNot(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	as := granted(t, config, postgres.CanProject, postgres.CanReset, postgres.CanSeeAllTenants)
	_, err := open(t, as).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	conn := dial(t, as.URL)
	for _, statement := range []string{
		"UPDATE evident.events SET actor_id = 'somebody else'",
		"DELETE FROM evident.events",
		"TRUNCATE evident.events",
		"ALTER TABLE evident.events DISABLE TRIGGER ALL",
		"DROP TABLE evident.events",
		"CREATE TABLE evident.mine ()",
		"CREATE FUNCTION evident.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"UPDATE evident.store SET store_id = gen_random_uuid()",
		"UPDATE evident.mark SET position = 7",
		"SELECT setval('evident.position', 1)",
		"SELECT evident.row_security(true)",
		"UPDATE evident.audit_log SET actor_id = 'somebody else'",
		"DELETE FROM evident.migrations",
	} {
		_, err := conn.Exec(t.Context(), statement)
		require.Error(t, err, statement)
		requireCode(t, "42501", err)
	}
}

func TestHistoryIsNotEditedByItsOwner(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	_, err := open(t, config).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	conn := dial(t, config.URL)
	for _, statement := range []string{
		"UPDATE evident.events SET actor_id = 'somebody else'", "DELETE FROM evident.events", "DELETE FROM evident.events WHERE false", "TRUNCATE evident.events",
	} {
		_, err := conn.Exec(t.Context(), statement)
		require.Error(t, err, statement)
		requireCode(t, "23001", err)
	}
}

func TestAReaderReads(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	_, err := open(t, config).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	as := granted(t, config, postgres.CanRead)
	conn := dial(t, as.URL)
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM evident.events WHERE position <= 1").Scan(&n))
	assert.Equal(t, 1, n)
	for _, statement := range []string{
		"INSERT INTO evident.events SELECT * FROM evident.events",
		"SELECT evident.keep_mark()",
		"SELECT nextval('evident.position')",
		"SELECT * FROM evident.checkpoints",
	} {
		_, err := conn.Exec(t.Context(), statement)
		require.Error(t, err, statement)
		requireCode(t, "42501", err)
	}
	_, err = postgres.Open(t.Context(), as)
	require.ErrorIs(t, err, postgres.ErrPermission)
	require.ErrorContains(t, err, "INSERT on evident.events")
}

func TestOpenNamesTheRightThatIsLacking(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	name, as := newRole(t, config)
	as.KeepMark = true
	refused := func(what string) {
		t.Helper()
		_, err := postgres.Open(t.Context(), as)
		require.ErrorIs(t, err, postgres.ErrPermission)
		require.ErrorContains(t, err, what)
	}
	refused("schema evident")
	require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanAppend))
	for _, right := range []struct{ what, given string }{
		{"SELECT on evident.store", "SELECT ON evident.store"},
		{"SELECT on evident.events", "SELECT ON evident.events"},
		{"INSERT on evident.events", "INSERT ON evident.events"},
		{"SELECT on evident.mark", "SELECT ON evident.mark"},
		{"USAGE on sequence evident.position", "USAGE ON SEQUENCE evident.position"},
		{"EXECUTE on function evident.take", "EXECUTE ON FUNCTION evident.take"},
		{"EXECUTE on function evident.keep_mark", "EXECUTE ON FUNCTION evident.keep_mark"},
	} {
		execute(t, config.URL, "REVOKE "+right.given+" FROM "+name)
		refused(right.what)
		require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanAppend))
	}
	open(t, as)
}

func TestGrantReplacesWhatWasGranted(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	name, as := newRole(t, config)
	for range 2 {
		require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanProject))
	}
	open(t, as)
	require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanRead))
	_, err := postgres.Open(t.Context(), as)
	require.ErrorIs(t, err, postgres.ErrPermission)
	require.NoError(t, postgres.Grant(t.Context(), config, name))
	_, err = dial(t, as.URL).Exec(t.Context(), "SELECT FROM evident.events")
	require.Error(t, err)
	requireCode(t, "42501", err)
}

func TestGrantSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	name, as := newRole(t, config)
	grant := func(config postgres.Config, role string, rights ...postgres.Right) error {
		return postgres.Grant(t.Context(), config, role, rights...)
	}
	var invalid *event.InvalidError
	require.ErrorAs(t, grant(config, `no"body`, postgres.CanRead), &invalid)
	assert.Equal(t, "role", invalid.Field)
	require.ErrorAs(t, grant(config, name, 99), &invalid)
	assert.Equal(t, "right", invalid.Field)
	require.ErrorAs(t, grant(postgres.Config{}, name), &invalid)
	assert.Equal(t, "url", invalid.Field)
	require.ErrorIs(t, grant(postgres.Config{URL: pgtest.URL(t)}, name, postgres.CanRead), eventstore.ErrSchema)
	require.ErrorIs(t, grant(as, name, postgres.CanRead), postgres.ErrPermission)
	require.ErrorIs(t, grant(postgres.Config{URL: "postgres://127.0.0.1:1/nowhere"}, name), eventstore.ErrUnavailable)
}

func TestRightsAreThoseOfTheSchema(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.Schema = "other"
	require.NoError(t, postgres.Migrate(t.Context(), config))
	as := granted(t, config, postgres.CanAppend)
	_, err := open(t, as).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	as.Schema = ""
	_, err = postgres.Open(t.Context(), as)
	require.ErrorIs(t, err, postgres.ErrPermission)
}
