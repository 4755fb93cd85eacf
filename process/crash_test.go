package process_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

// life is a program that handles what there is, looks after timeouts, and
// handles what came of them. It reports whether it survived.
func life(t tester, m *mortal, c *clock) bool {
	t.Helper()
	o := openOffice(t, m, c)
	if !live(t, m, o.reactUntil) {
		return false
	}
	m.rest = true
	if !live(t, m, o.manager.Run) {
		return false
	}
	m.rest = false
	return live(t, m, o.reactUntil)
}

// immortal lets nothing happen to the program.
func immortal(store projection.Store) *mortal { return &mortal{Store: store, writes: 1_000_000} }

// The program dies at each of its writes in turn, before or after it takes
// effect, and a second time while it makes up for that. Three orders are on
// their way: one is paid for, one is not, one is sold out.
func TestEveryCommandIsEffectiveOnceThroughCrashes(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) projection.Store{
		"memory": func(t *testing.T) projection.Store { t.Helper(); return openMemory(t) },
		"sqlite": openSQLite,
	} {
		for point, after := range map[string]bool{"before the write": false, "after the write": true} {
			t.Run(name+"/"+point, func(t *testing.T) {
				t.Parallel()
				for at := 0; ; at++ {
					store, c := open(t), newClock()
					if liveAndDie(t, store, c, at, after) {
						assert.Greater(t, at, 20, "there are that many writes")
						break
					}
				}
			})
		}
	}
}

// liveAndDie goes through all of it with a program that dies at a write. It
// reports whether it survived because there are not so many.
func liveAndDie(t *testing.T, store projection.Store, c *clock, at int, after bool) bool {
	t.Helper()
	o, paid, late := openOffice(t, store, c), event.NewID(), event.NewID()
	for _, id := range []uuid.UUID{paid, late, soldOut} {
		o.place(t, id)
	}
	o.pay(t, paid)
	doomed := &mortal{Store: store, writes: at, after: after}
	survived := life(t, doomed, c)
	life(t, immortal(store), c)
	c.advance(patience)
	if survived {
		survived = life(t, doomed, c)
	}
	life(t, &mortal{Store: store, writes: at % 7, after: !after}, c)
	life(t, immortal(store), c)

	assert.Equal(t, parcelState{Packed: 1, Sent: 1}, o.parcel(t, paid))
	assert.Equal(t, paymentState{Requested: 1, Received: 1}, o.payment(t, paid))
	assert.Equal(t, parcelState{Packed: 1, Unpacked: 1}, o.parcel(t, late))
	assert.Equal(t, paymentState{Requested: 1, Cancelled: 1}, o.payment(t, late))
	for _, id := range []uuid.UUID{paid, late, soldOut} {
		assert.Equal(t, process.Over, o.show(t, id).Phase)
	}
	assert.Len(t, elapsed(t, store), 1)
	stats, err := o.runner.DeadLetters().Stats(t.Context(), "Fulfilment", 1)
	require.NoError(t, err)
	assert.Zero(t, stats, "nothing was refused for having been done")
	assert.Len(t, history(t, store, paid), 6)
	assert.Len(t, history(t, store, late), 10)
	return survived
}

