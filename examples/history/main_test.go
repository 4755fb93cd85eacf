package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/sqlite"
)

// TestMain forgets the repository that a git hook runs the tests for.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "GIT_") {
			os.Unsetenv(name) //nolint:errcheck // a name from the environment is valid.
		}
	}
	os.Exit(m.Run())
}

// steady replaces what differs from run to run.
func steady(out []byte) []byte {
	return regexp.MustCompile(`[0-9.]+ s, [0-9]+ events/s`).ReplaceAll(out, []byte("… s, … events/s"))
}

func TestOutput(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	require.NoError(t, start(t.Context(), &out, &progress, []string{"testdata/excerpt.ndjson"}))
	golden.Compare(t, steady(out.Bytes()), "testdata/output.txt")
	assert.Contains(t, progress.String(), "rebuild 100%")
}

// TestRealHistory is the main job on real input: 24,542 events stored,
// projected, rebuilt and equal.
func TestRealHistory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, start(t.Context(), &out, io.Discard, []string{"testdata/repository-history.ndjson.gz"}))
	golden.Compare(t, steady(out.Bytes()), "testdata/repository-history.txt")
}

func TestOddHistory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, start(t.Context(), &out, io.Discard,
		[]string{"-file=README.md", "-actor=user:bbbbbbbbbbbb", "-since=2020-01-04", "-commit=c3", "testdata/odd.ndjson"}))
	golden.Compare(t, steady(out.Bytes()), "testdata/odd.txt")
}

func TestSecondRunStoresNothing(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "h.db")
	var first, second bytes.Buffer
	require.NoError(t, start(t.Context(), &first, io.Discard, []string{"-db", db, "testdata/odd.ndjson"}))
	require.NoError(t, start(t.Context(), &second, io.Discard, []string{"-db", db, "testdata/odd.ndjson"}))

	assert.Contains(t, first.String(), "5 commits read, 11 events stored, ")
	assert.Contains(t, second.String(), "5 commits read, 0 events stored (11 were stored before), ")
	_, firstAnswers, _ := strings.Cut(first.String(), "\n\n")
	_, secondAnswers, _ := strings.Cut(second.String(), "\n\n")
	assert.Equal(t, string(steady([]byte(firstAnswers))), string(steady([]byte(secondAnswers))))
}

// Two programs may import the same history at the same time: each sends every
// commit, and each commit is stored once.
func TestSendingACommitAgainStoresItOnce(t *testing.T) {
	t.Parallel()
	store := openStore(t, filepath.Join(t.TempDir(), "h.db"))
	one, err := newImporter(t.Context(), store)
	require.NoError(t, err)
	other, err := newImporter(t.Context(), store)
	require.NoError(t, err)
	for c, err := range (file{path: "testdata/odd.ndjson"}).commits(t.Context()) {
		require.NoError(t, err)
		require.NoError(t, one.add(t.Context(), c))
		require.NoError(t, other.add(t.Context(), c))
	}
	assert.Equal(t, one.versions, other.versions)
	assert.Len(t, events(t, store), 11)
}

func TestCompressedFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/excerpt.ndjson")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "history.gz")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(path, packed.Bytes(), 0o600))

	assert.Equal(t, commits(t, file{path: "testdata/excerpt.ndjson"}), commits(t, file{path: path}))
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"not JSON":       {"{\"commit\":\"a\",\"changes\":[]}\nnonsense\n", "commit 2: invalid character"},
		"no commit":      {`{"at":"2020-01-01T00:00:00Z"}`, `commit 1: "commit" is empty`},
		"unknown change": {`{"commit":"a","at":"2020-01-01T00:00:00Z","changes":[["X","f"]]}`, `commit a: change "X" of "f" is none of A, M and D`},
		"no time":        {`{"commit":"a","changes":[["A","f"]]}`, "occurred_at"},
		"bad actor":      {`{"commit":"a","at":"2020-01-01T00:00:00Z","actor":"alice","changes":[["A","f"]]}`, "actor_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "bad.ndjson")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			require.ErrorContains(t, start(t.Context(), io.Discard, io.Discard, []string{path}), c.want)
		})
	}
	require.Error(t, start(t.Context(), io.Discard, io.Discard, []string{"no-such-file"}))
	require.ErrorContains(t, start(t.Context(), io.Discard, io.Discard, []string{t.TempDir()}), "name a repository with commits")
	require.Error(t, start(t.Context(), io.Discard, io.Discard, []string{"-since=yesterday"}))
	require.ErrorContains(t, start(t.Context(), io.Discard, io.Discard, []string{"-file=none", "testdata/odd.ndjson"}), "not found")
}

