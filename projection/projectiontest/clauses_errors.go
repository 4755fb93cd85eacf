package projectiontest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

func errorClasses() []clause {
	return []clause{
		{Name: "an outage longer than any retry ends by itself, with nothing parked", Check: func(t T, h Harness) {
			var calls atomic.Int64
			ledger := h.NewLedger(t, "ledger", func(context.Context, event.Event) error {
				if calls.Add(1) < 30 {
					return projection.AsInfrastructure(errHandler)
				}
				return nil
			})
			h.append(t, uuid.New(), 5)
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, h.stored(t), ledger.positions(t))
			assert.Empty(t, h.parked(t, "ledger"))
		}},
		{Name: "an error that passes is retried and parks nothing", Check: func(t T, h Harness) {
			var calls atomic.Int64
			ledger := h.NewLedger(t, "ledger", func(_ context.Context, e event.Event) error {
				if e.Position == 3 && calls.Add(1) < 3 {
					return errHandler
				}
				return nil
			})
			h.append(t, uuid.New(), 5)
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, h.stored(t), ledger.positions(t))
			assert.Empty(t, h.parked(t, "ledger"))
		}},
		{Name: "a handler that panics is poison, with its stack as the cause", Check: func(t T, h Harness) {
			ledger := h.NewLedger(t, "ledger", func(_ context.Context, e event.Event) error {
				if e.Position == 1 {
					panic("nil map")
				}
				return nil
			})
			h.append(t, uuid.New(), 1)
			h.append(t, uuid.New(), 1)
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, []uint64{2}, ledger.positions(t))
			letters := h.letters(t, "ledger")
			require.Len(t, letters, 1)
			assert.Contains(t, letters[0].Cause, "nil map")
			assert.Contains(t, letters[0].Cause, "goroutine")
		}},
		{Name: "poison that is known as such is tried once", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(projection.AsPoison(errHandler), 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 1)
			require.NoError(t, h.runner(t, quick(ledger.Projection)).RunUntilCaughtUp(t.Context()))
			letters := h.letters(t, "ledger")
			require.Len(t, letters, 1)
			assert.Equal(t, 1, letters[0].Attempts)
			assert.Equal(t, errHandler.Error(), letters[0].Cause)
		}},
		{Name: "a classifier decides before the default", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 1)
			config := quick(ledger.Projection)
			config.Classifier = projection.ClassifierFunc(func(err error) (projection.Class, bool) {
				return projection.Poison, errors.Is(err, errHandler)
			})
			require.NoError(t, h.runner(t, config).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, 1, h.letters(t, "ledger")[0].Attempts)
		}},
		{Name: "stop: the projection stands in front of the event and says which", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 3)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 5)
			config := quick(ledger.Projection)
			config.OnPoison = projection.Stop
			err := h.runner(t, config).RunUntilCaughtUp(t.Context())
			var stopped *projection.StoppedError
			require.ErrorAs(t, err, &stopped)
			require.ErrorIs(t, err, errHandler)
			assert.Equal(t, uint64(3), stopped.Position)
			assert.Equal(t, []uint64{1, 2}, ledger.positions(t))
			assert.Equal(t, uint64(2), h.checkpoint(t, "ledger"))
		}},
		{Name: "skip: the event is recorded as discarded and its sequence goes on", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 3)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 5)
			config := quick(ledger.Projection)
			config.OnPoison = projection.Skip
			require.NoError(t, h.runner(t, config).RunUntilCaughtUp(t.Context()))
			assert.Equal(t, []uint64{1, 2, 4, 5}, ledger.positions(t))
			discarded, err := h.progress().DeadLetters().Discarded(t.Context(), "ledger", 1)
			require.NoError(t, err)
			require.Len(t, discarded, 1)
			assert.Equal(t, uint64(3), discarded[0].Letter.Position)
			assert.NotEmpty(t, discarded[0].Reason)
		}},
	}
}

