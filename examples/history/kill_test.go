package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// TestKilledAtAnyMoment kills the program with SIGKILL while it imports,
// projects and rebuilds, starts it again each time, and compares what there is
// in the end with a run that nobody disturbed.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	program, input := build(t), generate(t, random, 800)

	calm := filepath.Join(t.TempDir(), "calm.db")
	steps := stepsOf(runProgram(t, program, calm, input))
	want := collect(t, calm)
	killed := make(map[string]int)
	for range 3 {
		harsh := filepath.Join(t.TempDir(), "harsh.db")
		for _, during := range []string{"import", "import", "import", "import", "project", "rebuild"} {
			if runAndKill(t, program, harsh, input, during, 1+random.IntN(steps[during])) {
				killed[during]++
			}
		}
		runProgram(t, program, harsh, input)
		requireSame(t, want, collect(t, harsh))
	}
	t.Logf("killed during: %v", killed)
	assert.GreaterOrEqual(t, killed["import"]+killed["project"]+killed["rebuild"], 10)
}

// stepsOf counts how often each bar was drawn.
func stepsOf(progress string) map[string]int {
	steps := make(map[string]int)
	for _, during := range []string{"import", "project", "rebuild"} {
		steps[during] = strings.Count(progress, during)
	}
	return steps
}

// build compiles this program.
func build(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "history.exe")
	said, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(said))
	return path
}

// generate writes a history of some thousand changes, branches included: what
// does not fit into one line happens now and then.
func generate(t *testing.T, random *rand.Rand, commits int) (path string) {
	t.Helper()
	var text bytes.Buffer
	at, parent := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), ""
	for n := range commits {
		var changes [][2]string
		for range random.IntN(7) {
			op := [...]string{"A", "M", "M", "M", "D"}[random.IntN(5)]
			changes = append(changes, [2]string{op, fmt.Sprintf("dir%d/file%d.go", random.IntN(9), random.IntN(40))})
		}
		hash := fmt.Sprintf("%08x%08x", random.Uint32(), n)
		at = at.Add(time.Duration(random.IntN(7200)-1800) * time.Second) // authors' clocks do not agree
		line, err := json.Marshal(map[string]any{
			"commit": hash, "parent": parent, "at": at, "changes": changes,
			"actor": event.User(fmt.Sprintf("%012x", random.IntN(20))),
		})
		require.NoError(t, err)
		text.Write(append(line, '\n'))
		parent = hash
	}
	path = filepath.Join(t.TempDir(), "history.ndjson")
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	return path
}

// runProgram runs the program to its end, in which it compares what it has
// built with a replay, and returns the progress that it printed.
func runProgram(t *testing.T, program, db, input string) (progress string) {
	t.Helper()
	var printed strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "-db", db, input)
	cmd.Stderr = &printed
	require.NoError(t, cmd.Run(), &printed)
	return printed.String()
}

// runAndKill kills the program when it has drawn a bar so many times, and
// reports whether it was in time.
func runAndKill(t *testing.T, program, db, input, during string, steps int) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-db", db, input)
	progress, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	words := bufio.NewScanner(progress)
	words.Split(bufio.ScanWords)
	for steps > 0 && words.Scan() {
		if strings.HasSuffix(words.Text(), during) {
			steps--
		}
	}
	killed := steps == 0 && cmd.Process.Kill() == nil
	ended := cmd.Wait()
	if ended == nil {
		return false // it was faster
	}
	require.True(t, killed, ended)
	return true
}

// collected is everything that is in a database and does not depend on when it
// was written.
type collected struct {
	events     []event.Event
	records    []audit.Draft
	activities []audit.Activity
	hotFiles   totals
}

func collect(t *testing.T, db string) (c collected) {
	t.Helper()
	store := openStore(t, db)
	for _, e := range events(t, store) {
		e.RecordedAt = time.Time{}
		c.events = append(c.events, e)
	}
	h := newHistory(store, io.Discard, io.Discard)
	for r, err := range h.auditLog.Find(t.Context(), audit.Query{}) {
		require.NoError(t, err)
		d := r.Draft()
		d.RecordedAt = time.Time{}
		c.records = append(c.records, d)
	}
	for a, err := range h.activity.FindActivities(t.Context(), audit.ActivityQuery{}) {
		require.NoError(t, err)
		a.RecordedAt = time.Time{}
		c.activities = append(c.activities, a)
	}
	var err error
	c.hotFiles, err = sumUp(t.Context(), store.DB())
	require.NoError(t, err)
	return c
}

// requireSame shows the first difference only: all of them would be too many
// to draw.
func requireSame(t *testing.T, want, got collected) {
	t.Helper()
	requireEach(t, want.events, got.events)
	requireEach(t, want.records, got.records)
	requireEach(t, want.activities, got.activities)
	require.Equal(t, want.hotFiles, got.hotFiles)
}

func requireEach[T any](t *testing.T, want, got []T) {
	t.Helper()
	for i := range min(len(want), len(got)) {
		require.Equal(t, want[i], got[i], "number %d", i)
	}
	require.Equal(t, len(want), len(got), "how many") //nolint:testifylint // Len would print them all.
}
