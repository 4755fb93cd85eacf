//go:build unix

package natstest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Freeze lets the server do nothing, not even notice that it is late, until
// [Process.Thaw], [Process.Kill] or [Process.Restart]. Its connections stay open.
func (p *Process) Freeze(t testing.TB) {
	t.Helper()
	require.NoError(t, p.command.Process.Signal(syscall.SIGSTOP))
	p.frozen = true
}

// Thaw lets a frozen server go on where it was.
func (p *Process) Thaw(t testing.TB) {
	t.Helper()
	require.NoError(t, p.command.Process.Signal(syscall.SIGCONT))
	p.frozen = false
}
