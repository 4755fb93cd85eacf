package aggregate_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// caused returns the event that reactions of these tests react to: the first of
// the store.
func caused(t *testing.T, store eventstore.Store) event.Event {
	t.Helper()
	id := event.NewID()
	appendRaw(t, store, eventstore.Stream{AggregateType: "Cause", AggregateID: id}, event.Event{Type: "Cause", CorrelationID: event.NewID()})
	for e, err := range store.ReadStream(t.Context(), eventstore.Stream{AggregateType: "Cause", AggregateID: id}, eventstore.StreamQuery{}) {
		require.NoError(t, err)
		return e
	}
	return event.Event{}
}

func reacting(ctx context.Context, cause event.Event) context.Context {
	return event.WithReaction(ctx, "editor", cause)
}

var errEdited = errors.New("edited already")

// editOnce is a decision that fails the second time.
func editOnce(ctx context.Context, d *Document) error {
	if d.State().Edits > 0 {
		return errEdited
	}
	return d.Edit(ctx, "once")
}

// shortcuts are the ways in which a repository comes to a state.
func shortcuts(t *testing.T, store interface {
	eventstore.Store
	Snapshots() aggregate.SnapshotStore
},
) map[string]aggregate.Config {
	t.Helper()
	return map[string]aggregate.Config{
		"replay":    {},
		"cache":     {CacheSize: 10},
		"snapshots": {Snapshots: store.Snapshots(), SnapshotPolicy: aggregate.EveryEvents(1)},
	}
}

// A try that was cut off after its append is not made again, although the
// decision would fail, or would be another one, the second time.
func TestReactionIsMadeOnce(t *testing.T) {
	t.Parallel()
	for name := range shortcuts(t, openStore(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			repo := repository(t, store, shortcuts(t, store)[name])
			id := created(t, repo)
			cause := caused(t, store)
			for try := range 3 {
				ctx := reacting(t.Context(), cause)
				require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return editOnce(ctx, d) }), "try %d", try)
				require.NoError(t, repo.Close(t.Context()), "all snapshots are written")
			}
			ctx := event.WithReaction(t.Context(), "another", cause)
			require.ErrorIs(t, repo.Update(ctx, id, func(d *Document) error { return editOnce(ctx, d) }), errEdited, "another reactor has not done it")
			require.Len(t, readAll(t, store, stream(id)), 2)
		})
	}
}

// Others go on meanwhile, so that what the first try has stored is older than
// every shortcut.
func TestReactionIsFoundBehindAShortcut(t *testing.T) {
	t.Parallel()
	for name := range shortcuts(t, openStore(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			repo := repository(t, store, shortcuts(t, store)[name])
			id, cause := created(t, repo), caused(t, store)
			ctx := reacting(t.Context(), cause)
			require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return editOnce(ctx, d) }))
			for range 3 {
				require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "others") }))
			}
			ctx = reacting(t.Context(), cause)
			require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "twice") }))
			assert.Len(t, readAll(t, store, stream(id)), 5)

			cause.Position = 0 // unknown: then everything is looked at
			ctx = reacting(t.Context(), cause)
			require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "twice") }))
			assert.Len(t, readAll(t, store, stream(id)), 5)
		})
	}
}

// A cause from another store has a position that says nothing here. What was
// stored is found all the same, when the decision fails or the store refuses it.
func TestReactionToAnotherStoresEvent(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(context.Context, *Document) error{
		"refused":   editOnce,
		"duplicate": func(ctx context.Context, d *Document) error { return d.Edit(ctx, "twice") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			repo := repository(t, store, aggregate.Config{CacheSize: 10})
			id := created(t, repo)
			cause := event.Event{ID: event.NewID(), Position: 1_000_000}
			ctx := reacting(t.Context(), cause)
			require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return editOnce(ctx, d) }))
			require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "others") }))

			ctx = reacting(t.Context(), cause)
			require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return decide(ctx, d) }))
			assert.Len(t, readAll(t, store, stream(id)), 3)
		})
	}
}

