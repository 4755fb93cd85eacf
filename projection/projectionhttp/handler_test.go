package projectionhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionhttp"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []projection.Status
		live     int
		liveText string
		ready    int
		text     string
	}{
		"healthy": {
			statuses: []projection.Status{well("orders"), well("titles")},
			live:     200, liveText: "alive\norders v1: alive\ntitles v1: alive\n",
			ready: 200, text: "healthy\norders v1: healthy\ntitles v1: healthy\n",
		},
		"degraded is ready": {
			statuses: []projection.Status{parked("titles")},
			live:     200, liveText: "alive\ntitles v1: alive\n",
			ready: 200, text: "degraded\ntitles v1: degraded: sequences parked: 2, with letters: 5, the oldest for 1m0s\n",
		},
		"behind is alive": {
			statuses: []projection.Status{well("orders"), behind("titles")},
			live:     200, liveText: "alive\norders v1: alive\ntitles v1: alive\n",
			ready: 503, text: "unhealthy\norders v1: healthy\ntitles v1: unhealthy: 1h30m0s behind, at position 4 of 10, 1m0s is tolerated\n",
		},
		"dead": {
			statuses: []projection.Status{well("orders"), dead("titles")},
			live:     503, liveText: "dead\norders v1: alive\ntitles v1: dead: has not gone round for 1h0m0s, 2m0s is tolerated\n",
			ready: 503, text: "unhealthy\norders v1: healthy\ntitles v1: unhealthy: dead: has not gone round for 1h0m0s, 2m0s is tolerated\n",
		},
		"nothing": {
			live: 200, liveText: "alive\n",
			ready: 503, text: "unknown\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := at(t, says(c.statuses...))
			w := get(h, "/livez")
			assert.Equal(t, c.live, w.Code)
			assert.Equal(t, c.liveText, w.Body.String())
			w = get(h, "/readyz")
			assert.Equal(t, c.ready, w.Code)
			assert.Equal(t, c.text, w.Body.String())
		})
	}
}

func TestProbesAsJSON(t *testing.T) {
	t.Parallel()
	h := at(t, says(well("orders"), parked("titles")))
	w := get(h, "/readyz", "Accept", "application/json")
	assert.JSONEq(t, `{"ok": true, "verdict": "degraded", "checked_at": "2026-05-01T12:00:00Z", "projections": [
		{"projection": "orders", "version": 1, "verdict": "healthy"},
		{"projection": "titles", "version": 1, "verdict": "degraded", "reasons": ["sequences parked: 2, with letters: 5, the oldest for 1m0s"]}
	]}`, w.Body.String())
	w = get(at(t, says(dead("titles"))), "/livez", "Accept", "application/json")
	assert.JSONEq(t, `{"ok": false, "verdict": "dead", "checked_at": "2026-05-01T12:00:00Z", "projections": [
		{"projection": "titles", "version": 1, "verdict": "dead", "reasons": ["has not gone round for 1h0m0s, 2m0s is tolerated"]}
	]}`, w.Body.String())
	w = get(at(t, reader(func(context.Context) ([]projection.Status, error) { return nil, errors.New(secret) })), "/readyz", "Accept", "application/json")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.JSONEq(t, `{"ok": false, "verdict": "unknown", "checked_at": "2026-05-01T12:00:00Z"}`, w.Body.String())
}

func TestFormatIsTheOneThatTheClientLikesBest(t *testing.T) {
	t.Parallel()
	h := at(t, says(well("titles")))
	for accept, want := range map[string]string{
		"":                                    "text/plain; charset=utf-8",
		"*/*":                                 "text/plain; charset=utf-8",
		"application/json":                    "application/json",
		"application/*":                       "application/json",
		"text/html,*/*;q=0.8":                 "text/plain; charset=utf-8",
		"text/plain;q=0.5, application/json":  "application/json",
		"text/plain, application/json":        "text/plain; charset=utf-8",
		"text/plain;q=0, */*":                 "application/json",
		"application/json;q=0.4, text/*;q=.6": "text/plain; charset=utf-8",
		"application/json;q=2":                "text/plain; charset=utf-8",
		"application/json;q=NaN":              "text/plain; charset=utf-8",
		"application/json;q":                  "text/plain; charset=utf-8",
		"image/png":                           "text/plain; charset=utf-8",
	} {
		w := get(h, "/readyz", "Accept", accept)
		assert.Equal(t, http.StatusOK, w.Code, "a probe is answered in any case")
		assert.Equal(t, want, w.Header().Get("Content-Type"), accept)
	}
	w := get(h, "/readyz", "Accept", "text/plain;q=0.1", "Accept", "application/json")
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"), "a header may come in parts")
}

