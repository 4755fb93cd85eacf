package process_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

func TestPaidInTime(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store projection.Store) {
		c := newClock()
		o, id := openOffice(t, store, c), event.NewID()
		o.place(t, id)
		o.react(t)
		assert.Equal(t, process.View[Fulfilment]{
			ID: id, State: Fulfilment{Cents: 1995}, Phase: process.Running, Version: 4,
			Timeouts: map[string]time.Time{"payment": c.Now().Add(patience)},
		}, o.show(t, id))

		o.pay(t, id)
		o.react(t)
		assert.Equal(t, parcelState{Packed: 1, Sent: 1}, o.parcel(t, id))
		assert.Equal(t, paymentState{Requested: 1, Received: 1}, o.payment(t, id))
		c.advance(patience)
		tend(t, store, c)
		o.react(t)
		assert.Equal(t, process.View[Fulfilment]{
			ID: id, State: Fulfilment{Cents: 1995}, Phase: process.Over, Version: 6, Timeouts: map[string]time.Time{},
		}, o.show(t, id))
		assert.Equal(t, []string{
			"ProcessStarted", "FulfilmentPacked", "FulfilmentAsked", "ProcessTimeoutSet", "ProcessTimeoutCancelled", "ProcessEnded",
		}, story(t, store, id))
	})
}

func TestNotPaidInTime(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store projection.Store) {
		c := newClock()
		o, id := openOffice(t, store, c), event.NewID()
		o.place(t, id)
		o.react(t)
		c.advance(patience)
		tend(t, store, c)
		o.react(t)

		v := o.show(t, id)
		assert.Equal(t, process.Over, v.Phase)
		assert.Equal(t, "not paid in time", v.Failure)
		assert.Equal(t, parcelState{Packed: 1, Unpacked: 1}, o.parcel(t, id))
		assert.Equal(t, paymentState{Requested: 1, Cancelled: 1}, o.payment(t, id))
		assert.Equal(t, []string{
			"ProcessStarted", "FulfilmentPacked", "FulfilmentAsked", "ProcessTimeoutSet",
			"ProcessTimeoutElapsed", "ProcessHandled", "ProcessFailed", "ProcessUndone", "ProcessUndone", "ProcessEnded",
		}, story(t, store, id))

		events := history(t, store, id)
		var undone []process.Undone
		for _, e := range events[7:9] {
			var p process.Undone
			require.NoError(t, event.JSON{}.Decode(e.Data, &p))
			undone = append(undone, p)
		}
		assert.Equal(t, []process.Undone{
			{Event: events[2].ID, Type: "FulfilmentAsked"}, {Event: events[1].ID, Type: "FulfilmentPacked"},
		}, undone, "the last first")

		o.pay(t, id)
		o.react(t)
		assert.Len(t, history(t, store, id), len(events), "what is over handles nothing any more")
	})
}

// What a command refuses is a decision of the process, not an error.
func TestSoldOut(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	o := openOffice(t, store, newClock())
	o.place(t, soldOut)
	o.react(t)
	assert.Equal(t, []string{"ProcessStarted", "ProcessFailed", "ProcessEnded"}, story(t, store, soldOut))
	assert.Equal(t, "sold out", o.show(t, soldOut).Failure)
}

