package chaostest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// Lines is a read model that has versions, each with a table of its own, and
// one view that readers see.
type Lines struct {
	Store projection.Store
	// Version returns a version of the projection "lines": it writes a row for
	// each event, and its view shows rows and versions.
	Version func(version int) projection.Projection
	// Read returns how many rows the view shows, and of which version they are; 0
	// for no rows.
	Read func(ctx context.Context) (rows, version int, err error)
}

const (
	eventsBefore  = 5000                 // the rebuild begins
	everyAppend   = 2 * time.Millisecond // 500 a second
	interruptions = 5
)

// Beside builds version 2 of a read model beside version 1, which is live, while
// 500 appends a second go on: the building is interrupted five times and goes on
// where it was. Readers see no error, no row less than before, and after the
// switch nothing of version 1 any more.
func Beside(t *testing.T, l Lines) {
	t.Helper()
	b := &beside{t: t, lines: l}
	b.append(eventsBefore)
	live, stopLive := b.run(1)
	defer stopLive()
	require.NoError(t, live.WaitFor(t.Context(), "lines", b.position))
	stopReading, stopWriting := b.read(), b.write()
	for i := range interruptions {
		_, stop := b.run(2)
		within(time.Duration(50*(i+1))*time.Millisecond, nil)
		stop()
	}
	_, stopNew := b.run(2)
	defer stopNew()
	b.switchOver()
	stopWriting()
	stopReading()
	b.check()
}

type beside struct {
	t     *testing.T
	lines Lines

	mu       sync.Mutex
	position uint64 // of the last append
	switched bool   // the switch is done, so nobody may see the old version
}

func (b *beside) control() *projection.Control {
	c, err := projection.NewControl(b.lines.Store, projection.ControlConfig{Recorder: projection.Unrecorded{}, Poll: projection.Retry{First: time.Millisecond, Most: 20 * time.Millisecond}})
	require.NoError(b.t, err)
	return c
}

// run runs one version until stop is called.
func (b *beside) run(version int) (r *projection.Runner, stop func()) {
	r, err := projection.NewRunner(b.lines.Store, projection.Config{
		Projections: []projection.Projection{b.lines.Version(version)}, BatchSize: 50, LeaseTTL: 2 * time.Second,
	})
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, sync.OnceFunc(func() {
		cancel()
		assert.NoError(b.t, <-done)
	})
}

func (b *beside) append(n int) {
	events := make([]event.Event, n)
	for i := range events {
		e, err := event.New(b.t.Context(), counted{})
		assert.NoError(b.t, err) //nolint:testifylint // it may be called from another goroutine.
		events[i] = e
	}
	for len(events) > 0 {
		some := events[:min(500, len(events))]
		events = events[len(some):]
		result, err := b.lines.Store.Append(b.t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Line", AggregateID: uuid.New()}, Events: some})
		if err != nil {
			assert.Fail(b.t, "a writer", err)
			return
		}
		b.mu.Lock()
		b.position = max(b.position, result.Position)
		b.mu.Unlock()
	}
}

// write appends until stop is called.
func (b *beside) write() (stop func()) {
	return b.repeat(everyAppend, func() bool { b.append(1); return !b.t.Failed() })
}

// read looks at the view until stop is called.
func (b *beside) read() (stop func()) {
	most := 0
	return b.repeat(everyAppend, func() bool {
		b.mu.Lock()
		switched := b.switched
		b.mu.Unlock()
		rows, version, err := b.lines.Read(b.t.Context())
		ok := assert.NoError(b.t, err, "a reader") && assert.GreaterOrEqual(b.t, rows, most, "a reader saw more before")
		most = rows
		return ok && (!switched || assert.Equal(b.t, 2, version, "a reader saw the old version after the switch"))
	})
}

// repeat calls f at a pace until stop is called or f returns false.
func (b *beside) repeat(pace time.Duration, f func() bool) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for f() {
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

func (b *beside) switchOver() {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	v2 := registry.Name{Projection: "lines", Version: 2}
	require.NoError(b.t, b.control().AwaitCaughtUp(ctx, v2))
	require.NoError(b.t, b.control().Switch(ctx, v2, "it is built"))
	require.NoError(b.t, b.control().Await(ctx, v2))
	b.mu.Lock()
	b.switched = true
	b.mu.Unlock()
	within(200*time.Millisecond, nil) // with readers and writers
}

// check requires that the new version has every event, and retires the old one.
func (b *beside) check() {
	v1, v2 := registry.Name{Projection: "lines", Version: 1}, registry.Name{Projection: "lines", Version: 2}
	require.NoError(b.t, b.control().WaitFor(b.t.Context(), v2, b.position))
	rows, version, err := b.lines.Read(b.t.Context())
	require.NoError(b.t, err)
	assert.Equal(b.t, 2, version)
	stored := 0
	for _, err := range b.lines.Store.ReadAll(b.t.Context(), eventstore.Query{}) {
		require.NoError(b.t, err)
		stored++
	}
	assert.Equal(b.t, stored, rows, "each event once")
	require.NoError(b.t, b.control().Retire(b.t.Context(), v1, "nobody reads it"))
	require.NoError(b.t, b.control().Await(b.t.Context(), v1))
	again, _, err := b.lines.Read(b.t.Context())
	require.NoError(b.t, err)
	assert.Equal(b.t, rows, again, "the old tables are gone, and nobody misses them")
	b.t.Logf("%d events, %d of them before, %d interruptions", stored, eventsBefore, interruptions)
}
