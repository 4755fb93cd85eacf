package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// How long a test waits for another process, and how often it looks.
const (
	patience = 20 * time.Second
	tick     = 10 * time.Millisecond
)

// await waits for something that has to happen.
func await(t *testing.T, happened <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(time.Minute):
		require.Fail(t, what+" does not happen")
	}
}

// refused opens a store that must be refused.
func refused(t *testing.T, config postgres.Config) error {
	t.Helper()
	store, err := postgres.Open(t.Context(), config)
	if err == nil {
		require.NoError(t, store.Close())
	}
	require.Error(t, err)
	require.Nil(t, store)
	return err
}

// requireField requires an invalid field by name.
func requireField(t *testing.T, err error, field string) {
	t.Helper()
	invalid, ok := errors.AsType[*event.InvalidError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, field, invalid.Field)
}

func TestWrongURLs(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	missing := strings.Replace(pgtest.URL(t), "/evident_test_", "/missing_", 1)
	for name, test := range map[string]struct {
		url   string
		field string // "" for an error that is not about the configuration
		is    error
		code  string
	}{
		"port":              {url: "postgres://ada:" + secret + "@localhost:port/db", field: "url"},
		"keywords":          {url: "host=localhost password=" + secret + " port=x", field: "url"},
		"another database":  {url: "mysql://ada:" + secret + "@localhost/db", field: "url"},
		"pool setting":      {url: "postgres://ada:" + secret + "@localhost/db?pool_max_conns=0", field: "url"},
		"sslmode":           {url: "postgres://ada:" + secret + "@localhost/db?sslmode=perhaps", field: "url"},
		"exec":              {url: "postgres://ada:" + secret + "@localhost/db?default_query_exec_mode=exec", field: "url"},
		"simple protocol":   {url: "postgres://ada:" + secret + "@localhost/db?default_query_exec_mode=simple_protocol", field: "url"},
		"unknown exec mode": {url: "postgres://ada:" + secret + "@localhost/db?default_query_exec_mode=guess", field: "url"},
		"unknown host":      {url: "postgres://ada:" + secret + "@nowhere.invalid/db?connect_timeout=5", is: eventstore.ErrUnavailable},
		"closed port":       {url: "postgres://ada:" + secret + "@" + closedPort(t) + "/db?sslmode=disable", is: eventstore.ErrUnavailable},
		"missing database":  {url: missing, code: "3D000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := postgres.Config{URL: test.url}
			for _, err := range []error{refused(t, config), postgres.Migrate(t.Context(), config)} {
				require.Error(t, err)
				require.NotContains(t, err.Error(), secret)
				if test.field != "" {
					requireField(t, err, test.field)
				}
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
				}
				if test.code != "" {
					failed, ok := errors.AsType[*postgres.Error](err)
					require.True(t, ok, "%v", err)
					require.Equal(t, test.code, failed.Code)
					require.False(t, eventstore.IsRetryable(err))
				}
			}
		})
	}
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestPoolWithAModeThatIsRefused(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
		pool, err := pgxpool.ParseConfig(config.URL)
		require.NoError(t, err)
		pool.ConnConfig.DefaultQueryExecMode = mode
		own, err := pgxpool.NewWithConfig(t.Context(), pool)
		require.NoError(t, err)
		requireField(t, refused(t, postgres.Config{Pool: own}), "pool")
		own.Close()
	}
}

