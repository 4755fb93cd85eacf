package projection_test

import (
	"context"
	"errors"
	"strings"
	"sync"
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
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	v1   = registry.Name{Projection: "titles", Version: 1}
	v2   = registry.Name{Projection: "titles", Version: 2}
	v3   = registry.Name{Projection: "titles", Version: 3}
)

// desk is a store in memory with a control of its projections, what that has
// recorded, and places where a test can get in between.
type desk struct {
	*memory.Store
	*projection.Control

	book   *book
	record *records
	leases *leases
	letter *letters
}

func newDesk(t *testing.T, change ...func(*projection.ControlConfig)) *desk {
	t.Helper()
	store := openMemory(t)
	d := &desk{
		Store: store, book: &book{}, record: &records{Store: store.Registry()},
		leases: &leases{Store: store.Leases()}, letter: &letters{Store: store.DeadLetters()},
	}
	config := projection.ControlConfig{Progress: deskProgress{d}, Recorder: d.book, Now: func() time.Time { return noon }}
	for _, c := range change {
		c(&config)
	}
	var err error
	d.Control, err = projection.NewControl(store, config)
	require.NoError(t, err)
	return d
}

// deskProgress is a desk's store with the desk's own ports.
type deskProgress struct{ *desk }

func (p deskProgress) Registry() registry.Store { return p.record }
func (p deskProgress) Leases() lease.Store      { return p.leases }
func (p deskProgress) DeadLetters() dlq.Store   { return p.letter }

// book keeps commands, or refuses the one of a number.
type book struct {
	mu       sync.Mutex
	commands []projection.Command
	refuse   int // from 1
	meet     func(projection.Command)
}

var errBook = errors.New("book is full")

func (b *book) RecordCommand(ctx context.Context, cmd projection.Command) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.meet != nil {
		b.meet(cmd)
	}
	b.commands = append(b.commands, cmd)
	if len(b.commands) == b.refuse {
		return errBook
	}
	return nil
}

func (b *book) all() []projection.Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]projection.Command(nil), b.commands...)
}

// records is a registry in which something happens before a save.
type records struct {
	registry.Store

	before func(saves int) error
	mu     sync.Mutex
	broken error // of Load and List
	looks  func(n int)
	saves  int
	loads  int
}

func (r *records) Save(ctx context.Context, record registry.Record) (registry.Record, error) {
	if r.before != nil {
		r.saves++
		if err := r.before(r.saves); err != nil {
			return registry.Record{}, err
		}
	}
	return r.Store.Save(ctx, record)
}

func (r *records) Load(ctx context.Context, name registry.Name) (registry.Record, error) {
	if r.looks != nil {
		r.loads++
		r.looks(r.loads)
	}
	if err := r.fault(); err != nil {
		return registry.Record{}, err
	}
	return r.Store.Load(ctx, name)
}

func (r *records) List(ctx context.Context, name string) ([]registry.Record, error) {
	if err := r.fault(); err != nil {
		return nil, err
	}
	return r.Store.List(ctx, name)
}

// breakWith has Load and List fail; with nil they work again.
func (r *records) breakWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = err
}

func (r *records) fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// leases are those that a test says are held.
type leases struct {
	lease.Store

	held   []lease.Lease
	broken error
}

func (l *leases) List(_ context.Context, prefix string) ([]lease.Lease, error) {
	var found []lease.Lease
	for _, one := range l.held {
		if strings.HasPrefix(one.Name, prefix) {
			found = append(found, one)
		}
	}
	return found, l.broken
}

// letters notes up to where retries are to go.
type letters struct {
	dlq.Store

	until  map[string]uint64
	broken error
	before func()
}

func (l *letters) ScheduleUntil(ctx context.Context, s dlq.Sequence, at time.Time, until uint64) error {
	if l.until == nil {
		l.until = make(map[string]uint64)
	}
	l.until[s.Key] = until
	return l.Schedule(ctx, s, at)
}

func (l *letters) Schedule(ctx context.Context, s dlq.Sequence, at time.Time) error {
	if l.before != nil {
		l.before()
	}
	if l.broken != nil {
		return l.broken
	}
	return l.Store.Schedule(ctx, s, at)
}