// Everything says where it comes from, down to the commands' events.
func TestWhatAProcessDoesSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	ctx := event.WithOrigin(t.Context(), event.Origin{ActorID: event.User("alice"), TenantID: "acme", CorrelationID: event.NewID()})
	require.NoError(t, o.shop.orders.Update(ctx, id, func(a *Order) error { return a.Emit(ctx, OrderPlaced{Cents: 1}) }))
	o.react(t)
	c.advance(patience)
	tend(t, store, c)
	o.react(t)

	byID := make(map[uuid.UUID]event.Event)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		byID[e.ID] = e
		assert.Equal(t, event.TenantID("acme"), e.TenantID, e.Type)
		assert.Equal(t, event.CorrelationFrom(ctx), e.CorrelationID, e.Type)
		if e.Type == "OrderPlaced" {
			continue
		}
		assert.Equal(t, event.System("Fulfilment"), e.ActorID, e.Type)
		cause, ok := byID[e.CausationID]
		require.True(t, ok, e.Type)
		want := map[string]string{
			"ProcessTimeoutElapsed": "ProcessTimeoutSet", "ProcessHandled": "ProcessTimeoutElapsed", "ProcessFailed": "ProcessTimeoutElapsed",
			"ProcessUndone": "ProcessFailed", "ProcessEnded": "ProcessFailed", "ParcelUnpacked": "ProcessFailed", "PaymentCancelled": "ProcessFailed",
		}[e.Type]
		if want == "" {
			want = "OrderPlaced"
		}
		assert.Equal(t, want, cause.Type, e.Type)
	}
	_, err := o.manager.Show(t.Context(), id)
	require.ErrorIs(t, err, aggregate.ErrNotFound, "it is of another tenant")
	v, err := o.manager.Show(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, process.Over, v.Phase)
}

// The money had come before the timeout was looked at: then it is too late to
// give up, although the timeout was recorded before the cancellation.
func TestACancelledTimeoutIsNotHandled(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	o.place(t, id)
	o.react(t)
	o.pay(t, id)
	c.advance(patience)
	tend(t, store, c)
	o.react(t)
	assert.Equal(t, []string{
		"ProcessStarted", "FulfilmentPacked", "FulfilmentAsked", "ProcessTimeoutSet",
		"ProcessTimeoutElapsed", "ProcessTimeoutCancelled", "ProcessEnded",
	}, story(t, store, id))
	assert.Equal(t, parcelState{Packed: 1, Sent: 1}, o.parcel(t, id))
}

// The same where the instance goes on, or waits anew.
func TestATimeoutThatWasSetAnewIsNotHandled(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *process.Instance[Fulfilment]){
		"cancelled": func(p *process.Instance[Fulfilment]) { p.CancelTimeout("payment") },
		"set anew":  func(p *process.Instance[Fulfilment]) { p.SetTimeout("payment", time.Hour) },
	} {
		store, c, id, handled := openMemory(t), newClock(), event.NewID(), 0
		m, err := process.NewManager(store, process.Define("Fulfilment", 1,
			process.StartOn(process.ByAggregate, do(func(p *process.Instance[Fulfilment]) { p.SetTimeout("payment", 0) })),
			process.On(func(e event.Of[PaymentReceived]) uuid.UUID { return e.Payload.Order },
				func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[PaymentReceived]) error {
					change(p)
					return nil
				}),
			process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { handled++; return nil }),
			process.StartAt[Fulfilment](projection.StartAtFirst),
		), process.Config{Now: c.Now})
		require.NoError(t, err)
		o := openOffice(t, store, c)
		o.runner, err = projection.NewRunner(store, projection.Config{Projections: []projection.Projection{m.Projection()}})
		require.NoError(t, err)
		o.place(t, id)
		o.react(t)
		o.pay(t, id)
		tend(t, store, c)
		require.Len(t, elapsed(t, store), 1)
		o.react(t)
		assert.Zero(t, handled, name)
		c.advance(time.Hour)
		tend(t, store, c)
		o.react(t)
		want := map[string]int{"set anew": 1}[name]
		assert.Equal(t, want, handled, name)
	}
}

// Money that came before the order was placed is none of the instance's
// business, not even when it comes again because nobody knows of the first time.
func TestWhatIsOlderThanTheInstanceIsIgnored(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	o.pay(t, id)
	o.place(t, id)
	o.react(t)
	before := story(t, store, id)
	assert.Equal(t, process.Running, o.show(t, id).Phase)

	again := openOffice(t, store, c, func(config *process.Config) { config.Progress = openMemory(t) })
	again.react(t)
	assert.Equal(t, before, story(t, store, id))
}