func sequencedLetters() []clause {
	return []clause{
		{Name: "later events of the aggregate wait, all others go on", Check: func(t T, h Harness) {
			bad := newFailAt()
			ledger := h.NewLedger(t, "ledger", bad.hook)
			one, other := uuid.New(), uuid.New()
			poison := h.append(t, one, 1)
			bad.fail(errHandler, poison)
			r := h.runner(t, quick(ledger.Projection))
			h.append(t, other, 1)
			h.append(t, one, 2)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			h.append(t, one, 1)
			h.append(t, other, 1)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			assert.Equal(t, []uint64{2, 6}, ledger.positions(t))
			var waiting []uint64
			for _, l := range h.letters(t, "ledger") {
				waiting = append(waiting, l.Position)
			}
			assert.Equal(t, []uint64{1, 3, 4, 5}, waiting)
			assert.Zero(t, bad.count(3), "what waits is not touched")
		}},
		{Name: "a redrive goes through the sequence in order and stops where it fails again", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 4)
			r := h.runner(t, quick(ledger.Projection))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			bad.heal()
			bad.fail(errHandler, 3)
			done, err := r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			assert.Equal(t, projection.Redriven{Applied: 2, Failed: 1}, done)
			assert.Equal(t, []uint64{1, 2}, ledger.positions(t))
			bad.heal()
			done, err = r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			assert.Equal(t, projection.Redriven{Applied: 2}, done)
			assert.Equal(t, []uint64{1, 2, 3, 4}, ledger.positions(t))
			assert.Empty(t, h.parked(t, "ledger"))
		}},
		{Name: "a sequence is retried by itself when its time has come", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 2)
			config := quick(ledger.Projection)
			config.Redrive = projection.Retry{MaxAttempts: 1000, First: time.Millisecond, Most: time.Millisecond}
			r := h.runner(t, config)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			bad.heal()
			for len(h.parked(t, "ledger")) > 0 {
				require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			}
			assert.Equal(t, []uint64{1, 2}, ledger.positions(t))
		}},
		{Name: "a redrive while events keep coming keeps the aggregate's order", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			id := uuid.New()
			h.append(t, id, 5)
			r := h.runner(t, quick(ledger.Projection))
			stop := start(t, r)
			for i := range 20 {
				position := h.append(t, id, 1)
				if i == 10 {
					require.NoError(t, r.WaitFor(t.Context(), "ledger", position))
					bad.heal()
					_, err := r.Redrive(t.Context(), "ledger")
					require.NoError(t, err)
				}
				if i == 19 {
					require.NoError(t, r.WaitFor(t.Context(), "ledger", position))
				}
			}
			require.NoError(t, stop())
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "a discarded letter is gone, with its reason kept, and the rest goes on", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 3)
			r := h.runner(t, quick(ledger.Projection))
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			key := h.letters(t, "ledger")[0].Sequence.Key
			ctx := event.WithActor(t.Context(), event.User("ops"))
			require.ErrorIs(t, r.Discard(ctx, "ledger", key, " "), event.ErrInvalid)
			require.NoError(t, r.Discard(ctx, "ledger", key, "typed twice by hand"))
			require.ErrorIs(t, r.Discard(ctx, "ledger", "no such key", "why not"), dlq.ErrNotFound)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			assert.Equal(t, []uint64{2, 3}, ledger.positions(t))
			discarded, err := r.DeadLetters().Discarded(ctx, "ledger", 1)
			require.NoError(t, err)
			require.Len(t, discarded, 1)
			assert.Equal(t, event.User("ops"), discarded[0].By)
		}},
		{Name: "at the limit the projection pauses and nothing is lost", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			h.append(t, uuid.New(), 5)
			h.append(t, uuid.New(), 1)
			config := quick(ledger.Projection)
			config.MaxLetters = 3
			r := h.runner(t, config)
			require.ErrorIs(t, r.RunUntilCaughtUp(t.Context()), dlq.ErrFull)
			assert.Equal(t, uint64(3), h.checkpoint(t, "ledger"))
			bad.heal()
			_, err := r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			assert.Equal(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "a full queue keeps nobody else, and makes room for itself by retrying", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			one := uuid.New()
			h.append(t, one, 2)
			h.append(t, uuid.New(), 1)
			last := h.append(t, one, 1)
			config := quick(ledger.Projection)
			config.MaxLetters = 2
			config.Redrive = projection.Retry{MaxAttempts: 1 << 20, First: time.Millisecond, Most: time.Millisecond}
			r := h.runner(t, config)
			stop := start(t, r)
			require.NoError(t, r.WaitFor(t.Context(), "ledger", 3))
			bad.heal()
			require.NoError(t, r.WaitFor(t.Context(), "ledger", last))
			require.NoError(t, stop())
			assert.ElementsMatch(t, h.stored(t), ledger.positions(t))
		}},
		{Name: "the number of parked sequences is limited too", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1, 2, 3)
			ledger := h.NewLedger(t, "ledger", bad.hook)
			for range 3 {
				h.append(t, uuid.New(), 1)
			}
			config := quick(ledger.Projection)
			config.MaxSequences = 2
			var full *dlq.FullError
			require.ErrorAs(t, h.runner(t, config).RunUntilCaughtUp(t.Context()), &full)
			assert.Equal(t, 2, full.Limit)
			assert.Equal(t, uint64(2), h.checkpoint(t, "ledger"))
		}},
	}
}

func independent() []clause {
	return []clause{
		{Name: "a projection whose letters cannot be written pauses, the others go on", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			sick := h.NewLedger(t, "sick", bad.hook)
			well := h.NewLedger(t, "well", noHook)
			h.Progress = &brokenLetters{Progress: h.progress(), projection: "sick"}
			r := h.runner(t, quick(sick.Projection, well.Projection))
			stop := start(t, r)
			require.NoError(t, r.WaitFor(t.Context(), "well", h.append(t, uuid.New(), 3)))
			h.waitForState(t, r, "sick", projection.Paused)
			require.NoError(t, stop())
			assert.Equal(t, []uint64{1, 2, 3}, well.positions(t))
			assert.Empty(t, sick.positions(t))
			assert.Zero(t, h.checkpoint(t, "sick"))
		}},
		{Name: "a projection that stops for good does not end the others", Check: func(t T, h Harness) {
			bad := newFailAt()
			bad.fail(errHandler, 1)
			sick := h.NewLedger(t, "sick", bad.hook)
			well := h.NewLedger(t, "well", noHook)
			config := quick(sick.Projection, well.Projection)
			config.OnPoison = projection.Stop
			r := h.runner(t, config)
			stop := start(t, r)
			position := h.append(t, uuid.New(), 3)
			require.NoError(t, r.WaitFor(t.Context(), "well", position))
			require.ErrorIs(t, r.WaitFor(t.Context(), "sick", position), projection.ErrStopped)
			require.ErrorIs(t, stop(), projection.ErrStopped)
		}},
	}
}

// letters returns all letters of a projection, sequence by sequence.
func (h Harness) letters(t T, name string) []dlq.Letter {
	letters := h.progress().DeadLetters()
	sequences, err := letters.Sequences(t.Context(), dlq.Filter{Projection: name})
	require.NoError(t, err)
	var all []dlq.Letter
	for _, s := range sequences {
		some, err := letters.Letters(t.Context(), s.Sequence, 0)
		require.NoError(t, err)
		all = append(all, some...)
	}
	return all
}
