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
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/sqlite"
)

// A process that copies is this test binary, with the two files in its
// environment.
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
	if err := copyFiles(context.Background(), source, os.Getenv(childTarget)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// copyFiles copies one file into another, and prints a line for every 250 events
// that it has read.
func copyFiles(ctx context.Context, from, to string) (err error) {
	source, err := sqlite.Open(ctx, sqlite.Config{Path: from})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := sqlite.Open(ctx, sqlite.Config{Path: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
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
	path, copied := filepath.Join(t.TempDir(), "source.db"), filepath.Join(t.TempDir(), "target.db")
	source, target := openSQLite(t, path), openSQLite(t, copied)
	copyAll(t, filled(t, 2500), source)
	have, killed := 0, 0
	for range 6 {
		if killedAfter(t, path, copied, rand.IntN(35)) {
			killed++
		}
		_, n := requireBeginning(t, source, target)
		require.GreaterOrEqual(t, n, have)
		have = n
	}
	t.Logf("killed %d times, %d events were there", killed, have)
	require.Positive(t, killed)
	requireSame(t, source, target, copyAll(t, source, target))
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