// A second program begins again at the first event.
func TestNothingIsHandledTwice(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store projection.Store) {
		c := newClock()
		o := openOffice(t, store, c)
		paid, late, waits := event.NewID(), event.NewID(), event.NewID()
		for _, id := range []uuid.UUID{paid, late} {
			o.place(t, id)
		}
		o.react(t)
		o.pay(t, paid)
		o.react(t)
		c.advance(patience)
		tend(t, store, c)
		o.place(t, waits)
		o.react(t)
		before, err := store.Head(t.Context())
		require.NoError(t, err)

		for range 2 {
			openOffice(t, store, c, func(config *process.Config) { config.Progress = openMemory(t) }).react(t)
		}
		after, err := store.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, before, after)
	})
}

// One order cannot be handled, for a reason that nobody foresaw.
func TestAFailureParksItsOwnInstance(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store projection.Store) {
		bad, good, broken := event.NewID(), event.NewID(), true
		var paid []uuid.UUID
		m, err := process.NewManager(store, process.Define("Fulfilment", 1,
			process.StartOn(process.ByAggregate, func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
				if broken && p.ID() == bad {
					return errPacked
				}
				return nil
			}),
			process.On(func(e event.Of[PaymentReceived]) uuid.UUID { return e.Payload.Order }, func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[PaymentReceived]) error {
				paid = append(paid, p.ID())
				return nil
			}),
			process.StartAt[Fulfilment](projection.StartAtFirst),
		), process.Config{})
		require.NoError(t, err)
		o := openOffice(t, store, newClock())
		o.runner, err = projection.NewRunner(store, projection.Config{Projections: []projection.Projection{m.Projection()}})
		require.NoError(t, err)
		o.place(t, bad)
		o.place(t, good)
		o.pay(t, bad)
		o.pay(t, good)
		o.react(t)
		assert.Equal(t, []uuid.UUID{good}, paid)
		parked, err := o.runner.DeadLetters().Sequences(t.Context(), dlq.Filter{})
		require.NoError(t, err)
		require.Len(t, parked, 1)
		assert.Equal(t, "Fulfilment/"+bad.String(), parked[0].Sequence.Key)
		assert.Equal(t, 2, parked[0].Letters, "the payment, which is another aggregate's event, waits behind the order")
		assert.Contains(t, parked[0].First.Cause, errPacked.Error())
		assert.Empty(t, history(t, store, bad))

		broken = false
		done, err := o.runner.Redrive(t.Context(), "Fulfilment")
		require.NoError(t, err)
		assert.Equal(t, projection.Redriven{Applied: 2}, done)
		assert.Equal(t, []uuid.UUID{good, bad}, paid)
		assert.Equal(t, []string{"ProcessStarted", "ProcessHandled"}, story(t, store, bad))
	})
}

// mended is a process whose handlers a test can break and mend.
type mended struct {
	store  projection.Store
	broken error
	calls  map[string]int
}

func (m *mended) definition(parts ...process.Part[Fulfilment]) *process.Definition[Fulfilment] {
	m.calls = make(map[string]int)
	return process.Define("Fulfilment", 1, append(parts,
		process.StartOn(process.ByAggregate, func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
			p.Emit(Packed{}, Asked{Cents: 1}, Packed{})
			p.SetTimeout("payment", time.Hour)
			p.Fail("at once")
			return nil
		}),
		process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { return nil }),
		process.Apply(func(f *Fulfilment, e event.Of[Asked]) { f.Cents += e.Payload.Cents }),
		process.Undo(func(context.Context, *process.Instance[Fulfilment], event.Of[Packed]) error {
			m.calls["packed"]++
			return nil
		}),
		process.Undo(func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[Asked]) error {
			m.calls["asked"]++
			p.Emit(Asked{Cents: 10})
			m.calls[p.Failure()]++
			return m.broken
		}),
		process.StartAt[Fulfilment](projection.StartAtFirst),
	)...)
}

