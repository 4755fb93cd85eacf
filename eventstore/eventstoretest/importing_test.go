package eventstoretest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/internal/promisetest"
)

func TestImportersSuiteHasThePromisesOfTheInterface(t *testing.T) {
	t.Parallel()
	eventstoretest.RequireImporterStated(t, promisetest.Stated(t, "../importer.go", "Importer"))
}

// importFunc is an import that breaks a promise; sound is the store's own.
type importFunc func(ctx context.Context, s eventstore.Store, sound eventstore.Importer, events events) (int, error)

// brokenImporter is a store that imports in a way of its own.
type brokenImporter struct {
	eventstore.Store

	imports importFunc
}

func (b *brokenImporter) Import(ctx context.Context, events events) (int, error) {
	sound, ok := b.Store.(eventstore.Importer)
	if !ok {
		return 0, eventstore.ErrInvalid
	}
	return b.imports(ctx, b.Store, sound, events)
}

// spoiling passes each event through f.
func spoiling(f func(e *event.Event)) importFunc {
	return func(ctx context.Context, _ eventstore.Store, sound eventstore.Importer, events events) (int, error) {
		return sound.Import(ctx, changed(f)(events))
	}
}

// gathering takes everything into memory and passes it through f.
func gathering(f func([]event.Event) []event.Event) importFunc {
	return func(ctx context.Context, _ eventstore.Store, sound eventstore.Importer, events events) (int, error) {
		var all []event.Event
		var failed error
		for e, err := range events {
			if failed = err; err != nil {
				break
			}
			all = append(all, e)
		}
		all = f(all)
		stored, err := sound.Import(ctx, func(yield func(event.Event, error) bool) {
			for _, e := range all {
				if !yield(e, nil) {
					return
				}
			}
			if failed != nil {
				yield(event.Event{}, failed)
			}
		})
		return stored, err
	}
}

// appending stores events by appends.
func appending(expected func(e *event.Event) eventstore.Expectation) importFunc {
	return func(ctx context.Context, s eventstore.Store, _ eventstore.Importer, events events) (stored int, err error) {
		for e, err := range events {
			if err != nil {
				return stored, err
			}
			x := expected(&e)
			if _, exact := x.Version(); !exact {
				e.AggregateVersion = 0
			}
			if _, err := s.Append(ctx, eventstore.Append{Stream: eventstore.StreamOf(e), Expected: x, Events: []event.Event{e}}); err != nil {
				return stored, err
			}
			stored++
		}
		return stored, nil
	}
}

func exactly(e *event.Event) eventstore.Expectation { return eventstore.Exact(e.AggregateVersion - 1) }

func TestImportersSuiteNoticesWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		clause  string
		imports importFunc
	}{
		"recorded at the append": {"every field but the position comes back", appending(exactly)},
		"metadata lost":          {"every field but the position comes back", spoiling(func(e *event.Event) { e.Metadata = nil })},
		"recorded when it occurred": {"an event without a recorded-at time is recorded now", spoiling(func(e *event.Event) {
			if e.RecordedAt.IsZero() {
				e.RecordedAt = e.OccurredAt
			}
		})},
		"stream by stream": {"positions rise in the order given, above all that are stored", gathering(func(all []event.Event) []event.Event {
			slices.SortStableFunc(all, func(a, b event.Event) int { return slices.Compare(a.AggregateID[:], b.AggregateID[:]) })
			return all
		})},
		"another stream": {"a stream that was imported is appended to", spoiling(func(e *event.Event) { e.AggregateType += "s" })},
		"holes closed":   {"an event that leaves a hole is refused", appending(func(*event.Event) eventstore.Expectation { return eventstore.Any() })},
		"put behind":     {"a place that is taken is refused", appending(func(*event.Event) eventstore.Expectation { return eventstore.Any() })},
		"counted again":  {"what is stored already is passed over", appending(exactly)},
		"twice is twice": {"an event that comes twice is stored once", spoiling(func(e *event.Event) { e.ID = event.NewID() })},
		"new ids":        {"an imported id that is stored at another place is refused", spoiling(func(e *event.Event) { e.ID = event.NewID() })},
		"errors taken for the end": {
			"an import that fails leaves a beginning, and is run again",
			func(ctx context.Context, _ eventstore.Store, sound eventstore.Importer, events events) (int, error) {
				return sound.Import(ctx, silent(events))
			},
		},
		"the last first": {"an import that fails leaves a beginning, and is run again", gathering(func(all []event.Event) []event.Event {
			return all[len(all)/2:]
		})},
		"never cancelled": {
			"an import whose context ends leaves a beginning, and is run again",
			func(ctx context.Context, _ eventstore.Store, sound eventstore.Importer, events events) (int, error) {
				return sound.Import(context.WithoutCancel(ctx), events)
			},
		},
		"all in memory": {"events are stored while the sequence goes on", gathering(func(all []event.Event) []event.Event { return all })},
		"a lock held": {
			"the sequence may read the store and append to it",
			func(ctx context.Context, _ eventstore.Store, sound eventstore.Importer, events events) (int, error) {
				return sound.Import(ctx, changed(func(*event.Event) { <-ctx.Done() })(events))
			},
		},
		"in the way of each other": {"appends, imports and readers beside an import", appending(func(e *event.Event) eventstore.Expectation {
			e.ID = event.NewID()
			return exactly(e)
		})},
		"invalid made valid": {"what an append would refuse an import refuses", spoiling(func(e *event.Event) {
			if e.RecordedAt.Year() > 9999 {
				e.RecordedAt = time.Time{}
			}
		})},
		"closed and silent": {
			"an import after close says that the store is closed",
			func(ctx context.Context, _ eventstore.Store, sound eventstore.Importer, events events) (int, error) {
				stored, _ := sound.Import(ctx, events)
				return stored, nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails := eventstoretest.FailsImporter(t, c.clause, func(t *testing.T) eventstore.Store {
				t.Helper()
				return &brokenImporter{Store: open(t), imports: c.imports}
			}, eventstoretest.Patience(500*time.Millisecond))
			assert.True(t, fails, c.clause)
		})
	}
}

func TestImportersSuiteFailsAStoreThatIsNone(t *testing.T) {
	t.Parallel()
	assert.True(t, eventstoretest.FailsImporter(t, "what is stored already is passed over", func(t *testing.T) eventstore.Store {
		t.Helper()
		return &broken{Store: open(t)}
	}))
}