// TestRepository reads a repository with a merge, an odd path and a path that
// was removed.
func TestRepository(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	git := gitIn(t, folder)
	write := func(path, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(folder, path), []byte(text), 0o600))
	}
	git("init", "--quiet", "--initial-branch=main")
	write("a\tb c.txt", "one")
	write("gone.txt", "one")
	git("add", "--all")
	git("commit", "--quiet", "--message=first")
	git("checkout", "--quiet", "-b", "side")
	write("side.txt", "one")
	git("add", "--all")
	git("commit", "--quiet", "--message=side")
	git("checkout", "--quiet", "main")
	git("rm", "--quiet", "gone.txt")
	git("commit", "--quiet", "--message=remove")
	git("merge", "--quiet", "--no-ff", "--message=merge", "side")
	write("a\tb c.txt", "two")
	git("commit", "--quiet", "--all", "--message=last")

	read := commits(t, repository{folder: folder})
	require.Len(t, read, 5)
	assert.Equal(t, []Change{{"A", "a\tb c.txt"}, {"A", "gone.txt"}}, read[0].Changes)
	assert.Empty(t, read[0].Parent)
	assert.Equal(t, author("Author@Example.org "), read[0].Actor)
	assert.Equal(t, "2021-03-04T05:06:07Z", read[0].At.Format("2006-01-02T15:04:05Z07:00"))
	assert.Empty(t, read[3].Changes, "a merge")
	assert.Equal(t, []Change{{"M", "a\tb c.txt"}}, read[4].Changes)
	assert.Equal(t, read[3].Hash, read[4].Parent)

	var out bytes.Buffer
	require.NoError(t, start(t.Context(), &out, io.Discard, []string{folder}))
	assert.Contains(t, out.String(), "5 commits read, 5 events stored")
	assert.Contains(t, out.String(), `Who touched "a\tb c.txt", and when?`)

	for _, err := range (repository{folder: folder}).commits(t.Context()) {
		require.NoError(t, err)
		break // ends git
	}
}

func TestAuthorIsOpaque(t *testing.T) {
	t.Parallel()
	actor := author("Jane@Example.org")
	assert.Equal(t, author(" jane@example.org"), actor)
	assert.Regexp(t, `^user:[0-9a-f]{12}$`, string(actor))
}

func gitIn(t *testing.T, folder string) func(arguments ...string) {
	t.Helper()
	return func(arguments ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", folder, "-c", "commit.gpgSign=false"}, arguments...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=author", "GIT_AUTHOR_EMAIL=author@example.org", "GIT_AUTHOR_DATE=2021-03-04T05:06:07Z",
			"GIT_COMMITTER_NAME=author", "GIT_COMMITTER_EMAIL=author@example.org", "GIT_COMMITTER_DATE=2021-03-04T05:06:07Z")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func commits(t *testing.T, from source) []Commit {
	t.Helper()
	var all []Commit
	for c, err := range from.commits(t.Context()) {
		require.NoError(t, err)
		all = append(all, c)
	}
	n, err := from.count(t.Context())
	require.NoError(t, err)
	require.Len(t, all, n)
	return all
}

func openStore(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := open(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

func events(t *testing.T, store eventstore.Store) []event.Event {
	t.Helper()
	var all []event.Event
	for e, err := range store.ReadAll(context.WithoutCancel(t.Context()), eventstore.Query{}) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}
