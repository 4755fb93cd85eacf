package projection_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// midday is when the pure tests look.
var midday = time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return midday.Add(-d) }

// well is the status of a projection with which nothing is wrong.
func well(change func(s *projection.Status)) projection.Status {
	s := projection.Status{
		Projection: "titles", Version: 1, State: projection.Live, Stage: registry.Live,
		Position: 10, Head: 10, Heartbeat: ago(5 * time.Second),
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestHealthVerdicts(t *testing.T) {
	t.Parallel()
	long := 10 * time.Minute
	for name, c := range map[string]struct {
		health projection.Health
		change func(s *projection.Status)
		want   projection.Verdict
		reason string // the only one; "" for none
		dead   bool
	}{
		"healthy": {want: projection.Healthy},
		"dead loop, nothing to do": {
			change: func(s *projection.Status) { s.Heartbeat = ago(5 * time.Minute) },
			want:   projection.Unhealthy, reason: "dead: has not gone round for 5m0s, 2m0s is tolerated", dead: true,
		},
		"dead loop, just tolerated": {
			change: func(s *projection.Status) { s.Heartbeat = ago(2 * time.Minute) },
			want:   projection.Healthy,
		},
		"dead loop that was to wait for its lease": {
			change: func(s *projection.Status) { s.State, s.Heartbeat = projection.Waiting, ago(long) },
			want:   projection.Unhealthy, reason: "dead: has not gone round for 10m0s, 2m0s is tolerated", dead: true,
		},
		"dead while something is down": {
			change: func(s *projection.Status) { s.State, s.Heartbeat = projection.Paused, ago(long) },
			want:   projection.Unhealthy, reason: "dead: has not gone round for 10m0s, 2m0s is tolerated", dead: true,
		},
		"silent while an order is carried out": {
			change: func(s *projection.Status) {
				s.Heartbeat, s.Order = ago(10*2*time.Minute), registry.Order{Kind: registry.Rewind, At: ago(time.Minute)}
			},
			want: projection.Healthy,
		},
		"dead in an order": {
			change: func(s *projection.Status) {
				s.Heartbeat, s.Order = ago(21*time.Minute), registry.Order{Kind: registry.Rewind, At: ago(time.Minute)}
			},
			want: projection.Unhealthy, reason: "dead: has not gone round for 21m0s, 20m0s is tolerated", dead: true,
		},
		"one of eight lanes dead": {
			change: func(s *projection.Status) {
				s.Lanes = lanes(8)
				s.Lanes[5].Heartbeat = ago(long)
			},
			want: projection.Unhealthy, reason: "dead: has not gone round for 10m0s, 2m0s is tolerated (1 of 8 lanes: 5)", dead: true,
		},
		"many lanes dead": {
			change: func(s *projection.Status) {
				s.Lanes = lanes(12)
				for i := range s.Lanes[:10] {
					s.Lanes[i].Heartbeat = ago(time.Duration((i*7)%10) * time.Hour)
				}
			},
			want: projection.Unhealthy, reason: "dead: has not gone round for 9h0m0s, 2m0s is tolerated (9 of 12 lanes: 1, 2, 3, 4, 5, 6, 7, 8, …)", dead: true,
		},
		"lanes that other processes run": {
			change: func(s *projection.Status) {
				s.Lanes = lanes(2)
				s.Lanes[1].State, s.Lanes[1].Heartbeat = projection.Waiting, time.Time{}
			},
			want: projection.Healthy,
		},
		"failed": {
			change: func(s *projection.Status) { s.State, s.LastError = projection.Failed, errors.New("password=hunter2") },
			want:   projection.Unhealthy, reason: "stopped for good",
		},
		"failed long ago": { // whoever is dead can be helped by a new start, and this one cannot
			change: func(s *projection.Status) { s.State, s.Heartbeat = projection.Failed, ago(long) },
			want:   projection.Unhealthy, reason: "stopped for good",
		},
		"one lane failed": {
			change: func(s *projection.Status) {
				s.State, s.Lanes = projection.Failed, lanes(2)
				s.Lanes[1].State = projection.Failed
			},
			want: projection.Unhealthy, reason: "stopped for good (1 of 2 lanes: 1)",
		},
		"never started": {
			change: func(s *projection.Status) { s.State, s.Heartbeat = projection.Idle, time.Time{} },
			want:   projection.Unhealthy, reason: "not running",
		},
		"not gone round yet": {
			change: func(s *projection.Status) { s.State, s.Heartbeat = projection.CatchingUp, time.Time{} },
			want:   projection.Unhealthy, reason: "started, and has not gone round yet",
		},
		"waits for its lease": {
			change: func(s *projection.Status) { s.State, s.Position, s.Behind = projection.Waiting, 8, time.Second },
			want:   projection.Healthy,
		},
		"waits for its lease, and nobody works": {
			change: func(s *projection.Status) { s.State, s.Position, s.Behind = projection.Waiting, 8, long },
			want:   projection.Unhealthy, reason: "10m0s behind, at position 8 of 10, 1m0s is tolerated",
		},
		"behind": {
			change: func(s *projection.Status) {
				s.State, s.Position, s.Behind = projection.CatchingUp, 8, 61500*time.Millisecond
			},
			want: projection.Unhealthy, reason: "1m2s behind, at position 8 of 10, 1m0s is tolerated",
		},
		"behind, just tolerated": {
			change: func(s *projection.Status) { s.Position, s.Behind = 8, time.Minute },
			want:   projection.Healthy,
		},
		"behind its own tolerance": {
			health: projection.Health{MaxBehind: time.Hour, Except: map[string]projection.Health{"titles": {MaxBehind: time.Millisecond}}},
			change: func(s *projection.Status) { s.Position, s.Behind = 8, 2500*time.Microsecond },
			want:   projection.Unhealthy, reason: "3ms behind, at position 8 of 10, 1ms is tolerated",
		},
		"events between that it does not want": {
			change: func(s *projection.Status) { s.Position, s.Behind = 8, 0 },
			want:   projection.Healthy,
		},
		"optional": {
			health: projection.Health{Optional: true},
			change: func(s *projection.Status) { s.Position, s.Behind = 8, long },
			want:   projection.Degraded, reason: "10m0s behind, at position 8 of 10, 1m0s is tolerated",
		},
		"optional, and dead": {
			health: projection.Health{Optional: true},
			change: func(s *projection.Status) { s.Heartbeat = ago(long) },
			want:   projection.Degraded, reason: "dead: has not gone round for 10m0s, 2m0s is tolerated", dead: true,
		},
		"the first parked sequence": {
			change: func(s *projection.Status) {
				s.DeadLetters = dlq.Stats{Sequences: 1, Letters: 3, Oldest: ago(time.Minute)}
			},
			want: projection.Degraded, reason: "sequences parked: 1, with letters: 3, the oldest for 1m0s",
		},
		"parked sequences within the tolerance": {
			health: projection.Health{MaxParked: 2},
			change: func(s *projection.Status) {
				s.DeadLetters = dlq.Stats{Sequences: 2, Letters: 3, Oldest: ago(time.Hour)}
			},
			want: projection.Healthy,
		},
		"a letter that waits for too long": {
			health: projection.Health{MaxParked: 2},
			change: func(s *projection.Status) {
				s.DeadLetters = dlq.Stats{Sequences: 1, Letters: 1, Oldest: ago(61 * time.Minute)}
			},
			want: projection.Degraded, reason: "sequences parked: 1, with letters: 1, the oldest for 1h1m0s",
		},
		"something is down": {
			change: func(s *projection.Status) { s.State, s.LastError = projection.Paused, errors.New("password=hunter2") },
			want:   projection.Degraded, reason: "waits for something to come back",
		},
		"paused by an operator, and behind": {
			change: func(s *projection.Status) {
				s.State, s.Pause = projection.Waiting, registry.Pause{Reason: "secret", By: "user:alice", At: ago(time.Hour)}
				s.Position, s.Behind, s.Heartbeat = 2, time.Hour, ago(time.Hour)
			},
			want: projection.Degraded, reason: "paused by an operator for 1h0m0s",
		},
		"an order": {
			change: func(s *projection.Status) { s.Order = registry.Order{Kind: registry.Rebuild, At: ago(time.Minute)} },
			want:   projection.Healthy,
		},
		"an order that takes long": {
			change: func(s *projection.Status) { s.Order = registry.Order{Kind: registry.ChangeLanes, At: ago(long)} },
			want:   projection.Degraded, reason: "an order to change lanes is not done after 10m0s",
		},
		"an order that was refused": {
			change: func(s *projection.Status) {
				s.Order = registry.Order{Kind: registry.Switch, At: ago(time.Second), Problem: "password=hunter2"}
			},
			want: projection.Degraded, reason: "an order to switch was refused, and is not tried again",
		},
		"built beside the live version": {
			change: func(s *projection.Status) { s.Stage, s.Position, s.Behind = registry.Building, 1, 1000*time.Hour },
			want:   projection.Healthy,
		},
		"caught up beside the live version": {
			change: func(s *projection.Status) { s.Stage, s.Position, s.Behind = registry.CaughtUp, 1, long },
			want:   projection.Healthy,
		},
		"built beside the live version, and failed": {
			change: func(s *projection.Status) { s.Stage, s.State = registry.Building, projection.Failed },
			want:   projection.Degraded, reason: "stopped for good",
		},
		"built beside the live version, which matters": {
			health: projection.Health{Building: true},
			change: func(s *projection.Status) { s.Stage, s.Position, s.Behind = registry.Building, 1, time.Hour },
			want:   projection.Unhealthy, reason: "1h0m0s behind, at position 1 of 10, 1m0s is tolerated",
		},
		"replaced": {
			change: func(s *projection.Status) {
				s.Stage, s.State, s.Position, s.Behind, s.Heartbeat = registry.Replaced, projection.Idle, 1, time.Hour, ago(long)
			},
			want: projection.Healthy,
		},
		"retired": {
			change: func(s *projection.Status) {
				s.Stage, s.State, s.Position, s.Behind = registry.Retired, projection.Idle, 0, time.Hour
			},
			want: projection.Healthy,
		},
		"elsewhere": {
			health: projection.Health{Elsewhere: true},
			change: func(s *projection.Status) { s.State, s.Heartbeat = projection.Idle, time.Time{} },
			want:   projection.Healthy,
		},
		"elsewhere, and behind": {
			health: projection.Health{Elsewhere: true},
			change: func(s *projection.Status) {
				s.State, s.Heartbeat, s.Behind = projection.Idle, time.Time{}, time.Hour
			},
			want: projection.Unhealthy, reason: "1h0m0s behind, at position 10 of 10, 1m0s is tolerated",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, c.health.Validate())
			report := c.health.Check(midday, []projection.Status{well(c.change)})
			assert.Equal(t, c.want, report.Verdict)
			assert.Equal(t, c.want != projection.Unhealthy, report.Ready())
			assert.Equal(t, !c.dead, report.Alive())
			require.Len(t, report.Projections, 1)
			if c.reason == "" {
				assert.Nil(t, report.Projections[0].Reasons)
				return
			}
			assert.Equal(t, []string{c.reason}, report.Projections[0].Reasons)
		})
	}
}

