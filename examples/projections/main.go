// Projections shows what is asked of a read model in production. Events that
// cannot be applied are parked with their aggregate while the others go on, and
// tried again, or discarded with a reason. Somebody reads their own write. The
// read model is rebuilt in place, and a new version of it is built beside the
// old one while orders go on. Two processes share the work, one of them is
// killed, and the other takes over. A process waits for parcels to arrive, and
// gives the money back if they do not. In the end somebody pauses a read model,
// and the audit log says who has done what and why.
//
//	go run ./examples/projections
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if err := program(); err != nil {
		fmt.Fprintln(os.Stderr, "projections:", err)
		os.Exit(1)
	}
}

// program tells the story, or is the second process in it. When it is
// interrupted it leaves nothing behind.
func program() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if path := os.Getenv(workerVariable); path != "" {
		return work(ctx, path, os.Stdin, os.Stdout)
	}
	return inTemporaryFolder(ctx, "", os.Stdout, os.Stderr)
}

// inTemporaryFolder runs the story on a database that is gone afterwards. It is
// in a folder below parent, or where the system has such folders.
func inTemporaryFolder(ctx context.Context, parent string, out, bar io.Writer) (err error) {
	folder, err := os.MkdirTemp(parent, "projections")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return run(ctx, out, bar, filepath.Join(folder, "orders.db"))
}

// run tells the story on out and draws the progress of rebuilds on bar.
func run(ctx context.Context, out, bar io.Writer, path string) (err error) {
	s, err := openShop(ctx, out, bar, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, act := range []func(context.Context) error{
		s.parkWhatFails, s.mend, s.discard, s.readOwnWrite, s.rebuild, s.buildBeside, s.shareWork, s.deliver, s.pause, s.showCommands,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}
