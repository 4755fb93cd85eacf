package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pause is how long to wait before looking again.
const pause = 10 * time.Millisecond

// run is one run of the server, from a start to a stop. The server's processes
// hold one end of a pipe, and when the last of them is gone the other end says
// so. That takes no goroutine: tests that look for leaks find none.
type run struct {
	cluster cluster
	cmd     *exec.Cmd
	alive   *os.File
}

// follow starts the server's command.
func follow(cmd *exec.Cmd, c cluster) (*run, error) {
	alive, held, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	defer func() { _ = held.Close() }() // the server has its own handle
	cmd.ExtraFiles = []*os.File{held}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: start the server: %w", err), alive.Close())
	}
	return &run{cluster: c, cmd: cmd, alive: alive}, nil
}

// ready waits until the server takes connections.
func (r *run) ready(ctx context.Context) error {
	for !r.takesConnections() {
		if r.gone(pause) {
			return fmt.Errorf("pgtest: the server did not start; its last words:\n%s", r.cluster.lastWords())
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("pgtest: wait for the server to start: %w; its last words:\n%s", err, r.cluster.lastWords())
		}
	}
	return nil
}

// takesConnections reads what the server itself says in its data folder. What
// answers on the port may be another server.
func (r *run) takesConnections() bool {
	const pidLine, stateLine = 0, 7
	file, err := os.ReadFile(filepath.Join(r.cluster.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(file), "\n")
	return len(lines) > stateLine &&
		lines[pidLine] == strconv.Itoa(r.cmd.Process.Pid) && slices.Contains([]string{"ready", "standby"}, strings.TrimSpace(lines[stateLine]))
}

// end sends a signal and waits until all of the server's processes are gone.
func (r *run) end(ctx context.Context, how os.Signal) error {
	if err := r.cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("pgtest: stop the server: %w", err)
	}
	for !r.gone(pause) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("pgtest: wait for the server to stop: %w", err)
		}
	}
	_ = r.cmd.Wait() // it was told to go; how it went does not matter
	return r.alive.Close()
}

// gone reports whether the server's processes are gone, within a time.
func (r *run) gone(within time.Duration) bool {
	if err := r.alive.SetReadDeadline(time.Now().Add(within)); err != nil {
		return true
	}
	_, err := r.alive.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}