// has saves a record of a version; lanes stand at positions.
func (d *desk) has(t *testing.T, name registry.Name, state registry.State, change func(*registry.Record), positions ...uint64) registry.Record {
	t.Helper()
	r := registry.Record{Name: name, State: state, Since: noon.Add(-time.Hour), Lanes: max(1, len(positions))}
	if change != nil {
		change(&r)
	}
	saved, err := d.Store.Registry().Save(t.Context(), r)
	require.NoError(t, err)
	for lane, position := range positions {
		key := checkpoint.Key{Projection: name.Projection, Version: name.Version, Lane: lane}
		require.NoError(t, d.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: position, StoreID: d.ID()}))
	}
	return saved
}

// stored returns the record of a version.
func (d *desk) stored(t *testing.T, name registry.Name) registry.Record {
	t.Helper()
	r, err := d.Store.Registry().Load(t.Context(), name)
	require.NoError(t, err)
	return r
}

// change changes a record behind the control's back.
func (d *desk) change(t *testing.T, name registry.Name, f func(*registry.Record)) {
	t.Helper()
	r := d.stored(t, name)
	f(&r)
	_, err := d.Store.Registry().Save(t.Context(), r)
	require.NoError(t, err)
}

func paused(r *registry.Record) {
	r.Pause = registry.Pause{Reason: "disk is full", By: event.User("zoe"), At: noon.Add(-time.Minute)}
}

func ordered(kind registry.Kind) func(*registry.Record) {
	return func(r *registry.Record) {
		r.Order = registry.Order{Kind: kind, Reason: "new column", By: event.User("zoe"), At: noon.Add(-time.Minute)}
		if kind == registry.ChangeLanes {
			r.Order.Lanes = 8
		}
	}
}

func asAnna(t *testing.T) context.Context {
	t.Helper()
	return event.WithActor(t.Context(), event.User("anna"))
}

func TestNewControlRefuses(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	for want, open := range map[string]func() (*projection.Control, error){
		"invalid events: must not be nil": func() (*projection.Control, error) {
			return projection.NewControl(nil, projection.ControlConfig{Recorder: projection.Unrecorded{}})
		},
		"invalid recorder: must be set: audit.CommandLog(log) keeps commands in the audit log, projection.Unrecorded{} nowhere": func() (*projection.Control, error) {
			return projection.NewControl(store, projection.ControlConfig{})
		},
		"invalid poll: must not be negative; 0 means the default": func() (*projection.Control, error) {
			return projection.NewControl(store, projection.ControlConfig{Recorder: projection.Unrecorded{}, Poll: projection.Retry{First: -1}})
		},
		"has no place for checkpoints": func() (*projection.Control, error) {
			return projection.NewControl(struct{ eventstore.Store }{store}, projection.ControlConfig{Recorder: projection.Unrecorded{}})
		},
	} {
		c, err := open()
		require.ErrorIs(t, err, event.ErrInvalid)
		require.ErrorContains(t, err, want)
		assert.Nil(t, c)
	}
}

func TestControlOfAnyStore(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	bare := struct{ eventstore.Store }{store}
	c, err := projection.NewControl(bare, projection.ControlConfig{Progress: store, Registry: store.Registry(), Recorder: projection.Unrecorded{}})
	require.NoError(t, err)
	_, err = store.Registry().Save(t.Context(), registry.Record{Name: v1, State: registry.Live, Since: noon, Lanes: 1})
	require.NoError(t, err)
	require.NoError(t, c.Pause(t.Context(), v1, "maintenance"))
	r, err := store.Registry().Load(t.Context(), v1)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), r.Pause.At, time.Minute)
	assert.Empty(t, r.Pause.By, "nobody was named")
}

// A command is recorded before it changes anything.
func TestControlRecordsFirst(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := d.has(t, v1, registry.Live, nil, 5)
	d.book.meet = func(projection.Command) { assert.Equal(t, before, d.stored(t, v1)) }
	require.NoError(t, d.Rebuild(asAnna(t), v1, "new column"))

	commands := d.book.all()
	require.Len(t, commands, 1)
	assert.NotEqual(t, uuid.Nil, commands[0].ID)
	commands[0].ID = uuid.Nil
	assert.Equal(t, projection.Command{Kind: projection.RebuildCommand, Name: v1, Reason: "new column", Actor: "user:anna", At: noon}, commands[0])
	want := before
	want.Order = registry.Order{Kind: registry.Rebuild, Reason: "new column", By: "user:anna", At: noon}
	got := d.stored(t, v1)
	want.Revision, want.UpdatedAt = got.Revision, got.UpdatedAt
	assert.Equal(t, want, got)
}

func TestControlThatCannotRecordChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := d.has(t, v1, registry.Live, nil, 5)
	d.book.refuse = 1
	err := d.Pause(t.Context(), v1, "maintenance")
	require.ErrorIs(t, err, projection.ErrNotRecorded)
	require.ErrorIs(t, err, errBook)
	require.EqualError(t, err, "pause of projection titles v1 could not be recorded, so nothing was changed: book is full")
	assert.Equal(t, before, d.stored(t, v1))
	assert.Len(t, d.book.all(), 1)
}

func TestControlRecordsAFailure(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil, 5)
	ctx, cancel := context.WithCancel(t.Context())
	d.record.before = func(int) error {
		cancel() // whoever asked has gone away
		return eventstore.ErrUnavailable
	}
	err := d.Pause(ctx, v1, "maintenance")
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorContains(t, err, "pause projection titles v1")
	commands := d.book.all()
	require.Len(t, commands, 2)
	require.NoError(t, commands[0].Err)
	assert.Equal(t, err, commands[1].Err)
	commands[1].Err = nil
	assert.Equal(t, commands[0], commands[1])
}

func TestControlThatCannotRecordAFailureSaysSo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil, 5)
	d.book.refuse = 2
	d.record.before = func(int) error { return eventstore.ErrUnavailable }
	err := d.Pause(t.Context(), v1, "maintenance")
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorIs(t, err, errBook)
	require.ErrorContains(t, err, "record that it failed")
}

func TestControlWithoutItsStore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.record.breakWith(eventstore.ErrUnavailable)
	require.ErrorIs(t, d.Pause(t.Context(), v1, "maintenance"), eventstore.ErrUnavailable)
	_, err := d.Status(t.Context())
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	_, err = d.RetryAll(t.Context())
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	assert.Empty(t, d.book.all())
}

func TestControlKnowsWhichVersionsThereAre(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	err := d.Pause(t.Context(), v3, "maintenance")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.EqualError(t, err, `nothing is known of projection "titles": a runner makes it known when it first runs it`)

	d.has(t, v1, registry.Replaced, nil)
	d.has(t, v2, registry.Live, nil)
	err = d.Pause(t.Context(), v3, "maintenance")
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.EqualError(t, err, `projection "titles" has no version 3, but [1 2]: a runner makes a version known when it first runs it`)
	assert.Empty(t, d.book.all())
}

