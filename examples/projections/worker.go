package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// workerVariable names the environment variable that makes this program the
// second process of the story: it has the path of the database.
const workerVariable = "EVIDENT_EXAMPLE_WORKER"

// halfWay is what the second process says when it is in the middle of an event.
const halfWay = "half way"

// worker is the second process, as the first one sees it.
type worker struct {
	cmd  *exec.Cmd
	said *bufio.Scanner
}

// startWorker starts this program once more.
func startWorker(ctx context.Context, path string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), workerVariable+"="+path)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // open for as long as this process is there
		return nil, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &worker{cmd: cmd, said: bufio.NewScanner(said)}, cmd.Start()
}

// awaitHalfWay returns when the process is in the middle of an event.
func (w *worker) awaitHalfWay() error {
	for w.said.Scan() {
		if w.said.Text() == halfWay {
			return nil
		}
	}
	return errors.Join(errors.New("second process has ended"), w.said.Err())
}

// kill kills the process with SIGKILL, which it cannot notice.
func (w *worker) kill() error {
	if err := w.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = w.cmd.Wait() // that it was killed is no news
	return nil
}

// work is what the second process does until it is killed, or until the first
// one is gone.
func work(ctx context.Context, path string, first io.Reader, out io.Writer) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, first) // ends with the first process
		stop()
	}()
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	runner, err := projection.NewRunner(store, sharing("second process", func(ctx context.Context, e event.Of[Shipped]) error {
		if e.Payload.Carrier != fatalVan {
			return nil
		}
		fmt.Fprintln(out, halfWay) // the row is written, and not committed
		<-ctx.Done()
		return ctx.Err()
	}))
	if err != nil {
		return err
	}
	return runner.Run(ctx)
}
