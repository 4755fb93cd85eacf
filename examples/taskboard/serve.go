package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// newServer returns a server on which nobody can hold a connection for ever.
//
//docs:begin timeouts
func newServer(handler http.Handler, logger *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // exports move it as long as the client reads
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          zap.NewStdLog(logger),
	}
}

//docs:end timeouts

// How long the steps of a shutdown may take at the most.
const (
	drainTime = 10 * time.Second // for requests in progress
	stepTime  = 10 * time.Second // for each of the other steps
)

//docs:begin shutdown

// Serve serves until ctx ends or something fails, and closes the board. Once
// the server answers it calls ready, whose context ends with serving.
//
// The steps of the shutdown are in an order: nobody is let in any more, and
// whoever is in gets an answer; then nothing new can happen, and what counts
// refusals, derives, publishes and receives comes to its end; then nobody uses
// the connection and the store, and they are closed.
func (b *Board) Serve(ctx context.Context, listener net.Listener, ready func(ctx context.Context) error) error {
	lasting := context.WithoutCancel(ctx) // the work goes on while requests are finished.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	server := newServer(b.handler, b.logger)
	work := []*process{
		begin(lasting, fail, "recorder", b.recorder.Run),
		begin(lasting, fail, "views", b.views.Run),
		begin(lasting, fail, "publisher", b.publish),
		begin(lasting, fail, "consumer", b.receive),
	}
	serving := begin(lasting, fail, "server", func(context.Context) error { return server.Serve(listener) })

	err := ready(ctx)
	if err == nil {
		<-ctx.Done()
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // it was interrupted.
	}
	errs := []error{err, within(drainTime+stepTime, "drain", func() error { return drain(lasting, server) }), serving.stop()}
	for _, p := range work {
		errs = append(errs, p.stop())
	}
	return errors.Join(append(errs, within(stepTime, "close", b.close))...)
}

// drain lets nobody in any more and waits for requests in progress. Those that
// take too long are cut off.
func drain(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests in progress: %w", err), server.Close())
	}
	return nil
}

//docs:end shutdown

// process is something that runs in the background until it is stopped.
type process struct {
	name   string
	cancel context.CancelFunc
	done   chan error
}

// begin runs a process. If it ends with an error by itself, fail is told.
func begin(ctx context.Context, fail context.CancelCauseFunc, name string, run func(ctx context.Context) error) *process {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{name: name, cancel: cancel, done: make(chan error, 1)}
	go func() {
		err := run(ctx)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			fail(err)
		}
		p.done <- err
	}()
	return p
}

// stop ends a process and waits for it.
func (p *process) stop() error {
	p.cancel()
	return within(stepTime, p.name, func() error { return <-p.done })
}

// within waits for f, but not for ever.
func within(limit time.Duration, name string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s: has not ended within %s", name, limit)
	}
}
