//go:build unix

package pgtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/internal/pgtest"
)

// childTask is set for the process that a test starts and kills.
const childTask = "EVIDENT_PGTEST_CHILD"

// bound is how long clean-up after a killed process may take. A server whose
// folder is removed gives up by itself, but takes longer.
const bound = 10 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(childTask) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := startForEver(context.Background()); err != nil {
		fmt.Println(err)
	}
}

// startForEver starts a server, prints where its data is and its process id,
// and waits to be killed.
func startForEver(ctx context.Context) error {
	server, err := pgtest.Start(ctx)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return err
	}
	var folder, pid string
	if err := conn.QueryRow(ctx, "SELECT current_setting('data_directory'), split_part(pg_read_file('postmaster.pid'), E'\n', 1)").
		Scan(&folder, &pid); err != nil {
		return err
	}
	fmt.Println(folder, pid)
	_, err = conn.Exec(ctx, "SELECT pg_sleep(3600)")
	return err
}

// child is a process that starts a server. It hands down an open file to all
// processes that it starts, and they to theirs.
type child struct {
	*exec.Cmd
	out    *bufio.Reader
	family *os.File
	folder string // where it makes its own
}

func startChild(t *testing.T) child {
	t.Helper()
	family, held, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = family.Close() })
	defer func() { _ = held.Close() }()
	self, err := os.Executable()
	require.NoError(t, err)
	folder := openFolder(t)

	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childTask+"=start", "TMPDIR="+folder)
	cmd.ExtraFiles = []*os.File{held, held} // the server puts another in the place of the first
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return child{Cmd: cmd, out: bufio.NewReader(out), family: family, folder: folder}
}

// killed kills the child, as nobody can prevent, and waits until nothing is
// left of it: no process and no file.
func (c child) killed(t *testing.T) {
	t.Helper()
	require.NoError(t, c.Process.Kill())
	_ = c.Wait() // it was killed
	require.NoError(t, c.family.SetReadDeadline(time.Now().Add(bound)))
	_, err := c.family.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "a process is left")
	left, err := os.ReadDir(c.folder)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestNothingIsLeftOfAKilledProcess(t *testing.T) {
	t.Parallel()
	c := startChild(t)
	line, err := c.out.ReadString('\n')
	require.NoError(t, err, line)
	folder, server, _ := strings.Cut(strings.TrimSpace(line), " ")
	require.Equal(t, c.folder, filepath.Dir(filepath.Dir(folder)))
	require.DirExists(t, folder)
	pid, err := strconv.Atoi(server)
	require.NoError(t, err, line)
	require.NoError(t, syscall.Kill(pid, 0), "the server runs")
	c.killed(t)
}

func TestNothingIsLeftOfAProcessThatIsKilledWhileItStartsAServer(t *testing.T) {
	t.Parallel()
	moments := map[string]string{
		"before initdb":             "*",
		"initdb begins":             "*/data/PG_VERSION",
		"initdb is at work":         "*/data/base/1/*",
		"initdb is nearly done":     "*/data/base/5",
		"the server was started":    "*/server.log",
		"the server is about to be": "*/data/postmaster.pid",
	}
	for name, file := range moments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startChild(t)
			require.Eventually(t, func() bool {
				found, _ := filepath.Glob(filepath.Join(c.folder, file))
				return len(found) > 0
			}, bound, time.Millisecond)
			c.killed(t)
		})
	}
}