// Two programs that do not know of each other handle the same events at the
// same time, and look after the same timeouts.
func TestEveryCommandIsEffectiveOnceWhereTwoRun(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store projection.Store) {
		c := newClock()
		o := openOffice(t, store, c)
		ids := make([]uuid.UUID, 10)
		for i := range ids {
			ids[i] = event.NewID()
			o.place(t, ids[i])
			if i%2 == 0 {
				o.pay(t, ids[i])
			}
		}
		apart := func(config *process.Config) { config.Progress = openMemory(t) }
		both := []*office{o, openOffice(t, store, c, apart)}
		together := func(do ...func() error) {
			var wg sync.WaitGroup
			for _, f := range do {
				wg.Go(func() { assert.NoError(t, f()) })
			}
			wg.Wait()
		}
		react := func() {
			together(func() error { return both[0].reactUntil(t.Context()) }, func() error { return both[1].reactUntil(t.Context()) })
		}
		react()
		c.advance(patience)
		together(tender(t, store, c), tender(t, store, c, apart))
		assert.Len(t, elapsed(t, store), len(ids)/2)
		react()
		react()
		for i, id := range ids {
			want := parcelState{Packed: 1, Sent: 1}
			if i%2 == 1 {
				want = parcelState{Packed: 1, Unpacked: 1}
			}
			assert.Equal(t, want, o.parcel(t, id))
			assert.Equal(t, process.Over, o.show(t, id).Phase)
		}
		for _, office := range both {
			parked, err := office.runner.DeadLetters().Sequences(t.Context(), dlq.Filter{})
			require.NoError(t, err)
			assert.Empty(t, parked)
		}
	})
}

// A handler is frozen in the middle. Another program handles the event and
// the next ones; when the first wakes up, nothing of what it does counts.
func TestAFrozenHandlerDoesNoHarm(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	o.place(t, id)
	frozen := &freezer{Store: store, at: 2}
	slow := openOffice(t, frozen, c, func(config *process.Config) { config.Progress = openMemory(t) })
	frozen.meanwhile = func() {
		o.react(t)
		o.pay(t, id)
		o.react(t)
	}
	slow.react(t)
	assert.Equal(t, parcelState{Packed: 1, Sent: 1}, o.parcel(t, id))
	assert.Equal(t, paymentState{Requested: 1, Received: 1}, o.payment(t, id))
	assert.Len(t, history(t, store, id), 6)
	stats, err := slow.runner.DeadLetters().Stats(t.Context(), "Fulfilment", 1)
	require.NoError(t, err)
	assert.Zero(t, stats)
}

// freezer is a store whose process is frozen at an append.
type freezer struct {
	projection.Store

	at        int
	meanwhile func()
}

func (f *freezer) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	if f.at--; f.at == 0 {
		f.meanwhile()
	}
	return f.Store.Append(ctx, appends...)
}

// A timeout comes while a handler runs, so that the handler runs again; its
// steps are not done again.
func TestStepsAreDoneOnceWhenAHandlerRunsAgain(t *testing.T) {
	t.Parallel()
	store, c, id := openMemory(t), newClock(), event.NewID()
	s := newShop(store, patience)
	tries := 0
	m, err := process.NewManager(store, process.Define("Fulfilment", 1,
		process.StartOn(process.ByAggregate, func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[OrderPlaced]) error {
			p.SetTimeout("payment", 0)
			return nil
		}),
		process.On(func(e event.Of[PaymentReceived]) uuid.UUID { return e.Payload.Order }, func(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[PaymentReceived]) error {
			pack := func(ctx context.Context) error {
				return s.parcels.Update(ctx, id, func(a *Parcel) error { return a.Pack(ctx) })
			}
			send := func() error {
				return s.parcels.Update(ctx, id, func(a *Parcel) error { return a.Send(ctx) })
			}
			if err := errors.Join(p.Do(ctx, "pack", pack), send()); err != nil {
				return err
			}
			if tries++; tries == 1 {
				tend(t, store, c)
			}
			return nil
		}),
		process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { return nil }),
		process.StartAt[Fulfilment](projection.StartAtFirst),
	), process.Config{Now: c.Now})
	require.NoError(t, err)
	o := openOffice(t, store, c)
	o.runner, err = projection.NewRunner(store, projection.Config{Projections: []projection.Projection{m.Projection()}})
	require.NoError(t, err)
	o.place(t, id)
	o.react(t)
	o.pay(t, id)
	o.react(t)
	assert.Equal(t, 2, tries)
	assert.Equal(t, parcelState{Packed: 1, Sent: 1}, o.parcel(t, id))
	assert.Equal(t, []string{"ProcessStarted", "ProcessTimeoutSet", "ProcessTimeoutElapsed", "ProcessHandled", "ProcessHandled"}, story(t, store, id))
}
