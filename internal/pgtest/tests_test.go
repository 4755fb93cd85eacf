package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/pgtest"
)

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, pgtest.URL(t))
			execute(t, conn, "CREATE TABLE mine (n int)")
			assert.Equal(t, "UTF8 C", ask[string](t, conn,
				"SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = current_database()"))
		})
	}
	one, other := pgtest.URL(t), pgtest.URL(t)
	assert.NotEqual(t, one, other)
	assert.Equal(t, portOf(t, one), portOf(t, other), "one server for all")
}

func TestTheDatabaseIsDroppedWhenItsTestEnds(t *testing.T) {
	t.Parallel()
	var gone string
	var conn *pgx.Conn
	t.Run("test", func(t *testing.T) {
		gone = pgtest.URL(t)
		var err error
		conn, err = pgx.Connect(t.Context(), gone) // left open
		require.NoError(t, err)
	})
	_, err := conn.Exec(t.Context(), "SELECT 1")
	require.Error(t, err, "the connection was cut")
	_, err = pgx.Connect(t.Context(), gone)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok, err)
	assert.Equal(t, "3D000", refused.Code, "no such database")
}

func TestTheServerThatTheEnvironmentNamesIsUsed(t *testing.T) {
	named := pgtest.Private(t)
	t.Setenv("EVIDENT_POSTGRES_URL", named.URL()+"&application_name=named")

	url := pgtest.URL(t)
	assert.Equal(t, portOf(t, named.URL()), portOf(t, url))
	conn := connect(t, url)
	assert.Equal(t, "named", ask[string](t, conn, "SHOW application_name"), "the rest of the URL stays")
	assert.Contains(t, ask[string](t, conn, "SELECT current_database()"), "evident_test_")
}

func TestAServerThatCannotBeUsedFailsTheTest(t *testing.T) {
	named := pgtest.Private(t)
	execute(t, connect(t, named.URL()), "CREATE ROLE nobody LOGIN")
	port := portOf(t, named.URL())
	for want, url := range map[string]string{
		"permission denied to create database": fmt.Sprintf("postgres://nobody@127.0.0.1:%d/postgres", port),
		"EVIDENT_POSTGRES_URL is not a URL":    fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", port),
		"pgtest: failed to connect":            "postgres://127.0.0.1:1/postgres",
	} {
		t.Setenv("EVIDENT_POSTGRES_URL", url)
		assert.Contains(t, failure(t, func(t testing.TB) { pgtest.URL(t) }), want)
	}
	assert.Zero(t, ask[int](t, connect(t, named.URL()), "SELECT count(*) FROM pg_database WHERE datname LIKE 'evident_test_%'"))
}

func TestAPrivateServerThatIsNotThereFailsTheTest(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	said := failure(t, func(t testing.TB) { pgtest.Private(t, pgtest.Programs(empty)) })
	assert.Contains(t, said, "run `make postgres`")
}

func TestADatabaseThatCannotBeDroppedFailsTheTest(t *testing.T) {
	named := pgtest.Private(t)
	t.Setenv("EVIDENT_POSTGRES_URL", named.URL())
	said := failure(t, func(tb testing.TB) {
		pgtest.URL(tb)
		require.NoError(t, named.Crash(t.Context()))
	})
	assert.Contains(t, said, "failed to connect")
}

// failure runs a test and returns how it failed.
func failure(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.end()
		test(r)
	}()
	<-done
	return r.said
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	said     string
	cleanups []func()
}

func (r *recorder) Fatal(args ...any) { r.Error(args...); runtime.Goexit() }
func (r *recorder) Error(args ...any) { r.said += fmt.Sprintln(args...) }
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

func TestSharedServersAreStartedWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it outlives the test that starts it
	shared := pgtest.Shared()
	one, err := shared(ctx)
	require.NoError(t, err)
	other, err := shared(t.Context())
	require.NoError(t, err)
	assert.Equal(t, one, other)
}
