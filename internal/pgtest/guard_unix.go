//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// Signals that stop a server.
const (
	fast      = syscall.SIGINT  // roll back, write everything, go
	immediate = syscall.SIGQUIT // go
)

// script is what the guard does. It ignores the signals that end others in its
// group, sits on its input until the last writer is gone, sends the group away
// and removes the folder. A server that is on its way out may still write, so
// that removing fails at first.
const script = `
trap '' HUP INT QUIT TERM
read -r line
kill -QUIT 0
tries=0
until rm -rf "$1"; do
	tries=$((tries + 1))
	[ "$tries" -lt 60 ] || exit 1
	sleep 1
done`

// guard is a shell that sees to it that nothing is left when this process ends,
// however it ends. It reads from a pipe that this process alone can write to
// and never does: when the process is gone, the system closes the pipe. Then
// the guard ends every process in its group, where initdb and the servers are,
// and removes the folder.
//
// They enter the group before they run their program, and the pipe is open
// until then: no moment is left in which one could be missed. Linux could be
// asked to kill them when their parent dies, but takes the thread that started
// them for the parent.
type guard struct {
	shell *exec.Cmd
	life  *os.File
	user  *syscall.Credential // whom the group's programs run as; nil for the one who runs this
}

// watch makes a folder and starts its guard; the guard first, so that there is
// no moment without one.
func watch(ctx context.Context, folder string) (*guard, error) {
	user, err := unprivileged()
	if err != nil {
		return nil, err
	}
	g := &guard{user: user}
	if err := g.start(context.WithoutCancel(ctx), folder); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	if err := g.makeFolder(folder); err != nil {
		return nil, errors.Join(err, g.release())
	}
	return g, nil
}

func (g *guard) start(ctx context.Context, folder string) error {
	input, life, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = input.Close() }() // the shell has its own handle
	g.life = life
	g.shell = exec.CommandContext(ctx, "/bin/sh", "-c", script, "pgtest", folder)
	g.shell.Dir = "/"
	g.shell.Stdin = input
	g.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.shell.Start(); err != nil {
		return errors.Join(err, life.Close())
	}
	return nil
}

// makeFolder makes the folder, for the user who is going to write there.
func (g *guard) makeFolder(folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if g.user == nil {
		return nil
	}
	return os.Chown(folder, int(g.user.Uid), int(g.user.Gid))
}

// adopt puts a command that is not started yet under guard.
func (g *guard) adopt(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.shell.Process.Pid, Credential: g.user}
}

// release lets the guard do its work, and waits until it is done.
func (g *guard) release() error {
	if err := errors.Join(g.life.Close(), g.shell.Wait()); err != nil {
		return fmt.Errorf("pgtest: clean up: %w", err)
	}
	return nil
}

// unprivileged returns the user that servers run as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if found, err := user.Lookup(name); err == nil {
			return credential(found)
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

func credential(u *user.User) (*syscall.Credential, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
