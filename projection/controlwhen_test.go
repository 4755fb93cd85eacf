package projection_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// dated is a log of which only positions and times matter. It counts reads and
// events.
type dated struct {
	eventstore.Store

	log    []event.Event // in the order of positions, not all of which need be there
	reads  atomic.Int64
	events atomic.Int64
	broken error
}

func (s *dated) Head(context.Context) (uint64, error) {
	if len(s.log) == 0 {
		return 0, s.broken
	}
	return s.log[len(s.log)-1].Position, s.broken
}

func (s *dated) ReadAll(_ context.Context, q eventstore.Query) iter.Seq2[event.Event, error] {
	s.reads.Add(1)
	return func(yield func(event.Event, error) bool) {
		left := q.Limit
		for _, e := range s.log {
			if !q.Matches(&e) {
				continue
			}
			s.events.Add(1)
			if !yield(e, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// rewindTo returns the position that a control rewinds to.
func rewindTo(t *testing.T, store *dated, at time.Time) (uint64, error) {
	t.Helper()
	d := newDesk(t)
	store.Store = d.Store
	c, err := projection.NewControl(store, projection.ControlConfig{Progress: deskProgress{d}, Recorder: d.book})
	require.NoError(t, err)
	d.has(t, v1, registry.Live, nil, 1<<40)
	if err := c.RewindTo(t.Context(), v1, at, "a release was wrong"); err != nil {
		return 0, err
	}
	assert.True(t, at.Equal(d.book.all()[0].Before))
	assert.Equal(t, d.stored(t, v1).Order.Position, d.book.all()[0].Position)
	return d.stored(t, v1).Order.Position, nil
}

func TestRewindToATime(t *testing.T) {
	t.Parallel()
	at := func(seconds ...float64) *dated {
		s := &dated{}
		for i, sec := range seconds {
			s.log = append(s.log, event.Event{Position: uint64(i + 1), RecordedAt: noon.Add(time.Duration(sec * float64(time.Second)))})
		}
		return s
	}
	gaps := at(100, 200, 300)
	for i := range gaps.log {
		gaps.log[i].Position = []uint64{10, 5_000_000_000, 5_000_000_007}[i]
	}
	for name, c := range map[string]struct {
		store *dated
		to    float64 // seconds after noon
		want  uint64
	}{
		"an empty store":                     {at(), 0, 0},
		"before the first":                   {at(1, 2, 3), -5, 0},
		"at the first":                       {at(1, 2, 3), 1, 0},
		"just above the first":               {at(1, 2, 3), 1.5, 1},
		"between":                            {at(100, 200, 300), 250, 2},
		"at one of several of the same time": {at(100, 200, 200, 200, 300), 200, 1},
		"after the last":                     {at(100, 200, 300), 1000, 3},
		"within the slack of all":            {at(1, 2, 3, 4, 5), 4, 3},
		"positions with gaps":                {gaps, 250, 5_000_000_000},
		"below all, with gaps":               {gaps, 50, 0},
		"a clock that was set back":          {at(100, 101, 95, 96, 102, 103), 101, 1},
		"set back below the time":            {at(100, 110, 101, 102, 103, 120), 105, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rewindTo(t, c.store, noon.Add(time.Duration(c.to*float64(time.Second))))
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

// A search by halves reads little of a long log: it is not a scan.
func TestRewindToATimeReadsLittle(t *testing.T) {
	t.Parallel()
	s := &dated{}
	const events = 100_000
	for i := range uint64(events) {
		s.log = append(s.log, event.Event{Position: i + 1, RecordedAt: noon.Add(time.Duration(i) * time.Second)})
	}
	got, err := rewindTo(t, s, noon.Add(70_000*time.Second))
	require.NoError(t, err)
	assert.EqualValues(t, 70_000, got)
	assert.LessOrEqual(t, s.reads.Load(), int64(20))
	assert.LessOrEqual(t, s.events.Load(), int64(20+11+1), "and those within the slack")
}

// Whatever clocks do within the slack, no event of the time or later is missed,
// and none that a clock which never goes back would not have is applied again.
func TestRewindToATimeMissesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		s := &dated{}
		position, clock := uint64(0), noon
		for range r.IntN(300) {
			position += 1 + r.Uint64N(5)
			clock = clock.Add(time.Duration(r.Int64N(int64(3 * time.Second))))
			back := time.Duration(r.Int64N(int64(projection.ClockSlack)))
			s.log = append(s.log, event.Event{Position: position, RecordedAt: clock.Add(-back)})
		}
		to := noon.Add(time.Duration(r.Int64N(int64(8 * time.Minute)))).Truncate(time.Microsecond)
		want := uint64(0)
		for _, e := range s.log {
			if !e.RecordedAt.Before(to) {
				break
			}
			want = e.Position
		}
		got, err := rewindTo(t, s, to)
		require.NoError(t, err)
		require.Equal(t, want, got, fmt.Sprint("seed ", seed))
	}
}

func TestRewindToATimeThatIsNotOver(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	last := noteOn(t, d.Store, uuid.New(), 3)
	d.has(t, v1, registry.Live, nil, last)
	err := d.RewindTo(t.Context(), v1, noon.Add(1_000_000*time.Hour), "why")
	require.ErrorIs(t, err, event.ErrInvalid)
	require.ErrorContains(t, err, "leads to position 3, and projection titles v1 stands at 3: a rewind only goes back")
	require.ErrorContains(t, err, "invalid time")
}

func TestRewindToATimeOfAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	_, err := rewindTo(t, &dated{broken: eventstore.ErrUnavailable}, noon)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorContains(t, err, "look for the last event before 2026-03-01T12:00:00Z")
}