// An undoing that fails is tried again; what was undone before it is not.
func TestCompensationGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	store, id := openMemory(t), event.NewID()
	m := &mended{store: store, broken: errors.New("the bank is closed")}
	manager, err := process.NewManager(store, m.definition(), process.Config{})
	require.NoError(t, err)
	o := openOffice(t, store, newClock())
	o.manager = manager
	o.runner, err = projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{manager.Projection()},
		Retry:       projection.Retry{MaxAttempts: 3, First: time.Millisecond},
	})
	require.NoError(t, err)
	o.place(t, id)
	o.react(t)
	assert.Equal(t, map[string]int{"packed": 1, "asked": 3, "at once": 3}, m.calls)
	assert.Equal(t, process.Failing, o.show(t, id).Phase)
	assert.Empty(t, o.show(t, id).Timeouts, "it waits for nothing any more")
	assert.EqualValues(t, 1, o.show(t, id).State.Cents, "what a failed undoing recorded is not kept")

	m.broken = nil
	done, err := o.runner.Redrive(t.Context(), "Fulfilment")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Applied: 1}, done)
	assert.Equal(t, map[string]int{"packed": 2, "asked": 4, "at once": 4}, m.calls, "each Packed once")
	assert.Equal(t, []string{
		"ProcessStarted", "FulfilmentPacked", "FulfilmentAsked", "FulfilmentPacked", "ProcessTimeoutSet", "ProcessFailed",
		"ProcessUndone", "FulfilmentAsked", "ProcessUndone", "ProcessUndone", "ProcessEnded",
	}, story(t, store, id))
	o.react(t)
	assert.Equal(t, process.Over, o.show(t, id).Phase)
}

// handled runs one handler on an order and returns what came of it.
func handled(t *testing.T, handle func(ctx context.Context, p *process.Instance[Fulfilment], e event.Of[OrderPlaced]) error, parts ...process.Part[Fulfilment]) (*office, uuid.UUID, error) {
	t.Helper()
	store, id := openMemory(t), event.NewID()
	definition := process.Define("Fulfilment", 1, append(parts,
		process.StartOn(process.ByAggregate, handle),
		process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { return nil }),
		process.Apply(func(f *Fulfilment, e event.Of[Asked]) { f.Cents += e.Payload.Cents }),
	)...)
	manager, err := process.NewManager(store, definition, process.Config{Now: newClock().Now})
	require.NoError(t, err)
	o := openOffice(t, store, newClock())
	o.manager = manager
	o.place(t, id)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		return o, id, manager.Projection().Apply(t.Context(), nil, e)
	}
	return o, id, nil
}

type fulfilling = func(ctx context.Context, p *process.Instance[Fulfilment], e event.Of[OrderPlaced]) error

// do is a handler that does what cannot fail.
func do(f func(p *process.Instance[Fulfilment])) fulfilling {
	return func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
		f(p)
		return nil
	}
}

func TestHandlerRecordsNothingThatCannotBe(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context) error { return nil }
	for want, handle := range map[string]fulfilling{
		`invalid timeout "delivery": is set, but`:       do(func(p *process.Instance[Fulfilment]) { p.SetTimeout("delivery", 1) }),
		`invalid timeout "delivery": is cancelled, but`: do(func(p *process.Instance[Fulfilment]) { p.CancelTimeout("delivery") }),
		"too late: the instance has failed":             do(func(p *process.Instance[Fulfilment]) { p.Fail("no"); p.Done() }),
		`event "FulfilmentPacked": comes after Fail`:    do(func(p *process.Instance[Fulfilment]) { p.Fail("no"); p.Emit(Packed{}) }),
		"too late: the instance has ended":              do(func(p *process.Instance[Fulfilment]) { p.Done(); p.SetTimeout("payment", 1) }),
		`invalid failure "again": is too late`:          do(func(p *process.Instance[Fulfilment]) { p.Done(); p.Fail("again"); p.Fail("more") }),
		"has no handler for":                            do(func(p *process.Instance[Fulfilment]) { p.Emit(Asked{}, Packed{}); p.Emit(Asked{}) }),
		"is done twice": func(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
			return errors.Join(p.Do(ctx, "pack", nothing), p.Do(ctx, "pack", nothing))
		},
		"not the handler's": func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
			return p.Do(t.Context(), "pack", nothing)
		},
		"has no function": func(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
			return p.Do(ctx, "pack", nil)
		},
	} {
		o, id, err := handled(t, handle)
		require.ErrorContains(t, err, want)
		if want != "has no handler for" {
			require.ErrorIs(t, err, event.ErrInvalid, "the runner parks it at once")
			require.NotErrorIs(t, err, event.ErrDefinition, "which would stop the runner")
		}
		assert.Empty(t, history(t, o.store, id), want)
	}
}

