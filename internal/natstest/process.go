package natstest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// Process is one server in a process of its own. Only such a server can be
// killed or frozen, and not merely stopped, and the race detector, if a test runs
// with it, does not slow it down.
type Process struct {
	program string
	args    []string
	port    int
	command *exec.Cmd
	stdin   io.Closer
	frozen  bool
}

// ProcessOption changes how a server in a process of its own runs.
type ProcessOption func(*processConfig)

type processConfig struct{ syncAlways, network bool }

// SyncAlways has a server acknowledge nothing before the disk has confirmed it.
func SyncAlways() ProcessOption { return func(c *processConfig) { c.syncAlways = true } }

func configOf(options []ProcessOption) processConfig {
	var c processConfig
	for _, change := range options {
		change(&c)
	}
	return c
}

// StartProcess starts a server in a process of its own, which ends with the
// test, also if the test's program is killed.
func StartProcess(t testing.TB, options ...ProcessOption) *Process {
	t.Helper()
	p := newProcess(t, program(t), configOf(options), "-dir", t.TempDir())
	p.Restart(t)
	return p
}

// program returns the path of the server's program, which the go command builds
// if need be. It is built without the race detector.
func program(t testing.TB) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "tool", "-n", "natsserver")
	command.Stderr = os.Stderr
	path, err := command.Output()
	require.NoError(t, err, "go tool -n natsserver")
	return strings.TrimSpace(string(path))
}

func newProcess(t testing.TB, program string, config processConfig, args ...string) *Process {
	t.Helper()
	if config.syncAlways {
		args = append(args, "-sync")
	}
	p := &Process{program: program, args: args, port: freePort(t)}
	t.Cleanup(p.Kill)
	return p
}

// Kill kills the server: it cannot write anything any more. It may be called again.
func (p *Process) Kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill()
	p.bury()
}

// Stop lets the server end in order. It may be called again.
func (p *Process) Stop() {
	if p.command == nil {
		return
	}
	_ = p.stdin.Close()
	late := time.AfterFunc(patience, func() { _ = p.command.Process.Kill() })
	p.bury()
	late.Stop()
}

// bury waits for the end of the server's process.
func (p *Process) bury() {
	_ = p.command.Wait()
	_ = p.stdin.Close()
	p.command, p.frozen = nil, false
}

// Restart starts the server again, at the same address and with the same files.
// It is killed if it runs.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	p.Kill()
	var stdout io.ReadCloser
	require.Eventually(t, func() bool {
		var err error
		stdout, err = p.start()
		if !errors.Is(err, syscall.ETXTBSY) { // another test's go command is just writing the program, too
			require.NoError(t, err)
		}
		return err == nil
	}, patience, tick)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "the server's process says nothing")
	require.Equal(t, "ready", strings.TrimSpace(line))
}

// start starts the process and returns what it says.
func (p *Process) start() (stdout io.ReadCloser, err error) {
	command := exec.Command(p.program, append(p.args, "-port", strconv.Itoa(p.port))...) //nolint:noctx // it ends with the test, by Kill.
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if stdout, err = command.StdoutPipe(); err != nil {
		return nil, err
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	p.command, p.stdin = command, stdin
	return stdout, nil
}

// answers reports whether the server runs and is not frozen.
func (p *Process) answers() bool { return p.command != nil && !p.frozen }

// URL is where clients connect.
func (p *Process) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(p.port) }

// JetStream connects to the server. The connection comes back when the server
// does, and ends with the test.
func (p *Process) JetStream(t testing.TB, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	return Connect(t, p.URL(), options...)
}
