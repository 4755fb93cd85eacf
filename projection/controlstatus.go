package projection

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
)

// Stage is where a version of a projection stands, as far as the database
// shows.
type Stage string

// The stages. Of several that apply, the one that is named first here is shown.
const (
	// StageRetired has nothing left but its record.
	StageRetired Stage = "retired"
	// StageReplaced was live before another version was switched to.
	StageReplaced Stage = "replaced"
	// StageFailed cannot go on: its checkpoint belongs to another event store.
	StageFailed Stage = "failed"
	// StageDetached is run by no process that is alive: all are down, or its code
	// is gone.
	StageDetached Stage = "detached"
	// StagePaused waits for somebody to resume it.
	StagePaused Stage = "paused"
	// StageNew has a checkpoint, but no runner has made it known yet.
	StageNew Stage = "new"
	// StageBuilding replays the log beside the live version.
	StageBuilding Stage = "building"
	// StageCaughtUp follows the log and can be switched to.
	StageCaughtUp Stage = "caught up"
	// StageLive is what readers see.
	StageLive Stage = "live"
)

// VersionStatus is what the database shows of one version of a projection. What
// a runner has in memory, such as its last error, [Runner.Status] shows.
type VersionStatus struct {
	Name   registry.Name
	Stage  Stage
	Record registry.Record // what is decided about it, pause and order among it; zero if it is new

	Position    uint64        // of the lane furthest behind: everything up to here is done
	Head        uint64        // the store's; positions between may be of events that the projection does not want
	Behind      time.Duration // age of the oldest event above Position; 0 at the head, and for a version that does not run
	Lanes       []LaneStatus  // each, from lane 0
	DeadLetters dlq.Stats
	Members     []string // the processes that are alive and have its code, by the names of their owners, in order
}

// LaneStatus is what the database shows of one lane.
type LaneStatus struct {
	Position uint64
	MovedAt  time.Time // when its checkpoint last moved; zero if never
	Owner    string    // who runs it; "" if nobody does at this moment
	Fence    uint64    // of the owner's lease; 0 without an owner
}

// Runs reports whether the version is one that runners run, unless it is paused.
func (s VersionStatus) Runs() bool { return s.Stage != StageRetired && s.Stage != StageReplaced }

// Lag returns how many positions the version is behind the head; 0 for one that
// does not run.
func (s VersionStatus) Lag() uint64 {
	if !s.Runs() || s.Position >= s.Head {
		return 0
	}
	return s.Head - s.Position
}

// Done returns the share of the log that is done, from 0 to 1.
func (s VersionStatus) Done() float64 {
	if s.Head == 0 {
		return 1
	}
	return min(1, float64(s.Position)/float64(s.Head))
}