// Once something has gone wrong, no commands are given any more.
func TestDoStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	called := false
	_, _, err := handled(t, func(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
		p.SetTimeout("delivery", 1)
		return p.Do(ctx, "pack", func(context.Context) error { called = true; return nil })
	})
	require.ErrorIs(t, err, event.ErrInvalid)
	assert.False(t, called)

	errHandler := errors.New("no")
	_, _, err = handled(t, func(context.Context, *process.Instance[Fulfilment], event.Of[OrderPlaced]) error { return errHandler })
	assert.Equal(t, errHandler, err, "a handler's own error is as it was")
}

func TestHandlerThatRecordsNothing(t *testing.T) {
	t.Parallel()
	calls := 0
	o, id, err := handled(t, func(ctx context.Context, p *process.Instance[Fulfilment], e event.Of[OrderPlaced]) error {
		calls++
		assert.Equal(t, e.AggregateID, p.ID())
		assert.Zero(t, p.State())
		p.Emit(Asked{Cents: 7})
		assert.Equal(t, Fulfilment{Cents: 7}, p.State())
		p.CancelTimeout("payment") // there is none
		p.SetTimeoutAt("payment", time.Date(2026, 1, 1, 0, 0, 0, 1999, time.UTC))
		p.SetTimeout("payment", time.Hour)
		return p.Do(ctx, "a", func(ctx context.Context) error {
			assert.Equal(t, "do/a", event.ReactionFrom(ctx).Step)
			return nil
		})
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"ProcessStarted", "FulfilmentAsked", "ProcessTimeoutSet", "ProcessTimeoutSet"}, story(t, o.store, id))
	assert.Equal(t, map[string]time.Time{"payment": newClock().Now().Add(time.Hour)}, o.show(t, id).Timeouts, "the last counts")

	o.place(t, id)
	o2, err := projection.NewRunner(o.store, projection.Config{Projections: []projection.Projection{process1(t, o.store)}})
	require.NoError(t, err)
	require.NoError(t, o2.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []string{"ProcessStarted", "FulfilmentAsked", "ProcessTimeoutSet", "ProcessTimeoutSet", "ProcessHandled"}, story(t, o.store, id),
		"what leaves no other trace is said to be handled")
	assert.Equal(t, 1, calls)
}

// process1 is a process whose handler does nothing.
func process1(t *testing.T, store projection.Store) projection.Projection {
	t.Helper()
	m, err := process.NewManager(store, process.Define("Fulfilment", 1,
		process.StartOn(process.ByAggregate, do(func(*process.Instance[Fulfilment]) {})),
		process.Apply(func(*Fulfilment, event.Of[Asked]) {}),
		process.Apply(func(*Fulfilment, event.Of[Packed]) {}),
		process.StartAt[Fulfilment](projection.StartAtFirst),
	), process.Config{})
	require.NoError(t, err)
	return m.Projection()
}

