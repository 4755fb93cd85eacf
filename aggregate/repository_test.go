package aggregate_test

import (
	"context"
	"iter"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	ctx := event.WithActor(t.Context(), event.User("alice"))
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(ctx, "Plan"))
	require.NoError(t, d.Edit(event.WithActor(ctx, event.User("bob")), "v1"))
	require.NoError(t, repo.Save(ctx, d))
	assert.EqualValues(t, 2, d.SavedVersion())
	assert.EqualValues(t, 2, d.Position())

	again, err := repo.Load(ctx, d.ID())
	require.NoError(t, err)
	assert.Equal(t, State{Title: "Plan", Content: "v1", CreatedBy: event.User("alice"), EditedBy: event.User("bob"), Edits: 1}, again.State())
	assert.Equal(t, d.ID(), again.ID())
	assert.EqualValues(t, 2, again.Version())
	assert.EqualValues(t, 2, again.Position())
	assert.Nil(t, again.Pending())

	require.NoError(t, again.Edit(ctx, "v2"))
	require.NoError(t, repo.Save(ctx, again))
	assert.EqualValues(t, 3, again.Position())
}

func TestLoadMissing(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	id := event.NewID()
	d, err := repo.Load(event.WithTenant(t.Context(), "acme"), id)
	assert.Nil(t, d)
	require.ErrorIs(t, err, aggregate.ErrNotFound)
	var missing *aggregate.NotFoundError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, eventstore.Stream{TenantID: "acme", AggregateType: "Document", AggregateID: id}, missing.Stream)

	exists, err := repo.Exists(t.Context(), id)
	require.NoError(t, err)
	assert.False(t, exists)
}

func TestExists(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	id := created(t, repo)
	exists, err := repo.Exists(t.Context(), id)
	require.NoError(t, err)
	assert.True(t, exists)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = repo.Exists(ctx, id)
	require.ErrorIs(t, err, context.Canceled)
	_, err = repo.Exists(ctx, event.NewID())
	assert.ErrorIs(t, err, context.Canceled)
}

func TestLoadAt(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	id := created(t, repo, "v1", "v2", "v3")
	for version, content := range map[uint64]string{1: "", 2: "v1", 3: "v2", 4: "v3"} {
		d, err := repo.LoadAt(t.Context(), id, version)
		require.NoError(t, err)
		assert.Equal(t, content, d.State().Content)
		assert.Equal(t, version, d.Version())
	}

	_, err := repo.LoadAt(t.Context(), id, 5)
	var missing *aggregate.NotFoundError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, aggregate.NotFoundError{Stream: stream(id), Version: 5, Last: 4}, *missing)
	_, err = repo.LoadAt(t.Context(), event.NewID(), 1)
	require.ErrorIs(t, err, aggregate.ErrNotFound)
	_, err = repo.LoadAt(t.Context(), id, 0)
	require.ErrorIs(t, err, event.ErrInvalid)

	past, err := repo.LoadAt(t.Context(), id, 2)
	require.NoError(t, err)
	require.NoError(t, past.Edit(t.Context(), "another future"))
	require.ErrorIs(t, repo.Save(t.Context(), past), eventstore.ErrConflict)
}

func TestLoadUnknownEvent(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id := created(t, repo)
	appendRaw(t, store, stream(id), event.Event{Type: "Stranger", Data: []byte("{}")})

	_, err := repo.Load(t.Context(), id)
	var unknown *aggregate.UnknownEventError
	require.ErrorAs(t, err, &unknown)
	assert.Equal(t, "Stranger", unknown.EventType)
	assert.EqualValues(t, 2, unknown.Version)
	assert.Equal(t, id, unknown.AggregateID)

	tolerant := aggregate.NewRepository[Document](store, aggregate.Define("Document", aggregate.On(onCreated), aggregate.TolerateUnknown[State]()))
	d, err := tolerant.Load(t.Context(), id)
	require.NoError(t, err)
	assert.EqualValues(t, 2, d.Version(), "an event that is passed over counts")
	assert.Equal(t, "Plan", d.State().Title)
}

func TestLoadFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stored event.Event
		target error
	}{
		"does not decode": {event.Event{Type: "DocumentEdited", Data: []byte("{")}, event.ErrDecode},
		"newer schema":    {event.Event{Type: "DocumentEdited", SchemaVersion: 9, Data: []byte("{}")}, event.ErrDecode},
		"apply fails":     {event.Event{Type: "DocumentPoisoned", Data: []byte("{}")}, aggregate.ErrApply},
		"apply panics":    {event.Event{Type: "DocumentPoisoned", Data: []byte(`{"panic":true}`)}, aggregate.ErrApply},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			repo := repository(t, store, aggregate.Config{})
			id := created(t, repo)
			appendRaw(t, store, stream(id), test.stored)
			d, err := repo.Load(t.Context(), id)
			require.ErrorIs(t, err, test.target)
			require.ErrorContains(t, err, "load Document/"+id.String())
			assert.Nil(t, d)
			require.ErrorIs(t, repo.Update(t.Context(), id, func(*Document) error { return nil }), test.target)
		})
	}
}

// edit returns an onRead that changes, drops or ends a sequence at version n.
func atVersion(n uint64, yieldAt func(e event.Event, yield func(event.Event, error) bool) bool) func(iter.Seq2[event.Event, error]) iter.Seq2[event.Event, error] {
	return func(events iter.Seq2[event.Event, error]) iter.Seq2[event.Event, error] {
		return func(yield func(event.Event, error) bool) {
			for e, err := range events {
				if e.AggregateVersion == n {
					if !yieldAt(e, yield) {
						return
					}
					continue
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func TestLoadIsNeverShort(t *testing.T) {
	t.Parallel()
	other := event.NewID()
	tests := map[string]struct {
		at     func(event.Event, func(event.Event, error) bool) bool
		target error
	}{
		"store fails": {func(_ event.Event, yield func(event.Event, error) bool) bool {
			yield(event.Event{}, eventstore.ErrUnavailable)
			return false
		}, eventstore.ErrUnavailable},
		"hole": {func(event.Event, func(event.Event, error) bool) bool { return true }, eventstore.ErrCorrupt},
		"repeated": {func(e event.Event, yield func(event.Event, error) bool) bool {
			more := yield(e, nil)
			return more && yield(e, nil)
		}, eventstore.ErrCorrupt},
		"other aggregate": {func(e event.Event, yield func(event.Event, error) bool) bool {
			e.AggregateID = other
			return yield(e, nil)
		}, eventstore.ErrCorrupt},
		"other type": {func(e event.Event, yield func(event.Event, error) bool) bool {
			e.AggregateType = "Folder"
			return yield(e, nil)
		}, eventstore.ErrCorrupt},
		"other tenant": {func(e event.Event, yield func(event.Event, error) bool) bool {
			e.TenantID = "rival"
			return yield(e, nil)
		}, eventstore.ErrCorrupt},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &fakeStore{Store: openStore(t)}
			repo := repository(t, store, aggregate.Config{})
			id := created(t, repo, "v1", "v2")
			store.onRead = atVersion(2, test.at)
			d, err := repo.Load(t.Context(), id)
			require.ErrorIs(t, err, test.target)
			assert.Nil(t, d)
		})
	}
}

func TestLoadCancelled(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	repo := repository(t, store, aggregate.Config{})
	id := created(t, repo, "v1", "v2")
	ctx, cancel := context.WithCancel(t.Context())
	store.onRead = atVersion(2, func(event.Event, func(event.Event, error) bool) bool {
		cancel()
		return false // ends the sequence without saying why
	})
	_, err := repo.Load(ctx, id)
	require.ErrorIs(t, err, context.Canceled)
	_, err = repo.Load(ctx, id)
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, repo.Update(ctx, id, func(*Document) error { return nil }), context.Canceled)
}

// boundStore is a store that is bound to a tenant.
type boundStore struct {
	eventstore.Store

	tenant event.TenantID
}

func (s boundStore) Tenant(context.Context) event.TenantID { return s.tenant }

func TestTenants(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id := event.NewID()
	for _, tenant := range []event.TenantID{"", "acme", "rival"} {
		ctx := event.WithTenant(t.Context(), tenant)
		require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Create(ctx, "of "+string(tenant)) }))
	}
	for _, tenant := range []event.TenantID{"", "acme", "rival"} {
		d, err := repo.Load(event.WithTenant(t.Context(), tenant), id)
		require.NoError(t, err)
		assert.Equal(t, "of "+string(tenant), d.State().Title)
		assert.EqualValues(t, 1, d.Version())
	}
}