// Nothing of a reaction is older than its cause, so a shortcut from before the
// cause spares the search.
func TestReactionReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	id := created(t, repo, "v1", "v2")
	cause := caused(t, store)
	store.queries = nil
	ctx := reacting(t.Context(), cause)
	require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "v3") }))
	assert.Equal(t, []eventstore.StreamQuery{{From: 3}}, store.queries)

	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "v4") }))
	store.queries = nil
	later := event.WithReaction(t.Context(), "other", cause)
	require.NoError(t, repo.Update(later, id, func(d *Document) error { return d.Edit(later, "v5") }))
	assert.Equal(t, []eventstore.StreamQuery{{From: 5}, {To: 4, Direction: eventstore.Backward}}, store.queries)
}

func TestReactionEventsHaveDerivedIDs(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := event.NewID(), caused(t, store)
	ctx := event.WithTenant(reacting(t.Context(), cause), "acme")
	for range 2 {
		require.NoError(t, repo.Update(ctx, id, func(d *Document) error {
			require.Error(t, d.Emit(ctx, Created{}, Poisoned{}), "what is refused counts for nothing")
			return errors.Join(d.Emit(ctx, Created{}, Edited{}), d.Edit(ctx, "v2"))
		}))
	}
	reaction := event.ReactionFrom(ctx)
	events := readAll(t, store, eventstore.Stream{TenantID: "acme", AggregateType: "Document", AggregateID: id})
	require.Len(t, events, 6)
	for i, e := range events {
		assert.Equal(t, reaction.EventID("acme", "Document", id, uint64(i/3), uint64(i%3)), e.ID)
		assert.Equal(t, cause.CorrelationID, e.CorrelationID)
		assert.Equal(t, cause.ID, e.CausationID)
	}
}

// An update knows what it is part of, even if its decision emits with another
// context.
func TestReactionOfAnUpdateReachesItsEvents(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := event.NewID(), caused(t, store)
	for range 2 {
		require.NoError(t, repo.Update(reacting(t.Context(), cause), id, func(d *Document) error {
			return d.Create(t.Context(), "Plan")
		}))
	}
	assert.Len(t, readAll(t, store, stream(id)), 1)
}

// Several calls about one aggregate are told apart by their order, also when
// only the first of them was made.
func TestReactionOfSeveralCalls(t *testing.T) {
	t.Parallel()
	for made := range 4 {
		store := openStore(t)
		repo := repository(t, store, aggregate.Config{})
		id, other, cause := event.NewID(), event.NewID(), caused(t, store)
		errCrash := errors.New("crash")
		try := func(calls int) error {
			ctx := reacting(t.Context(), cause)
			for i, call := range []struct {
				id      uuid.UUID
				content string
			}{{id, "a"}, {other, "b"}, {id, "c"}} {
				if i == calls {
					return errCrash
				}
				err := repo.Update(ctx, call.id, func(d *Document) error { return d.Emit(ctx, Edited{Content: call.content}) })
				if err != nil {
					return err
				}
			}
			return nil
		}
		if err := try(made); made < 3 {
			require.ErrorIs(t, err, errCrash)
		}
		require.NoError(t, try(3))
		require.NoError(t, try(3))
		assert.Len(t, readAll(t, store, stream(id)), 2)
		assert.Len(t, readAll(t, store, stream(other)), 1)
		d, err := repo.Load(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, "c", d.State().Content)
	}
}

// A decision to do nothing, or not to do it, counts as a call: what follows
// keeps its number.
func TestReactionCountsWhatWasDecided(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := event.NewID(), caused(t, store)
	for range 2 {
		ctx := reacting(t.Context(), cause)
		require.NoError(t, repo.Update(ctx, id, func(*Document) error { return nil }))
		require.ErrorIs(t, repo.Update(ctx, id, func(*Document) error { return errEdited }), errEdited)
		require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Emit(ctx, Edited{}) }))
	}
	assert.Len(t, readAll(t, store, stream(id)), 1)
}