// lanes are so many with which nothing is wrong.
func lanes(n int) []projection.Status {
	all := make([]projection.Status, n)
	for i := range all {
		all[i] = well(func(s *projection.Status) { s.Lane = i })
	}
	return all
}

func TestHealthOfAFailedProjectionThatSomebodyPaused(t *testing.T) {
	t.Parallel()
	report := projection.Health{}.Check(midday, []projection.Status{well(func(s *projection.Status) {
		s.State, s.Pause = projection.Failed, registry.Pause{At: ago(time.Minute)}
	})})
	assert.Equal(t, projection.Unhealthy, report.Verdict, "nothing will run when it is resumed")
	assert.Equal(t, []string{"stopped for good", "paused by an operator for 1m0s"}, report.Projections[0].Reasons)
}

func TestHealthIsThatOfTheWorst(t *testing.T) {
	t.Parallel()
	parked := well(func(s *projection.Status) {
		s.Projection, s.DeadLetters = "parked", dlq.Stats{Sequences: 1, Letters: 1, Oldest: midday}
	})
	behind := well(func(s *projection.Status) { s.Projection, s.Behind = "behind", time.Hour })

	report := projection.Health{}.Check(midday, []projection.Status{parked, well(nil)})
	assert.Equal(t, projection.Degraded, report.Verdict)
	assert.Equal(t, midday, report.At)
	assert.Equal(t, "parked", report.Projections[0].Status.Projection, "in the order of the statuses")
	assert.Equal(t, projection.Healthy, report.Projections[1].Verdict)

	report = projection.Health{}.Check(midday, []projection.Status{well(nil), behind, parked})
	assert.Equal(t, projection.Unhealthy, report.Verdict)
	assert.True(t, report.Alive(), "no loop is dead: to start the process anew would not help")
}