func TestTenantOfStore(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	bound := boundStore{Store: eventstore.BindTenant(store, "acme"), tenant: "acme"}
	repo := repository(t, bound, aggregate.Config{})
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	assert.Equal(t, event.TenantID("acme"), d.Pending()[0].TenantID)
	require.NoError(t, repo.Save(t.Context(), d))
	require.NoError(t, d.Edit(t.Context(), "v1"))
	require.NoError(t, aggregate.SaveAll(t.Context(), bound, d))

	again, err := repo.Load(t.Context(), d.ID())
	require.NoError(t, err)
	assert.EqualValues(t, 2, again.Version())
	exists, err := repo.Exists(t.Context(), d.ID())
	require.NoError(t, err)
	assert.True(t, exists)

	rival := event.WithTenant(t.Context(), "rival")
	_, err = repo.Load(rival, d.ID())
	require.ErrorIs(t, err, eventstore.ErrTenant)
	require.NoError(t, repo.Save(rival, d), "nothing pending")
	require.ErrorIs(t, again.Edit(rival, "v2"), eventstore.ErrTenant)
}

// Upcasts through aggregates.

type renamedV1 struct {
	Body string `json:"body"`
}

// Revised was DocumentRewritten once, and had a body instead of a content.
type Revised struct {
	Content string `json:"content"`
	Words   int    `json:"words"`
}

func (Revised) EventType() string { return "DocumentRevised" }

type revisedV2 struct {
	Content string `json:"content"`
}

func (Revised) Upcasts() []event.Upcast {
	return []event.Upcast{
		event.Step(func(old renamedV1) revisedV2 { return revisedV2{Content: old.Body} }),
		event.Step(func(old revisedV2) Revised { return Revised{Content: old.Content, Words: len(old.Content)} }),
		event.RenamedFrom("DocumentRewritten"),
		event.SplitFrom("DocumentReplaced", func(old renamedV1) []event.Payload {
			return []event.Payload{Created{Title: "replaced"}, Revised{Content: old.Body, Words: -1}}
		}),
	}
}

func TestUpcasts(t *testing.T) {
	t.Parallel()
	definition := aggregate.Define("Document",
		aggregate.On(func(s *State, e event.Of[Created]) { *s = State{Title: e.Payload.Title} }),
		aggregate.On(func(s *State, e event.Of[Revised]) { s.Content, s.Edits = e.Payload.Content, e.Payload.Words }),
	)
	tests := map[string]struct {
		stored event.Event
		want   State
	}{
		"chain":        {event.Event{Type: "DocumentRevised", SchemaVersion: 1, Data: []byte(`{"body":"one"}`)}, State{Content: "one", Edits: 3}},
		"last step":    {event.Event{Type: "DocumentRevised", SchemaVersion: 2, Data: []byte(`{"content":"two"}`)}, State{Content: "two", Edits: 3}},
		"current":      {event.Event{Type: "DocumentRevised", SchemaVersion: 3, Data: []byte(`{"content":"now","words":7}`)}, State{Content: "now", Edits: 7}},
		"renamed":      {event.Event{Type: "DocumentRewritten", SchemaVersion: 1, Data: []byte(`{"body":"old"}`)}, State{Content: "old", Edits: 3}},
		"renamed late": {event.Event{Type: "DocumentRewritten", SchemaVersion: 3, Data: []byte(`{"content":"x","words":1}`)}, State{Content: "x", Edits: 1}},
		"split":        {event.Event{Type: "DocumentReplaced", Data: []byte(`{"body":"parts"}`)}, State{Title: "replaced", Content: "parts", Edits: -1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			id := event.NewID()
			appendRaw(t, store, stream(id), test.stored)
			repo := aggregate.NewRepository[Document](store, definition)
			d, err := repo.Load(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, test.want, d.State())
			assert.EqualValues(t, 1, d.Version())

			require.NoError(t, d.Emit(t.Context(), Revised{Content: "new"}))
			assert.Equal(t, 3, d.Pending()[0].SchemaVersion)
		})
	}
}

func TestRepositoryHandsOutAggregatesOnce(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{CacheSize: 10})
	id := created(t, repo)
	first, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	second, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, first.Edit(t.Context(), "v1"))
	assert.EqualValues(t, 1, second.Version())
}

func TestNaturalKeys(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://example.org/plan"))
	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Create(t.Context(), "Plan") }))
	exists, err := repo.Exists(t.Context(), id)
	require.NoError(t, err)
	assert.True(t, exists)
}
