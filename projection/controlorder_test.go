package projection_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// commands are all that change a record, by their kinds.
func commands(d *desk) map[projection.CommandKind]func(context.Context, registry.Name) error {
	const why = "new column"
	return map[projection.CommandKind]func(context.Context, registry.Name) error{
		projection.PauseCommand:    func(ctx context.Context, n registry.Name) error { return d.Pause(ctx, n, why) },
		projection.ResumeCommand:   func(ctx context.Context, n registry.Name) error { return d.Resume(ctx, n, why) },
		projection.RewindCommand:   func(ctx context.Context, n registry.Name) error { return d.Rewind(ctx, n, 2, why) },
		projection.RebuildCommand:  func(ctx context.Context, n registry.Name) error { return d.Rebuild(ctx, n, why) },
		projection.SetLanesCommand: func(ctx context.Context, n registry.Name) error { return d.SetLanes(ctx, n, 4, why) },
		projection.SwitchCommand:   func(ctx context.Context, n registry.Name) error { return d.Switch(ctx, n, why) },
		projection.AbortCommand:    func(ctx context.Context, n registry.Name) error { return d.Abort(ctx, n, why) },
		projection.RetireCommand:   func(ctx context.Context, n registry.Name) error { return d.Retire(ctx, n, why) },
		projection.WithdrawCommand: func(ctx context.Context, n registry.Name) error { return d.Withdraw(ctx, n, why) },
	}
}

// The table says what comes of every command in every state, in which the
// version is also paused or has an order. Columns are the states new, building,
// caught up, live, replaced and retired.
func TestControlCommandsByState(t *testing.T) {
	t.Parallel()
	states := []registry.State{"", registry.Building, registry.CaughtUp, registry.Live, registry.Replaced, registry.Retired}
	outcomes := map[string]error{
		"ok": nil, "unknown": registry.ErrNotFound, "paused": projection.ErrPaused, "running": projection.ErrNotPaused,
		"ordered": projection.ErrOrdered, "idle": projection.ErrNotOrdered, "live": projection.ErrLiveVersion,
		"over": projection.ErrNotRunning, "behind": projection.ErrNotCaughtUp,
	}
	modes := map[string]func(*registry.Record){
		"plain": nil, "paused": paused, "ordered": ordered(registry.Rebuild), "retiring": ordered(registry.Retire),
	}
	for _, row := range []string{
		//                     new     | build.  | caught  | live    | replac. | retired
		"pause     | plain    | unknown | ok      | ok      | ok      | over    | over",
		"pause     | paused   | unknown | paused  | paused  | paused  | over    | over",
		"pause     | ordered  | unknown | ok      | ok      | ok      | over    | over",
		"resume    | plain    | unknown | running | running | running | running | running",
		"resume    | paused   | unknown | ok      | ok      | ok      | ok      | ok",
		"resume    | ordered  | unknown | running | running | running | running | running",
		"rewind    | plain    | unknown | ok      | ok      | ok      | over    | over",
		"rewind    | paused   | unknown | ok      | ok      | ok      | over    | over",
		"rewind    | ordered  | unknown | ordered | ordered | ordered | over    | over",
		"rebuild   | plain    | unknown | ok      | ok      | ok      | ok      | ok",
		"rebuild   | paused   | unknown | ok      | ok      | ok      | ok      | ok",
		"rebuild   | ordered  | unknown | ordered | ordered | ordered | ordered | ordered",
		"set_lanes | plain    | unknown | ok      | ok      | ok      | over    | over",
		"set_lanes | paused   | unknown | ok      | ok      | ok      | over    | over",
		"set_lanes | ordered  | unknown | ordered | ordered | ordered | over    | over",
		"switch    | plain    | unknown | behind  | ok      | live    | behind  | behind",
		"switch    | paused   | unknown | behind  | paused  | live    | behind  | behind",
		"switch    | ordered  | unknown | behind  | ordered | live    | behind  | behind",
		"abort     | plain    | unknown | ok      | ok      | live    | over    | over",
		"abort     | paused   | unknown | ok      | ok      | live    | over    | over",
		"abort     | ordered  | unknown | ok      | ok      | live    | over    | over",
		"abort     | retiring | unknown | ordered | ordered | live    | over    | over",
		"retire    | plain    | unknown | ok      | ok      | live    | ok      | over",
		"retire    | paused   | unknown | ok      | ok      | live    | ok      | over",
		"retire    | ordered  | unknown | ordered | ordered | live    | ordered | over",
		"withdraw  | plain    | unknown | idle    | idle    | idle    | idle    | idle",
		"withdraw  | paused   | unknown | idle    | idle    | idle    | idle    | idle",
		"withdraw  | ordered  | unknown | ok      | ok      | ok      | ok      | ok",
	} {
		cells := strings.Fields(strings.ReplaceAll(row, "|", ""))
		require.Len(t, cells, 2+len(states))
		kind := projection.CommandKind(strings.ReplaceAll(cells[0], "_", " "))
		for i, state := range states {
			t.Run(cells[0]+"/"+cells[1]+"/"+string(state), func(t *testing.T) {
				t.Parallel()
				want, known := outcomes[cells[2+i]]
				require.True(t, known)
				d := newDesk(t)
				var before registry.Record
				if state != "" {
					before = d.has(t, v1, state, modes[cells[1]], 5)
				}
				err := commands(d)[kind](asAnna(t), v1)
				if want == nil {
					require.NoError(t, err)
					assert.NotEqual(t, before.Revision, d.stored(t, v1).Revision)
					require.Len(t, d.book.all(), 1)
					assert.Equal(t, kind, d.book.all()[0].Kind)
					return
				}
				require.ErrorIs(t, err, want)
				assert.Empty(t, d.book.all(), "what is refused is not recorded")
				if state != "" {
					assert.Equal(t, before, d.stored(t, v1), "what is refused changes nothing")
				}
			})
		}
	}
}

