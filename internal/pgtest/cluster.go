package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// superuser is the role that initdb makes.
const superuser = "postgres"

// cluster is a data folder and the programs that work on it.
type cluster struct {
	programs string // folder
	folder   string // holds the data folder and the server's log
	guard    *guard
}

func (c cluster) data() string { return filepath.Join(c.folder, "data") }
func (c cluster) log() string  { return filepath.Join(c.folder, "server.log") }

// make makes the data folder and writes settings behind those that it comes with.
func (c cluster) make(ctx context.Context, settings string) error {
	initdb := c.command(ctx, "initdb", "--pgdata="+c.data(), "--username="+superuser,
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, bytes.TrimSpace(out))
	}
	conf, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	_, err = conf.WriteString("\n" + settings)
	return errors.Join(err, conf.Close())
}

// start starts the server. It returns before the server is ready, and what it
// returns is not stopped when ctx ends.
func (c cluster) start(ctx context.Context, port int) (*run, error) {
	log, err := os.OpenFile(c.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	defer func() { _ = log.Close() }() // the server has its own handle
	cmd := c.command(context.WithoutCancel(ctx), "postgres", "-D", c.data(), "-p", strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr = log, log
	return follow(cmd, c)
}

// command returns a command of the installation that dies with this process.
// The environment must not tell the server what to do. Its messages are in English.
func (c cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.programs, program), args...)
	cmd.Dir = c.folder // where this process is, another user may not be allowed to go
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	c.guard.adopt(cmd)
	return cmd
}

// lastWords returns the end of the server's log.
func (c cluster) lastWords() string {
	const lines = 10
	log, err := os.ReadFile(c.log())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
