//go:build !unix

package pgtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// Signals that stop a server, where there are signals.
var (
	fast      = os.Interrupt //nolint:gochecknoglobals // a constant
	immediate = os.Kill      //nolint:gochecknoglobals // a constant
)

// guard cannot be had: there are no process groups and no users to drop to.
type guard struct{}

func watch(context.Context, string) (*guard, error) {
	return nil, errors.New("a server of its own can be started on Unix only; set " + Variable)
}

func (*guard) adopt(*exec.Cmd) {}
func (*guard) release() error  { return nil }