// Commands that are given without Do count, too.
func TestCommandsOutsideOfSteps(t *testing.T) {
	t.Parallel()
	store, id := openMemory(t), event.NewID()
	s := newShop(store, patience)
	broken := true
	m, err := process.NewManager(store, process.Define("Fulfilment", 1,
		process.StartOn(process.ByAggregate, func(ctx context.Context, _ *process.Instance[Fulfilment], e event.Of[OrderPlaced]) error {
			for range 2 {
				if err := s.parcels.Update(ctx, e.AggregateID, func(a *Parcel) error { return a.Emit(ctx, ParcelPacked{}) }); err != nil {
					return err
				}
			}
			if broken {
				return errors.New("crash")
			}
			return nil
		})), process.Config{})
	require.NoError(t, err)
	o := openOffice(t, store, newClock())
	o.place(t, id)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		for range 2 {
			require.Error(t, m.Projection().Apply(t.Context(), nil, e))
		}
		broken = false
		require.NoError(t, m.Projection().Apply(t.Context(), nil, e))
	}
	assert.Equal(t, parcelState{Packed: 2}, o.parcel(t, id))
}

// A timeout that another version has set, and this one does not know.
func TestTimeoutWithoutAHandler(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	o.place(t, id)
	o.react(t)
	c.advance(patience)
	tend(t, store, c)
	p := process1(t, store)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{Types: []string{"ProcessTimeoutElapsed"}}) {
		require.NoError(t, err)
		require.ErrorContains(t, p.Apply(t.Context(), nil, e), `invalid timeout "payment": has come, but`)
		e.Data = []byte("{")
		require.ErrorIs(t, p.Apply(t.Context(), nil, e), event.ErrDecode)
	}
}

// Events of other processes have the same types.
func TestProcessesDoNotHandleEachOthersEvents(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	o.place(t, id)
	o.react(t)
	c.advance(patience)
	tend(t, store, c)
	o.react(t)

	calls := 0
	other, err := process.NewManager(store, process.Define("Complaint", 1,
		process.StartOn(process.ByAggregate, func(_ context.Context, p *process.Instance[int], e event.Of[process.Failed]) error {
			calls++
			assert.Equal(t, "not paid in time", e.Payload.Reason)
			p.Done()
			return nil
		}),
		process.StartAt[int](projection.StartAtFirst),
	), process.Config{})
	require.NoError(t, err)
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{other.Projection()}})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 1, calls, "the failure of another process is an event like any other")
	v, err := other.Show(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, process.Over, v.Phase)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	after, err := store.Head(t.Context())
	require.NoError(t, err)
	assert.Equal(t, head, after)
}

// An instance can handle its own events, those by which it goes on included.
func TestProcessHandlesItsOwnEvents(t *testing.T) {
	t.Parallel()
	store, id, c := openMemory(t), event.NewID(), newClock()
	var seen []string
	saw := func(what string) { seen = append(seen, what) }
	m, err := process.NewManager(store, process.Define("Fulfilment", 1,
		process.StartOn(process.ByAggregate, do(func(p *process.Instance[Fulfilment]) { p.Emit(Asked{}); p.SetTimeout("payment", 0) })),
		process.On(process.ByAggregate, func(context.Context, *process.Instance[Fulfilment], event.Of[Asked]) error { saw("asked"); return nil }),
		process.On(process.ByAggregate, func(context.Context, *process.Instance[Fulfilment], event.Of[process.TimeoutElapsed]) error {
			saw("elapsed")
			return nil
		}),
		process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { saw("timeout"); return nil }),
		process.Apply(func(*Fulfilment, event.Of[Asked]) {}),
		process.StartAt[Fulfilment](projection.StartAtFirst),
	), process.Config{Now: c.Now})
	require.NoError(t, err)
	o := openOffice(t, store, c)
	o.runner, err = projection.NewRunner(store, projection.Config{Projections: []projection.Projection{m.Projection()}})
	require.NoError(t, err)
	o.place(t, id)
	o.react(t)
	tend(t, store, c)
	for range 2 {
		o.react(t)
		o.runner, err = projection.NewRunner(store, projection.Config{Projections: []projection.Projection{m.Projection()}, Progress: openMemory(t)})
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"asked", "timeout", "elapsed"}, seen)
}

