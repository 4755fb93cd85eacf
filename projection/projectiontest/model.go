package projectiontest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// steps is how many random steps the model takes.
const steps = 200

// model drives appends, failures, crashes in mid-batch and redrives at random,
// and compares with what has to come of it: every event applied, in the order
// of its aggregate, and once where that is promised.
func model() clause {
	return clause{Name: "random appends, failures, crashes and redrives against a model", Check: func(t T, h Harness) {
		play(t, h, func(hook Hook) Ledger { return h.NewLedger(t, "ledger", hook) })
	}}
}

// modelOfBatches is the same for a projection that takes whole batches.
func modelOfBatches() clause {
	return clause{Name: "the same with a handler for batches", Check: func(t T, h Harness) {
		play(t, h, func(hook Hook) Ledger { return h.NewBatchLedger(t, "ledger", eachOf(hook)) })
	}}
}

func play(t T, h Harness, newLedger func(hook Hook) Ledger) {
	m := &machine{t: t, h: h, random: rand.New(rand.NewPCG(1, 2)), sick: make(map[uint64]bool)}
	m.ledger = newLedger(m.hook)
	for range 6 {
		m.ids = append(m.ids, uuid.New())
	}
	for range steps {
		m.step()
	}
	m.recover()
	m.check()
}

type machine struct {
	t      T
	h      Harness
	ledger Ledger
	random *rand.Rand
	ids    []uuid.UUID

	mu    sync.Mutex
	sick  map[uint64]bool // positions whose handler fails
	crash int             // events until the run is cancelled in mid-batch; 0 for never
	stop  context.CancelFunc
}

var errSick = errors.New("sick event")

func (m *machine) hook(_ context.Context, e event.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crash > 0 {
		if m.crash--; m.crash == 0 {
			m.stop()
			return context.Canceled
		}
	}
	if m.sick[e.Position] {
		return errSick
	}
	return nil
}

// step does one random thing.
func (m *machine) step() {
	switch m.random.IntN(10) {
	case 0, 1, 2, 3:
		position := m.h.append(m.t, m.ids[m.random.IntN(len(m.ids))], 1+m.random.IntN(3))
		if m.random.IntN(8) == 0 {
			m.sicken(position)
		}
	case 4, 5, 6:
		m.run(0)
	case 7:
		m.run(1 + m.random.IntN(5))
	case 8:
		m.healOne()
	default:
		_, err := m.h.runner(m.t, m.config()).Redrive(m.t.Context(), "ledger")
		require.NoError(m.t, err)
	}
}

func (m *machine) config() projection.Config {
	config := quick(m.ledger.Projection)
	config.BatchSize = 1 + m.random.IntN(6)
	config.Retry.MaxAttempts = 1
	return config
}

// run catches up with a new runner, as a process that was started does; after
// crash events it dies.
func (m *machine) run(crash int) {
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	m.mu.Lock()
	m.crash, m.stop = crash, cancel
	m.mu.Unlock()
	if err := m.h.runner(m.t, m.config()).RunUntilCaughtUp(ctx); err != nil {
		require.ErrorIs(m.t, err, context.Canceled)
	}
	m.mu.Lock()
	m.crash = 0
	m.mu.Unlock()
}

func (m *machine) sicken(position uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sick[position] = true
}

func (m *machine) healOne() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for position := range m.sick {
		delete(m.sick, position)
		return
	}
}

// recover heals everything, so that all that was parked can be applied.
func (m *machine) recover() {
	m.mu.Lock()
	clear(m.sick)
	m.mu.Unlock()
	m.run(0)
	_, err := m.h.runner(m.t, m.config()).Redrive(m.t.Context(), "ledger")
	require.NoError(m.t, err)
}

func (m *machine) check() {
	applied := make(map[uuid.UUID][]uint64)
	of := make(map[uint64]uuid.UUID)
	want := make(map[uuid.UUID][]uint64)
	for e, err := range m.h.Store.ReadAll(m.t.Context(), eventstore.Query{}) {
		require.NoError(m.t, err)
		of[e.Position] = e.AggregateID
		want[e.AggregateID] = append(want[e.AggregateID], e.Position)
	}
	for _, position := range m.ledger.positions(m.t) {
		applied[of[position]] = append(applied[of[position]], position)
	}
	assert.Equal(m.t, want, applied, "every event once and in its aggregate's order")
	assert.Empty(m.t, m.h.parked(m.t, "ledger"))
}