// objects counts what is in a schema.
func objects(t *testing.T, url, schema string) (n int) {
	t.Helper()
	pool := newPool(t, url)
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1))
		+ (SELECT count(*) FROM pg_proc WHERE pronamespace = to_regnamespace($1))`, schema).Scan(&n))
	return n
}

func TestSchemasThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schema   string
		have     int // for an eventstore.SchemaError
		field    string
		prepare  []string
		migrates bool // whether Migrate mends it
	}{
		"missing":                       {schema: "evident", migrates: true},
		"empty":                         {schema: "evident", prepare: []string{"CREATE SCHEMA evident"}, migrates: true},
		"newer":                         {schema: "newer", have: 99, prepare: []string{"INSERT INTO newer.migrations (version) VALUES (99)"}},
		"keyword":                       {schema: "user", field: "schema"},
		"another program's":             {schema: "theirs", field: "schema", prepare: []string{"CREATE SCHEMA theirs", "CREATE TABLE theirs.events (id int)"}},
		"another program's view":        {schema: "theirs", field: "schema", prepare: []string{"CREATE SCHEMA theirs", "CREATE VIEW theirs.events AS SELECT 1 AS id"}},
		"another program's migrations":  {schema: "theirs", field: "schema", prepare: []string{"CREATE SCHEMA theirs", "CREATE TABLE theirs.migrations (version int)", "INSERT INTO theirs.migrations VALUES (1)"}},
		"another program's, with names": {schema: "theirs", field: "schema", prepare: []string{"CREATE SCHEMA theirs", "CREATE TABLE theirs.migrations (version text)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := postgres.Config{URL: pgtest.URL(t), Schema: test.schema}
			if name == "newer" {
				require.NoError(t, postgres.Migrate(t.Context(), config))
			}
			execute(t, config.URL, test.prepare...)
			before := objects(t, config.URL, test.schema)
			errs := []error{refused(t, config)}
			if err := postgres.Migrate(t.Context(), config); test.migrates {
				require.NoError(t, err)
			} else {
				errs = append(errs, err)
				require.Equal(t, before, objects(t, config.URL, test.schema), "nothing was done")
			}
			for _, err := range errs {
				if test.field != "" {
					requireField(t, err, test.field)
					continue
				}
				wrong, ok := errors.AsType[*eventstore.SchemaError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, test.have, wrong.Have)
				require.ErrorIs(t, err, eventstore.ErrSchema)
			}
		})
	}
}

func TestOlderSchema(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	execute(t, config.URL, "DELETE FROM evident.migrations WHERE version > 1")
	err := refused(t, config)
	wrong, ok := errors.AsType[*eventstore.SchemaError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 1, wrong.Have)
	require.ErrorContains(t, err, "call Migrate")
}

// Names that PostgreSQL keeps for itself, or that mean something in settings,
// are refused, or work.
func TestSchemaNamesWork(t *testing.T) {
	t.Parallel()
	config := postgres.Config{URL: pgtest.URL(t)}
	for _, name := range []string{"plpgsql", "evident_evident", "name", "_", "a23456789_123456789_123456789_123456789"} {
		config.Schema = name
		require.NoError(t, postgres.Migrate(t.Context(), config), name)
		store := open(t, config)
		a := newAppend(2)
		_, err := store.Append(t.Context(), a)
		require.NoError(t, err, name)
		requireOnce(t, store, a)
	}
	for _, name := range []string{"Upper", "with space", "semi;colon", "pg_own", "ümlaut", "1st", strings.Repeat("a", 41), "order", "public.x"} {
		config.Schema = name
		requireField(t, postgres.Migrate(t.Context(), config), "schema")
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	pool := newPool(t, server.URL())
	var hba string
	require.NoError(t, pool.QueryRow(t.Context(), "SHOW hba_file").Scan(&hba))
	_, err := pool.Exec(t.Context(), "ALTER ROLE postgres PASSWORD 'right'")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(hba, []byte(strings.Join([]string{"host", "all", "all", "127.0.0.1/32", "scram-sha-256\n"}, " ")), 0o600))
	_, err = pool.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)
	url := func(password string) string {
		return strings.Replace(server.URL(), "postgres@", "postgres:"+password+"@", 1)
	}
	require.Eventually(t, func() bool {
		_, err := pgx.Connect(t.Context(), url("wrong"))
		return err != nil
	}, patience, tick)

	for _, config := range []postgres.Config{{URL: url("wrong")}, {URL: server.URL()}} {
		for _, err := range []error{refused(t, config), postgres.Migrate(t.Context(), config)} {
			require.ErrorIs(t, err, postgres.ErrPermission)
			require.False(t, eventstore.IsRetryable(err))
			require.NotContains(t, err.Error(), "wrong")
		}
	}
	require.NoError(t, postgres.Migrate(t.Context(), postgres.Config{URL: url("right")}))
	open(t, postgres.Config{URL: url("right")})
}

// Each right that the store needs is missed when it opens, by name.
func TestRoleWithoutRights(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	owner := newDatabaseOn(t, server, "rights")
	require.NoError(t, postgres.Migrate(t.Context(), postgres.Config{URL: owner}))
	execute(t, owner, "CREATE ROLE clerk LOGIN")
	config := postgres.Config{URL: strings.Replace(owner, "postgres@", "clerk@", 1)}
	require.ErrorIs(t, refused(t, config), postgres.ErrPermission)
	require.ErrorIs(t, postgres.Migrate(t.Context(), postgres.Config{URL: config.URL, Schema: "own"}), postgres.ErrPermission)
	require.Zero(t, objects(t, owner, "own"))

	rights := map[string]string{
		"USAGE ON SCHEMA evident":               "",
		"SELECT ON evident.migrations":          "migrations",
		"SELECT ON evident.events":              "SELECT on evident.events",
		"INSERT ON evident.events":              "INSERT on evident.events",
		"SELECT ON evident.store":               "SELECT on evident.store",
		"USAGE ON SEQUENCE evident.position":    "USAGE on sequence evident.position",
		"SELECT ON SEQUENCE evident.position":   "SELECT on sequence evident.position",
		"SELECT ON SEQUENCE evident.deployment": "SELECT on sequence evident.deployment",
		"EXECUTE ON FUNCTION evident.append":    "evident.append",
		"EXECUTE ON FUNCTION evident.take":      "evident.take",
		"EXECUTE ON FUNCTION evident.head":      "evident.head",
	}
	require.NoError(t, postgres.Grant(t.Context(), postgres.Config{URL: owner}, "clerk", postgres.CanAppend))
	for right, named := range rights {
		execute(t, owner, "REVOKE "+right+" FROM clerk")
		err := refused(t, config)
		require.ErrorIs(t, err, postgres.ErrPermission, right)
		require.ErrorContains(t, err, named)
		execute(t, owner, "GRANT "+right+" TO clerk")
	}
	store := open(t, config)
	a := newAppend(2)
	_, err := store.Append(t.Context(), a)
	require.NoError(t, err, "these rights are enough")
	requireOnce(t, store, a)
}

// What would lose or skip events is refused, and names what to do.
func TestDatabasesThatAreUnsafe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		statement string // %d is the database
		setting   string
		relaxed   bool // whether Config.Relaxed accepts it
	}{
		"commit off for the database": {statement: "ALTER DATABASE %d SET synchronous_commit = off", setting: "synchronous_commit", relaxed: true},
		"cache":                       {statement: "ALTER SEQUENCE evident.position CACHE 50", setting: "sequence evident.position"},
		"increment":                   {statement: "ALTER SEQUENCE evident.position INCREMENT 10", setting: "sequence evident.position"},
		"cycle":                       {statement: "ALTER SEQUENCE evident.position CYCLE", setting: "sequence evident.position"},
		"trigger off":                 {statement: "ALTER TABLE evident.events DISABLE TRIGGER events_are_not_changed", setting: "trigger"},
		"user triggers off":           {statement: "ALTER TABLE evident.events DISABLE TRIGGER USER", setting: "trigger"},
		"trigger for replicas":        {statement: "ALTER TABLE evident.events ENABLE REPLICA TRIGGER events_are_not_changed", setting: "trigger"},
		"trigger dropped":             {statement: "DROP TRIGGER events_are_not_changed ON evident.events", setting: "trigger"},
		"unlogged":                    {statement: "ALTER TABLE evident.events SET UNLOGGED", setting: "table evident.events", relaxed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newDatabase(t)
			execute(t, config.URL, strings.ReplaceAll(test.statement, "%d", databaseOf(t, config.URL)))
			requireUnsafe(t, refused(t, config), test.setting)
			config.Relaxed = true
			if !test.relaxed {
				requireUnsafe(t, refused(t, config), test.setting)
				return
			}
			open(t, config)
		})
	}
}

func databaseOf(t *testing.T, url string) string {
	t.Helper()
	config, err := pgconn.ParseConfig(url)
	require.NoError(t, err)
	return config.Database
}

func requireUnsafe(t *testing.T, err error, setting string) {
	t.Helper()
	unsafe, ok := errors.AsType[*postgres.UnsafeError](err)
	require.True(t, ok, "%v", err)
	require.ErrorIs(t, err, postgres.ErrUnsafe)
	require.Contains(t, unsafe.Setting, setting)
	require.NotEmpty(t, unsafe.Fix)
}

// Settings of a whole server, of a role, and a standby need a server apart.
func TestServersThatAreRefused(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	config := postgres.Config{URL: newDatabaseOn(t, server, "refused")}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		set(t, config.URL, setting, "off")
		requireUnsafe(t, refused(t, config), setting)
		set(t, config.URL, setting, "on")
	}
	execute(t, config.URL, "CREATE ROLE hasty LOGIN SUPERUSER", "ALTER ROLE hasty SET synchronous_commit = off",
		"CREATE ROLE reader LOGIN SUPERUSER", "ALTER ROLE reader SET default_transaction_read_only = on",
		"CREATE ROLE latin LOGIN SUPERUSER", "ALTER ROLE latin SET client_encoding = 'LATIN1'")
	requireUnsafe(t, refused(t, as("hasty", config)), "synchronous_commit")
	require.ErrorIs(t, refused(t, as("reader", config)), eventstore.ErrReadOnly)

	// The store's own pool knows better; another's may not.
	latin := open(t, as("latin", config))
	requireStoresText(t, latin)
	pool := newPool(t, as("latin", config).URL)
	requireField(t, refused(t, postgres.Config{Pool: pool}), "client_encoding")

	for _, encoding := range []string{"SQL_ASCII", "LATIN1"} {
		execute(t, server.URL(), "CREATE DATABASE "+strings.ToLower(encoding)+" TEMPLATE template0 LOCALE 'C' ENCODING '"+encoding+"'")
		other := postgres.Config{URL: strings.Replace(config.URL, "/refused?", "/"+strings.ToLower(encoding)+"?", 1)}
		requireField(t, postgres.Migrate(t.Context(), other), "server_encoding")
		requireField(t, refused(t, other), "server_encoding")
	}

	var folder string
	require.NoError(t, pool.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder))
	require.NoError(t, server.Crash(t.Context()))
	require.NoError(t, os.WriteFile(folder+"/standby.signal", nil, 0o600))
	require.NoError(t, server.Restart(t.Context()))
	require.ErrorIs(t, refused(t, config), eventstore.ErrReadOnly)
	require.ErrorIs(t, postgres.Migrate(t.Context(), postgres.Config{URL: config.URL, Schema: "late"}), eventstore.ErrReadOnly)
}

func as(role string, config postgres.Config) postgres.Config {
	config.URL = strings.Replace(config.URL, "postgres@", role+"@", 1)
	return config
}

// set sets a parameter of a server and waits until it counts.
func set(t *testing.T, url, parameter, value string) {
	t.Helper()
	execute(t, url, "ALTER SYSTEM SET "+parameter+" = "+value, "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(context.WithoutCancel(t.Context()), url)
		if err != nil {
			return false
		}
		var now string
		err = conn.QueryRow(context.WithoutCancel(t.Context()), "SELECT current_setting($1)", parameter).Scan(&now)
		return err == nil && conn.Close(context.WithoutCancel(t.Context())) == nil && now == value
	}, patience, tick)
}

// requireStoresText requires that text in many scripts comes back, and is what
// it is in the database, too.
func requireStoresText(t *testing.T, store *postgres.Store) {
	t.Helper()
	a := newAppend(1)
	a.Events[0].Type, a.Events[0].ActorID = "Größe\U0001F600", event.User("пользователь")
	a.Events[0].Metadata = event.Metadata{"日本": "語"}
	_, err := store.Append(t.Context(), a)
	require.NoError(t, err)
	stored, _, err := collect(store.ReadStream(t.Context(), a.Stream, eventstore.StreamQuery{}))
	require.NoError(t, err)
	require.Len(t, stored, 1)
	require.Equal(t, a.Events[0].Type, stored[0].Type)
	require.Equal(t, a.Events[0].ActorID, stored[0].ActorID)
	require.Equal(t, a.Events[0].Metadata, stored[0].Metadata)
	var runes int
	require.NoError(t, store.Pool().QueryRow(t.Context(), "SELECT length(event_type) FROM evident.events WHERE event_id = $1", a.Events[0].ID).Scan(&runes))
	require.Equal(t, 6, runes)
}

func TestServerVersions(t *testing.T) {
	t.Parallel()
	for _, number := range []int{140000, 150019, 180001, 190000} {
		require.NoError(t, postgres.CheckVersion(number))
	}
	for _, number := range []int{139999, 130022, 90624} {
		err := postgres.CheckVersion(number)
		requireField(t, err, "server_version")
		require.ErrorContains(t, err, "14 or newer")
	}
}

// Whether an append may have been stored does not depend on the language of
// the server's messages.
func TestErrorsInAnotherLanguage(t *testing.T) {
	t.Parallel()
	require.False(t, postgres.IsUnsure(&pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "23505"}))
	require.True(t, postgres.IsUnsure(&pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01"}))
	require.True(t, postgres.IsUnsure(&pgconn.PgError{Severity: "PANIK", SeverityUnlocalized: "PANIC", Code: "XX000"}))
	require.True(t, postgres.IsUnsure(&pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "40003"}))
}

// NUL is refused where PostgreSQL could not keep it, and kept in payloads, raw
// and as JSON writes it.
func TestNUL(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	escaped, err := json.Marshal(map[string]string{"text": "a\x00b"})
	require.NoError(t, err)
	for _, payload := range [][]byte{[]byte("{\"raw\":\"a\x00b\"}"), escaped, {0}, {0xff, 0, 0xfe}} {
		a := newAppend(1)
		a.Events[0].Data = payload
		_, err := store.Append(t.Context(), a)
		require.NoError(t, err)
		stored, _, err := collect(store.ReadStream(t.Context(), a.Stream, eventstore.StreamQuery{}))
		require.NoError(t, err)
		require.Len(t, stored, 1)
		require.Equal(t, payload, stored[0].Data)
	}
	for name, change := range map[string]func(e *event.Event){
		"metadata value": func(e *event.Event) { e.Metadata = event.Metadata{"text": "a\x00b"} },
		"metadata key":   func(e *event.Event) { e.Metadata = event.Metadata{"a\x00b": 1} },
		"nested":         func(e *event.Event) { e.Metadata = event.Metadata{"list": []any{map[string]any{"text": "\x00"}}} },
		"type":           func(e *event.Event) { e.Type = "Opened\x00" },
		"actor":          func(e *event.Event) { e.ActorID = "ada\x00" },
		"invalid UTF-8":  func(e *event.Event) { e.Metadata = event.Metadata{"text": "\xff"} },
	} {
		a := newAppend(2)
		change(&a.Events[1])
		_, err := store.Append(t.Context(), a)
		require.ErrorIs(t, err, eventstore.ErrInvalid, name)
		require.Zero(t, storedOf(t, store, a), name)
	}
	backslash := newAppend(1) // text that looks like an escape is text
	backslash.Events[0].Metadata = event.Metadata{"text": `\u0000`, `\u0000`: "key"}
	_, err = store.Append(t.Context(), backslash)
	require.NoError(t, err)
	stored, _, err := collect(store.ReadStream(t.Context(), backslash.Stream, eventstore.StreamQuery{}))
	require.NoError(t, err)
	require.Equal(t, backslash.Events[0].Metadata, stored[0].Metadata)
}

// A table row and an index entry have their limits; the store's are within.
func TestLargestAppends(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	limits := store.Limits()
	tooLarge := newAppend(1)
	tooLarge.Events[0].Data = make([]byte, limits.PayloadBytes+1)
	many := newAppend(limits.EventsPerAppend + 1)
	for _, a := range []eventstore.Append{tooLarge, many} {
		_, err := store.Append(t.Context(), a)
		require.ErrorIs(t, err, eventstore.ErrTooLarge)
		require.Zero(t, storedOf(t, store, a))
	}
	streams := make([]eventstore.Append, limits.StreamsPerAppend+1)
	for i := range streams {
		streams[i] = newAppend(1)
	}
	_, err := store.Append(t.Context(), streams...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	result, err := store.Append(t.Context(), streams[1:]...)
	require.NoError(t, err)
	require.Len(t, result.Versions, limits.StreamsPerAppend)

	largest := newAppend(1)
	largest.Stream.TenantID = event.TenantID(strings.Repeat("ü", event.MaxNameBytes/2))
	largest.Stream.AggregateType = strings.Repeat("ä", event.MaxNameBytes/2)
	largest.Events[0].Type = strings.Repeat("ö", event.MaxNameBytes/2)
	largest.Events[0].Data = make([]byte, limits.PayloadBytes)
	_, err = store.Append(t.Context(), largest)
	require.NoError(t, err)
	requireOnce(t, store, largest)
}

// A pool of one or two connections is slow, and never stuck, although several
// wait, append, read and begin at a time.
func TestSmallPools(t *testing.T) {
	t.Parallel()
	for _, conns := range []string{"1", "2"} {
		t.Run(conns, func(t *testing.T) {
			t.Parallel()
			config := newDatabase(t)
			config.URL += "&pool_max_conns=" + conns
			store := open(t, config)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			const appends = 20
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for range appends {
						_, err := store.Append(ctx, newAppend(2))
						assert.NoError(t, err)
					}
				})
				all.Go(func() {
					for after := uint64(0); after < 4*appends*2; {
						head, err := store.Wait(ctx, after)
						if err != nil {
							t.Error(err)
							return
						}
						_, _, err = collect(store.ReadAll(ctx, eventstore.Query{After: after, Until: head}))
						assert.NoError(t, err)
						after = head
					}
				})
			}
			all.Go(func() {
				for range appends {
					tx, err := store.Begin(ctx)
					if assert.NoError(t, err) {
						_, err = tx.(*postgres.Tx).Events().Append(ctx, newAppend(1))
						assert.NoError(t, err)
						assert.NoError(t, tx.Rollback(ctx))
					}
				}
			})
			all.Wait()
		})
	}
}

// Behind a pooler in transaction mode nothing may rest on a session: here each
// connection has forgotten everything whenever it comes back.
func TestConformanceWithoutSessions(t *testing.T) {
	t.Parallel()
	forgetful := func(t *testing.T, url string) *postgres.Store {
		t.Helper()
		config, err := pgxpool.ParseConfig(url)
		require.NoError(t, err)
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		config.ConnConfig.StatementCacheCapacity = 0
		config.MaxConns = 8
		config.AfterRelease = func(conn *pgx.Conn) bool {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
			defer cancel()
			_, err := conn.Exec(ctx, "DISCARD ALL", pgx.QueryExecModeSimpleProtocol)
			return err == nil
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return open(t, postgres.Config{Pool: pool})
	}
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store { t.Helper(); return forgetful(t, newDatabase(t).URL) },
		eventstoretest.Second(func(t *testing.T, store eventstore.Store) eventstore.Store {
			t.Helper()
			return forgetful(t, store.(*postgres.Store).Pool().Config().ConnString())
		}))
}

// One append that the database cannot take does not spoil those that share a
// call with it.
func TestNeighboursOfAnAppendThatFails(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	execute(t, config.URL, "ALTER TABLE evident.events ADD CONSTRAINT unlucky CHECK (event_type <> 'Unlucky')")
	store := open(t, config)
	blocked, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	held := newAppend(1)
	_, err = store.Within(blocked).Append(t.Context(), held)
	require.NoError(t, err)
	// Those that wait for the stream keep the calls busy while a batch gathers.
	answers := make(chan error, 64)
	send := func(a eventstore.Append) { go func() { _, err := store.Append(t.Context(), a); answers <- err }() }
	again := newAppend(1)
	again.Stream, again.Expected = held.Stream, eventstore.Any()
	send(again)
	unlucky := newAppend(1)
	unlucky.Events[0].Type = "Unlucky"
	unluckyErr := make(chan error, 1)
	go func() { _, err := store.Append(t.Context(), unlucky); unluckyErr <- err }()
	neighbours := make([]eventstore.Append, 30)
	for i := range neighbours {
		neighbours[i] = newAppend(1)
		send(neighbours[i])
	}
	require.NoError(t, blocked.Commit(t.Context()))
	for range len(neighbours) + 1 {
		require.NoError(t, <-answers)
	}
	failed, ok := errors.AsType[*postgres.Error](<-unluckyErr)
	require.True(t, ok)
	require.Equal(t, "23514", failed.Code)
	for _, a := range neighbours {
		requireOnce(t, store, a)
	}
	require.Zero(t, storedOf(t, store, unlucky))
}
