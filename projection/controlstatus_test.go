package projection_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// member is the lease by which an owner shows that it runs a version.
func member(name registry.Name, owner string) lease.Lease {
	hash := sha256.Sum256([]byte(owner)) // owners' names may be as long as those of leases
	return lease.Lease{Name: "member/" + name.String() + "/" + hex.EncodeToString(hash[:8]), Owner: owner, Fence: 1}
}

func only(t *testing.T, d *desk) projection.VersionStatus {
	t.Helper()
	all, err := d.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	all, err := newDesk(t).Status(t.Context())
	require.NoError(t, err)
	assert.Empty(t, all)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{Now: func() time.Time { return noon.Add(-time.Minute) }})
	require.NoError(t, err)
	d := &desk{Store: store, book: &book{}}
	d.leases = &leases{Store: store.Leases(), held: []lease.Lease{
		member(v1, "host-2"), member(v1, "host-1"), member(v2, "host-1"),
		{Name: "projection/titles v1 lane 1", Owner: "host-2", Fence: 7},
		{Name: "projection/titles v2", Owner: "host-1", Fence: 2},
		{Name: "projection/other", Owner: "somebody", Fence: 1},
	}}
	d.record, d.letter = &records{Store: store.Registry()}, &letters{Store: store.DeadLetters()}
	d.Control, err = projection.NewControl(store, projection.ControlConfig{Progress: deskProgress{d}, Recorder: d.book, Now: func() time.Time { return noon }})
	require.NoError(t, err)
	head := noteOn(t, store, uuid.New(), 8)
	first := d.has(t, v1, registry.Live, ordered(registry.ChangeLanes), 8, 2)
	d.has(t, v2, registry.Building, nil, 4)
	counts := registry.Name{Projection: "counts", Version: 4}
	d.has(t, counts, registry.Live, nil, 8)
	d.park(t, v1, 2) // two events more

	all, err := d.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, counts, all[0].Name)
	assert.Equal(t, projection.StageDetached, all[0].Stage, "no process has its code")
	assert.Empty(t, all[0].Members)

	live := all[1]
	moved := live.Lanes[0].MovedAt
	assert.Equal(t, noon.Add(-time.Minute), moved)
	assert.Equal(t, projection.VersionStatus{
		Name: v1, Stage: projection.StageLive, Record: first,
		Position: 2, Head: head + 2, Behind: time.Minute,
		Lanes: []projection.LaneStatus{
			{Position: 8, MovedAt: moved},
			{Position: 2, MovedAt: moved, Owner: "host-2", Fence: 7},
		},
		DeadLetters: dlq.Stats{Sequences: 1, Letters: 2, Oldest: noon.Add(-time.Hour)},
		Members:     []string{"host-1", "host-2"},
	}, live)
	assert.EqualValues(t, 8, live.Lag())
	assert.InDelta(t, 0.2, live.Done(), 1e-9)
	assert.Equal(t, projection.StageBuilding, all[2].Stage)
	assert.Equal(t, []string{"host-1"}, all[2].Members)
}

func TestStages(t *testing.T) {
	t.Parallel()
	foreign := func(t *testing.T, d *desk) {
		t.Helper()
		key := checkpoint.Key{Projection: "titles", Version: 1}
		require.NoError(t, d.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 5, StoreID: uuid.New()}))
	}
	for name, c := range map[string]struct {
		state  registry.State
		change func(*registry.Record)
		down   bool
		more   func(*testing.T, *desk)
		want   projection.Stage
	}{
		"building":               {state: registry.Building, want: projection.StageBuilding},
		"caught up":              {state: registry.CaughtUp, want: projection.StageCaughtUp},
		"live":                   {state: registry.Live, want: projection.StageLive},
		"replaced":               {state: registry.Replaced, want: projection.StageReplaced},
		"retired":                {state: registry.Retired, want: projection.StageRetired},
		"replaced, nobody there": {state: registry.Replaced, down: true, want: projection.StageReplaced},
		"retired, nobody there":  {state: registry.Retired, down: true, want: projection.StageRetired},
		"paused":                 {state: registry.Live, change: paused, want: projection.StagePaused},
		"building and paused":    {state: registry.Building, change: paused, want: projection.StagePaused},
		"nobody there":           {state: registry.Live, down: true, want: projection.StageDetached},
		"paused, nobody there":   {state: registry.Live, change: paused, down: true, want: projection.StageDetached},
		"of another store":       {state: registry.Live, more: foreign, want: projection.StageFailed},
		"known to nobody, runs":  {more: foreign, want: projection.StageFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if c.state != "" {
				d.has(t, v1, c.state, c.change)
			}
			if c.more != nil {
				c.more(t, d)
			}
			if !c.down {
				d.leases.held = []lease.Lease{member(v1, "host-1")}
			}
			s := only(t, d)
			assert.Equal(t, c.want, s.Stage)
			assert.Equal(t, c.state != registry.Replaced && c.state != registry.Retired, s.Runs())
		})
	}
}

// A runner of an older release holds the lease of its lane and writes no record.
func TestStatusOfAVersionThatNobodyHasMadeKnown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for lane, position := range []uint64{4, 6} {
		key := checkpoint.Key{Projection: "titles", Version: 1, Lane: lane}
		require.NoError(t, d.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: position, StoreID: d.ID()}))
	}
	assert.Equal(t, projection.StageDetached, only(t, d).Stage)
	d.leases.held = []lease.Lease{{Name: "projection/titles v1", Owner: "host-1", Fence: 3}}
	s := only(t, d)
	assert.Equal(t, projection.StageNew, s.Stage)
	assert.Zero(t, s.Record)
	assert.EqualValues(t, 4, s.Position)
	assert.Len(t, s.Lanes, 2)
}

// A name may begin with another's, and an owner's with a slash.
func TestMembersOfNamesThatBeginAlike(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	odd := registry.Name{Projection: "titles v1/host-9", Version: 1}
	d.has(t, v1, registry.Live, nil)
	d.has(t, odd, registry.Live, nil)
	d.leases.held = []lease.Lease{member(odd, "host-1"), {Name: "projection/titles v1/host-9 v1", Owner: "host-1"}}
	all, err := d.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, projection.StageDetached, all[0].Stage)
	assert.Equal(t, projection.StageLive, all[1].Stage)
	assert.Equal(t, []string{"host-1"}, all[1].Members)
}

// A version that does not run does not fall behind.
func TestStatusOfAVersionThatDoesNotRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	noteOn(t, d.Store, uuid.New(), 4)
	d.has(t, v1, registry.Replaced, nil, 2)
	s := only(t, d)
	assert.Zero(t, s.Lag())
	assert.Zero(t, s.Behind)
	assert.InDelta(t, 0.5, s.Done(), 1e-9)
	assert.InDelta(t, 1, projection.VersionStatus{}.Done(), 1e-9)
}

// Checkpoints of lanes that are no more do not count.
func TestStatusAfterAChangeOfLanes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, func(r *registry.Record) { r.Lanes = 1 }, 6, 2)
	s := only(t, d)
	assert.EqualValues(t, 6, s.Position)
	assert.Len(t, s.Lanes, 1)
}

func TestStatusOfAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	d.leases.broken = down
	_, err := d.Status(t.Context())
	require.ErrorIs(t, err, down)
	d.leases.broken = nil
	require.NoError(t, d.Close())
	_, err = d.Status(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
}