// both is an event that was split into two.
type both struct{ A, B uuid.UUID }

type half struct{ ID uuid.UUID }

func (half) EventType() string { return "Half" }
func (half) Upcasts() []event.Upcast {
	return []event.Upcast{event.SplitFrom("Both", func(b both) []event.Payload { return []event.Payload{half{b.A}, half{b.B}} })}
}

// All parts of an event that was split are handled, once each, if they are for
// one instance.
func TestProcessHandlesAllPartsOfAnEvent(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	s, calls := newShop(store, patience), 0
	m, err := process.NewManager(store, process.Define("Fulfilment", 1,
		process.StartOn(func(e event.Of[half]) uuid.UUID { return e.Payload.ID }, func(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[half]) error {
			calls++
			return p.Do(ctx, "a", func(ctx context.Context) error {
				return s.parcels.Update(ctx, p.ID(), func(a *Parcel) error { return a.Emit(ctx, ParcelPacked{}) })
			})
		}),
	), process.Config{})
	require.NoError(t, err)
	p, id := m.Projection(), event.NewID()
	split := func(a, b uuid.UUID) event.Event {
		data, err := event.JSON{}.Encode(both{a, b})
		require.NoError(t, err)
		return event.Event{ID: event.NewID(), Type: "Both", SchemaVersion: 1, AggregateType: "Old", AggregateID: event.NewID(), Position: 1, Data: data}
	}
	e := split(id, id)
	for range 2 {
		require.NoError(t, p.Apply(t.Context(), nil, e))
	}
	assert.Equal(t, 2, calls)
	parcel, err := s.parcels.Load(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, parcelState{Packed: 2}, parcel.State())
	assert.Equal(t, []string{"ProcessStarted", "ProcessHandled"}, story(t, store, id))
	assert.Equal(t, "Fulfilment/"+id.String(), p.SequenceKey(e))

	require.ErrorContains(t, p.Apply(t.Context(), nil, split(id, event.NewID())), "must belong to one instance")
	require.NoError(t, p.Apply(t.Context(), nil, split(uuid.Nil, uuid.Nil)), "it is for nobody")
}

// An event that an older version of the process emitted is two by now. Both are
// undone, once each, the last first, also if the first try stops between them.
func TestUndoOfAnEventThatWasSplit(t *testing.T) {
	t.Parallel()
	store, id := openMemory(t), event.NewID()
	s, broken := newShop(store, patience), true
	var undone []uuid.UUID
	m, err := process.NewManager(store, process.Define("Fulfilment", 2,
		process.StartOn(process.ByAggregate, do(func(*process.Instance[Fulfilment]) {})),
		process.Undo(func(ctx context.Context, _ *process.Instance[Fulfilment], e event.Of[half]) error {
			undone = append(undone, e.Payload.ID)
			err := s.parcels.Update(ctx, id, func(a *Parcel) error { return a.Emit(ctx, ParcelUnpacked{}) })
			if broken && len(undone) == 2 {
				return errNotPacked
			}
			return err
		}),
		process.StartAt[Fulfilment](projection.StartAtFirst),
	), process.Config{})
	require.NoError(t, err)
	old := both{A: event.NewID(), B: event.NewID()}
	data, err := event.JSON{}.Encode(old)
	require.NoError(t, err)
	var events []event.Event
	for _, payload := range []event.Payload{process.Started{}, half{}, process.Failed{}} {
		e, err := event.New(t.Context(), payload)
		require.NoError(t, err)
		if e.Type == "Half" {
			e.Type, e.SchemaVersion, e.Data = "Both", 1, data
		}
		events = append(events, e)
	}
	_, err = store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Fulfilment", AggregateID: id}, Events: events})
	require.NoError(t, err)
	o := openOffice(t, store, newClock())
	o.runner, err = projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{m.Projection()}, Retry: projection.Retry{MaxAttempts: 1},
	})
	require.NoError(t, err)
	o.react(t)
	assert.Equal(t, []uuid.UUID{old.B, old.A}, undone)

	broken = false
	_, err = o.runner.Redrive(t.Context(), "Fulfilment")
	require.NoError(t, err)
	assert.Equal(t, []uuid.UUID{old.B, old.A, old.A}, undone)
	parcel, err := s.parcels.Load(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, parcelState{Unpacked: 2}, parcel.State())
	assert.Equal(t, []string{"ProcessStarted", "Both", "ProcessFailed", "ProcessUndone", "ProcessUndone", "ProcessEnded"}, story(t, store, id))
}