// What each command makes of a record, and what of it is recorded.
func TestControlCommandsSayWhatTheyWant(t *testing.T) {
	t.Parallel()
	order := func(o registry.Order) registry.Order {
		o.Reason, o.By, o.At = "new column", "user:anna", noon
		return o
	}
	for kind, c := range map[projection.CommandKind]struct {
		state    registry.State
		have     func(*registry.Record)
		want     func(*registry.Record)
		recorded projection.Command
	}{
		projection.PauseCommand: {
			state: registry.Live,
			want: func(r *registry.Record) {
				r.Pause = registry.Pause{Reason: "new column", By: "user:anna", At: noon}
			},
		},
		projection.ResumeCommand: {
			state: registry.Live, have: paused,
			want: func(r *registry.Record) { r.Pause = registry.Pause{} },
		},
		projection.RewindCommand: {
			state:    registry.Live,
			want:     func(r *registry.Record) { r.Order = order(registry.Order{Kind: registry.Rewind, Position: 2}) },
			recorded: projection.Command{Position: 2},
		},
		projection.RebuildCommand: {
			state: registry.Retired,
			want:  func(r *registry.Record) { r.Order = order(registry.Order{Kind: registry.Rebuild}) },
		},
		projection.SetLanesCommand: {
			state:    registry.Live,
			want:     func(r *registry.Record) { r.Order = order(registry.Order{Kind: registry.ChangeLanes, Lanes: 4}) },
			recorded: projection.Command{Lanes: 4},
		},
		projection.SwitchCommand: {
			state:    registry.CaughtUp,
			want:     func(r *registry.Record) { r.Order = order(registry.Order{Kind: registry.Switch}) },
			recorded: projection.Command{Replaces: 1},
		},
		projection.AbortCommand: {
			state: registry.Building, have: ordered(registry.ChangeLanes),
			want:     func(r *registry.Record) { r.Order = order(registry.Order{Kind: registry.Retire}) },
			recorded: projection.Command{Order: registry.ChangeLanes},
		},
		projection.RetireCommand: {
			state: registry.Replaced,
			want:  func(r *registry.Record) { r.Order = order(registry.Order{Kind: registry.Retire}) },
		},
		projection.WithdrawCommand: {
			state: registry.Live, have: ordered(registry.Rebuild),
			want:     func(r *registry.Record) { r.Order = registry.Order{} },
			recorded: projection.Command{Order: registry.Rebuild},
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if c.state != registry.Live {
				d.has(t, v1, registry.Live, nil, 5)
			}
			want := d.has(t, v2, c.state, c.have, 5)
			c.want(&want)
			require.NoError(t, commands(d)[kind](asAnna(t), v2))
			got := d.stored(t, v2)
			want.Revision, want.UpdatedAt = got.Revision, got.UpdatedAt
			assert.Equal(t, want, got)

			recorded := d.book.all()[0]
			c.recorded.ID = recorded.ID
			c.recorded.Kind, c.recorded.Name, c.recorded.Reason, c.recorded.Actor, c.recorded.At = kind, v2, "new column", "user:anna", noon
			assert.Equal(t, c.recorded, recorded)
		})
	}
}

func TestSwitchSaysHowFarAVersionIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	noteOn(t, d.Store, uuid.New(), 9)
	d.has(t, v2, registry.Building, paused, 7, 3)
	err := d.Switch(t.Context(), v2, "faster")
	assert.Equal(t, &projection.NotCaughtUpError{Name: v2, State: registry.Building, Position: 3, Target: 9, Paused: true}, err)
}

// A version that was switched away from has missed what came since.
func TestSwitchBackNeedsARebuild(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Replaced, nil, 5)
	d.has(t, v2, registry.Live, nil, 5)
	err := d.Switch(t.Context(), v1, "v2 is wrong")
	require.ErrorIs(t, err, projection.ErrNotCaughtUp)
	require.ErrorContains(t, err, "order a rebuild of it, and wait until it has caught up again")

	require.NoError(t, d.Rebuild(t.Context(), v1, "v2 is wrong"))
	d.change(t, v1, func(r *registry.Record) { r.State, r.Order = registry.CaughtUp, registry.Order{} }) // a runner
	require.NoError(t, d.Switch(t.Context(), v1, "v2 is wrong"))
	assert.Equal(t, 2, d.book.all()[1].Replaces)
}

func TestOnlyOneVersionIsSwitchedTo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	d.has(t, v2, registry.CaughtUp, nil)
	d.has(t, v3, registry.CaughtUp, nil)
	require.NoError(t, d.Switch(t.Context(), v2, "faster"))
	err := d.Switch(t.Context(), v3, "faster still")
	pending, ok := errors.AsType[*projection.OrderedError](err)
	require.True(t, ok)
	assert.Equal(t, v2, pending.Name)
	assert.Equal(t, registry.Switch, pending.Order.Kind)
}

func TestSwitchOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.CaughtUp, nil)
	require.NoError(t, d.Switch(t.Context(), v1, "first"))
	assert.Zero(t, d.book.all()[0].Replaces)
}

func TestARewindMayMoveOnlySomeLanes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil, 3, 7)
	require.NoError(t, d.Rewind(t.Context(), v1, 3, "lane 1 was wrong"))
	d = newDesk(t)
	d.has(t, v1, registry.Live, func(r *registry.Record) { r.Lanes = 3 }, 3, 7) // lane 2 has not begun
	require.ErrorIs(t, d.Rewind(t.Context(), v1, 1, "lane 1 was wrong"), event.ErrInvalid)
	require.NoError(t, d.Rewind(t.Context(), v1, 0, "lane 1 was wrong"))
}

func TestSwitchOfACheckpointFromElsewhere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v2, registry.Building, nil)
	key := checkpoint.Key{Projection: "titles", Version: 2}
	require.NoError(t, d.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 5, StoreID: uuid.New()}))
	require.ErrorIs(t, d.Switch(t.Context(), v2, "faster"), checkpoint.ErrOtherStore)
	require.ErrorIs(t, d.AwaitCaughtUp(t.Context(), v2), checkpoint.ErrOtherStore)
	require.ErrorIs(t, d.WaitFor(t.Context(), v2, 1), checkpoint.ErrOtherStore)
}

// A runner that saves what became of an order does not get in the way.
func TestControlDecidesAnewWhenARecordWasChanged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil, 5)
	d.record.before = func(saves int) error {
		if saves <= 3 {
			d.change(t, v1, func(r *registry.Record) { r.Finished = !r.Finished })
		}
		return nil
	}
	require.NoError(t, d.Pause(t.Context(), v1, "maintenance"))
	r := d.stored(t, v1)
	assert.True(t, r.Paused())
	assert.True(t, r.Finished, "what others changed stays")
	assert.Len(t, d.book.all(), 1, "it is one command")
}

func TestControlGivesUpOnARecordThatAlwaysChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil, 5)
	d.record.before = func(int) error {
		d.change(t, v1, func(r *registry.Record) { r.Finished = !r.Finished })
		return nil
	}
	err := d.Pause(t.Context(), v1, "maintenance")
	require.ErrorIs(t, err, registry.ErrChanged)
	assert.Len(t, d.book.all(), 2)
	assert.Equal(t, 10, d.record.saves)
}

