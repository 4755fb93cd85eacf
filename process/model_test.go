package process_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

// What should have become of each order follows from the log alone: it
// goes through what happened in order, as if there were no crashes, no second
// program and no second try.

// outcome is what the world shows of an order.
type outcome struct {
	Phase   process.Phase // "" if it has not begun
	Failure string
	Parcel  parcelState
	Payment paymentState
}

// expect returns what should have become of an order when all there is has
// been handled.
func expect(t tester, store eventstore.Store, id uuid.UUID) outcome {
	t.Helper()
	var want outcome
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{AggregateID: id}) {
		require.NoError(t, err)
		switch e.Type {
		case "OrderPlaced":
			want.Phase, want.Parcel.Packed, want.Payment.Requested = process.Running, 1, 1
		case "PaymentReceived":
			if want.Payment.Received++; want.Phase == process.Running {
				want.Phase, want.Parcel.Sent = process.Over, 1
			}
		case "ProcessTimeoutElapsed":
			if want.Phase == process.Running {
				want.Phase, want.Failure, want.Parcel.Unpacked, want.Payment.Cancelled = process.Over, "not paid in time", 1, 1
			}
		}
	}
	return want
}

// lawful checks what must hold of an instance's stream at any time.
func lawful(t tester, store eventstore.Store, id uuid.UUID) {
	t.Helper()
	handled := make(map[uuid.UUID]bool)
	waits := make(map[uuid.UUID]time.Time) // by the TimeoutSet
	over, previous := false, uuid.Nil
	for i, e := range history(t, store, id) {
		require.Equal(t, i == 0, e.Type == "ProcessStarted")
		if e.CausationID != previous {
			require.False(t, handled[e.CausationID] && e.Type != "ProcessUndone" && e.Type != "ProcessEnded", "%s: the event %s was handled twice", e.Type, e.CausationID)
			handled[e.CausationID], previous = true, e.CausationID
		}
		require.False(t, over, "%s after the end", e.Type)
		switch e.Type {
		case "ProcessTimeoutSet":
			var p process.TimeoutSet
			require.NoError(t, event.JSON{}.Decode(e.Data, &p))
			waits[e.ID] = p.Due
		case "ProcessTimeoutCancelled", "ProcessFailed":
			clear(waits)
		case "ProcessTimeoutElapsed":
			var p process.TimeoutElapsed
			require.NoError(t, event.JSON{}.Decode(e.Data, &p))
			require.Contains(t, waits, p.Set, "it came though it was not waited for")
			require.False(t, e.OccurredAt.Before(waits[p.Set]), "it came early")
			delete(waits, p.Set)
		case "ProcessEnded":
			over = true
		}
	}
}

// world is what a property run does things to.
type world struct {
	store projection.Store
	apart projection.Store // where a second program keeps its progress
	clock *clock
	ids   []uuid.UUID
}

// program draws one that dies soon, or does not, and that may know nothing of
// the other's progress.
func (w *world) program(t *rapid.T) (*mortal, func(*process.Config)) {
	m := &mortal{Store: w.store, writes: rapid.IntRange(0, 12).Draw(t, "writes"), after: rapid.Bool().Draw(t, "after")}
	second := rapid.Bool().Draw(t, "second program")
	return m, func(c *process.Config) {
		if second {
			c.Progress = w.apart
		}
	}
}

func (w *world) react(t *rapid.T) {
	m, change := w.program(t)
	live(t, m, openOffice(t, m, w.clock, change).reactUntil)
}

func (w *world) tend(t *rapid.T) {
	m, change := w.program(t)
	m.rest = true
	live(t, m, openOffice(t, m, w.clock, change).manager.Run)
}

func (w *world) check(t *rapid.T) {
	for _, id := range w.ids {
		lawful(t, w.store, id)
	}
	elapsed(t, w.store)
}

// settle lets everything come to its end and compares it with the model.
func (w *world) settle(t *rapid.T) {
	for range 2 {
		o := openOffice(t, w.store, w.clock)
		o.react(t)
		tend(t, w.store, w.clock)
		o.react(t)
		w.clock.advance(10 * patience)
	}
	tend(t, w.store, w.clock)
	o := openOffice(t, w.store, w.clock)
	o.react(t)
	w.check(t)
	for _, id := range w.ids {
		want, got := expect(t, w.store, id), outcome{}
		if want.Phase != "" {
			v := o.show(t, id)
			got = outcome{Phase: v.Phase, Failure: v.Failure, Parcel: o.parcel(t, id), Payment: o.payment(t, id)}
			require.Equal(t, process.Over, got.Phase, "nothing waits for ever")
		} else {
			require.Empty(t, history(t, w.store, id))
			want = outcome{}
		}
		require.Equal(t, want, got)
	}
	for _, progress := range []projection.Progress{w.store, w.apart} {
		parked, err := progress.DeadLetters().Sequences(t.Context(), dlq.Filter{})
		require.NoError(t, err)
		require.Empty(t, parked)
	}
}

// Orders are placed and paid for in any order, the clock goes forth and back,
// and programs handle events and look after timeouts: two that do not know of
// each other, and each dies at any of its writes.
func TestProcessAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{store: openMemory(t), apart: openMemory(t), clock: newClock()}
		for range 3 {
			w.ids = append(w.ids, event.NewID())
		}
		some := rapid.SampledFrom(w.ids)
		o := openOffice(t, w.store, w.clock)
		t.Repeat(map[string]func(*rapid.T){
			"place": func(t *rapid.T) {
				if id := some.Draw(t, "order"); expect(t, w.store, id).Phase == "" { // else the parcel is packed already
					o.place(t, id)
				}
			},
			"pay":   func(t *rapid.T) { o.pay(t, some.Draw(t, "order")) },
			"react": w.react,
			"tend":  w.tend,
			"advance": func(t *rapid.T) {
				w.clock.advance(time.Duration(rapid.IntRange(-5, 20).Draw(t, "minutes")) * time.Minute)
			},
			"": w.check,
		})
		w.settle(t)
	})
}

// The model itself is told from one that expects nothing.
func TestModelExpects(t *testing.T) {
	t.Parallel()
	store, c := openMemory(t), newClock()
	o, id := openOffice(t, store, c), event.NewID()
	assert.Equal(t, outcome{}, expect(t, store, id))
	o.place(t, id)
	assert.Equal(t, process.Running, expect(t, store, id).Phase)
	o.pay(t, id)
	assert.Equal(t, outcome{Phase: process.Over, Parcel: parcelState{Packed: 1, Sent: 1}, Payment: paymentState{Requested: 1, Received: 1}}, expect(t, store, id))
}
