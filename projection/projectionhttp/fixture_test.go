package projectionhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionhttp"
	"github.com/evident-go/evident/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the tests that have no simulated time take place.
var noon = time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)

// reader is a StatusReader that does what the test says.
type reader func(ctx context.Context) ([]projection.Status, error)

func (r reader) Status(ctx context.Context) ([]projection.Status, error) { return r(ctx) }

// says is a reader that always has the same answer.
func says(statuses ...projection.Status) reader {
	return func(context.Context) ([]projection.Status, error) { return statuses, nil }
}

// pulser is a reader whose loops go round in this process.
type pulser struct {
	reader

	pulse func() []projection.Status
}

func (p pulser) Pulse() []projection.Status { return p.pulse() }

// well is the status of a projection with which nothing is wrong.
func well(name string) projection.Status {
	return projection.Status{
		Projection: name, Version: 1, State: projection.Live, Stage: registry.Live,
		Position: 10, Head: 10, Heartbeat: noon.Add(-5 * time.Second),
	}
}

func dead(name string) projection.Status {
	s := well(name)
	s.Heartbeat = noon.Add(-time.Hour)
	return s
}

func behind(name string) projection.Status {
	s := well(name)
	s.Position, s.Behind = 4, 90*time.Minute
	return s
}

func parked(name string) projection.Status {
	s := well(name)
	s.DeadLetters = dlq.Stats{Sequences: 2, Letters: 5, Oldest: noon.Add(-time.Minute)}
	return s
}

const secret = "password=hunter2"

// telling is one that has everything there is, secrets as well.
func telling() projection.Status {
	s := parked("titles")
	s.Guarantee, s.State, s.Position, s.Head, s.Applied = projection.ExactlyOnce, projection.Paused, 4, 10, 3
	s.Rate, s.Left, s.Behind = 1234.5, 90*time.Minute, 10*time.Second
	s.LastError, s.ErrorAt, s.Progressed = errors.New("connect: "+secret+"\ntitles v1: healthy"), 5, noon.Add(-time.Minute)
	s.Owner, s.Fence = "host-"+secret, 7
	s.Pause = registry.Pause{Reason: "because of " + secret, By: "user:alice", At: noon.Add(-time.Hour)}
	s.Order = registry.Order{Kind: registry.Rewind, Position: 2, Reason: "order " + secret, By: "user:bob", At: noon.Add(-time.Hour), Problem: "problem " + secret}
	first, second := s, s
	first.Lane, second.Lane, second.State, second.LastError, second.Rate = 0, 1, projection.Live, nil, 0
	s.Lanes = []projection.Status{first, second}
	return s
}

func newHandler(t *testing.T, config projectionhttp.Config) *projectionhttp.Handler {
	t.Helper()
	h, err := projectionhttp.New(config)
	require.NoError(t, err)
	return h
}

// at returns a handler at noon.
func at(t *testing.T, r projection.StatusReader) *projectionhttp.Handler {
	t.Helper()
	return newHandler(t, projectionhttp.Config{Status: r, Now: func() time.Time { return noon }})
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	return do(h, http.MethodGet, path, header...)
}

func do(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