// What was allowed when a command was recorded may be refused when it is saved:
// then the failure is recorded.
func TestControlThatIsOvertaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind      projection.CommandKind
		state     registry.State
		have      func(*registry.Record)
		meanwhile func(*registry.Record)
		want      error
	}{
		"paused by another":          {projection.PauseCommand, registry.Live, nil, paused, projection.ErrPaused},
		"resumed by another":         {projection.ResumeCommand, registry.Live, paused, func(r *registry.Record) { r.Pause = registry.Pause{} }, projection.ErrNotPaused},
		"resumed and paused again":   {projection.ResumeCommand, registry.Live, paused, func(r *registry.Record) { r.Pause.Reason = "another" }, projection.ErrPaused},
		"ordered by another":         {projection.RetireCommand, registry.CaughtUp, nil, ordered(registry.Switch), projection.ErrOrdered},
		"it became live":             {projection.RetireCommand, registry.CaughtUp, nil, func(r *registry.Record) { r.State = registry.Live }, projection.ErrLiveVersion},
		"the order was done":         {projection.WithdrawCommand, registry.Live, ordered(registry.Rebuild), func(r *registry.Record) { r.Order = registry.Order{} }, projection.ErrNotOrdered},
		"done and another was given": {projection.WithdrawCommand, registry.Live, ordered(registry.Rebuild), func(r *registry.Record) { r.Order.At = noon }, projection.ErrOrdered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.has(t, v1, c.state, c.have, 5)
			d.record.before = func(saves int) error {
				if saves == 1 {
					d.change(t, v1, c.meanwhile)
				}
				return nil
			}
			require.ErrorIs(t, commands(d)[c.kind](t.Context(), v1), c.want)
			recorded := d.book.all()
			require.Len(t, recorded, 2)
			require.ErrorIs(t, recorded[1].Err, c.want)
		})
	}
}

// An order that is refused in the meantime is no other order.
func TestWithdrawOfAnOrderThatIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, ordered(registry.Rebuild), 5)
	d.record.before = func(saves int) error {
		if saves == 1 {
			d.change(t, v1, func(r *registry.Record) { r.Order.Problem = "table is locked" })
		}
		return nil
	}
	require.NoError(t, d.Withdraw(t.Context(), v1, "not needed"))
	assert.Empty(t, d.stored(t, v1).Order)
}

func TestARecordThatIsGoneWhileItIsSaved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil, 5)
	d.record.before = func(int) error {
		d.record.breakWith(eventstore.ErrUnavailable)
		return registry.ErrChanged
	}
	require.ErrorIs(t, d.Pause(t.Context(), v1, "maintenance"), eventstore.ErrUnavailable)
	assert.Len(t, d.book.all(), 2)
}

// Of racing orders one is given; a pause does not get in their way.
func TestControlsThatRace(t *testing.T) {
	t.Parallel()
	for range 20 {
		d := newDesk(t)
		d.has(t, v1, registry.CaughtUp, nil, 5)
		another, err := projection.NewControl(d, projection.ControlConfig{Registry: d.Registry(), Recorder: d.book})
		require.NoError(t, err)
		var given, refused atomic.Int64
		var wg sync.WaitGroup
		for i, c := range []*projection.Control{d.Control, another} {
			for _, command := range []func() error{
				func() error { return c.Switch(t.Context(), v1, "faster") },
				func() error { return c.Retire(t.Context(), v1, "not needed") },
				func() error { return c.Rebuild(t.Context(), v1, "wrong") },
			} {
				wg.Go(func() {
					switch err := command(); {
					case err == nil:
						given.Add(1)
					case errors.Is(err, projection.ErrOrdered), errors.Is(err, projection.ErrPaused):
						refused.Add(1)
					default:
						assert.NoError(t, err)
					}
				})
			}
			if i == 0 {
				wg.Go(func() { assert.NoError(t, c.Pause(t.Context(), v1, "maintenance")) })
			}
		}
		wg.Wait()
		assert.EqualValues(t, 1, given.Load())
		assert.EqualValues(t, 5, refused.Load())
		r := d.stored(t, v1)
		assert.True(t, r.Paused() && r.Ordered())
	}
}

// An order that somebody gives while an abort is under way is not taken away by
// it: no record would say so.
func TestAbortTakesAwayOnlyTheOrderThatItSaw(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Building, nil, 5)
	d.record.before = func(saves int) error {
		if saves == 1 {
			d.change(t, v1, ordered(registry.Rebuild))
		}
		return nil
	}
	require.ErrorIs(t, d.Abort(t.Context(), v1, "not needed"), projection.ErrOrdered)
	assert.Equal(t, registry.Rebuild, d.stored(t, v1).Order.Kind)
}
