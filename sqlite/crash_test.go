//go:build unix

package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/sqlite"
)

// Tests that need another process start the test binary again, with what it is
// to do in the environment.
const (
	childTask = "EVIDENT_SQLITE_CHILD"
	childPath = "EVIDENT_SQLITE_PATH"
)

func TestMain(m *testing.M) {
	if !runChild() && !chaostest.Run(chaosHome) {
		goleak.VerifyTestMain(m)
	}
}

// runChild does what the environment asks for, if this is a child.
func runChild() bool {
	config := sqlite.Config{Path: os.Getenv(childPath)}
	switch os.Getenv(childTask) {
	case "append":
		appendForEver(config)
	case "fill":
		fillUp(config)
	case "open":
		tryToOpen(config)
	case "migrate":
		fmt.Println(sentinelOf(sqlite.Migrate(context.Background(), config)))
	default:
		return false
	}
	return true
}

func child(t *testing.T, task string, config sqlite.Config) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childTask+"="+task, childPath+"="+config.Path)
	cmd.Stderr = os.Stderr
	return cmd
}

// appendForEver appends from several goroutines and prints the id and version
// of every event that the store acknowledged.
func appendForEver(config sqlite.Config) {
	ctx := context.Background()
	if err := sqlite.Migrate(ctx, config); err != nil {
		fmt.Println("error", err)
		return
	}
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var printing sync.Mutex
	for range 4 {
		go func() {
			stream := eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}
			for version := uint64(0); ; version += 2 {
				events := newEvents(2)
				if _, err := store.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.Exact(version), Events: events}); err != nil {
					fmt.Println("error", err)
					return
				}
				printing.Lock()
				fmt.Println(events[0].ID, events[1].ID)
				printing.Unlock()
			}
		}()
	}
	select {}
}

func TestKilledProcessLosesNothingThatItAcknowledged(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	var acknowledged []string
	for range 4 {
		acknowledged = append(acknowledged, killedAfter(t, config, 20+rand.IntN(60))...)
	}

	store := open(t, config)
	stored := make(map[string]int)
	versions := make(map[uuid.UUID]uint64)
	for _, e := range readAll(t, store, eventstore.Query{}) {
		stored[e.ID.String()]++
		require.Equal(t, versions[e.AggregateID]+1, e.AggregateVersion, "versions are contiguous in the log")
		versions[e.AggregateID] = e.AggregateVersion
	}
	for _, id := range acknowledged {
		require.Equal(t, 1, stored[id], "acknowledged event %s", id)
	}
	for id, version := range versions {
		assert.Zero(t, version%2, "half an append was stored in stream %s", id)
	}
	var verdict string
	require.NoError(t, store.DB().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	assert.Equal(t, "ok", verdict)
}

// killedAfter runs the appending child, kills it after it has acknowledged the
// given number of appends, and returns the ids that it had printed.
func killedAfter(t *testing.T, config sqlite.Config, appends int) []string {
	t.Helper()
	cmd := child(t, "append", config)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var ids []string
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		require.NotContains(t, words, "error", lines.Text())
		if len(words) == 2 && len(words[1]) == len(uuid.Nil.String()) { // a killed process may print half a line
			ids = append(ids, words...)
		}
		if n == appends {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	assert.Error(t, cmd.Wait(), "it was killed")
	return ids
}

// fillUp appends until the file may not grow any more, in the middle of
// commits, and prints what the errors were and which events were acknowledged.
func fillUp(config sqlite.Config) {
	signal.Ignore(syscall.SIGXFSZ) // so that writing fails with an error
	ctx := context.Background()
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	limit := syscall.Rlimit{Cur: 300_000, Max: 300_000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println("error", err)
		return
	}
	for range 1000 {
		events := newEvents(1)
		_, err := store.Append(ctx, eventstore.Append{Stream: newStream(), Events: events})
		var kind string
		switch {
		case err == nil:
			kind = "stored"
		case errors.Is(err, eventstore.ErrOutcomeUnknown):
			kind = "unknown"
		default:
			kind = "failed"
		}
		fmt.Println(kind, events[0].ID)
		if kind != "stored" {
			return
		}
	}
}

func TestCommitThatTheDiskDoesNotConfirmHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	out, err := child(t, "fill", config).Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.True(t, strings.HasPrefix(lines[len(lines)-1], "unknown "), "the last append ends so: %s", lines[len(lines)-1])
	require.Greater(t, len(lines), 1)

	stored := make(map[string]int)
	for _, e := range readAll(t, open(t, config), eventstore.Query{}) {
		stored[e.ID.String()]++
	}
	for _, line := range lines[:len(lines)-1] {
		kind, id, _ := strings.Cut(line, " ")
		assert.Equal(t, "stored", kind)
		assert.Equal(t, 1, stored[id])
	}
}

// tryToOpen prints which sentinel the error of Open matches.
func tryToOpen(config sqlite.Config) {
	store, err := sqlite.Open(context.Background(), config)
	if err == nil {
		_ = store.Close()
	}
	fmt.Println(sentinelOf(err))
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]func(path string) error{
		"file":   func(path string) error { return os.Chmod(path, 0o444) },
		"folder": func(path string) error { return os.Chmod(filepath.Dir(path), 0o555) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newFile(t)
			require.NoError(t, protect(config.Path))
			out, err := asNobody(t, child(t, "open", config), config).Output()
			require.NoError(t, err)
			assert.Equal(t, eventstore.ErrReadOnly.Error(), strings.TrimSpace(string(out)))
		})
	}
}

