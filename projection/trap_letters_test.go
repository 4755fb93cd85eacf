package projection_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

var errBad = errors.New("bad")

// unwritable is progress that takes no letters of one projection, while broken.
type unwritable struct {
	projection.Progress

	name   string
	broken atomic.Bool
}

func (u *unwritable) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := u.Progress.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &unwritableTx{Tx: tx, from: u}, nil
}

type unwritableTx struct {
	projection.Tx

	from *unwritable
}

func (t *unwritableTx) Unwrap() projection.Tx  { return t.Tx }
func (t *unwritableTx) DeadLetters() dlq.Store { return &unwritableLetters{t.Tx.DeadLetters(), t.from} }

type unwritableLetters struct {
	dlq.Store

	from *unwritable
}

func (l *unwritableLetters) Park(ctx context.Context, letters ...dlq.Letter) error {
	if l.from.broken.Load() && letters[0].Sequence.Projection == l.from.name {
		return errors.New("relation \"dead_letters\" does not exist") // nobody has a class for it
	}
	return l.Store.Park(ctx, letters...)
}

// letterPositions returns where the letters of a projection are, by sequence.
func letterPositions(t *testing.T, progress projection.Progress, name string) (positions []uint64) {
	t.Helper()
	parked, err := progress.DeadLetters().Sequences(t.Context(), dlq.Filter{Projection: name})
	require.NoError(t, err)
	for _, p := range parked {
		letters, err := progress.DeadLetters().Letters(t.Context(), p.Sequence, 0)
		require.NoError(t, err)
		for _, l := range letters {
			positions = append(positions, l.Position)
		}
	}
	return positions
}

// TestTrapLettersThatCannotBeWritten has a dead-letter store that refuses one
// projection: its events are neither passed over nor lost, it says so, and goes
// on by itself later. Another one parks and goes on meanwhile.
func TestTrapLettersThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	poison := func(_ context.Context, e event.Event) error {
		if e.Position == 2 {
			return projection.AsPoison(errBad)
		}
		return nil
	}
	ofEachGuarantee(t, poison, func(t *testing.T, store *memory.Store, l guaranteed) {
		var others []uint64
		other := projection.New("other", 1, projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if err := poison(ctx, e); err != nil {
				return err
			}
			others = append(others, e.Position)
			return nil
		}))
		progress := &unwritable{Progress: l.progress, name: "notes"}
		progress.broken.Store(true)
		r := newRunner(t, store, projection.Config{
			Projections: []projection.Projection{l.Projection, other}, Progress: progress, Redrive: projection.Retry{MaxAttempts: 1},
		})
		for range 3 {
			note(t, store, "x")
		}
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "other", 3))
		<-time.After(10 * time.Minute)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Paused, status[0].State)
		require.ErrorContains(t, status[0].LastError, "write dead letters")
		assert.Less(t, status[0].Position, uint64(2))
		assert.Empty(t, letterPositions(t, store, "notes"))
		assert.Equal(t, projection.Live, status[1].State)
		assert.Equal(t, []uint64{1, 3}, others)
		assert.Equal(t, []uint64{2}, letterPositions(t, store, "other"))

		progress.broken.Store(false)
		reach(t, r, 3)
		stop()
		positions, err := l.Positions(t.Context())
		require.NoError(t, err)
		assert.Subset(t, positions, []uint64{1, 3})
		assert.NotContains(t, positions, uint64(2))
		assert.Equal(t, []uint64{2}, letterPositions(t, store, "notes"))
	})
}

// TestTrapARedriveIsOfOneProjection retries an event for the projection that
// could not apply it. Another one, of the same runner, has applied it already.
func TestTrapARedriveIsOfOneProjection(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	var healed atomic.Bool
	calls := make(map[string]int)
	counting := func(name string, f func() error) projection.Projection {
		return projection.New(name, 1, projection.On(func(context.Context, event.Of[noted]) error { calls[name]++; return f() }))
	}
	sick := counting("sick", func() error {
		if healed.Load() {
			return nil
		}
		return projection.AsPoison(errBad)
	})
	well := counting("well", func() error { return nil })
	ill := counting("ill", func() error { return projection.AsPoison(errBad) })
	note(t, store, "x")
	for _, p := range []projection.Projection{sick, well, ill} { // in turn: they share the map
		require.NoError(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{p}}).RunUntilCaughtUp(t.Context()))
	}
	healed.Store(true)
	all := newRunner(t, store, projection.Config{Projections: []projection.Projection{sick, well, ill}})
	done, err := all.Redrive(t.Context(), "sick")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Applied: 1}, done)
	assert.Equal(t, map[string]int{"sick": 2, "well": 1, "ill": 1}, calls)
	assert.Equal(t, []uint64{1}, letterPositions(t, store, "ill"))
}

// numbered is noted as later code has it: its text is a number.
type numbered struct {
	Text int `json:"text,string"`
}

func (numbered) EventType() string { return "Noted" }

