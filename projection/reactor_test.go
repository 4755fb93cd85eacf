package projection_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// billed and thanked are what the reactor of these tests has done.
type billed struct{}

type thanked struct {
	Text string `json:"text"`
}

func (billed) EventType() string  { return "Billed" }
func (thanked) EventType() string { return "Thanked" }

type bill struct {
	Billed int
	Thanks []string
}

type billRoot struct{ aggregate.AggregateRoot[bill] }

var bills = aggregate.Define("Bill",
	aggregate.On(func(b *bill, _ event.Of[billed]) { b.Billed++ }),
	aggregate.On(func(b *bill, e event.Of[thanked]) { b.Thanks = append(b.Thanks, e.Payload.Text) }),
)

var errBilled = errors.New("billed already")

// biller bills a note, and thanks for it twice: once before, once after.
type biller struct {
	bills *aggregate.Repository[billRoot]

	mu   sync.Mutex
	runs int
	keys map[uuid.UUID]int // of effects elsewhere, and how often
}

func newBiller(store eventstore.Store) *biller {
	return &biller{bills: aggregate.NewRepository[billRoot](store, bills), keys: make(map[uuid.UUID]int)}
}

func billOf(note uuid.UUID) uuid.UUID { return uuid.NewSHA1(note, []byte("bill")) }

func (b *biller) react(ctx context.Context, e event.Of[noted]) error {
	b.mu.Lock()
	b.runs++
	b.keys[event.ReactionFrom(ctx).Key()]++
	b.mu.Unlock()
	for _, decide := range []func(*billRoot) error{
		func(a *billRoot) error { return a.Emit(ctx, thanked{Text: "before " + e.Payload.Text}) },
		func(a *billRoot) error {
			if a.State().Billed > 0 {
				return errBilled
			}
			return a.Emit(ctx, billed{}, thanked{Text: "for " + e.Payload.Text})
		},
		func(a *billRoot) error { return a.Emit(ctx, thanked{Text: "after " + e.Payload.Text}) },
	} {
		if err := b.bills.Update(ctx, billOf(e.AggregateID), decide); err != nil {
			return err
		}
	}
	return nil
}

func (b *biller) reactor(version int) *projection.Reactor {
	return projection.NewReactor("biller", version, projection.On(b.react), projection.StartAt(projection.StartAtFirst))
}

// check sees that each note was billed and thanked for as if nothing had happened.
func (b *biller) check(t *testing.T, notes map[uuid.UUID]string) {
	t.Helper()
	for id, text := range notes {
		a, err := b.bills.Load(t.Context(), billOf(id))
		require.NoError(t, err)
		assert.Equal(t, bill{Billed: 1, Thanks: []string{"before " + text, "for " + text, "after " + text}}, a.State())
	}
}

// stores open what reactors are tested on.
func stores() map[string]func(t *testing.T) projection.Store {
	return map[string]func(t *testing.T) projection.Store{
		"memory": func(t *testing.T) projection.Store { t.Helper(); return openMemory(t) },
		"sqlite": func(t *testing.T) projection.Store {
			t.Helper()
			config := sqlite.Config{Path: filepath.Join(t.TempDir(), "reactor.db")}
			require.NoError(t, sqlite.Migrate(t.Context(), config))
			store, err := sqlite.Open(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			return store
		},
	}
}

// appendNotes stores notes, each in a stream of its own.
func appendNotes(t *testing.T, store eventstore.Store, texts ...string) map[uuid.UUID]string {
	t.Helper()
	notes := make(map[uuid.UUID]string)
	for _, text := range texts {
		id := event.NewID()
		e, err := event.New(event.WithTenant(event.WithActor(t.Context(), event.User("alice")), ""), noted{Text: text})
		require.NoError(t, err)
		_, err = store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: id}, Events: []event.Event{e}})
		require.NoError(t, err)
		notes[id] = text
	}
	return notes
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
}

var errDead = fmt.Errorf("the process is dead: %w", eventstore.ErrUnavailable)

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
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return nil, errDead
	}
	tx, err := m.Store.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &mortalTx{Tx: tx, store: m}, nil
}

type mortalTx struct {
	projection.Tx

	store *mortal
}

func (tx *mortalTx) Commit(ctx context.Context) error {
	return tx.store.write(func() error { return tx.Tx.Commit(context.WithoutCancel(ctx)) })
}

func (tx *mortalTx) Unwrap() projection.Tx { return tx.Tx }

// runMortal runs a biller until it has caught up or died, and reports whether
// it survived.
func runMortal(t *testing.T, m *mortal) (b *biller, survived bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.die = cancel
	b = newBiller(m)
	runner, err := projection.NewRunner(m, projection.Config{Projections: []projection.Projection{b.reactor(1)}, Owner: "one", BatchSize: 2})
	require.NoError(t, err)
	err = runner.RunUntilCaughtUp(ctx)
	if !m.dead {
		require.NoError(t, err)
	}
	return b, !m.dead
}