// A call that failed with its store, and is made again in the same try, is the
// same call.
func TestReactionRepeatsAFailedCall(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := openStore(t)
			unknown := &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
			store := &fakeStore{Store: inner}
			repo := repository(t, store, aggregate.Config{MaxAttempts: 1})
			id, cause := created(t, repo), caused(t, inner)
			store.onAppend = failing(inner, 1, unknown, after)
			for range 2 {
				ctx := reacting(t.Context(), cause)
				edit := func(d *Document) error { return editOnce(ctx, d) }
				err := repo.Update(ctx, id, edit)
				if err != nil {
					require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
					require.NoError(t, repo.Update(ctx, id, edit))
				}
			}
			assert.Len(t, readAll(t, inner, stream(id)), 2)
		})
	}
}

// Two processes make the same try at once; one of them, which was frozen, has
// decided on what is old by now.
func TestReactionRacesWithItself(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(ctx context.Context, repo *aggregate.Repository[Document], id uuid.UUID) error{
		"at once": func(context.Context, *aggregate.Repository[Document], uuid.UUID) error { return nil },
		"with others between": func(ctx context.Context, repo *aggregate.Repository[Document], id uuid.UUID) error {
			return repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "others") })
		},
		"with others before": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			repo, rival := repository(t, store, aggregate.Config{CacheSize: 10}), repository(t, store, aggregate.Config{})
			id, cause := created(t, repo), caused(t, store)
			tries := 0
			ctx := reacting(t.Context(), cause)
			err := repo.Update(ctx, id, func(d *Document) error {
				if tries++; tries > 1 {
					return errEdited
				}
				if between == nil {
					require.NoError(t, rival.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "others") }))
				}
				other := reacting(t.Context(), cause)
				require.NoError(t, rival.Update(other, id, func(d *Document) error { return d.Emit(other, Edited{Content: "theirs"}, Edited{Content: "longer"}) }))
				if between != nil {
					require.NoError(t, between(t.Context(), rival, id))
				}
				return d.Edit(ctx, "mine")
			})
			require.NoError(t, err)
			contents := 0
			for _, e := range readAll(t, store, stream(id)) {
				if string(e.Data) == `{"content":"theirs"}` {
					contents++
				}
				assert.NotEqual(t, `{"content":"mine"}`, string(e.Data))
			}
			assert.Equal(t, 1, contents)
			d, err := repo.Load(t.Context(), id)
			require.NoError(t, err)
			assert.NotEqual(t, "mine", d.State().Content, "nothing of what was not stored is remembered")
		})
	}
}

// The rival has stored an event with the same id at the same version, so the
// store answers success; but the content is the rival's.
func TestReactionLeavesNoWrongStateBehind(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	config := aggregate.Config{CacheSize: 10, Snapshots: store.Snapshots(), SnapshotPolicy: aggregate.EveryEvents(1)}
	repo, rival := repository(t, store, config), repository(t, store, aggregate.Config{})
	id, cause := created(t, repo), caused(t, store)
	ctx := reacting(t.Context(), cause)
	require.NoError(t, repo.Update(ctx, id, func(d *Document) error {
		other := reacting(t.Context(), cause)
		require.NoError(t, rival.Update(other, id, func(d *Document) error { return d.Edit(other, "theirs") }))
		return d.Edit(ctx, "mine")
	}))
	require.NoError(t, repo.Close(t.Context()))
	for _, reader := range []*aggregate.Repository[Document]{repo, repository(t, store, config)} {
		d, err := reader.Load(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, "theirs", d.State().Content)
	}
}

