package aggregate_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestCacheReadsOnlyWhatIsNewer(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	id := created(t, repo, "v1", "v2")

	d, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	assert.EqualValues(t, 3, store.lastQuery().From, "a saved aggregate is cached; its last event is confirmed")
	assert.Equal(t, State{Title: "Plan", Content: "v2", Edits: 2}, d.State())
	assert.EqualValues(t, 3, d.Position())

	past, err := repo.LoadAt(t.Context(), id, 2)
	require.NoError(t, err)
	assert.Equal(t, "v1", past.State().Content)
	past, err = repo.LoadAt(t.Context(), id, 3)
	require.NoError(t, err)
	assert.Equal(t, "v2", past.State().Content)
}

func TestCacheSeesOthersWrites(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	other := repository(t, store, aggregate.Config{})
	id := created(t, repo)
	for i, content := range []string{"a", "b", "c"} {
		require.NoError(t, other.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), content) }))
		d, err := repo.Load(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, content, d.State().Content)
		assert.Equal(t, i+1, d.State().Edits)
	}
}

// When a store was restored to an earlier time, or to another history, what
// the cache has is not part of it.
func TestCacheIsConfirmedByTheStore(t *testing.T) {
	t.Parallel()
	lost, restored := openStore(t), openStore(t)
	store := &fakeStore{Store: lost}
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	shorter, other, gone := created(t, repo, "v1", "v2"), created(t, repo, "v1"), created(t, repo)

	store.Store = restored
	appendRaw(t, restored, stream(shorter), event.Event{Type: "DocumentCreated", Data: []byte(`{"title":"shorter"}`)})
	appendRaw(t, restored, stream(other),
		event.Event{Type: "DocumentCreated", Data: []byte(`{"title":"other"}`)},
		event.Event{Type: "DocumentEdited", Data: []byte(`{"content":"history"}`)})

	d, err := repo.Load(t.Context(), shorter)
	require.NoError(t, err)
	assert.Equal(t, State{Title: "shorter"}, d.State())
	assert.EqualValues(t, 1, d.Version())
	d, err = repo.Load(t.Context(), other)
	require.NoError(t, err)
	assert.Equal(t, State{Title: "other", Content: "history", Edits: 1}, d.State())
	_, err = repo.Load(t.Context(), gone)
	require.ErrorIs(t, err, aggregate.ErrNotFound)
}

// filler is what the three kinds of states with references have in common.
type filler interface {
	aggregate.Root
	fill(ctx context.Context, key string, value int) error
	items() map[string]int
}

func (r *CartRoot) fill(ctx context.Context, key string, value int) error {
	return r.Emit(ctx, Filled{Key: key, Value: value})
}
func (r *CartRoot) items() map[string]int { return r.State().Items }

func (r *BagRoot) fill(ctx context.Context, key string, value int) error {
	return r.Emit(ctx, Filled{Key: key, Value: value})
}
func (r *BagRoot) items() map[string]int { return r.State().Items }

func (r *VaultRoot) fill(ctx context.Context, key string, value int) error {
	return r.Emit(ctx, Filled{Key: key, Value: value})
}
func (r *VaultRoot) items() map[string]int { return r.State().items }

// shared checks that what is done to one aggregate is not seen by another, and
// whether the cache was of use.
func shared[A, S any, P interface {
	aggregate.Rooted[A, S]
	filler
}](t *testing.T, definition *aggregate.Definition[S], from uint64) {
	t.Helper()
	store := &fakeStore{Store: openStore(t)}
	repo, err := aggregate.NewRepositoryWith[A, S, P](store, definition, aggregate.Config{CacheSize: 10})
	require.NoError(t, err)
	saved := repo.New(event.NewID())
	require.NoError(t, P(saved).fill(t.Context(), "a", 1))
	require.NoError(t, P(saved).fill(t.Context(), "b", 2))
	require.NoError(t, repo.Save(t.Context(), saved))
	require.NoError(t, P(saved).fill(t.Context(), "a", 100))

	first, err := repo.Load(t.Context(), P(saved).ID())
	require.NoError(t, err)
	assert.Equal(t, from, store.lastQuery().From)
	assert.Equal(t, map[string]int{"a": 1, "b": 2}, P(first).items(), "what is not saved is not cached")
	P(first).items()["b"] = 3
	require.NoError(t, P(first).fill(t.Context(), "c", 4))
	second, err := repo.Load(t.Context(), P(saved).ID())
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 2}, P(second).items(), "nor what another did")
}

func TestCacheSharesNothing(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(*testing.T){
		"cloned":  func(t *testing.T) { shared[CartRoot](t, carts, 2) },
		"encoded": func(t *testing.T) { shared[BagRoot](t, bags, 2) },
		"neither": func(t *testing.T) { shared[VaultRoot](t, vaults, 0) }, // cannot be copied, so it is not cached
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t)
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	repo := repository(t, store, aggregate.Config{CacheSize: 2})
	ids := []uuid.UUID{created(t, repo), created(t, repo), created(t, repo)}
	_, err := repo.Load(t.Context(), ids[0])
	require.NoError(t, err)
	assert.Zero(t, store.lastQuery().From, "the oldest had to go")
	_, err = repo.Load(t.Context(), ids[2])
	require.NoError(t, err)
	assert.EqualValues(t, 1, store.lastQuery().From)
}

func TestCacheKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{CacheSize: 10})
	id := event.NewID()
	acme := event.WithTenant(t.Context(), "acme")
	require.NoError(t, repo.Update(acme, id, func(d *Document) error { return d.Create(acme, "secret") }))
	_, err := repo.Load(event.WithTenant(t.Context(), "rival"), id)
	require.ErrorIs(t, err, aggregate.ErrNotFound)
	d, err := repo.Load(acme, id)
	require.NoError(t, err)
	require.NoError(t, d.Edit(acme, "v1"))
	assert.Equal(t, event.TenantID("acme"), d.Pending()[0].TenantID)
}

func TestSaveAllKeepsTheCache(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	require.NoError(t, aggregate.SaveAll(t.Context(), store, d))
	_, err := repo.Load(t.Context(), d.ID())
	require.NoError(t, err)
	assert.EqualValues(t, 1, store.lastQuery().From)
}

var _ eventstore.Store = (*fakeStore)(nil)