// The process dies at each of its writes in turn, before or after it takes
// effect, and again while what is left is done.
func TestReactorIsEffectiveOnceThroughCrashes(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		for point, after := range map[string]bool{"before the write": false, "after the write": true} {
			t.Run(name+"/"+point, func(t *testing.T) {
				t.Parallel()
				reruns := 0
				for at := 0; ; at++ {
					store := open(t)
					notes := appendNotes(t, store, "milk", "bread", "salt")
					_, survived := runMortal(t, &mortal{Store: store, writes: at, after: after})
					if !survived { // once more, at another point
						runMortal(t, &mortal{Store: store, writes: at / 2, after: after})
					}
					last := newBiller(store)
					runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{last.reactor(1)}, Owner: "one"})
					require.NoError(t, err)
					require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
					last.check(t, notes)
					stats, err := runner.DeadLetters().Stats(t.Context(), "biller", 1)
					require.NoError(t, err)
					assert.Zero(t, stats, "nothing was refused for having been done")
					reruns += last.runs
					if survived {
						break
					}
				}
				assert.Positive(t, reruns, "handlers did run again")
			})
		}
	}
}

// Two processes run the reactor without knowing of each other, as after one was
// frozen through its lease.
func TestReactorIsEffectiveOnceWhereTwoRun(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			notes := appendNotes(t, store, "milk", "bread", "salt", "eggs")
			var wg sync.WaitGroup
			both := make([]*biller, 2)
			for i := range both {
				both[i] = newBiller(store)
				runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{both[i].reactor(1)}, Progress: openMemory(t)})
				require.NoError(t, err)
				wg.Go(func() { assert.NoError(t, runner.RunUntilCaughtUp(t.Context())) })
			}
			wg.Wait()
			both[0].check(t, notes)
			assert.Equal(t, both[0].keys, both[1].keys, "effects elsewhere have the same keys")
			assert.Len(t, both[0].keys, 4)
		})
	}
}

// The next version, which a mistaken operator lets begin at the first event,
// repeats nothing.
func TestReactorOfAnotherVersionRepeatsNothing(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	notes := appendNotes(t, store, "milk", "bread")
	b := newBiller(store)
	for version := 1; version <= 2; version++ {
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{b.reactor(version)}, Progress: openMemory(t)})
		require.NoError(t, err)
		require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	}
	assert.Equal(t, 4, b.runs)
	b.check(t, notes)
}

// A letter is tried again after a part of it has succeeded.
func TestReactorIsEffectiveOnceThroughRedrive(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	notes := appendNotes(t, store, "milk")
	b := newBiller(store)
	broken := true
	reactor := projection.NewReactor("biller", 1, projection.StartAt(projection.StartAtFirst),
		projection.On(func(ctx context.Context, e event.Of[noted]) error {
			if err := b.react(ctx, e); err != nil || !broken {
				return err
			}
			return projection.AsPoison(errors.New("the mail server does not know the address"))
		}))
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{reactor}})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	parked, err := runner.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	require.Len(t, parked, 1)

	broken = false
	done, err := runner.Redrive(t.Context(), "biller")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Applied: 1}, done)
	assert.Equal(t, 2, b.runs)
	b.check(t, notes)
}

// Whatever the context of the runner says, what is done was done by the
// reactor, because of the event and for its tenant.
func TestReactorSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	cause := event.Event{
		ID: event.NewID(), Type: "Noted", SchemaVersion: 1, AggregateType: "Note", AggregateID: event.NewID(),
		TenantID: "acme", ActorID: event.User("alice"), CorrelationID: event.NewID(), Position: 7, Data: []byte(`{}`),
		Metadata: event.Metadata{"on_behalf_of": "user:bob"},
	}
	run := event.WithOrigin(t.Context(), event.Origin{
		ActorID: event.User("operator"), TenantID: "other", CorrelationID: event.NewID(), CausationID: event.NewID(),
		Metadata: event.Metadata{"on_behalf_of": "user:carol", "traceparent": "00-1-2-01"},
	})
	for name, tc := range map[string]struct {
		run   context.Context
		parts []projection.ReactorPart
		want  event.Origin
	}{
		"by default": {run, nil, event.Origin{ActorID: event.System("mails"), Metadata: event.Metadata{"traceparent": "00-1-2-01"}}},
		"acting as":  {t.Context(), []projection.ReactorPart{projection.ActAs(event.Service("mailer"))}, event.Origin{ActorID: event.Service("mailer")}},
	} {
		var got event.Origin
		reactor := projection.NewReactor("mails", 3, append(tc.parts, projection.On(func(ctx context.Context, _ event.Of[noted]) error {
			got = event.OriginFrom(ctx)
			return nil
		}))...)
		require.NoError(t, reactor.Validate())
		for _, apply := range []func(e event.Event) error{
			func(e event.Event) error { return reactor.Apply(tc.run, nil, e) },
			func(e event.Event) error { return reactor.ApplyBatch(tc.run, nil, []event.Event{e}) },
		} {
			require.NoError(t, apply(cause))
			require.NotNil(t, got.Reaction, name)
			assert.Equal(t, "mails", got.Reaction.Reactor, "without the version")
			assert.Equal(t, cause.ID, got.Reaction.Cause)
			assert.EqualValues(t, 7, got.Reaction.Position)
			got.Reaction = nil
			tc.want.TenantID, tc.want.CorrelationID, tc.want.CausationID = "acme", cause.CorrelationID, cause.ID
			assert.Equal(t, tc.want, got, name)
		}
		nobodys := cause
		nobodys.TenantID = ""
		require.NoError(t, reactor.Apply(tc.run, nil, nobodys))
		assert.Empty(t, got.TenantID, "an event of no tenant is reacted to for none")
	}
}

