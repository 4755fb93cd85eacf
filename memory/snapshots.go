package memory

import (
	"bytes"
	"context"
	"sync"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// snapshots implements [aggregate.SnapshotStore].
type snapshots struct {
	ports *ports

	mu       sync.RWMutex
	byStream map[eventstore.Stream]aggregate.Snapshot
}

// Load implements [aggregate.SnapshotStore]. The state is the caller's own copy.
func (s *snapshots) Load(ctx context.Context, stream eventstore.Stream) (aggregate.Snapshot, bool, error) {
	if err := s.ports.usable(ctx); err != nil {
		return aggregate.Snapshot{}, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.byStream[stream]
	found.State = bytes.Clone(found.State)
	return found, ok, nil
}

// Save implements [aggregate.SnapshotStore]. The state is copied.
func (s *snapshots) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if err := snapshot.Validate(); err != nil {
		return err
	}
	if err := s.ports.usable(ctx); err != nil {
		return err
	}
	snapshot.State = bytes.Clone(snapshot.State)
	snapshot.TakenAt = event.Time(snapshot.TakenAt)
	s.mu.Lock()
	defer s.mu.Unlock()
	if snapshot.Version >= s.byStream[snapshot.Stream].Version {
		s.byStream[snapshot.Stream] = snapshot
	}
	return nil
}

// Delete implements [aggregate.SnapshotStore].
func (s *snapshots) Delete(ctx context.Context, stream eventstore.Stream) error {
	if err := s.ports.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byStream, stream)
	return nil
}
