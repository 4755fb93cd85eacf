package transfer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/sqlite"
)

// A process that copies is this test binary, with the addresses of the two stores
// in its environment.
const (
	childSource = "EVIDENT_TRANSFER_SOURCE"
	childTarget = "EVIDENT_TRANSFER_TARGET"
)

func TestMain(m *testing.M) {
	source := os.Getenv(childSource)
	if source == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := copyFile(context.Background(), source, os.Getenv(childTarget)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// openTarget opens a store by its address: a server's, or a file's.
func openTarget(ctx context.Context, address string) (target transfer.Target, end func() error, err error) {
	if !strings.HasPrefix(address, "nats://") {
		file, err := sqlite.Open(ctx, sqlite.Config{Path: address})
		if err != nil {
			return nil, nil, err
		}
		return file, file.Close, nil
	}
	js, hangUp, err := natstest.Dial(address)
	if err != nil {
		return nil, nil, err
	}
	store, err := jetstream.Open(ctx, js, jetstream.Config{})
	if err != nil {
		hangUp()
		return nil, nil, err
	}
	return store, func() error { defer hangUp(); return store.Close() }, nil
}

// copyFile copies a file into a store, and prints a line for every 250 events
// that it has read.
func copyFile(ctx context.Context, from, to string) (err error) {
	source, err := sqlite.Open(ctx, sqlite.Config{Path: from})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, end, err := openTarget(ctx, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	read := 0
	_, err = transfer.Copy(ctx, &counted{Store: source, read: func() {
		if read++; read%250 == 0 {
			fmt.Println(read)
		}
	}}, target, transfer.Config{})
	return err
}

// TestKilledAnywhere kills a process that copies, at random, and goes on with
// what it has left.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "source.db")
	source := openSQLite(t, path)
	copyAll(t, filled(t, 2500), source)
	t.Run("into a file", func(t *testing.T) {
		t.Parallel()
		copied := filepath.Join(t.TempDir(), "target.db")
		target := openSQLite(t, copied)
		requireKills(t, target, source, func() bool { return killedAfter(t, path, copied, rand.IntN(35)) })
	})
	t.Run("into a server", func(t *testing.T) {
		t.Parallel()
		server := natstest.Start(t)
		target := newJetStream(t, server.URL())
		requireKills(t, target, source, func() bool { return killedAfter(t, path, server.URL(), rand.IntN(35)) })
	})
}

// requireKills requires that whatever is killed in the midst of a copy leaves a
// beginning, which only grows, and that the next copy completes it.
func requireKills(t *testing.T, target transfer.Target, source eventstore.Store, killed func() bool) {
	t.Helper()
	have, kills := 0, 0
	for range 6 {
		if killed() {
			kills++
		}
		_, n := requireBeginning(t, source, target)
		require.GreaterOrEqual(t, n, have)
		have = n
	}
	t.Logf("killed %d times, %d events were there", kills, have)
	require.Positive(t, kills)
	requireSame(t, source, target, copyAll(t, source, target))
}

// TestTheTargetIsKilled kills the server that is copied into, again and again,
// while batches are on their way to it. The copy waits for it to come back, and
// misses nothing.
func TestTheTargetIsKilled(t *testing.T) {
	t.Parallel()
	const kills, every = 2, 4_000
	source, server := filled(t, 5_000), natstest.StartProcess(t)
	target := newJetStream(t, server.URL())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	due, over := make(chan struct{}, kills), make(chan error, 1)
	var report transfer.Report
	go func() {
		defer close(due)
		read := 0
		var err error
		report, err = transfer.Copy(ctx, &counted{Store: source, read: func() {
			if read++; read%every == every/2 && read < kills*every {
				due <- struct{}{}
			}
		}}, target, transfer.Config{})
		over <- err
	}()
	killed := 0
	for range due {
		server.Kill()
		server.Restart(t)
		killed++
	}
	require.NoError(t, <-over)
	require.Equal(t, kills, killed)
	requireSame(t, source, target, report)
}

// killedAfter starts a process that copies, kills it when it has printed so many
// lines, and reports whether it was in time.
func killedAfter(t *testing.T, source, target string, lines int) bool {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childSource+"="+source, childTarget+"="+target)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for printed := bufio.NewScanner(out); lines > 0 && printed.Scan(); lines-- {
		continue
	}
	killed := lines == 0 && cmd.Process.Kill() == nil
	if ended := cmd.Wait(); ended != nil {
		require.True(t, killed, ended)
		return true
	}
	return false
}
