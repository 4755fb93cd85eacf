package aggregate_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// fakeSnapshots is a snapshot store that a test gets its hands on.
type fakeSnapshots struct {
	mu       sync.Mutex
	byStream map[eventstore.Stream]aggregate.Snapshot
	loadErr  error
	saveErr  error
	saving   chan struct{} // if set, Save waits for it
	began    chan struct{} // if set, Save says that it has begun
}

func newSnapshots() *fakeSnapshots {
	return &fakeSnapshots{byStream: make(map[eventstore.Stream]aggregate.Snapshot)}
}

func (s *fakeSnapshots) Load(_ context.Context, st eventstore.Stream) (aggregate.Snapshot, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot, ok := s.byStream[st]
	return snapshot, ok, s.loadErr
}

func (s *fakeSnapshots) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if s.began != nil {
		s.began <- struct{}{}
	}
	if s.saving != nil {
		select {
		case <-s.saving:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saveErr == nil {
		s.byStream[snapshot.Stream] = snapshot
	}
	return s.saveErr
}

func (s *fakeSnapshots) Delete(_ context.Context, st eventstore.Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byStream, st)
	return nil
}

// change edits the snapshot of a stream.
func (s *fakeSnapshots) change(st eventstore.Stream, f func(*aggregate.Snapshot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := s.byStream[st]
	f(&snapshot)
	s.byStream[st] = snapshot
}

func TestSnapshotServesLoads(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 2, 3, 4, 5, 6789, time.UTC)
	store, snapshots := &fakeStore{Store: openStore(t)}, newSnapshots()
	config := aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(2), Now: func() time.Time { return now }}
	repo := repository(t, store, config)
	id := created(t, repo, "v1", "v2") // version 3
	require.NoError(t, repo.Close(t.Context()))
	assert.Equal(t, aggregate.Snapshot{
		Stream: stream(id), StoreID: store.ID(), Version: 3, SchemaVersion: 1, TakenAt: now.Truncate(time.Microsecond),
		State: []byte(`{"Title":"Plan","Content":"v2","CreatedBy":"","EditedBy":"","Edits":2}`),
	}, snapshots.byStream[stream(id)])
	assert.Equal(t, aggregate.SnapshotStats{Written: 1}, repo.SnapshotStats())

	other := repository(t, store, config)
	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "v3") }))
	d, err := other.Load(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, State{Title: "Plan", Content: "v3", Edits: 3}, d.State())
	assert.EqualValues(t, 4, d.Version())
	assert.EqualValues(t, 4, d.Position())
	assert.EqualValues(t, 3, store.lastQuery().From, "the snapshot's event is confirmed, those before are not read")
	assert.Equal(t, aggregate.SnapshotStats{Used: 1}, other.SnapshotStats())

	past, err := other.LoadAt(t.Context(), id, 3)
	require.NoError(t, err)
	assert.EqualValues(t, 3, past.Position(), "the confirming event tells the position")
	past, err = other.LoadAt(t.Context(), id, 2)
	require.NoError(t, err)
	assert.Equal(t, "v1", past.State().Content, "a snapshot beyond the version is not used")
	require.NoError(t, other.Close(t.Context()))
}

func TestSnapshotFallsBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(s *fakeSnapshots, st eventstore.Stream)
		want  aggregate.SnapshotStats
	}{
		"missing": {func(s *fakeSnapshots, st eventstore.Stream) { delete(s.byStream, st) }, aggregate.SnapshotStats{Missing: 1}},
		"stale": {func(s *fakeSnapshots, st eventstore.Stream) {
			s.change(st, func(s *aggregate.Snapshot) { s.SchemaVersion = 7 })
		}, aggregate.SnapshotStats{Stale: 1}},
		"foreign store": {func(s *fakeSnapshots, st eventstore.Stream) {
			s.change(st, func(s *aggregate.Snapshot) { s.StoreID = uuid.New() })
		}, aggregate.SnapshotStats{Foreign: 1}},
		"foreign stream": {func(s *fakeSnapshots, st eventstore.Stream) {
			s.change(st, func(s *aggregate.Snapshot) { s.Stream.TenantID = "rival" })
		}, aggregate.SnapshotStats{Foreign: 1}},
		"version 0": {func(s *fakeSnapshots, st eventstore.Stream) {
			s.change(st, func(s *aggregate.Snapshot) { s.Version = 0 })
		}, aggregate.SnapshotStats{Foreign: 1}},
		"ahead of the stream": {func(s *fakeSnapshots, st eventstore.Stream) {
			s.change(st, func(s *aggregate.Snapshot) { s.Version = 99 })
		}, aggregate.SnapshotStats{Ahead: 1}},
		"undecodable": {func(s *fakeSnapshots, st eventstore.Stream) {
			s.change(st, func(s *aggregate.Snapshot) { s.State = []byte(`{"Edits":"many"}`) })
		}, aggregate.SnapshotStats{Undecodable: 1}},
		"unreadable": {func(s *fakeSnapshots, _ eventstore.Stream) { s.loadErr = errPoison }, aggregate.SnapshotStats{Unreadable: 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, snapshots := openStore(t), newSnapshots()
			config := aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)}
			writer := repository(t, store, config)
			id := created(t, writer, "v1", "v2")
			require.NoError(t, writer.Close(t.Context()))
			test.spoil(snapshots, stream(id))

			repo := repository(t, store, config)
			d, err := repo.Load(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, State{Title: "Plan", Content: "v2", Edits: 2}, d.State())
			assert.EqualValues(t, 3, d.Version())
			assert.Equal(t, test.want, repo.SnapshotStats())
		})
	}
}