func TestMigrateInAReadOnlyFolder(t *testing.T) {
	t.Parallel()
	config := sqlite.Config{Path: filepath.Join(t.TempDir(), "events.db")}
	require.NoError(t, os.Chmod(filepath.Dir(config.Path), 0o555))
	out, err := asNobody(t, child(t, "migrate", config), config).Output()
	require.NoError(t, err)
	assert.Equal(t, eventstore.ErrReadOnly.Error(), strings.TrimSpace(string(out)))
}

// asNobody lets a child run without the rights of root, for whom modes are no
// barrier. For anybody else it changes nothing.
func asNobody(t *testing.T, cmd *exec.Cmd, config sqlite.Config) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		return cmd
	}
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	folder := t.TempDir()
	for _, path := range []string{filepath.Dir(folder), filepath.Dir(filepath.Dir(config.Path))} {
		require.NoError(t, os.Chmod(path, 0o755))
	}
	binary, err := os.ReadFile(cmd.Path)
	require.NoError(t, err)
	cmd.Path = filepath.Join(folder, "child")
	require.NoError(t, os.WriteFile(cmd.Path, binary, 0o755))
	cmd.Dir = folder
	return cmd
}

func TestTwoProcessesAppendToOneFile(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	var appended atomic.Int64
	done := make(chan struct{})
	var here sync.WaitGroup
	here.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				add(t, store, 1)
				appended.Add(1)
			}
		}
	})
	there := killedAfter(t, config, 50)
	close(done)
	here.Wait()

	all := readAll(t, store, eventstore.Query{})
	assert.GreaterOrEqual(t, len(all), int(appended.Load())+len(there))
	assert.True(t, slices.IsSorted(positions(all)))
	ids := make(map[uuid.UUID]bool)
	for _, e := range all {
		ids[e.ID] = true
	}
	assert.Len(t, ids, len(all))
	for _, id := range there {
		assert.True(t, ids[uuid.MustParse(id)])
	}
}

func TestWaitSeesAppendsOfOtherProcesses(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.PollInterval = time.Millisecond
	store := open(t, config)
	heads := make(chan uint64, 1)
	go func() {
		head, err := store.Wait(t.Context(), 20)
		assert.NoError(t, err)
		heads <- head
	}()
	killedAfter(t, config, 20)
	assert.Greater(t, <-heads, uint64(20))
}