func TestHealthOfNothingIsUnknown(t *testing.T) {
	t.Parallel()
	report := projection.Health{}.Check(midday, nil)
	assert.Equal(t, projection.Unknown, report.Verdict)
	assert.False(t, report.Ready())
	assert.False(t, projection.Report{}.Ready(), "a report that nobody made is not healthy")
}

func TestVerdictInWords(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[projection.Verdict]string{
		projection.Unknown: "unknown", projection.Healthy: "healthy", projection.Degraded: "degraded", projection.Unhealthy: "unhealthy",
	} {
		assert.Equal(t, want, verdict.String())
	}
}

func TestHealthRefusesBadTolerances(t *testing.T) {
	t.Parallel()
	for field, h := range map[string]projection.Health{
		"max_behind":     {MaxBehind: -1},
		"max_silence":    {MaxSilence: -1},
		"max_parked":     {MaxParked: -1},
		"max_letter_age": {Except: map[string]projection.Health{"titles": {MaxLetterAge: -1}}},
		"except":         {Except: map[string]projection.Health{"titles": {Except: map[string]projection.Health{"titles": {}}}}},
	} {
		err := h.Validate()
		require.ErrorIs(t, err, event.ErrInvalid, field)
		require.ErrorContains(t, err, field)
	}
	require.NoError(t, projection.Health{Except: map[string]projection.Health{"titles": {}}}.Validate())
}

