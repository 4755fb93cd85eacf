package process_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is a test, or one run of a property.
type tester interface {
	require.TestingT
	Helper()
	Context() context.Context
}

func openMemory(t tester) projection.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	return store
}

// onStores runs a test on each store that processes are tested on.
func onStores(t *testing.T, test func(t *testing.T, store projection.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { t.Parallel(); test(t, openMemory(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, openSQLite(t)) })
}

func openSQLite(t *testing.T) projection.Store {
	t.Helper()
	config := sqlite.Config{Path: filepath.Join(t.TempDir(), "process.db"), Synchronous: sqlite.SynchronousNormal}
	require.NoError(t, sqlite.Migrate(t.Context(), config))
	store, err := sqlite.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// clock is one that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// patience is how long the shop of these tests waits for money.
const patience = 15 * time.Minute

// office is a program that runs fulfilments: on a store, and possibly with a
// place of its own for progress.
type office struct {
	store   projection.Store
	shop    *shop
	manager *process.Manager[Fulfilment]
	runner  *projection.Runner
}

func openOffice(t tester, store projection.Store, c *clock, change ...func(*process.Config)) *office {
	t.Helper()
	config := process.Config{Now: c.Now, Owner: "office"}
	for _, f := range change {
		f(&config)
	}
	o := &office{store: store, shop: newShop(store, patience)}
	var err error
	o.manager, err = process.NewManager(store, o.shop.fulfilment(), config)
	require.NoError(t, err)
	o.runner, err = projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{o.manager.Projection()}, Owner: "office", Progress: config.Progress,
		Retry: projection.Retry{MaxAttempts: 2, First: time.Millisecond, Most: time.Millisecond},
	})
	require.NoError(t, err)
	return o
}

// react has everything handled that is in the store, and what follows from it.
func (o *office) react(t tester) {
	t.Helper()
	require.NoError(t, o.reactUntil(t.Context()))
}

func (o *office) reactUntil(ctx context.Context) error {
	for {
		before, err := o.store.Head(ctx)
		if err != nil {
			return err
		}
		if err := o.runner.RunUntilCaughtUp(ctx); err != nil {
			return err
		}
		if after, err := o.store.Head(ctx); err != nil || after == before {
			return err
		}
	}
}

func (o *office) place(t tester, id uuid.UUID) {
	t.Helper()
	ctx := event.WithActor(t.Context(), event.User("alice"))
	require.NoError(t, o.shop.orders.Update(ctx, id, func(a *Order) error { return a.Emit(ctx, OrderPlaced{Cents: 1995}) }))
}

func (o *office) pay(t tester, id uuid.UUID) {
	t.Helper()
	require.NoError(t, o.shop.payments.Update(t.Context(), id, func(a *Payment) error { return a.Receive(t.Context(), id) }))
}

// tend has the timeouts looked after until everything that has come is
// recorded.
func tend(t tester, store projection.Store, c *clock, change ...func(*process.Config)) {
	t.Helper()
	require.NoError(t, tender(t, store, c, change...)())
}

// tender returns a function that does as tend.
func tender(t tester, store projection.Store, c *clock, change ...func(*process.Config)) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	manager := openOffice(t, &resting{Store: store, cancel: cancel}, c, change...).manager
	return func() error { defer cancel(); return manager.Run(ctx) }
}

// resting is a store that ends whoever waits for it.
type resting struct {
	projection.Store

	cancel context.CancelFunc
}

func (s *resting) Wait(ctx context.Context, _ uint64) (uint64, error) {
	s.cancel()
	<-ctx.Done()
	return 0, ctx.Err()
}

func (o *office) parcel(t tester, id uuid.UUID) parcelState {
	t.Helper()
	a, err := o.shop.parcels.Load(t.Context(), id)
	require.NoError(t, err)
	return a.State()
}

func (o *office) payment(t tester, id uuid.UUID) paymentState {
	t.Helper()
	a, err := o.shop.payments.Load(t.Context(), id)
	require.NoError(t, err)
	return a.State()
}

func (o *office) show(t tester, id uuid.UUID) process.View[Fulfilment] {
	t.Helper()
	v, err := o.manager.Show(t.Context(), id)
	require.NoError(t, err)
	return v
}

// history returns an instance's events.
func history(t tester, store eventstore.Store, id uuid.UUID) []event.Event {
	t.Helper()
	var events []event.Event
	stream := eventstore.Stream{AggregateType: "Fulfilment", AggregateID: id}
	for e, err := range store.ReadStream(t.Context(), stream, eventstore.StreamQuery{}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// story returns what happened to an instance, in a word each.
func story(t tester, store eventstore.Store, id uuid.UUID) []string {
	t.Helper()
	var types []string
	for _, e := range history(t, store, id) {
		types = append(types, e.Type)
	}
	return types
}

// mortal is a store whose process dies at a write: before it takes effect, or
// after. From then on nothing reaches the store any more.
type mortal struct {
	projection.Store

	die func()

	mu     sync.Mutex
	writes int // that are left before the fatal one
	after  bool
	dead   bool
	rest   bool // whether waiting is death, too
}

var errDead = fmt.Errorf("the process is dead: %w", eventstore.ErrUnavailable)

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// write makes one write, unless the process has died.
func (m *mortal) write(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	if m.writes--; m.writes >= 0 {
		return f()
	}
	m.dead = true
	m.die()
	if m.after {
		return errors.Join(f(), errDead)
	}
	return errDead
}

func (m *mortal) Append(ctx context.Context, appends ...eventstore.Append) (result eventstore.Result, err error) {
	err = m.write(func() error { result, err = m.Store.Append(context.WithoutCancel(ctx), appends...); return err })
	return result, err
}

func (m *mortal) Begin(ctx context.Context) (projection.Tx, error) {
	if m.isDead() {
		return nil, errDead
	}
	tx, err := m.Store.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &mortalTx{Tx: tx, store: m}, nil
}

func (m *mortal) Wait(ctx context.Context, after uint64) (uint64, error) {
	if !m.rest {
		return m.Store.Wait(ctx, after)
	}
	m.die()
	<-ctx.Done()
	return 0, ctx.Err()
}

func (m *mortal) Checkpoints() checkpoint.Store { return &mortalMarks{m.Store.Checkpoints(), m} }

type mortalMarks struct {
	checkpoint.Store

	of *mortal
}

func (s *mortalMarks) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	return s.of.write(func() error { return s.Store.Move(context.WithoutCancel(ctx), key, move) })
}

type mortalTx struct {
	projection.Tx

	store *mortal
}

func (tx *mortalTx) Commit(ctx context.Context) error {
	return tx.store.write(func() error { return tx.Tx.Commit(context.WithoutCancel(ctx)) })
}

func (tx *mortalTx) Unwrap() projection.Tx { return tx.Tx }

// live lets a program do something until it is done or has died, and reports
// whether it survived.
func live(t tester, m *mortal, do func(ctx context.Context) error) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.die = cancel
	err := do(ctx)
	if m.isDead() {
		return false
	}
	require.NoError(t, err)
	return true
}