func TestReactorIsLiveOnly(t *testing.T) {
	t.Parallel()
	r := projection.NewReactor("mails", 1, projection.On(onNoted))
	require.NoError(t, r.Validate())
	assert.Equal(t, projection.StartAtHead, r.From())
	assert.Equal(t, projection.StartAtFirst, projection.NewReactor("mails", 1, projection.StartAt(projection.StartAtFirst)).From())
	assert.Equal(t, "head, first event", fmt.Sprintf("%s, %s", projection.StartAtHead, projection.StartAtFirst))
	assert.Equal(t, projection.AtLeastOnce, r.Guarantee())
	assert.False(t, r.Batches())

	for doing, err := range map[string]error{
		"rebuilt": r.CanReset(), "rewound": r.CanRewind(),
	} {
		require.ErrorIs(t, err, projection.ErrLiveOnly)
		require.NotErrorIs(t, err, projection.ErrStopped)
		assert.Equal(t, &projection.LiveOnlyError{Projection: "mails", Refused: doing}, err)
		require.EqualError(t, err, `projection "mails" is live-only and cannot be `+doing+": its messages would be sent, and its commands given, a second time; for past events make a reactor of another name that starts at the first")
	}
	assert.Equal(t, r.CanReset(), r.Reset(t.Context(), nil))
	assert.Equal(t, r.CanRewind(), r.Rewind(t.Context(), nil, 0))

	runner, err := projection.NewRunner(openMemory(t), projection.Config{Projections: []projection.Projection{r}})
	require.NoError(t, err)
	require.ErrorIs(t, runner.Rebuild(t.Context(), "mails"), projection.ErrLiveOnly)
}

func TestReactorDeclares(t *testing.T) {
	t.Parallel()
	var seen []string
	r := projection.NewReactor("mails", 2,
		projection.On(onNoted),
		projection.OnEvery(func(_ context.Context, e event.Event) error { seen = append(seen, e.Type); return nil }, "Other"),
		projection.SequenceBy(func(e event.Event) string { return e.Type }),
		projection.InLanes(4),
		projection.Codec(event.JSON{}),
	)
	require.NoError(t, r.Validate())
	assert.Equal(t, "mails", r.Name())
	assert.Equal(t, 2, r.Version())
	assert.Equal(t, []string{"Noted", "Other"}, r.EventTypes())
	assert.Equal(t, "Other", r.SequenceKey(event.Event{Type: "Other"}))
	assert.Equal(t, 4, r.Lanes())
	require.NoError(t, r.Apply(t.Context(), nil, event.Event{Type: "Other"}))
	assert.Equal(t, []string{"Other"}, seen)
}

func TestReactorRefuses(t *testing.T) {
	t.Parallel()
	on := projection.On(onNoted)
	for want, parts := range map[string][]projection.ReactorPart{
		"no handler":        nil,
		"a part is nil":     {on, nil},
		"part is nil":       {on, projection.Part(nil)},
		"never rebuilt":     {on, projection.OnReset(func(context.Context) error { return nil })},
		"never rewound":     {on, projection.OnRewind(func(context.Context, uint64) error { return nil })},
		"one event at a":    {projection.OnBatch(onBatch)},
		"StartAt must be":   {on, projection.StartAt(9)},
		"or start with":     {on, projection.ActAs("alice")},
		"must not be empty": {on, projection.ActAs("")},
		"handler is nil":    {projection.On[noted](nil)},
	} {
		r := projection.NewReactor("mails", 1, parts...)
		err := r.Validate()
		require.ErrorIs(t, err, event.ErrDefinition, want)
		require.ErrorContains(t, err, want)
		assert.Equal(t, err, r.Apply(t.Context(), nil, event.Event{}))
		assert.Equal(t, err, r.ApplyBatch(t.Context(), nil, []event.Event{{}}))
		assert.Equal(t, err, r.CanReset())
		assert.Equal(t, err, r.CanRewind())
		_, err = projection.NewRunner(openMemory(t), projection.Config{Projections: []projection.Projection{r}})
		require.ErrorContains(t, err, want)
	}
}