func TestSequenceIsTheInstance(t *testing.T) {
	t.Parallel()
	o, id := openOffice(t, openMemory(t), newClock()), event.NewID()
	p := o.manager.Projection()
	data, err := event.JSON{}.Encode(PaymentReceived{Order: id})
	require.NoError(t, err)
	received := event.Event{Type: "PaymentReceived", SchemaVersion: 1, AggregateType: "Payment", AggregateID: event.NewID(), TenantID: "ac/me", Data: data}
	assert.Equal(t, "ac%2Fme/Fulfilment/"+id.String(), p.SequenceKey(received))
	for _, typ := range []string{"ProcessTimeoutElapsed", "ProcessFailed"} {
		own := event.Event{Type: typ, AggregateType: "Fulfilment", AggregateID: id, TenantID: "ac/me"}
		assert.Equal(t, p.SequenceKey(received), p.SequenceKey(own), "what an instance goes on by waits in the same sequence")
		own.AggregateType = "Other"
		assert.Equal(t, projection.DefaultSequenceKey(own), p.SequenceKey(own))
	}
	received.Data = []byte("{")
	assert.Equal(t, projection.DefaultSequenceKey(received), p.SequenceKey(received), "nobody can tell whose it is")
	require.ErrorIs(t, p.Apply(t.Context(), nil, received), event.ErrDecode)

	panics := process.Define("Fulfilment", 1, process.StartOn(func(event.Of[OrderPlaced]) uuid.UUID { panic("no") }, do(func(*process.Instance[Fulfilment]) {})))
	m, err := process.NewManager(openMemory(t), panics, process.Config{})
	require.NoError(t, err)
	e := event.Event{Type: "OrderPlaced", SchemaVersion: 1, AggregateType: "Order", AggregateID: id, Data: []byte("{}")}
	assert.Equal(t, projection.DefaultSequenceKey(e), m.Projection().SequenceKey(e), "a bug parks its event, it does not stop the process")
}

// Instances are aggregates: snapshots and the cache work as they do there.
func TestInstancesWithSnapshotsAndCache(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	snapshots, ok := store.(interface {
		Snapshots() aggregate.SnapshotStore
	})
	require.True(t, ok)
	id := event.NewID()
	placer := openOffice(t, store, c)
	placer.place(t, id)
	for step := range 4 {
		o := openOffice(t, store, c, func(config *process.Config) {
			config.Instances = aggregate.Config{CacheSize: 10, Snapshots: snapshots.Snapshots(), SnapshotPolicy: aggregate.EveryEvents(1)}
		})
		o.react(t)
		require.NoError(t, o.manager.Close(t.Context()))
		if step == 1 {
			c.advance(patience)
			tend(t, store, c)
		}
	}
	assert.Equal(t, process.Over, placer.show(t, id).Phase)
	assert.Equal(t, parcelState{Packed: 1, Unpacked: 1}, placer.parcel(t, id))
	_, found, err := snapshots.Snapshots().Load(t.Context(), eventstore.Stream{AggregateType: "Fulfilment", AggregateID: id})
	require.NoError(t, err)
	assert.True(t, found)
}