func TestAnswersAreNotCachedByOthers(t *testing.T) {
	t.Parallel()
	h := at(t, says(behind("titles")))
	for _, w := range []*httptest.ResponseRecorder{
		get(h, "/livez"), get(h, "/readyz"), get(h.Status(), "/"), do(h, http.MethodPost, "/livez"),
	} {
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		assert.Equal(t, "Accept", w.Header().Get("Vary"))
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	h := at(t, says(well("titles")))
	for _, path := range []string{"/status", "/", "/readyz/more"} {
		assert.Equal(t, http.StatusNotFound, get(h, path).Code, path)
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodOptions} {
		w := do(h, method, "/readyz")
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	}
	assert.Equal(t, http.StatusOK, get(h.Live(), "/anywhere").Code)
	assert.Equal(t, http.StatusOK, get(h.Ready(), "/anywhere").Code)

	server := httptest.NewServer(h)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, server.URL+"/readyz", http.NoBody)
	require.NoError(t, err)
	response, err := server.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)
	server.Client().CloseIdleConnections()
}

func TestOnlyStatusTellsWhatNotEverybodyMayKnow(t *testing.T) {
	t.Parallel()
	h := at(t, says(telling()))
	for _, accept := range []string{"text/plain", "application/json"} {
		for _, path := range []string{"/livez", "/readyz"} {
			assert.NotContains(t, get(h, path, "Accept", accept).Body.String(), secret, path)
			assert.NotContains(t, get(h, path, "Accept", accept).Body.String(), "alice", path)
		}
		assert.Contains(t, get(h.Status(), "/", "Accept", accept).Body.String(), secret)
	}
	down := at(t, reader(func(context.Context) ([]projection.Status, error) { return nil, errors.New(secret) }))
	for _, path := range []string{"/livez", "/readyz"} {
		assert.NotContains(t, get(down, path).Body.String(), secret, path)
	}
	w := get(down.Status(), "/")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "unknown\n  problem: \""+secret+"\"\n", w.Body.String())
}

func TestStatus(t *testing.T) {
	t.Parallel()
	fresh := projection.Status{Projection: "orders", Version: 2}
	h := at(t, says(telling(), fresh, well("names"))).Status()
	w := get(h, "/")
	assert.Equal(t, http.StatusOK, w.Code, "what can be told is an answer, good or bad")
	golden.Compare(t, w.Body.Bytes(), "testdata/status.txt")

	w = get(h, "/", "Accept", "application/json")
	var tree any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &tree))
	indented, err := json.MarshalIndent(tree, "", "  ")
	require.NoError(t, err)
	golden.Compare(t, append(indented, '\n'), "testdata/status.json")
}

func TestAStoreThatHangsIsNoHangingProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		let := make(chan struct{})
		h := newHandler(t, projectionhttp.Config{Status: reader(func(context.Context) ([]projection.Status, error) {
			<-let // takes no notice of its context
			return nil, errors.New("late")
		})})
		began := time.Now()
		assert.Equal(t, http.StatusServiceUnavailable, get(h, "/readyz").Code)
		assert.Equal(t, 2*time.Second, time.Since(began))
		for range 10 {
			assert.Equal(t, http.StatusServiceUnavailable, get(h, "/readyz").Code)
			assert.Equal(t, http.StatusServiceUnavailable, get(h.Status(), "/").Code)
		}
		assert.Equal(t, 2*time.Second, time.Since(began), "the others need not wait for it again")
		w := get(h, "/livez")
		assert.Equal(t, http.StatusOK, w.Code, "a process need not be started anew because its store is down")
		assert.Equal(t, "unknown\n", w.Body.String())
		close(let)
		synctest.Wait()
	})
}

func TestLivenessIsToldWithoutTheStore(t *testing.T) {
	t.Parallel()
	down := reader(func(context.Context) ([]projection.Status, error) { return nil, errors.New("down") })
	now := well("titles")
	h := at(t, pulser{reader: down, pulse: func() []projection.Status { return []projection.Status{now} }})
	assert.Equal(t, http.StatusServiceUnavailable, get(h, "/readyz").Code)
	assert.Equal(t, http.StatusOK, get(h, "/livez").Code)
	now = dead("titles")
	assert.Equal(t, http.StatusServiceUnavailable, get(h, "/livez").Code, "a dead loop is seen though the store is down")
}

func TestProbesDoNotLoadTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		var asked atomic.Int64
		h := newHandler(t, projectionhttp.Config{Keep: 5 * time.Second, Status: reader(func(context.Context) ([]projection.Status, error) {
			asked.Add(1)
			return []projection.Status{{Projection: "titles", State: projection.Live, Heartbeat: time.Now()}}, nil
		})})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 50 {
					assert.Equal(t, http.StatusOK, get(h, "/readyz").Code)
					assert.Equal(t, http.StatusOK, get(h, "/livez").Code)
					assert.Equal(t, http.StatusOK, get(h.Status(), "/").Code)
				}
			})
		}
		all.Wait()
		assert.Equal(t, int64(1), asked.Load())
		<-time.After(5 * time.Second)
		get(h, "/readyz")
		assert.Equal(t, int64(2), asked.Load())
	})
}