// deaf is a store whose Wait takes no notice of anything once it is deaf: the
// loop that calls it is dead.
type deaf struct {
	*memory.Store

	deaf    atomic.Bool
	hanging chan struct{} // closed by the test to let go
}

func (d *deaf) Wait(ctx context.Context, after uint64) (uint64, error) {
	if d.deaf.Load() {
		<-d.hanging
	}
	return d.Store.Wait(ctx, after)
}

func TestTrapADeadLoopNeverReadsAsHealthy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := &deaf{Store: openMemory(t), hanging: make(chan struct{})}
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		require.NoError(t, err)
		check := func() projection.Report {
			statuses, err := r.Status(t.Context())
			require.NoError(t, err)
			return projection.Health{}.Check(time.Now(), statuses)
		}
		assert.Equal(t, projection.Unhealthy, check().Verdict, "it was never started")
		assert.True(t, check().Alive(), "and is not dead for that")

		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		<-time.After(10 * time.Minute)
		assert.Equal(t, projection.Healthy, check().Verdict, "a loop that has nothing to do goes round")

		store.deaf.Store(true)
		<-time.After(3 * time.Minute)
		report := check()
		assert.Zero(t, report.Projections[0].Status.Lag(), "there is nothing to do")
		assert.Equal(t, projection.Unhealthy, report.Verdict)
		assert.False(t, report.Alive())
		assert.False(t, projection.Health{}.Check(time.Now(), r.Pulse()).Alive(), "to be seen without the store")

		note(t, store, "two")
		<-time.After(time.Minute)
		report = check()
		assert.Equal(t, uint64(1), report.Projections[0].Status.Lag(), "measured against the store's head")
		assert.Equal(t, time.Minute, report.Projections[0].Status.Behind)
		close(store.hanging)
		stop()
		assert.Equal(t, []string{"not running"}, check().Projections[0].Reasons)
	})
}

func TestHealthOfTheProcessThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := openMemory(t)
		started := func(owner string) (*projection.Runner, func()) {
			r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}, Owner: owner})
			require.NoError(t, err)
			return r, run(t, r)
		}
		first, stopFirst := started("first")
		require.NoError(t, first.WaitFor(t.Context(), "notes", note(t, store, "one")))
		second, stopSecond := started("second")
		<-time.After(10 * time.Minute)
		statuses, err := second.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Waiting, statuses[0].State)
		report := projection.Health{}.Check(time.Now(), statuses)
		assert.Equal(t, projection.Healthy, report.Verdict, report)
		stopFirst()
		stopSecond()
	})
}

// reader is a StatusReader that does what the test says.
type reader func(ctx context.Context) ([]projection.Status, error)

func (r reader) Status(ctx context.Context) ([]projection.Status, error) { return r(ctx) }

func newCache(t *testing.T, r projection.StatusReader, config projection.StatusCacheConfig) *projection.StatusCache {
	t.Helper()
	c, err := projection.NewStatusCache(r, config)
	require.NoError(t, err)
	return c
}

func TestStatusCacheAsksOnceForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		var asked atomic.Int64
		c := newCache(t, reader(func(context.Context) ([]projection.Status, error) {
			asked.Add(1)
			<-time.After(time.Second)
			return []projection.Status{well(nil)}, nil
		}), projection.StatusCacheConfig{})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				statuses, _ := c.Status(t.Context())
				assert.Len(t, statuses, 1)
			})
		}
		all.Wait()
		assert.Equal(t, int64(1), asked.Load(), "one question is on its way")

		<-time.After(time.Second - 1)
		_, err := c.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, int64(1), asked.Load(), "the answer is kept")
		<-time.After(1)
		_, err = c.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, int64(2), asked.Load(), "and not for ever")
	})
}

func TestStatusCacheKeepsErrorsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		down, asked := errors.New("down"), 0
		c := newCache(t, reader(func(context.Context) ([]projection.Status, error) { asked++; return nil, down }), projection.StatusCacheConfig{Keep: time.Minute})
		for range 3 {
			_, err := c.Status(t.Context())
			require.ErrorIs(t, err, down)
		}
		assert.Equal(t, 1, asked)
	})
}

func TestStatusCacheDoesNotHangWithTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		let := make(chan struct{})
		var asked atomic.Int64
		c := newCache(t, reader(func(context.Context) ([]projection.Status, error) { // takes no notice of its context
			asked.Add(1)
			<-let
			return []projection.Status{well(nil)}, nil
		}), projection.StatusCacheConfig{Timeout: 3 * time.Second})
		began := time.Now()
		_, err := c.Status(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no answer within 3s")
		assert.Equal(t, 3*time.Second, time.Since(began))

		_, err = c.Status(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, time.Since(began), "the next one does not wait again")
		assert.Equal(t, int64(1), asked.Load(), "nor asks again")

		close(let)
		synctest.Wait()
		statuses, err := c.Status(t.Context())
		require.NoError(t, err, "a late answer is one")
		assert.Len(t, statuses, 1)
	})
}

func TestStatusCacheGoesOnWhenTheFirstToAskIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		c := newCache(t, reader(func(ctx context.Context) ([]projection.Status, error) {
			select {
			case <-time.After(time.Second):
				return []projection.Status{well(nil)}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}), projection.StatusCacheConfig{})
		first, gone := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, gone)
		_, err := c.Status(first)
		require.ErrorIs(t, err, context.Canceled)
		statuses, err := c.Status(t.Context())
		require.NoError(t, err)
		assert.Len(t, statuses, 1)
	})
}

func TestStatusCacheOfOneThatPanics(t *testing.T) {
	t.Parallel()
	c := newCache(t, reader(func(context.Context) ([]projection.Status, error) { panic("oops") }), projection.StatusCacheConfig{})
	_, err := c.Status(t.Context())
	require.ErrorContains(t, err, "oops")
}

func TestStatusCacheGivesEachItsOwn(t *testing.T) {
	t.Parallel()
	c := newCache(t, reader(func(context.Context) ([]projection.Status, error) { return []projection.Status{well(nil)}, nil }), projection.StatusCacheConfig{Keep: time.Hour})
	statuses, err := c.Status(t.Context())
	require.NoError(t, err)
	statuses[0].Projection = "changed"
	statuses, err = c.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "titles", statuses[0].Projection)
	assert.Nil(t, c.Pulse(), "nothing is known of its loops")
}

func TestStatusCacheHandsOnThePulse(t *testing.T) {
	t.Parallel()
	r, err := projection.NewRunner(openMemory(t), projection.Config{Projections: []projection.Projection{
		projection.New("notes", 1, projection.On(onNoted)), projection.New("others", 1, projection.On(onNoted)),
	}})
	require.NoError(t, err)
	pulse := newCache(t, r, projection.StatusCacheConfig{}).Pulse()
	require.Len(t, pulse, 2)
	assert.Equal(t, "others", pulse[1].Projection)
}

func TestStatusCacheRefusesBadInput(t *testing.T) {
	t.Parallel()
	some := reader(func(context.Context) ([]projection.Status, error) { return nil, nil })
	for field, bad := range map[string]struct {
		r      projection.StatusReader
		config projection.StatusCacheConfig
	}{
		"status":  {},
		"timeout": {r: some, config: projection.StatusCacheConfig{Timeout: -1}},
		"keep":    {r: some, config: projection.StatusCacheConfig{Keep: -1}},
	} {
		_, err := projection.NewStatusCache(bad.r, bad.config)
		require.ErrorIs(t, err, event.ErrInvalid)
		require.ErrorContains(t, err, field)
	}
}

var _ eventstore.Store = (*deaf)(nil)