// TestTrapALetterIsNoCopyOfItsEvent parks an event that the code of the day
// cannot read. Later code, whose payload has another form, reads it from the
// store, and not from the letter.
func TestTrapALetterIsNoCopyOfItsEvent(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	config := func(part projection.Part) projection.Config {
		return projection.Config{Projections: []projection.Projection{projection.New("notes", 1, part)}}
	}
	note(t, store, "7")
	old := config(projection.On(func(context.Context, event.Of[mistaken]) error { return errors.New("is not called") }))
	require.NoError(t, newRunner(t, store, old).RunUntilCaughtUp(t.Context()))
	parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	var stored event.Event
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		stored = e
	}
	first := parked[0].First
	assert.NotContains(t, fmt.Sprintf("%+v", first), string(stored.Data))
	assert.Equal(t, stored.ID, first.EventID)
	assert.Equal(t, stored.Position, first.Position)

	var got []int
	mended := config(projection.On(func(_ context.Context, e event.Of[numbered]) error { got = append(got, e.Payload.Text); return nil }))
	done, err := newRunner(t, store, mended).Redrive(t.Context(), "notes")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Applied: 1}, done)
	assert.Equal(t, []int{7}, got)
}

// mistaken is noted as careless code has it.
type mistaken struct {
	Text int `json:"text"`
}

func (mistaken) EventType() string { return "Noted" }

// TestTrapAnInstanceParksAsAWhole orders by what a long-running process calls its
// own, over several streams: what comes for it later waits behind the event that
// failed, whatever stream it is of.
func TestTrapAnInstanceParksAsAWhole(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	var sick atomic.Bool
	sick.Store(true)
	var applied []string
	p := projection.New("orders", 1,
		projection.OnEvery(func(_ context.Context, e event.Event) error {
			if e.Position == 2 && sick.Load() {
				return projection.AsPoison(errBad)
			}
			applied = append(applied, fmt.Sprintf("%d %s", e.Position, e.CorrelationID))
			return nil
		}),
		projection.SequenceBy(func(e event.Event) string { return e.CorrelationID.String() }))
	one, two := uuid.New(), uuid.New()
	for _, instance := range []uuid.UUID{one, two, one, two, two, one} {
		ctx := event.WithCorrelation(t.Context(), instance)
		e, err := event.New(ctx, noted{})
		require.NoError(t, err)
		_, err = store.Append(ctx, eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}, Events: []event.Event{e}})
		require.NoError(t, err)
	}
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	of := func(instance uuid.UUID, positions ...int) (lines []string) {
		for _, position := range positions {
			lines = append(lines, fmt.Sprintf("%d %s", position, instance))
		}
		return lines
	}
	assert.Equal(t, of(one, 1, 3, 6), applied)
	assert.Equal(t, []uint64{2, 4, 5}, letterPositions(t, store, "orders"))
	sick.Store(false)
	_, err := r.Redrive(t.Context(), "orders", two.String())
	require.NoError(t, err)
	assert.Equal(t, append(of(one, 1, 3, 6), of(two, 2, 4, 5)...), applied)
}

// TestTrapAFirstEventThatDoesNotDecode begins with an event that nobody can
// read. Whoever starts, and whoever waits, goes on all the same.
func TestTrapAFirstEventThatDoesNotDecode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var applied []uint64
		p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
			applied = append(applied, e.Position)
			return nil
		}))
		e, err := event.New(t.Context(), noted{})
		require.NoError(t, err)
		e.Data = []byte(`{"text": {}}`)
		_, err = store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}, Events: []event.Event{e}})
		require.NoError(t, err)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		waiting := make(chan error, 1)
		begun := time.Now()
		go func() { waiting <- r.WaitFor(t.Context(), "notes", 2) }()
		stop := run(t, r)
		reach(t, r, 1)
		note(t, store, "x")
		require.NoError(t, <-waiting)
		assert.LessOrEqual(t, time.Since(begun), time.Second)
		stop()
		assert.Equal(t, []uint64{2}, applied)
		assert.Equal(t, []uint64{1}, letterPositions(t, store, "notes"))
	})
}

// TestTrapWhatFailsForAWhileIsNotSkipped has a handler that fails its first few
// calls, of all streams alike, and then works. Each event is applied in the end,
// those that were given up among them, and none twice.
func TestTrapWhatFailsForAWhileIsNotSkipped(t *testing.T) {
	t.Parallel()
	const events = 200
	for _, failures := range []int64{1, 2, 3, 4, 5, 7, 12, 39} {
		synctest.Test(t, func(t *testing.T) {
			store := openMemory(t)
			var calls atomic.Int64
			count := make(map[uint64]int)
			p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
				if calls.Add(1) <= failures {
					return errBad
				}
				count[e.Position]++
				return nil
			}))
			for range events {
				note(t, store, "x")
			}
			r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
			stop := run(t, r)
			reach(t, r, events)
			<-time.After(time.Hour) // time to retry what is parked
			stop()
			require.Empty(t, letterPositions(t, store, "notes"))
			require.Len(t, count, events)
			for position, n := range count {
				require.Equal(t, 1, n, "event %d", position)
			}
		})
	}
}
