package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How long a server may take. A stop that takes longer is made a crash.
const (
	patience     = time.Minute      // to start, recovery included
	stopPatience = 10 * time.Second // to stop
	portTries    = 10
)

var (
	errStopped    = errors.New("pgtest: the server was stopped for good")
	errNotRunning = errors.New("pgtest: the server is not running")
	errPortTaken  = errors.New("pgtest: another program listens on the port")
)

// Server is a PostgreSQL server that belongs to this process and does not
// outlive it. Its methods may be called by several goroutines; those that start
// and stop it take turns.
type Server struct {
	cluster cluster
	guard   *guard
	port    int

	mu      sync.Mutex
	run     *run // nil while the server is down
	stopped bool
}

// Start makes a new, empty database cluster and starts a server on it. It
// returns once the server takes connections, after about a second. The server
// runs until Stop is called or the process ends; ctx bounds the start only.
//
// Start returns a [*NotFoundError] if PostgreSQL is not installed. If the
// server does not start, the error has its last words.
func Start(ctx context.Context, options ...Option) (*Server, error) {
	o := configure(options)
	programs, err := o.find()
	if err != nil {
		return nil, err
	}
	s, err := prepare(ctx, programs)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if err := s.begin(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// prepare makes the server's folder and the guard that removes it again.
func prepare(ctx context.Context, programs string) (*Server, error) {
	temporary, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(temporary, "evident-postgres-"+strings.ToLower(rand.Text()))
	g, err := watch(ctx, folder)
	if err != nil {
		return nil, err
	}
	return &Server{guard: g, cluster: cluster{programs: programs, folder: folder, guard: g}}, nil
}

// begin makes the cluster and starts the server on a free port. Between the
// look at a port and the start another program may take it: then the next one.
func (s *Server) begin(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.cluster.make(ctx, o.lines()); err != nil {
		return err
	}
	var err error
	for range portTries {
		s.port = o.port()
		if err = s.launch(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// launch starts the server, which is down, on its port.
func (s *Server) launch(ctx context.Context) error {
	if !free(ctx, s.port) {
		return fmt.Errorf("%w: %d", errPortTaken, s.port)
	}
	r, err := s.cluster.start(ctx, s.port)
	if err != nil {
		return err
	}
	if err := r.ready(ctx); err != nil {
		if !free(ctx, s.port) {
			err = fmt.Errorf("%w: %d: %w", errPortTaken, s.port, err)
		}
		return errors.Join(err, r.end(context.WithoutCancel(ctx), immediate))
	}
	s.run = r
	return nil
}

func free(ctx context.Context, port int) bool {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// URL is where the server's maintenance database is, for its superuser. It
// stays the same when the server is restarted.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable", superuser, s.port)
}

// Bin returns the path of a program of the same installation: pg_dump,
// pg_restore, pg_basebackup.
func (s *Server) Bin(name string) (string, error) {
	if !has(s.cluster.programs, name) {
		return "", fmt.Errorf("pgtest: there is no %s in %s", name, s.cluster.programs)
	}
	return filepath.Join(s.cluster.programs, name), nil
}

// Crash stops the server as if the power had failed: it has no time to write
// anything, its clients are cut off, and the next start recovers from the log.
// Its data stays. Crash returns when all of the server's processes are gone.
func (s *Server) Crash(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return errNotRunning
	}
	return s.halt(ctx, immediate)
}

// Restart starts the server again with the data that it has, on the same port,
// and returns once it takes connections. A server that still runs is stopped
// first, cutting off its clients.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopped
	}
	if s.run != nil {
		if err := s.halt(ctx, fast); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.launch(ctx)
}

// Stop stops the server, cutting off its clients, and removes its data. It may
// be called again, which does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	var err error
	if s.run != nil {
		err = s.stop()
	}
	return errors.Join(err, s.guard.release())
}

// stop ends a run in an orderly way or, if that takes too long, in the other.
// A clean-up has no context; the time that it takes is bounded.
func (s *Server) stop() error {
	for _, how := range []os.Signal{fast, immediate} {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience) //nolint:forbidigo // see above
		err := s.halt(ctx, how)
		cancel()
		if err == nil || how == immediate {
			return err
		}
	}
	return nil
}

// halt ends the run. If that fails, it goes on, and can be halted again.
func (s *Server) halt(ctx context.Context, how os.Signal) error {
	if err := s.run.end(ctx, how); err != nil {
		return err
	}
	s.run = nil
	return nil
}