// A snapshot must not hide that the events behind it cannot be read.
func TestSnapshotHidesNoError(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	config := aggregate.Config{Snapshots: newSnapshots(), SnapshotPolicy: aggregate.EveryEvents(1)}
	repo := repository(t, store, config)
	id := created(t, repo, "v1")
	require.NoError(t, repo.Close(t.Context()))
	store.onRead = atVersion(2, func(_ event.Event, yield func(event.Event, error) bool) bool {
		yield(event.Event{}, eventstore.ErrUnavailable)
		return false
	})
	_, err := repo.Load(t.Context(), id)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	assert.Zero(t, repo.SnapshotStats().Used)
}

func TestSnapshotSchemaVersion(t *testing.T) {
	t.Parallel()
	snapshots, store := newSnapshots(), openStore(t)
	define := func(version int) *aggregate.Definition[State] {
		return aggregate.Define("Document", aggregate.On(onCreated), aggregate.SnapshotVersion[State](version))
	}
	config := aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)}
	older, err := aggregate.NewRepositoryWith[Document](store, define(1), config)
	require.NoError(t, err)
	id := created(t, older)
	require.NoError(t, older.Close(t.Context()))
	newer, err := aggregate.NewRepositoryWith[Document](store, define(2), config)
	require.NoError(t, err)
	_, err = newer.Load(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, aggregate.SnapshotStats{Stale: 1}, newer.SnapshotStats())
}

func TestSnapshotWriteFailures(t *testing.T) {
	t.Parallel()
	store, snapshots := openStore(t), newSnapshots()
	snapshots.saveErr = errors.New("disk full")
	config := aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)}
	repo := repository(t, store, config)
	created(t, repo)
	require.NoError(t, repo.Close(t.Context()), "a save does not depend on snapshots")
	assert.Equal(t, aggregate.SnapshotStats{Failed: 1}, repo.SnapshotStats())

	lossy, err := aggregate.NewRepositoryWith[VaultRoot](store, vaults, config)
	require.NoError(t, err)
	vault := lossy.New(event.NewID())
	require.NoError(t, vault.Emit(t.Context(), Filled{Key: "a", Value: 1}))
	require.NoError(t, lossy.Save(t.Context(), vault))
	require.NoError(t, lossy.Close(t.Context()))
	assert.Equal(t, aggregate.SnapshotStats{Unencodable: 1}, lossy.SnapshotStats(), "a state that would come back as another is not kept")
	again, err := lossy.Load(t.Context(), vault.ID())
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1}, again.State().items)
}

// A snapshot holds the state at the save, whatever is done with the aggregate
// before it is written.
func TestSnapshotIsOfTheSave(t *testing.T) {
	t.Parallel()
	store, snapshots := openStore(t), newSnapshots()
	snapshots.saving, snapshots.began = make(chan struct{}), make(chan struct{}, 10)
	config := aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)}
	cartRepo, err := aggregate.NewRepositoryWith[CartRoot](store, carts, config)
	require.NoError(t, err)
	bagRepo, err := aggregate.NewRepositoryWith[BagRoot](store, bags, config)
	require.NoError(t, err)
	cart, bag := cartRepo.New(event.NewID()), bagRepo.New(event.NewID())
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, cart.Emit(ctx, Filled{Key: "a", Value: 1}))
	require.NoError(t, cartRepo.Save(ctx, cart))
	require.NoError(t, bag.Emit(ctx, Filled{Key: "a", Value: 1}))
	require.NoError(t, bagRepo.Save(ctx, bag))
	cancel() // the request ends, its snapshots are written all the same
	require.NoError(t, cart.Emit(ctx, Filled{Key: "a", Value: 2}))
	require.NoError(t, bag.Emit(ctx, Filled{Key: "a", Value: 2}))
	close(snapshots.saving)
	require.NoError(t, cartRepo.Close(t.Context()))
	require.NoError(t, bagRepo.Close(t.Context()))
	for _, s := range []eventstore.Stream{
		{AggregateType: "Cart", AggregateID: cart.ID()},
		{AggregateType: "Bag", AggregateID: bag.ID()},
	} {
		assert.JSONEq(t, `{"Items":{"a":1}}`, string(snapshots.byStream[s].State))
	}
}

func TestSnapshotsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, snapshots := openStore(t), newSnapshots()
		snapshots.saving, snapshots.began = make(chan struct{}), make(chan struct{}, 1000)
		repo := repository(t, store, aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)})
		created(t, repo)
		<-snapshots.began // one is being written
		for range 70 {
			created(t, repo)
		}
		assert.EqualValues(t, 6, repo.SnapshotStats().Dropped, "64 wait, the rest is dropped")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, repo.Close(ctx), context.DeadlineExceeded)
		assert.EqualValues(t, 70, repo.SnapshotStats().Dropped, "Close drops what has not begun")
		close(snapshots.saving)
		require.NoError(t, repo.Close(t.Context()))
		assert.EqualValues(t, 1, repo.SnapshotStats().Written)
		created(t, repo)
		assert.EqualValues(t, 71, repo.SnapshotStats().Dropped, "none is taken after Close")
	})
}

func TestSnapshotNewestWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, snapshots := openStore(t), newSnapshots()
		snapshots.saving, snapshots.began = make(chan struct{}), make(chan struct{}, 1000)
		repo := repository(t, store, aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)})
		created(t, repo)
		<-snapshots.began
		d := repo.New(event.NewID())
		for range 5 {
			require.NoError(t, d.Create(t.Context(), "Plan"))
			require.NoError(t, repo.Save(t.Context(), d))
		}
		close(snapshots.saving)
		require.NoError(t, repo.Close(t.Context()))
		assert.EqualValues(t, 5, snapshots.byStream[stream(d.ID())].Version)
		assert.Equal(t, aggregate.SnapshotStats{Written: 2, Dropped: 4}, repo.SnapshotStats())
	})
}

func TestSnapshotTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		snapshots := newSnapshots()
		snapshots.saving = make(chan struct{}) // never
		repo := repository(t, openStore(t), aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)})
		created(t, repo)
		require.NoError(t, repo.Close(t.Context()))
		assert.Equal(t, aggregate.SnapshotStats{Failed: 1}, repo.SnapshotStats())
	})
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	every := aggregate.EveryEvents(10)
	assert.False(t, every(aggregate.Saved{Before: 0, After: 9}))
	assert.True(t, every(aggregate.Saved{Before: 9, After: 10}))
	assert.False(t, every(aggregate.Saved{Before: 10, After: 11}))
	assert.True(t, every(aggregate.Saved{Before: 11, After: 31}))
	assert.True(t, aggregate.EveryEvents(0)(aggregate.Saved{Before: 1, After: 2}), "0 is as 1")

	slower := aggregate.SlowerThan(time.Millisecond)
	assert.False(t, slower(aggregate.Saved{LoadTook: time.Microsecond}))
	assert.True(t, slower(aggregate.Saved{LoadTook: time.Millisecond}))
	assert.False(t, aggregate.SlowerThan(0)(aggregate.Saved{}), "a new aggregate has not been loaded")
}

func TestSlowerThanMeasuresLoads(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	store := &fakeStore{Store: openStore(t)}
	snapshots := newSnapshots()
	repo := repository(t, store, aggregate.Config{
		Snapshots: snapshots, SnapshotPolicy: aggregate.SlowerThan(time.Second),
		Now: func() time.Time { return now },
	})
	id := created(t, repo)
	slow := func(event.Event, func(event.Event, error) bool) bool { now = now.Add(time.Minute); return true }
	d, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, d.Edit(t.Context(), "fast"))
	require.NoError(t, repo.Save(t.Context(), d))

	store.onRead = atVersion(3, slow)
	_, err = store.Append(t.Context(), eventstore.Append{Stream: stream(id), Events: d.Pending()})
	require.NoError(t, err)
	store.onRead = atVersion(2, func(e event.Event, yield func(event.Event, error) bool) bool {
		now = now.Add(time.Minute)
		return yield(e, nil)
	})
	d, err = repo.Load(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, d.Edit(t.Context(), "slow"))
	require.NoError(t, repo.Save(t.Context(), d))
	require.NoError(t, d.Edit(t.Context(), "the load was long ago"))
	require.NoError(t, repo.Save(t.Context(), d))
	require.NoError(t, repo.Close(t.Context()))
	assert.Equal(t, aggregate.SnapshotStats{Missing: 2, Written: 1}, repo.SnapshotStats())
	assert.EqualValues(t, 3, snapshots.byStream[stream(id)].Version)
}

func TestMemorySnapshots(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	config := aggregate.Config{Snapshots: store.Snapshots(), SnapshotPolicy: aggregate.EveryEvents(1), CacheSize: 1}
	repo := repository(t, store, config)
	id := created(t, repo, "v1")
	require.NoError(t, repo.Close(t.Context()))
	other := repository(t, store, aggregate.Config{Snapshots: store.Snapshots()})
	d, err := other.Load(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, "v1", d.State().Content)
	assert.EqualValues(t, 1, other.SnapshotStats().Used)
}
