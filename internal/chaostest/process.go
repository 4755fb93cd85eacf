//go:build unix

package chaostest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// process is the test's program, started again to do a job. It ends with the
// test's, whose end closes its input, unless it is frozen.
type process struct {
	job    Job
	cmd    *exec.Cmd
	input  io.Closer
	ready  chan struct{} // closed when it says so
	gone   chan struct{} // closed when it has ended
	ending sync.Once
}

// start starts a process. What it complains about is in a file that the test
// shows when it fails.
func start(t *testing.T, job Job) *process {
	t.Helper()
	text, err := json.Marshal(job)
	require.NoError(t, err)
	complaints, err := os.OpenFile(filepath.Join(filepath.Dir(job.Lines), "complaints"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer func() { _ = complaints.Close() }() // the process has its own handle
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{job: job, cmd: exec.Command(self), ready: make(chan struct{}), gone: make(chan struct{})} //nolint:noctx // it is killed in the end.
	p.cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	p.cmd.Stderr = complaints
	p.input, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.kill)
	go p.listen(out)
	return p
}

// listen hears that the process is ready, and that it has ended.
func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	var once sync.Once
	for lines.Scan() {
		if lines.Text() == ready {
			once.Do(func() { close(p.ready) })
		}
	}
	_ = p.cmd.Wait() // how it ended is its killer's business
	close(p.gone)
}

// kill ends the process wherever it is, also when it is frozen. It may be
// called again.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.hangUp()
	<-p.gone
}

// hangUp closes the process's input, by which it is told to end.
func (p *process) hangUp() { p.ending.Do(func() { _ = p.input.Close() }) }

// stop has the process end by itself. One that does not says in its complaints
// where it hangs.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.hangUp()
	if !within(patience, p.gone) {
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it may just have ended
		assert.Fail(t, "a process does not end")
		within(patience, p.gone)
	}
}

func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

func (p *process) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