type noted struct{}

func (noted) EventType() string { return "Noted" }

func TestTrapADeadLoopIsNotReadyThoughNothingIsToBeDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		hanging := &deaf{Store: store, let: make(chan struct{})}
		runner, err := projection.NewRunner(hanging, projection.Config{Projections: []projection.Projection{
			projection.New("titles", 1, projection.On(func(context.Context, event.Of[noted]) error { return nil })),
		}})
		require.NoError(t, err)
		h := newHandler(t, projectionhttp.Config{Status: runner})
		w := get(h, "/readyz")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, "not before it runs")
		assert.Equal(t, "unhealthy\ntitles v1: unhealthy: not running\n", w.Body.String())
		assert.Equal(t, http.StatusOK, get(h, "/livez").Code, "a slow start is no reason for another one")

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		<-time.After(time.Minute)
		assert.Equal(t, "healthy\ntitles v1: healthy\n", get(h, "/readyz").Body.String())

		hanging.deaf.Store(true)
		<-time.After(3 * time.Minute)
		assert.Equal(t, http.StatusServiceUnavailable, get(h, "/readyz").Code)
		assert.Equal(t, http.StatusServiceUnavailable, get(h, "/livez").Code)

		close(hanging.let)
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, store.Close())
	})
}

// deaf is a store whose Wait takes no notice of anything once it is deaf.
type deaf struct {
	*memory.Store

	deaf atomic.Bool
	let  chan struct{}
}

func (d *deaf) Wait(ctx context.Context, after uint64) (uint64, error) {
	if d.deaf.Load() {
		<-d.let
	}
	return d.Store.Wait(ctx, after)
}

func TestWhatChangesIsLoggedOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	statuses, problem := []projection.Status{well("orders"), well("titles")}, error(nil)
	now := noon
	h := newHandler(t, projectionhttp.Config{
		Status: pulser{
			reader: func(context.Context) ([]projection.Status, error) { return statuses, problem },
			pulse:  func() []projection.Status { return statuses },
		},
		Logger: zap.New(core), Now: func() time.Time { return now }, Keep: 1,
	})
	probe := func() []string {
		for range 3 {
			now = now.Add(1)
			get(h, "/livez")
			get(h, "/readyz")
		}
		var lines []string
		for _, l := range logs.TakeAll() {
			lines = append(lines, l.Level.String()+": "+l.Message)
		}
		return lines
	}
	assert.Empty(t, probe(), "that all is well is no news")
	statuses = []projection.Status{well("orders"), parked("titles")}
	assert.Equal(t, []string{"warn: projection is degraded"}, probe())
	statuses = []projection.Status{well("orders"), dead("titles")}
	assert.Equal(t, []string{"error: loop of projection is dead", "error: projection is unhealthy"}, probe())
	problem = errors.New("down")
	assert.Equal(t, []string{"error: status of projections cannot be told"}, probe())
	problem = nil
	statuses = []projection.Status{well("orders"), well("titles")}
	assert.Equal(t, []string{"info: projection is healthy again"}, probe())

	statuses = []projection.Status{behind("titles")}
	get(h, "/readyz")
	now = now.Add(1)
	get(h, "/readyz")
	lines := logs.TakeAll()
	require.Len(t, lines, 1)
	assert.Equal(t, map[string]any{
		"projection": "titles", "version": int64(1), "position": uint64(4),
		"reasons": []any{"1h30m0s behind, at position 4 of 10, 1m0s is tolerated"},
	}, lines[0].ContextMap())
}

func TestAClientThatGoesAwayIsNoNews(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	let := make(chan struct{})
	defer close(let)
	h := newHandler(t, projectionhttp.Config{Logger: zap.New(core), Status: reader(func(ctx context.Context) ([]projection.Status, error) {
		select {
		case <-let:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	})})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/readyz", http.NoBody))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Zero(t, logs.Len())
}

func TestNewRefusesBadInput(t *testing.T) {
	t.Parallel()
	some := says()
	for field, config := range map[string]projectionhttp.Config{
		"status":      {},
		"timeout":     {Status: some, Timeout: -1},
		"keep":        {Status: some, Keep: -1},
		"max_silence": {Status: some, Health: projection.Health{MaxSilence: -1}},
	} {
		_, err := projectionhttp.New(config)
		require.ErrorIs(t, err, event.ErrInvalid)
		require.ErrorContains(t, err, field)
	}
}
