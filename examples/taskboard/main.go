// Taskboard is a small web service with everything around it that an audit
// trail needs: people log in, their tasks are aggregates, who may do what is
// decided in one place, and what happened is answered under /v1/audit and
// published on NATS.
//
//	go run ./examples/taskboard                                   # SQLite, NATS in this process; nothing stays behind
//	go run ./examples/taskboard -db board.db                      # a file that stays, and messages beside it
//	go run ./examples/taskboard -url postgres://localhost/board   # PostgreSQL
//	go run ./examples/taskboard -nats nats://localhost:4222       # a NATS server that runs elsewhere
//
// It fills an empty board by using it, prints what came of that and what to
// try, and serves until it is interrupted. Passwords are made at each start.
//
// What to look at, in this order:
//
//   - task.go: what can happen to a task, and what is refused;
//   - tasks.go: the use cases, who may call them, and an activity that is stored
//     together with what it is about;
//   - history.go: the usual questions to the audit log;
//   - people.go, login.go: passwords and tokens, and log-ins that are recorded;
//   - routes.go, answer.go: the web, with the audit API and its documentation in it;
//   - broker.go, inbox.go: NATS, and what comes over it;
//   - board.go, store.go: how it is put together;
//   - serve.go: limits on time, and a shutdown in order;
//   - story.go, show.go: the walk-through, whose output is testdata/output.txt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // whoever interrupts twice does not want to wait.
	if err := start(ctx, os.Stdout, os.Stderr, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "taskboard:", err)
		os.Exit(1) //nolint:gocritic // nothing is left for stop to do.
	}
}

// start runs the program with its arguments until ctx ends. The walk-through
// goes to out; usage and the log, which is JSON, go to logs.
func start(ctx context.Context, out, logs io.Writer, arguments []string) (err error) {
	config := Config{Rounds: defaultRounds, Logger: newLogger(logs)}
	flags := flag.NewFlagSet("taskboard", flag.ContinueOnError)
	flags.SetOutput(logs)
	address := flags.String("addr", "127.0.0.1:8080", "listen on this `address`; port 0 is any that is free")
	flags.StringVar(&config.Path, "db", "", "keep everything in this SQLite `file`, and messages beside it (default: gone afterwards)")
	flags.StringVar(&config.Postgres, "url", "", "keep everything in the PostgreSQL database with this `URL` instead")
	flags.StringVar(&config.NATS, "nats", "", "publish on the NATS server with this `URL` (default: one in this process)")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if config.Path != "" && config.Postgres != "" {
		return errors.New("-db and -url are two places for one thing: give one of them")
	}
	folder, err := os.MkdirTemp("", "taskboard")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return run(ctx, out, config.orIn(folder), *address)
}

// orIn puts what has no place into a folder. Messages are kept as long as what
// they tell of: beside the file.
func (c Config) orIn(folder string) Config {
	c.Messages = filepath.Join(folder, "nats")
	switch {
	case c.Path != "":
		c.Messages = c.Path + "-nats"
	case c.Postgres == "":
		c.Path = filepath.Join(folder, "board.db")
	}
	return c
}

// run opens a board, fills it if it is empty, shows it, and serves.
func run(ctx context.Context, out io.Writer, config Config, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	board, err := open(ctx, config)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return board.Serve(ctx, listener, func(ctx context.Context) error {
		return newStory(board, listener.Addr(), out).tell(ctx)
	})
}

func newLogger(to io.Writer) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(to)), zap.InfoLevel))
}
