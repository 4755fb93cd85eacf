package pgtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/pgtest"
)

// install makes a folder with programs that do nothing.
func install(t *testing.T, folder string, programs ...string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for _, program := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(folder, program), []byte("#!/bin/sh\n"), 0o755))
	}
	return folder
}

func TestFindLooksInPathFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	inPath := install(t, filepath.Join(root, "mine"), "postgres", "initdb")
	install(t, filepath.Join(root, "99", "bin"), "postgres", "initdb")

	found, err := pgtest.FindIn([]string{"", filepath.Join(root, "none"), inPath}, []string{filepath.Join(root, "*", "bin")})
	require.NoError(t, err)
	assert.Equal(t, inPath, found)
}

func TestFindFollowsALinkToTheInstallation(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	whole := install(t, filepath.Join(root, "15", "bin"), "postgres", "initdb", "pg_dump")
	links := install(t, filepath.Join(root, "links"))
	require.NoError(t, os.Symlink(filepath.Join(whole, "postgres"), filepath.Join(links, "postgres")))

	found, err := pgtest.FindIn([]string{links}, nil)
	require.NoError(t, err)
	assert.Equal(t, whole, found, "where pg_dump is, too")
}

func TestFindTakesTheFolderOfLinksThatLeadToDifferentPlaces(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	links := install(t, filepath.Join(root, "links"))
	for _, program := range []string{"postgres", "initdb"} {
		one := install(t, filepath.Join(root, program), program)
		require.NoError(t, os.Symlink(filepath.Join(one, program), filepath.Join(links, program)))
	}

	found, err := pgtest.FindIn([]string{links}, nil)
	require.NoError(t, err)
	assert.Equal(t, links, found)
}

func TestFindTakesTheHighestVersion(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"9.6", "14", "16", "pgsql", "postgresql@9.5"} {
		install(t, filepath.Join(root, name, "bin"), "postgres", "initdb")
	}
	install(t, filepath.Join(root, "17", "bin"), "pg_dump") // clients only
	install(t, filepath.Join(root, "postgresql@18", "bin"), "postgres")
	usual := []string{filepath.Join(root, "[0-9p]*", "bin"), filepath.Join(root, "postgresql*", "bin")}

	found, err := pgtest.FindIn(nil, usual)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(root, "16", "bin"), found)

	install(t, filepath.Join(root, "postgresql@18", "bin"), "initdb")
	found, err = pgtest.FindIn(nil, usual)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(root, "postgresql@18", "bin"), found)
}

func TestWhenNothingIsInstalledTheErrorSaysWhatToRun(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()

	_, err := pgtest.FindIn([]string{empty}, []string{"/nowhere/*/bin"})
	require.EqualError(t, err, "PostgreSQL's server programs were not found (looked in PATH, /nowhere/*/bin); "+
		"run `make postgres` (apt-get or brew)")

	_, err = pgtest.Start(t.Context(), pgtest.Programs(empty))
	var missing *pgtest.NotFoundError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, []string{empty}, missing.Looked)

	shared := pgtest.Shared(pgtest.Programs(empty))
	for range 2 {
		_, err = shared(t.Context())
		require.EqualError(t, err, "PostgreSQL's server programs were not found (looked in "+empty+"); "+
			"run `make postgres` (apt-get or brew), or set EVIDENT_POSTGRES_URL")
	}
}
