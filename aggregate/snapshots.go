package aggregate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
)

const (
	// mostWaiting bounds the snapshots that wait to be written. One for the
	// same stream replaces the one that waits; others are dropped: a snapshot
	// is worth less than the memory of a program that cannot keep up.
	mostWaiting = 64
	// snapshotTimeout bounds the writing of one snapshot.
	snapshotTimeout = 10 * time.Second
)

// snapshots reads snapshots for loads and writes those that saves ask for, in
// the background. There is one goroutine, only while there is something to
// write.
type snapshots struct {
	store   SnapshotStore
	policy  SnapshotPolicy
	storeID uuid.UUID // of the event store
	now     func() time.Time
	counts  counts

	mu      sync.Mutex
	waiting map[eventstore.Stream]func()
	idle    chan struct{} // closed when the goroutine ends; nil if there is none
	closed  bool
}

func newSnapshots(storeID uuid.UUID, config Config) *snapshots {
	if config.Snapshots == nil {
		return nil
	}
	return &snapshots{
		store: config.Snapshots, policy: config.SnapshotPolicy, storeID: storeID, now: config.Now,
		waiting: make(map[eventstore.Stream]func()),
	}
}

// startLoad and loadTook measure a load, for those who need to know.
func (h *home) startLoad() time.Time {
	if h.snapshots == nil {
		return time.Time{}
	}
	return h.now()
}

func (h *home) loadTook(started time.Time) time.Duration {
	if h.snapshots == nil {
		return 0
	}
	return h.now().Sub(started)
}

// fromSnapshot brings the root to the version of its snapshot, if there is one
// that serves. The store has to confirm it. Why one does not serve is counted;
// it is never a reason for a load to fail.
func (h *home) fromSnapshot(ctx context.Context, root Root, stream eventstore.Stream, to uint64) bool {
	if h.snapshots == nil {
		return false
	}
	s, ok := h.snapshots.find(ctx, stream)
	if !ok || to > 0 && s.Version > to {
		return false
	}
	if err := root.thaw(s.SchemaVersion, s.State); err != nil {
		h.snapshots.countUnusable(err)
		root.reset()
		return false
	}
	p := root.at()
	p.tenant, p.saved, p.cost.base = stream.TenantID, s.Version, s.Version
	return true
}

// find returns the stream's snapshot if it was taken of this store.
func (s *snapshots) find(ctx context.Context, stream eventstore.Stream) (Snapshot, bool) {
	found, ok, err := s.store.Load(ctx, stream)
	switch {
	case err != nil:
		s.counts.unreadable.Add(1)
	case !ok:
		s.counts.missing.Add(1)
	case found.StoreID != s.storeID || found.Stream != stream || found.Version == 0:
		s.counts.foreign.Add(1)
	default:
		return found, true
	}
	return Snapshot{}, false
}

func (s *snapshots) countUnusable(err error) {
	if errors.Is(err, errStale) {
		s.counts.stale.Add(1)
		return
	}
	s.counts.undecodable.Add(1)
}

func (s *snapshots) countUsed(err error) {
	if err == nil {
		s.counts.used.Add(1)
	}
}

// consider takes a snapshot after a save if the policy wants one.
func (s *snapshots) consider(ctx context.Context, stream eventstore.Stream, root Root, before uint64) {
	p := root.at()
	if !s.policy(Saved{Before: before, After: p.saved, Base: p.cost.base, LoadTook: p.cost.took}) {
		return
	}
	p.cost = loadCost{base: p.saved}
	state, version := root.freeze(), p.saved
	s.enqueue(stream, func() {
		// The caller may be gone by now; its tenant and trace are still right.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotTimeout)
		defer cancel()
		s.write(ctx, stream, version, state)
	})
}

func (s *snapshots) write(ctx context.Context, stream eventstore.Stream, version uint64, state frozen) {
	data, err := state.encode()
	if err != nil {
		s.counts.unencodable.Add(1)
		return
	}
	err = s.store.Save(ctx, Snapshot{
		Stream: stream, StoreID: s.storeID, Version: version,
		SchemaVersion: state.schemaVersion, State: data, TakenAt: s.now().UTC().Truncate(time.Microsecond),
	})
	if err != nil {
		s.counts.failed.Add(1)
		return
	}
	s.counts.written.Add(1)
}

func (s *snapshots) enqueue(stream eventstore.Stream, job func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, replaces := s.waiting[stream]
	if s.closed || replaces || len(s.waiting) >= mostWaiting {
		s.counts.dropped.Add(1)
	}
	if s.closed || !replaces && len(s.waiting) >= mostWaiting {
		return
	}
	s.waiting[stream] = job
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.drain()
	}
}

// drain writes until nothing waits.
func (s *snapshots) drain() {
	for {
		job := s.next()
		if job == nil {
			return
		}
		job()
	}
}

func (s *snapshots) next() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, job := range s.waiting {
		delete(s.waiting, stream)
		return job
	}
	close(s.idle)
	s.idle = nil
	return nil
}

func (s *snapshots) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	idle := s.idle
	s.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d snapshots dropped: %w", s.abandon(), ctx.Err())
	}
}

// abandon drops what has not been begun.
func (s *snapshots) abandon() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.waiting)
	clear(s.waiting)
	s.counts.dropped.Add(uint64(n))
	return n
}