// A shortcut that does not serve changes nothing.
func TestReactionWithAnUnusableSnapshot(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{Snapshots: store.Snapshots(), SnapshotPolicy: func(aggregate.Saved) bool { return false }})
	id, cause := created(t, repo), caused(t, store)
	require.NoError(t, store.Snapshots().Save(t.Context(), aggregate.Snapshot{
		Stream: stream(id), StoreID: store.ID(), Version: 50, SchemaVersion: 1, State: []byte(`{}`), TakenAt: time.Unix(1e9, 0),
	}))
	for range 2 {
		ctx := reacting(t.Context(), cause)
		require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return editOnce(ctx, d) }))
	}
	events := readAll(t, store, stream(id))
	require.Len(t, events, 2)
	assert.Equal(t, event.ReactionFrom(reacting(t.Context(), cause)).EventID("", "Document", id, 0, 0), events[1].ID)
	assert.EqualValues(t, 2, repo.SnapshotStats().Ahead)
}

// Snapshots are taken of what was loaded, where only reactions write.
func TestReactionsTakeSnapshots(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	id := event.NewID()
	for range 5 {
		repo := repository(t, store, aggregate.Config{Snapshots: store.Snapshots(), SnapshotPolicy: aggregate.EveryEvents(2)})
		ctx := reacting(t.Context(), caused(t, store))
		require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Emit(ctx, Edited{}) }))
		require.NoError(t, repo.Close(t.Context()))
	}
	s, ok, err := store.Snapshots().Load(t.Context(), stream(id))
	require.NoError(t, err)
	require.True(t, ok)
	assert.EqualValues(t, 4, s.Version)
}

func TestSaveOfAReactionIsMadeOnce(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := created(t, repo), caused(t, store)
	for range 3 {
		ctx := reacting(t.Context(), cause)
		for _, content := range []string{"v1", "v2"} {
			d, err := repo.Load(ctx, id)
			require.NoError(t, err)
			require.NoError(t, d.Edit(ctx, content))
			require.NoError(t, repo.Save(ctx, d))
			assert.Nil(t, d.Pending())
			assert.GreaterOrEqual(t, d.SavedVersion(), uint64(2), "it is what the store has")
			require.NoError(t, d.Edit(t.Context(), "others"), "it can be used on")
		}
	}
	assert.Len(t, readAll(t, store, stream(id)), 3)
}

// Loading and deciding again after a conflict is the same call.
func TestSaveOfAReactionAfterAConflict(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := created(t, repo), caused(t, store)
	for try := range 2 {
		ctx := reacting(t.Context(), cause)
		d, err := repo.Load(ctx, id)
		require.NoError(t, err)
		require.NoError(t, d.Edit(ctx, "mine"))
		if try == 0 { // somebody else is faster
			require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "others") }))
			require.ErrorIs(t, repo.Save(ctx, d), eventstore.ErrConflict)
			d, err = repo.Load(ctx, id)
			require.NoError(t, err)
			require.NoError(t, d.Edit(ctx, "mine"))
		}
		require.NoError(t, repo.Save(ctx, d))
	}
	assert.Len(t, readAll(t, store, stream(id)), 3, "created, others, once mine")
}

// Two units of one try are two calls, even if both were begun before either was
// saved.
func TestSaveOfAReactionNeverTakesAnotherForItself(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := created(t, repo), caused(t, store)
	ctx := reacting(t.Context(), cause)
	a, err := repo.Load(ctx, id)
	require.NoError(t, err)
	b, err := repo.Load(ctx, id)
	require.NoError(t, err)
	require.NoError(t, errors.Join(a.Edit(ctx, "a"), b.Edit(ctx, "b")))
	require.NoError(t, repo.Save(ctx, a))
	require.ErrorIs(t, repo.Save(ctx, b), eventstore.ErrConflict, "not taken for what a has saved")
}

func TestSaveOfAReactionToAnotherStoresEvent(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := created(t, repo), event.Event{ID: event.NewID(), Position: 1_000_000}
	for range 2 {
		ctx := reacting(t.Context(), cause)
		d, err := repo.Load(ctx, id)
		require.NoError(t, err)
		require.NoError(t, d.Edit(ctx, "once"))
		require.NoError(t, repo.Save(ctx, d))
	}
	assert.Len(t, readAll(t, store, stream(id)), 2)
}

