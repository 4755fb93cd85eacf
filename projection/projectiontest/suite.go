package projectiontest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/projection"
)

// T is what a clause needs of a test; *testing.T is one.
type T = promisetest.T

// Harness is a store that the runner is tested on. Each clause gets a fresh one.
type Harness struct {
	// Store is empty and migrated.
	Store projection.Store
	// Progress is where the runner keeps its checkpoints; nil means in Store.
	Progress projection.Progress
	// NewLedger returns a projection that writes down each event which it
	// applies, in the store's own database and exactly once. Nil means that
	// the store has no such projections: a ledger outside of it is used.
	NewLedger func(t T, name string, hook Hook) Ledger
	// NewBatchLedger is NewLedger for a projection that takes whole batches. Nil
	// means the same.
	NewBatchLedger func(t T, name string, hook BatchHook) Ledger
}

// Run holds the runner to each of its promises on the stores that open returns.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	promisetest.Run(t, promises(), func(t *testing.T) Harness {
		t.Helper()
		return open(t).orExternal()
	})
}

// orExternal returns h with ledgers outside of the store where it has none in it.
func (h Harness) orExternal() Harness {
	if h.NewLedger == nil {
		h.NewLedger = newExternalLedger
	}
	if h.NewBatchLedger == nil {
		h.NewBatchLedger = newExternalBatchLedger
	}
	return h
}

type (
	clause  = promisetest.Clause[Harness]
	promise = promisetest.Promise[Harness]
)

func promises() []promise {
	return []promise{
		{Words: "1 One loop for catch-up and live", Clauses: oneLoop()},
		{Words: "2 Exactly once where it can be", Clauses: exactlyOnce()},
		{Words: "3 Batches", Clauses: append(batches(), wholeBatches()...)},
		{Words: "4 The checkpoint moves over filtered ranges too", Clauses: checkpoints()},
		{Words: "5 Errors by class", Clauses: errorClasses()},
		{Words: "6 Sequenced dead letters", Clauses: sequencedLetters()},
		{Words: "7 One owner", Clauses: oneOwner()},
		{Words: "8 Status tells the truth", Clauses: status()},
		{Words: "9 Read your own writes", Clauses: readYourWrites()},
		{Words: "10 Shutdown", Clauses: shutdown()},
		{Words: "11 Events of types that no handler wants are passed over", Clauses: unwanted()},
		{Words: "12 Projections are independent", Clauses: append(independent(), model(), modelOfBatches())},
		{Words: "13 Lanes", Clauses: lanes()},
		{Words: "14 What is decided is done by every runner", Clauses: decisions()},
	}
}

// counted is the event that the suite's aggregates emit.
type counted struct {
	N int `json:"n"`
}

// EventType implements [event.Payload].
func (counted) EventType() string { return "Counted" }

// unwantedEvent is one that no ledger of a single type asks for.
type unwantedEvent struct{}

// EventType implements [event.Payload].
func (unwantedEvent) EventType() string { return "Unwanted" }

// quick is a configuration that does not make a test wait.
func quick(projections ...projection.Projection) projection.Config {
	return projection.Config{
		Projections: projections,
		Retry:       projection.Retry{MaxAttempts: 3, First: time.Microsecond, Most: time.Microsecond},
		Pause:       projection.Retry{First: time.Millisecond, Most: 2 * time.Millisecond},
		Redrive:     projection.Retry{MaxAttempts: 20, First: time.Hour, Most: time.Hour},
		LeaseTTL:    30 * time.Second,
	}
}

// runner returns a runner over the harness's store.
func (h Harness) runner(t T, config projection.Config) *projection.Runner {
	config.Progress = h.Progress
	r, err := projection.NewRunner(h.Store, config)
	require.NoError(t, err)
	return r
}

// progress returns where the runner keeps its progress.
func (h Harness) progress() projection.Progress {
	if h.Progress != nil {
		return h.Progress
	}
	return h.Store
}

// append stores n events of one aggregate and returns the last position.
func (h Harness) append(t T, id uuid.UUID, n int) uint64 {
	return h.appendAll(t, id, slices.Repeat([]event.Payload{counted{}}, n)...)
}

func (h Harness) appendAll(t T, id uuid.UUID, payloads ...event.Payload) uint64 {
	events := make([]event.Event, len(payloads))
	for i, p := range payloads {
		e, err := event.New(t.Context(), p)
		require.NoError(t, err)
		events[i] = e
	}
	stream := eventstore.Stream{AggregateType: "Counter", AggregateID: id}
	result, err := h.Store.Append(t.Context(), eventstore.Append{Stream: stream, Events: events})
	require.NoError(t, err)
	return result.Position
}

// start runs r in the background. stop ends it and returns its error.
func start(t T, r *projection.Runner) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

// stored returns the positions of all events in the store.
func (h Harness) stored(t T) []uint64 {
	var positions []uint64
	for e, err := range h.Store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		positions = append(positions, e.Position)
	}
	return positions
}

func dlqFilter(s projection.Status) dlq.Filter {
	return dlq.Filter{Projection: s.Projection, Version: s.Version}
}

// failAt returns a hook that fails for the given positions with err, as long
// as they are in the set.
type failAt struct {
	mu    sync.Mutex
	set   map[uint64]error
	calls map[uint64]int
}

func newFailAt() *failAt { return &failAt{set: map[uint64]error{}, calls: map[uint64]int{}} }

func (f *failAt) fail(err error, positions ...uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range positions {
		f.set[p] = err
	}
}

func (f *failAt) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.set)
}

func (f *failAt) hook(_ context.Context, e event.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[e.Position]++
	return f.set[e.Position]
}

func (f *failAt) count(position uint64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[position]
}

var errHandler = errors.New("handler says no")