// Status returns where all versions of all projections stand, ordered by name
// and version. It looks at the database only, so that it tells the same to every
// process, and also of projections that none of them runs.
func (c *Control) Status(ctx context.Context) ([]VersionStatus, error) {
	known, err := c.survey(ctx)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	all := make([]VersionStatus, 0, len(known.records))
	for _, r := range known.records {
		s := known.version(&r)
		if s.DeadLetters, err = c.progress.DeadLetters().Stats(ctx, r.Name.Projection, r.Name.Version); err != nil {
			return nil, fmt.Errorf("status of %s: %w", r.Name, err)
		}
		if s.Behind, err = c.age(ctx, s); err != nil {
			return nil, fmt.Errorf("status of %s: %w", r.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// age returns that of the oldest event that a version has not done.
func (c *Control) age(ctx context.Context, s VersionStatus) (time.Duration, error) {
	if s.Lag() == 0 || s.Stage == StageFailed {
		return 0, nil
	}
	e, there, err := firstFrom(ctx, c.events, s.Position+1, s.Head)
	if err != nil || !there {
		return 0, err
	}
	return max(0, c.now().Sub(e.RecordedAt)), nil
}

// survey is what is known of all projections at one moment.
type survey struct {
	store       uuid.UUID
	head        uint64
	records     []registry.Record // a record without a revision is of a version that is new
	checkpoints []checkpoint.Checkpoint
	owners      map[string]lease.Lease // of lanes, by the names of their leases
	members     []lease.Lease
}

// survey asks everything that can be asked for all projections at once. The
// head comes last: a checkpoint is not above it.
func (c *Control) survey(ctx context.Context) (*survey, error) {
	s := &survey{store: c.events.ID(), owners: make(map[string]lease.Lease)}
	var err error
	if s.records, err = c.registry.List(ctx, ""); err != nil {
		return nil, err // the caller says what was done.
	}
	if s.checkpoints, err = c.progress.Checkpoints().List(ctx, ""); err != nil {
		return nil, err // the caller says what was done.
	}
	if s.members, err = c.progress.Leases().List(ctx, memberPrefix); err != nil {
		return nil, err // the caller says what was done.
	}
	lanes, err := c.progress.Leases().List(ctx, lanePrefix)
	if err != nil {
		return nil, err // the caller says what was done.
	}
	for _, l := range lanes {
		s.owners[l.Name] = l
	}
	if s.head, err = c.events.Head(ctx); err != nil {
		return nil, err // the caller says what was done.
	}
	s.addNew()
	return s, nil
}

// addNew adds records of versions that have checkpoints and no record: a runner
// of an older release has run them.
func (s *survey) addNew() {
	lanes := make(map[registry.Name]int)
	for _, k := range s.checkpoints {
		if strings.HasSuffix(k.Key.Projection, checkpoint.TimeoutsSuffix) {
			continue // no projection, but what a process waits for
		}
		name := registry.Name{Projection: k.Key.Projection, Version: k.Key.Version}
		lanes[name] = max(lanes[name], k.Key.Lane+1)
	}
	for _, r := range s.records {
		delete(lanes, r.Name)
	}
	for name, n := range lanes {
		s.records = append(s.records, registry.Record{Name: name, Lanes: n})
	}
	slices.SortFunc(s.records, func(a, b registry.Record) int {
		return cmp.Or(cmp.Compare(a.Name.Projection, b.Name.Projection), cmp.Compare(a.Name.Version, b.Name.Version))
	})
}

// version returns what is known of one version.
func (s *survey) version(r *registry.Record) VersionStatus {
	v := VersionStatus{Name: r.Name, Record: *r, Head: s.head, Members: s.membersOf(r.Name)}
	failed, owned := false, false
	lanes := checkpointsOf(r, s.checkpoints)
	for _, k := range lanes {
		owner := s.owners[lanePrefix+k.Key.String()]
		failed, owned = failed || foreign(k, s.store), owned || owner.Owner != ""
		v.Lanes = append(v.Lanes, LaneStatus{Position: k.Position, MovedAt: k.UpdatedAt, Owner: owner.Owner, Fence: owner.Fence})
	}
	v.Position, _ = extent(lanes)
	v.Stage = stageOf(r, failed, owned || len(v.Members) > 0)
	if r.Revision == 0 {
		v.Record = registry.Record{}
	}
	return v
}

func stageOf(r *registry.Record, failed, alive bool) Stage {
	switch {
	case r.State == registry.Retired:
		return StageRetired
	case r.State == registry.Replaced:
		return StageReplaced
	case failed:
		return StageFailed
	case !alive:
		return StageDetached
	case r.Paused():
		return StagePaused
	case r.State == registry.Building:
		return StageBuilding
	case r.State == registry.CaughtUp:
		return StageCaughtUp
	case r.State == registry.Live:
		return StageLive
	default:
		return StageNew
	}
}

// membersOf returns the owners whose member leases are of a version.
func (s *survey) membersOf(name registry.Name) []string {
	var owners []string
	for _, l := range s.members {
		if isMember(l, name) {
			owners = append(owners, l.Owner)
		}
	}
	slices.Sort(owners)
	return owners
}

// checkpointsOf returns the checkpoints of a version's lanes, each at its place; one
// that has none stands at 0. Checkpoints of lanes that are no more are left out.
func checkpointsOf(r *registry.Record, list []checkpoint.Checkpoint) []checkpoint.Checkpoint {
	lanes := make([]checkpoint.Checkpoint, r.Lanes)
	for i := range lanes {
		lanes[i].Key = checkpoint.Key{Projection: r.Name.Projection, Version: r.Name.Version, Lane: i}
	}
	for _, k := range list {
		if k.Key.Projection == r.Name.Projection && k.Key.Version == r.Name.Version && k.Key.Lane < r.Lanes {
			lanes[k.Key.Lane] = k
		}
	}
	return lanes
}

// extent returns the lowest and the highest position of lanes.
func extent(lanes []checkpoint.Checkpoint) (low, high uint64) {
	for i, lane := range lanes {
		if i == 0 || lane.Position < low {
			low = lane.Position
		}
		high = max(high, lane.Position)
	}
	return low, high
}

// foreign reports whether a checkpoint has moved in another event store.
func foreign(k checkpoint.Checkpoint, store uuid.UUID) bool {
	return k.StoreID != uuid.Nil && k.StoreID != store
}
