package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// jobVariable names the environment variable that makes this program an
// application process of the story.
const jobVariable = "EVIDENT_EXAMPLE_CLUSTER"

// job is what an application process has to know.
type job struct {
	Process string // its name
	URL     string // of the servers
	Tables  string // path of the database of the read model
	Notices string // folder
}

// worker is an application process, as the first one sees it.
type worker struct {
	cmd   *exec.Cmd
	input io.Closer // open for as long as the process is to run
}

// startWorker starts this program once more.
func startWorker(ctx context.Context, j job) (*worker, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = input.Close // if this process is interrupted, the other one may finish, too
	cmd.WaitDelay = patience
	return &worker{cmd: cmd, input: input}, cmd.Start()
}

// stop has the process finish what it has in hand, and waits until it has ended.
func (w *worker) stop() error {
	_ = w.input.Close() // by which it is told; it fails only if the process is gone
	if err := w.cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("application process: %w", err)
	}
	return nil
}

// work is what an application process does until its input ends.
func work(ctx context.Context, text string, input io.Reader) (err error) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, input) // ends with the process that has started this one, too
		stop()
	}()
	conn, js, err := connect(j.URL, j.Process)
	if err != nil {
		return err
	}
	defer conn.Close()
	events, err := openEvents(ctx, js)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	tables, err := sqlite.Open(ctx, sqlite.Config{Path: j.Tables})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tables.Close()) }()
	both, err := runners(j.Process, events, tables, j.Notices)
	if err != nil {
		return err
	}
	return runAll(ctx, both)
}

// runAll runs until ctx ends.
func runAll(ctx context.Context, runners []*projection.Runner) error {
	ended := make(chan error, len(runners))
	for _, r := range runners {
		go func() { ended <- r.Run(ctx) }()
	}
	var errs []error
	for range runners {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}
