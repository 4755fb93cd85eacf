package projection_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var errFault = errors.New("disk on fire")

// flaky is a desk's store of which the call of a number fails.
type flaky struct {
	*desk

	calls, fail int
}

func (f *flaky) fault() error {
	if f.calls++; f.calls == f.fail {
		return errFault
	}
	return nil
}

func (f *flaky) Begin(ctx context.Context) (projection.Tx, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	tx, err := f.Store.Begin(ctx)
	return flakyTx{tx, f}, err
}

func (f *flaky) Checkpoints() checkpoint.Store { return flakyCheckpoints{f.Store.Checkpoints(), f} }
func (f *flaky) DeadLetters() dlq.Store        { return flakyLetters{f.letter, f} }
func (f *flaky) Leases() lease.Store           { return flakyLeases{f.leases, f} }
func (f *flaky) Registry() registry.Store      { return flakyRegistry{f.Store.Registry(), f} }

type flakyEvents struct {
	eventstore.Store

	f *flaky
}

func (s flakyEvents) Head(ctx context.Context) (uint64, error) {
	if err := s.f.fault(); err != nil {
		return 0, err
	}
	return s.Store.Head(ctx)
}

func (s flakyEvents) ReadAll(ctx context.Context, q eventstore.Query) iter.Seq2[event.Event, error] {
	if err := s.f.fault(); err != nil {
		return func(yield func(event.Event, error) bool) { yield(event.Event{}, err) }
	}
	return s.Store.ReadAll(ctx, q)
}

type flakyTx struct {
	projection.Tx

	f *flaky
}

func (t flakyTx) DeadLetters() dlq.Store {
	return flakyLetters{&letters{Store: t.Tx.DeadLetters()}, t.f}
}

func (t flakyTx) Commit(ctx context.Context) error {
	if err := t.f.fault(); err != nil {
		return err
	}
	return t.Tx.Commit(ctx)
}

type flakyCheckpoints struct {
	checkpoint.Store

	f *flaky
}

func (s flakyCheckpoints) List(ctx context.Context, name string) ([]checkpoint.Checkpoint, error) {
	if err := s.f.fault(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, name)
}

type flakyLeases struct {
	*leases

	f *flaky
}

func (s flakyLeases) List(ctx context.Context, prefix string) ([]lease.Lease, error) {
	if err := s.f.fault(); err != nil {
		return nil, err
	}
	return s.leases.List(ctx, prefix)
}

type flakyRegistry struct {
	registry.Store

	f *flaky
}

func (s flakyRegistry) Load(ctx context.Context, name registry.Name) (registry.Record, error) {
	if err := s.f.fault(); err != nil {
		return registry.Record{}, err
	}
	return s.Store.Load(ctx, name)
}

func (s flakyRegistry) List(ctx context.Context, name string) ([]registry.Record, error) {
	if err := s.f.fault(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, name)
}

func (s flakyRegistry) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if err := s.f.fault(); err != nil {
		return registry.Record{}, err
	}
	return s.Store.Save(ctx, r)
}

type flakyLetters struct {
	*letters

	f *flaky
}

func (s flakyLetters) Sequences(ctx context.Context, filter dlq.Filter) ([]dlq.Parked, error) {
	if err := s.f.fault(); err != nil {
		return nil, err
	}
	return s.letters.Sequences(ctx, filter)
}

func (s flakyLetters) Letters(ctx context.Context, q dlq.Sequence, limit int) ([]dlq.Letter, error) {
	if err := s.f.fault(); err != nil {
		return nil, err
	}
	return s.letters.Letters(ctx, q, limit)
}

func (s flakyLetters) Schedule(ctx context.Context, q dlq.Sequence, at time.Time) error {
	if err := s.f.fault(); err != nil {
		return err
	}
	return s.letters.Schedule(ctx, q, at)
}

func (s flakyLetters) Discard(ctx context.Context, l dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	if err := s.f.fault(); err != nil {
		return err
	}
	return s.letters.Discard(ctx, l, reason, by, at)
}

func (s flakyLetters) Stats(ctx context.Context, name string, version int) (dlq.Stats, error) {
	if err := s.f.fault(); err != nil {
		return dlq.Stats{}, err
	}
	return s.letters.Stats(ctx, name, version)
}

