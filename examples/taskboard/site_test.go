package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/internal/pgtest"
)

// site is a board that serves.
type site struct {
	story
	logs *observer.ObservedLogs
	stop func() error // as an interrupt does; may be called again
}

// inFolder keeps a board in SQLite, in a folder of the test's.
func inFolder(t *testing.T) Config {
	t.Helper()
	folder := t.TempDir()
	return Config{Path: filepath.Join(folder, "board.db"), Messages: filepath.Join(folder, "nats"), Rounds: 1, Logger: zap.NewNop()}
}

// onPostgres keeps a board in a database that the test has to itself.
func onPostgres(t *testing.T) Config {
	t.Helper()
	return Config{Postgres: pgtest.URL(t), Messages: t.TempDir(), Rounds: 1, Logger: zap.NewNop()}
}

// onEachStore runs a test on SQLite and on PostgreSQL.
func onEachStore(t *testing.T, test func(t *testing.T, config Config)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, inFolder(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, onPostgres(t))
	})
}

// newSite serves a board until the test ends, which it must do without an error.
func newSite(t *testing.T, config Config) *site {
	t.Helper()
	s := newSiteThatEnds(t, config)
	t.Cleanup(func() { assert.NoError(t, s.stop()) })
	return s
}

// newSiteThatEnds leaves it to the test how serving ends.
func newSiteThatEnds(t *testing.T, config Config) *site {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	config.Logger = zap.New(core)
	ctx := context.WithoutCancel(t.Context()) // a test's context ends before its clean-up.
	board, err := open(ctx, config)
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, interrupt := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- board.Serve(ctx, listener, func(context.Context) error { return nil })
	}()
	stop := sync.OnceValue(func() error {
		interrupt()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return &site{story: newStory(board, listener.Addr(), t.Output()), logs: logs, stop: stop}
}

// as logs somebody in.
func (s *site) as(t *testing.T, name string) visitor {
	t.Helper()
	v, err := s.web.logIn(t.Context(), name, s.passwords[name])
	require.NoError(t, err)
	return v
}

// create creates a task and returns where it is.
func (s *site) create(t *testing.T, v visitor, title string) string {
	t.Helper()
	path, err := v.create(t.Context(), title)
	require.NoError(t, err)
	return path
}

// settled waits until everything that has happened is shown and received.
func (s *site) settled(t *testing.T) {
	t.Helper()
	require.NoError(t, s.settle(t.Context()))
}

// read returns what is at a path.
func read[T any](t *testing.T, v visitor, path string) T {
	t.Helper()
	got, err := v.send(t.Context(), http.MethodGet, path, nil)
	require.NoError(t, err)
	require.NoError(t, got.expect(http.StatusOK))
	var into T
	require.NoError(t, json.Unmarshal(got.body, &into))
	return into
}

// refused returns the code of a problem.
func refused(t *testing.T, v visitor, method, path string, body any) (status int, code string) {
	t.Helper()
	got, err := v.send(t.Context(), method, path, body)
	require.NoError(t, err)
	var problem struct {
		Status    int
		Code      string
		RequestID string `json:"request_id"`
	}
	require.NoError(t, json.Unmarshal(got.body, &problem), "%s", got.body)
	assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	assert.Equal(t, got.status, problem.Status)
	assert.Equal(t, got.header.Get("X-Request-Id"), problem.RequestID)
	return got.status, problem.Code
}

// listed is a page of the audit API.
type listed struct {
	Data []struct {
		TenantID string `json:"tenant_id"`
		ActorID  string `json:"actor_id"`
		OwnerID  string `json:"owner_id"`
		Action   string
		Outcome  string
		Reason   string
		Entity   struct{ Type, ID string }
		Request  struct {
			ID            string
			SourceAddress string `json:"source_address"`
		}
	}
}

// actions returns what was done, in the order of the page.
func (l listed) actions() []string {
	actions := make([]string, 0, len(l.Data))
	for _, r := range l.Data {
		actions = append(actions, r.Action)
	}
	return actions
}

// soon is how long something at the edge of another process may take.
const (
	soon  = 20 * time.Second
	often = 10 * time.Millisecond
)
