package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// Variable names the environment variable with the URL of a server to use
// instead of starting one. Its role must be allowed to create databases. A test
// that is killed leaves its database there.
const Variable = "EVIDENT_POSTGRES_URL"

// dropPatience is how long the clean-up after a test may take.
const dropPatience = 30 * time.Second

// URL returns the URL of a new, empty database that the test has to itself. It
// is dropped when the test ends, whoever is still connected. The test fails if
// there is no server to make it on; it is never skipped.
func URL(t testing.TB) string {
	t.Helper()
	server, err := shared.url(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := create(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), dropPatience)
		defer cancel()
		if err := d.drop(ctx); err != nil {
			t.Error(err)
		}
	})
	own, err := d.url()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// Private starts a server that the test has to itself, and stops it when the
// test ends. It needs installed programs even if the environment names a server:
// nobody's server may be crashed.
func Private(t testing.TB, options ...Option) *Server {
	t.Helper()
	s, err := Start(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// shared is the one server of a test binary, and the only global here: tests
// have no other place in common, and to start a server for each takes too long.
var shared onDemand

// onDemand is a server that is started when it is first needed and runs until
// the process ends.
type onDemand struct {
	options []Option

	once   sync.Once
	server *Server
	err    error
}

// url returns the URL of the server that the environment names, or starts one.
func (o *onDemand) url(ctx context.Context) (string, error) {
	if named := os.Getenv(Variable); named != "" {
		return named, nil
	}
	o.once.Do(func() { o.server, o.err = Start(context.WithoutCancel(ctx), o.options...) }) // it outlives the test
	if missing, ok := errors.AsType[*NotFoundError](o.err); ok {
		return "", fmt.Errorf("%w, or set %s", missing, Variable)
	}
	if o.err != nil {
		return "", o.err
	}
	return o.server.URL(), nil
}