func (s flakyLetters) Discarded(ctx context.Context, name string, version int) ([]dlq.Discarded, error) {
	if err := s.f.fault(); err != nil {
		return nil, err
	}
	return s.letters.Discarded(ctx, name, version)
}

// Whichever call of a store fails, the caller hears of it, and what the command
// was to change is as it was.
func TestControlPassesOnEveryFault(t *testing.T) {
	t.Parallel()
	const why = "new column"
	for name, do := range map[string]func(ctx context.Context, c *projection.Control, key string) error{
		"pause":  func(ctx context.Context, c *projection.Control, _ string) error { return c.Pause(ctx, v1, why) },
		"rewind": func(ctx context.Context, c *projection.Control, _ string) error { return c.Rewind(ctx, v1, 2, why) },
		"rewind to": func(ctx context.Context, c *projection.Control, _ string) error {
			return c.RewindTo(ctx, v1, noon, why)
		},
		"switch": func(ctx context.Context, c *projection.Control, _ string) error { return c.Switch(ctx, v2, why) },
		"not caught up": func(ctx context.Context, c *projection.Control, _ string) error {
			if err := c.Switch(ctx, v3, why); !errors.Is(err, projection.ErrNotCaughtUp) {
				return err
			}
			return nil
		},
		"unknown": func(ctx context.Context, c *projection.Control, _ string) error {
			if err := c.Pause(ctx, registry.Name{Projection: "titles", Version: 9}, why); !errors.Is(err, registry.ErrNotFound) {
				return err
			}
			return nil
		},
		"await":     func(ctx context.Context, c *projection.Control, _ string) error { return c.Await(ctx, v1) },
		"caught up": func(ctx context.Context, c *projection.Control, _ string) error { return c.AwaitCaughtUp(ctx, v1) },
		"wait for":  func(ctx context.Context, c *projection.Control, _ string) error { return c.WaitFor(ctx, v1, 1) },
		"retry": func(ctx context.Context, c *projection.Control, key string) error {
			_, err := c.Retry(ctx, v1, key)
			return err
		},
		"retry until": func(ctx context.Context, c *projection.Control, _ string) error {
			_, err := c.RetryUntil(ctx, v1, 2)
			return err
		},
		"retry all": func(ctx context.Context, c *projection.Control, _ string) error {
			_, err := c.RetryAll(ctx)
			return err
		},
		"discard": func(ctx context.Context, c *projection.Control, key string) error {
			return c.Discard(ctx, v1, key, why)
		},
		"show": func(ctx context.Context, c *projection.Control, key string) error {
			_, err := c.Show(ctx, v1, key, 0)
			return err
		},
		"statistics": func(ctx context.Context, c *projection.Control, _ string) error {
			_, err := c.Statistics(ctx, v1)
			return err
		},
		"discarded": func(ctx context.Context, c *projection.Control, _ string) error {
			_, err := c.Discarded(ctx, v1)
			return err
		},
		"status": func(ctx context.Context, c *projection.Control, _ string) error {
			_, err := c.Status(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for fail := 1; ; fail++ {
				require.Less(t, fail, 50)
				d := newDesk(t)
				key, positions := d.park(t, v1, 2)
				last := noteOn(t, d.Store, uuid.New(), 4)
				before := d.has(t, v1, registry.Live, nil, last)
				d.has(t, v2, registry.CaughtUp, nil, last)
				d.has(t, v3, registry.Building, nil, positions[0])
				f := &flaky{desk: d, fail: fail}
				c, err := projection.NewControl(flakyEvents{d.Store, f}, projection.ControlConfig{Progress: f, Recorder: d.book, Now: func() time.Time { return noon }})
				require.NoError(t, err)
				err = do(t.Context(), c, key)
				if f.calls < fail {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, errFault, fail)
				assert.Equal(t, before, d.stored(t, v1))
				shown, err := d.Show(t.Context(), v1, key, 0)
				require.NoError(t, err)
				assert.Len(t, shown, 2, "nothing is discarded")
			}
		})
	}
}
