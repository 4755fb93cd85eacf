package snapshottest_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/snapshottest"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func TestSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	snapshottest.RequireSameWords(t, "../snapshot.go")
}

func TestHonestStorePasses(t *testing.T) {
	t.Parallel()
	snapshottest.Run(t, open)
}

func TestBrokenStoresFail(t *testing.T) {
	t.Parallel()
	for clause, wrap := range map[string]func(aggregate.SnapshotStore) aggregate.SnapshotStore{
		"nothing before the first Save":    func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return alwaysFound{s} },
		"byte for byte":                    func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return trims{s} },
		"what the newest Save stored":      func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return firstStays{s} },
		"the state is copied":              func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return &shares{SnapshotStore: s} },
		"nothing after Delete":             func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return deletesNothing{s} },
		"an older version does nothing":    func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return lastStays{s} },
		"the same version replaces":        func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return firstStays{s} },
		"of racing Saves the newest stays": func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return firstStays{s} },
		"independent streams":              func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return folded{s} },
		"bad snapshots are refused":        func(s aggregate.SnapshotStore) aggregate.SnapshotStore { return fillsIn{s} },
	} {
		t.Run(clause, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, []string{clause}, snapshottest.Failing(t, func(t *testing.T) aggregate.SnapshotStore {
				t.Helper()
				return wrap(open(t))
			}, clause))
		})
	}
}

func open(t *testing.T) aggregate.SnapshotStore {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store.Snapshots()
}

type alwaysFound struct{ aggregate.SnapshotStore }

func (s alwaysFound) Load(ctx context.Context, stream eventstore.Stream) (aggregate.Snapshot, bool, error) {
	found, _, err := s.SnapshotStore.Load(ctx, stream)
	return found, true, err
}

type trims struct{ aggregate.SnapshotStore }

func (s trims) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	snapshot.State = bytes.TrimRight(snapshot.State, "\xff")
	return s.SnapshotStore.Save(ctx, snapshot)
}

type firstStays struct{ aggregate.SnapshotStore }

func (s firstStays) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if _, found, err := s.Load(ctx, snapshot.Stream); found || err != nil {
		return err
	}
	return s.SnapshotStore.Save(ctx, snapshot)
}

type lastStays struct{ aggregate.SnapshotStore }

func (s lastStays) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if err := s.Delete(ctx, snapshot.Stream); err != nil {
		return err
	}
	return s.SnapshotStore.Save(ctx, snapshot)
}

// shares keeps the caller's slice.
type shares struct {
	aggregate.SnapshotStore

	mu    sync.Mutex
	state []byte
}

func (s *shares) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = snapshot.State
	return s.SnapshotStore.Save(ctx, snapshot)
}

func (s *shares) Load(ctx context.Context, stream eventstore.Stream) (aggregate.Snapshot, bool, error) {
	found, ok, err := s.SnapshotStore.Load(ctx, stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	found.State = s.state
	return found, ok, err
}

type deletesNothing struct{ aggregate.SnapshotStore }

func (s deletesNothing) Delete(context.Context, eventstore.Stream) error { return nil }

// folded takes types that differ by case for the same.
type folded struct{ aggregate.SnapshotStore }

func (s folded) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	snapshot.Stream.AggregateType = strings.ToLower(snapshot.Stream.AggregateType)
	return s.SnapshotStore.Save(ctx, snapshot)
}

// fillsIn stores what should be refused.
type fillsIn struct{ aggregate.SnapshotStore }

func (s fillsIn) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if snapshot.StoreID == uuid.Nil {
		snapshot.StoreID = uuid.Max
	}
	if snapshot.TakenAt.IsZero() {
		snapshot.TakenAt = time.Unix(0, 0)
	}
	return s.SnapshotStore.Save(ctx, snapshot)
}