func TestControlRefusesBadInput(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := d.has(t, v1, registry.Live, func(r *registry.Record) { r.Lanes = 2 }, 3, 7)
	other := registry.Name{Projection: "other", Version: 1}
	d.has(t, other, registry.Live, nil)
	moved := checkpoint.Key{Projection: "other", Version: 1}
	require.NoError(t, d.Checkpoints().Move(t.Context(), moved, checkpoint.Move{To: 5, StoreID: uuid.New()}))
	nobody := event.WithActor(t.Context(), "nobody in particular")
	d.record.before = func(int) error { t.Error("something was saved"); return nil }

	for want, command := range map[string]func() error{
		"invalid projection: must not be empty": func() error {
			return d.Pause(t.Context(), registry.Name{Version: 1}, "why")
		},
		"invalid version: of projection titles must be 1 or more": func() error {
			return d.Rebuild(t.Context(), registry.Name{Projection: "titles"}, "why")
		},
		"invalid reason: must say why":                            func() error { return d.Pause(t.Context(), v1, "") },
		"invalid reason: must say why ":                           func() error { return d.Switch(t.Context(), v1, " \t\n") },
		"reason has 501 bytes, the limit is 500":                  func() error { return d.Pause(t.Context(), v1, strings.Repeat("x", 501)) },
		`invalid reason "a\nb": contains a control character`:     func() error { return d.Pause(t.Context(), v1, "a\nb") },
		`invalid actor_id "nobody in particular"`:                 func() error { return d.Pause(nobody, v1, "why") },
		`invalid lanes "0": must be from 1 to 1024`:               func() error { return d.SetLanes(t.Context(), v1, 0, "why") },
		`invalid lanes "1025": must be from 1 to 1024`:            func() error { return d.SetLanes(t.Context(), v1, 1025, "why") },
		`invalid lanes "2": is how many projection titles v1 has`: func() error { return d.SetLanes(t.Context(), v1, 2, "why") },
		`invalid position "4": leads to position 4, and projection titles v1 stands at 3: a rewind only goes back`: func() error {
			return d.Rewind(t.Context(), v1, 4, "why") // the lane behind would miss one
		},
		`invalid position "7"`:   func() error { return d.Rewind(t.Context(), v1, 7, "why") },
		`invalid position "8"`:   func() error { return d.Rewind(t.Context(), v1, 8, "why") },
		"belongs to event store": func() error { return d.Rewind(t.Context(), other, 4, "why") },
		"invalid time: must be set; to go back to the first event, rewind to position 0": func() error {
			return d.RewindTo(t.Context(), v1, time.Time{}, "why")
		},
		"invalid key: must not be empty":                                       func() error { return d.Discard(t.Context(), v1, "", "why") },
		"invalid reason: must say why  ":                                       func() error { return d.Discard(t.Context(), v1, "key", "") },
		"invalid position: must be that of a letter":                           func() error { return d.DiscardAt(t.Context(), v1, "key", 0, "why") },
		`sequence "key" of projection titles v1 is not parked: no such letter`: func() error { return d.Discard(t.Context(), v1, "key", "why") },
	} {
		require.ErrorContains(t, command(), strings.TrimSpace(want))
	}
	assert.Equal(t, before, d.stored(t, v1))
	assert.Empty(t, d.book.all(), "what is refused is not recorded")
}

// The texts are what an operator acts by.
func TestControlErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	pause := registry.Pause{Reason: "disk is full", At: noon}
	order := registry.Order{Kind: registry.ChangeLanes, At: noon}
	by, tried := order, order
	by.By, tried.Problem = "user:zoe", "its table is another program's"
	for want, err := range map[string]error{
		"projection titles v1 has an order to change lanes, given at 2026-03-01T12:00:00Z: wait until it is done, or withdraw it":             &projection.OrderedError{Name: v1, Order: order},
		"projection titles v1 has an order to change lanes, given at 2026-03-01T12:00:00Z by user:zoe: wait until it is done, or withdraw it": &projection.OrderedError{Name: v1, Order: by},
		"order to change lanes projection titles v1 was refused: its table is another program's":                                              &projection.RefusedError{Name: v1, Order: tried},
		"projection titles v1 is paused since 2026-03-01T12:00:00Z: disk is full: resume it first":                                            &projection.PausedError{Name: v1, Pause: pause},
		"projection titles v1 is live already": &projection.LiveVersionError{Name: v1, Command: projection.SwitchCommand},
		"projection titles v1 is live, and retire is for versions that are not: switch to another version first": &projection.LiveVersionError{Name: v1, Command: projection.RetireCommand},
		"projection titles v1 is retired already":                                                                                      &projection.NotRunningError{Name: v1, State: registry.Retired, Command: projection.RetireCommand},
		"projection titles v1 is replaced, there is nothing to abort: retire it":                                                       &projection.NotRunningError{Name: v1, State: registry.Replaced, Command: projection.AbortCommand},
		"projection titles v1 is replaced and does not run: order a rebuild of it, or use the live version":                            &projection.NotRunningError{Name: v1, State: registry.Replaced, Command: projection.PauseCommand},
		"projection titles v2 is building and stands at position 3 of 9: wait until it has caught up":                                  &projection.NotCaughtUpError{Name: v2, State: registry.Building, Position: 3, Target: 9},
		"projection titles v2 is building and stands at position 3 of 9: it is paused, resume it and wait until it has caught up":      &projection.NotCaughtUpError{Name: v2, State: registry.Building, Position: 3, Target: 9, Paused: true},
		"projection titles v1 is replaced and stands at position 3 of 9: order a rebuild of it, and wait until it has caught up again": &projection.NotCaughtUpError{Name: v1, State: registry.Replaced, Position: 3, Target: 9},
	} {
		require.EqualError(t, err, want)
	}
}