func TestSaveAllOfAReactionIsMadeOnce(t *testing.T) {
	t.Parallel()
	for name, position := range map[string]uint64{"known position": 0, "another store's": 1_000_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t)
			repo := repository(t, store, aggregate.Config{})
			id, cart, cause := created(t, repo), event.NewID(), caused(t, store)
			cause.Position = max(cause.Position, position)
			for range 3 {
				ctx := reacting(t.Context(), cause)
				d, err := repo.Load(ctx, id)
				require.NoError(t, err)
				c := aggregate.New[CartRoot](carts, cart)
				guard, err := repo.Load(ctx, id)
				require.NoError(t, err)
				require.NoError(t, errors.Join(d.Edit(ctx, "once"), c.Emit(ctx, Filled{Key: "a", Value: 1})))
				require.NoError(t, aggregate.SaveAll(ctx, store, d, c))
				assert.EqualValues(t, 2, d.SavedVersion())
				assert.EqualValues(t, 1, c.SavedVersion())
				assert.Equal(t, 1, c.State().Items["a"])
				require.NoError(t, aggregate.SaveAll(ctx, store, guard))
			}
			assert.Len(t, readAll(t, store, stream(id)), 2)
		})
	}
}

// What was saved together cannot be found by half; that would be two different
// handlers under one name.
func TestSaveAllOfHalfAReaction(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id, cause := created(t, repo), caused(t, store)
	ctx := reacting(t.Context(), cause)
	require.NoError(t, repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "once") }))

	ctx = reacting(t.Context(), cause)
	d, err := repo.Load(ctx, id)
	require.NoError(t, err)
	c := aggregate.New[CartRoot](carts, event.NewID())
	require.NoError(t, errors.Join(d.Edit(ctx, "once"), c.Emit(ctx, Filled{Key: "a"})))
	require.ErrorIs(t, aggregate.SaveAll(ctx, store, d, c), eventstore.ErrDuplicateEvent)
	assert.Len(t, d.Pending(), 1)
	assert.Empty(t, readAll(t, store, eventstore.Stream{AggregateType: "Cart", AggregateID: c.ID()}))
}

// The store fails while it is searched: then nobody knows, and nothing is done.
func TestReactionWhoseSearchFails(t *testing.T) {
	t.Parallel()
	errDown := errors.New("down")
	inner := openStore(t)
	store := &readFault{Store: inner}
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	id, cause := created(t, repo, "v1", "v2"), caused(t, inner)
	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "v3") }))

	store.backward = errDown
	ctx := reacting(t.Context(), cause)
	require.ErrorIs(t, repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "once") }), errDown)
	d, err := repo.Load(ctx, id)
	require.NoError(t, err)
	require.NoError(t, d.Edit(ctx, "once"))
	require.ErrorIs(t, repo.Save(ctx, d), errDown)
	require.ErrorIs(t, aggregate.SaveAll(ctx, store, d), errDown)

	foreign := event.Event{ID: event.NewID(), Position: 1_000_000}
	ctx = reacting(t.Context(), foreign)
	err = repo.Update(ctx, id, func(*Document) error { return errEdited })
	require.ErrorIs(t, err, errDown)
	require.ErrorIs(t, err, errEdited)
	assert.Len(t, readAll(t, inner, stream(id)), 4)
}

// readFault is a store that cannot be read backward.
type readFault struct {
	eventstore.Store

	backward error
}

func (s *readFault) ReadStream(ctx context.Context, st eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	if s.backward != nil && query.Direction == eventstore.Backward {
		return func(yield func(event.Event, error) bool) { yield(event.Event{}, s.backward) }
	}
	return s.Store.ReadStream(ctx, st, query)
}
