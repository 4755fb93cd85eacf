// Cluster runs an event store on three NATS servers that keep replicas, and two
// application processes that share the work on its events. The server that
// leads is stopped and started again while shipments go on. In the end a replay
// of the log is compared with the read model.
//
// Everything is on this machine and in one folder, which is removed: the servers
// are in this process, and the application processes are this program, started
// again.
//
//	go run ./examples/cluster
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := program(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// program tells the story, or is an application process in it. When it is
// interrupted it leaves nothing behind.
func program() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if text := os.Getenv(jobVariable); text != "" {
		return work(ctx, text, os.Stdin)
	}
	return inTemporaryFolder(ctx, "", os.Stdout)
}

// inTemporaryFolder tells the story in a folder that is gone afterwards. It is
// below parent, or where the system has such folders.
func inTemporaryFolder(ctx context.Context, parent string, out io.Writer) (err error) {
	folder, err := os.MkdirTemp(parent, "cluster")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return run(ctx, out, folder)
}

// run tells the story on out.
func run(ctx context.Context, out io.Writer, folder string) (err error) {
	o, err := openOffice(ctx, out, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	for _, act := range []func(context.Context) error{o.startProcesses, o.beginDay, o.loseLeader, o.endDay, o.replay} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}
