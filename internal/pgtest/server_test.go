package pgtest_test

import (
	"context"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/pgtest"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func ask[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var answer T
	require.NoError(t, conn.QueryRow(t.Context(), query, args...).Scan(&answer), query)
	return answer
}

func execute(t *testing.T, conn *pgx.Conn, command string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), command)
	require.NoError(t, err, command)
}

func portOf(t *testing.T, server string) int {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return port
}

// openFolder returns a folder that every user may enter. That of t.TempDir
// lies in one that only its owner may.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "pgtest") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	require.NoError(t, os.Chmod(folder, 0o755))
	return folder
}

func TestAServerIsMadeForTests(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.Private(t).URL())
	for name, want := range map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"max_connections":         "200",
		"shared_buffers":          "128MB",
		"fsync":                   "on",
		"full_page_writes":        "on",
		"synchronous_commit":      "on",
		"server_encoding":         "UTF8",
		"is_superuser":            "on",
	} {
		assert.Equal(t, want, ask[string](t, conn, "SHOW "+name), name)
	}
	assert.Equal(t, "postgres C", ask[string](t, conn,
		"SELECT current_user || ' ' || datcollate FROM pg_database WHERE datname = current_database()"))
}

func TestSettingsAreTheServers(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.Private(t, pgtest.Unsafe(),
		pgtest.Setting("max_connections", "10"), pgtest.Setting("cluster_name", "Bob's")).URL())
	for name, want := range map[string]string{
		"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "max_connections": "10", "cluster_name": "Bob's",
	} {
		assert.Equal(t, want, ask[string](t, conn, "SHOW "+name), name)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context())
	require.NoError(t, err)
	folder := ask[string](t, connect(t, server.URL()), "SHOW data_directory")
	require.DirExists(t, folder)

	require.NoError(t, server.Stop())
	assert.NoDirExists(t, folder)
	_, err = pgx.Connect(t.Context(), server.URL())
	require.Error(t, err)

	require.NoError(t, server.Stop(), "again")
	require.ErrorContains(t, server.Restart(t.Context()), "stopped for good")
	require.ErrorContains(t, server.Crash(t.Context()), "not running")
}

func TestWhatIsCommittedSurvivesACrash(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	conn := connect(t, server.URL())
	execute(t, conn, "CREATE TABLE seen (n int)")
	execute(t, conn, "INSERT INTO seen VALUES (1)")
	execute(t, conn, "BEGIN; INSERT INTO seen VALUES (2)")

	require.NoError(t, server.Crash(t.Context()))
	_, err := conn.Exec(t.Context(), "COMMIT")
	require.Error(t, err, "clients are cut off")
	_, err = pgx.Connect(t.Context(), server.URL())
	require.Error(t, err, "nobody is there")
	require.ErrorContains(t, server.Crash(t.Context()), "not running")

	where := server.URL()
	require.NoError(t, server.Restart(t.Context()))
	assert.Equal(t, where, server.URL())
	conn = connect(t, server.URL())
	assert.Equal(t, 1, ask[int](t, conn, "SELECT sum(n) FROM seen"))
	log, err := os.ReadFile(ask[string](t, conn, "SHOW data_directory") + "/../server.log")
	require.NoError(t, err)
	assert.Contains(t, string(log), "database system was not properly shut down; automatic recovery in progress")
}

func TestRestartOfARunningServerCutsOffItsClients(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	conn := connect(t, server.URL())
	execute(t, conn, "CREATE TABLE seen (n int)")

	require.NoError(t, server.Restart(t.Context()))
	_, err := conn.Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	assert.Zero(t, ask[int](t, connect(t, server.URL()), "SELECT count(*) FROM seen"))
}

func TestCrashAndRestartGiveUpWithTheirContext(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Crash(ctx); err != nil { // it may be quick enough
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, server.Crash(t.Context()))
	}
	require.ErrorIs(t, server.Restart(ctx), context.Canceled, "while it is down")
	require.NoError(t, server.Restart(t.Context()))
	require.ErrorIs(t, server.Restart(ctx), context.Canceled, "while it is up")
	require.NoError(t, server.Restart(t.Context()))
}

func TestStartingAndStoppingTakeTurns(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { _ = server.Crash(t.Context()) })
		all.Go(func() { assert.NoError(t, server.Restart(t.Context())) })
	}
	all.Wait()
	require.NoError(t, server.Restart(t.Context()))
	assert.Equal(t, 1, ask[int](t, connect(t, server.URL()), "SELECT 1"))
	for range 3 {
		all.Go(func() { assert.NoError(t, server.Stop()) })
	}
	all.Wait()
}

func TestATakenPortIsLeftAlone(t *testing.T) {
	t.Parallel()
	other := pgtest.Private(t)
	taken := portOf(t, other.URL())
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())

	server := pgtest.Private(t, pgtest.Ports(taken, taken, free))
	assert.Equal(t, free, portOf(t, server.URL()))
	assert.Equal(t, taken, portOf(t, other.URL()))

	_, err = pgtest.Start(t.Context(), pgtest.Ports(taken, taken, taken, taken, taken, taken, taken, taken, taken, taken))
	require.ErrorContains(t, err, "another program listens on the port: "+strconv.Itoa(taken))
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), pgtest.Setting("no_such_parameter", "1"))
	require.ErrorContains(t, err, `unrecognized configuration parameter "no_such_parameter"`)
}

func TestAnInstallationThatDoesNotWorkSaysWhy(t *testing.T) {
	t.Parallel()
	broken := install(t, openFolder(t), "postgres", "initdb")
	_, err := pgtest.Start(t.Context(), pgtest.Programs(broken))
	require.Error(t, err, "initdb made nothing")

	require.NoError(t, os.WriteFile(broken+"/initdb", []byte("#!/bin/sh\necho no space left\nexit 3\n"), 0o755))
	_, err = pgtest.Start(t.Context(), pgtest.Programs(broken))
	require.ErrorContains(t, err, "initdb: exit status 3\nno space left")

	require.NoError(t, os.WriteFile(broken+"/initdb", []byte("#!/bin/sh\nmkdir data && : > data/postgresql.conf\n"), 0o755))
	_, err = pgtest.Start(t.Context(), pgtest.Programs(broken))
	require.ErrorContains(t, err, "the server did not start")

	require.NoError(t, os.WriteFile(broken+"/postgres", []byte("#!/nowhere/sh\n"), 0o755))
	_, err = pgtest.Start(t.Context(), pgtest.Programs(broken))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "start the server")
}

func TestAServerThatDoesNotGetReadyIsGivenUp(t *testing.T) {
	t.Parallel()
	slow := install(t, openFolder(t), "postgres", "initdb")
	require.NoError(t, os.WriteFile(slow+"/initdb", []byte("#!/bin/sh\nmkdir data && : > data/postgresql.conf\n"), 0o755))
	require.NoError(t, os.WriteFile(slow+"/postgres", []byte("#!/bin/sh\necho I think >&2; exec sleep 3600\n"), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := pgtest.Start(ctx, pgtest.Programs(slow))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "I think")
}

func TestWithoutATemporaryFolderThereIsNoServer(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	_, err := pgtest.Start(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAStartThatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pgtest.Start(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestBinIsOfTheSameInstallation(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t)
	path, err := server.Bin("pg_dump")
	require.NoError(t, err)
	assert.FileExists(t, path)
	assert.Contains(t, path, "pg_dump")

	_, err = server.Bin("pg_nothing")
	require.ErrorContains(t, err, "there is no pg_nothing in ")
}
