package natstest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// Variables by which the test's program is told to be a server.
const (
	dirVariable  = "EVIDENT_NATSTEST_DIR"
	portVariable = "EVIDENT_NATSTEST_PORT"
)

// Process is one server in a process of its own: the test's program, started
// again. Only such a server can be killed, and not merely stopped.
type Process struct {
	dir     string
	port    int
	command *exec.Cmd
	stdin   io.Closer
}

// Main runs a package's tests. A package that uses [StartProcess] has
//
//	func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }
func Main(m *testing.M) int {
	if dir := os.Getenv(dirVariable); dir != "" {
		return serve(dir, os.Getenv(portVariable), os.Stdin, os.Stdout)
	}
	return m.Run()
}

// serve is the server's process: it says which port it has, and ends when its
// input does, since then the test has ended.
func serve(dir, port string, in io.Reader, out io.Writer) int {
	number, err := strconv.Atoi(port)
	if err != nil {
		fmt.Fprintln(out, "bad port:", err)
		return 2
	}
	options := basic("evident", dir, number)
	s, err := server.NewServer(&options)
	if err != nil {
		fmt.Fprintln(out, "no server:", err)
		return 2
	}
	go s.Start()
	ready := s.ReadyForConnections(patience)
	address, ok := s.Addr().(*net.TCPAddr)
	if !ready || !ok {
		fmt.Fprintln(out, "not ready")
		return 2
	}
	fmt.Fprintln(out, "port", address.Port)
	_, _ = io.Copy(io.Discard, in)
	s.Shutdown()
	return 0
}

// StartProcess starts a server in a process of its own, which ends with the
// test, also if the test's program is killed. The package must use [Main].
func StartProcess(t testing.TB) *Process {
	t.Helper()
	p := &Process{dir: t.TempDir(), port: server.RANDOM_PORT}
	p.Restart(t)
	t.Cleanup(p.Kill)
	return p
}

// Kill kills the server: it cannot write anything any more. It may be called again.
func (p *Process) Kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
	_ = p.stdin.Close()
	p.command = nil
}

// Restart starts the server again, at the same address and with the same files.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	p.Kill()
	command := exec.Command(os.Args[0]) //nolint:noctx // this program; it ends with the test, by Kill.
	command.Env = append(os.Environ(), dirVariable+"="+p.dir, portVariable+"="+strconv.Itoa(p.port))
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	command.Stderr = os.Stderr
	require.NoError(t, command.Start())
	p.command, p.stdin = command, stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "the server's process says nothing: does the package use natstest.Main?")
	_, err = fmt.Sscanf(line, "port %d", &p.port)
	require.NoError(t, err, strings.TrimSpace(line))
}

// URL is where clients connect.
func (p *Process) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(p.port) }

// JetStream connects to the server. The connection comes back when the server
// does, and ends with the test.
func (p *Process) JetStream(t testing.TB, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	return connect(t, p.URL(), options...)
}
