package aggregate_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// note returns an append to a stream of its own.
func note(t *testing.T) eventstore.Append {
	t.Helper()
	e, err := event.New(t.Context(), Unhandled{})
	require.NoError(t, err)
	return eventstore.Append{
		Stream: eventstore.Stream{AggregateType: "Note", AggregateID: e.ID}, Expected: eventstore.NoStream(), Events: []event.Event{e},
	}
}

// answers counts what a store answered to those who joined.
type answers []eventstore.Result

func (a *answers) stored(_ context.Context, result eventstore.Result) { *a = append(*a, result) }

func TestJoinASave(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{CacheSize: 10})
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	first, second := note(t), note(t)
	var told answers
	require.NoError(t, d.Join(first, told.stored))
	require.NoError(t, d.Join(second, nil))
	assert.Len(t, d.Pending(), 1, "what joins is not the aggregate's")
	assert.Empty(t, told)

	require.NoError(t, repo.Save(t.Context(), d))
	require.Len(t, told, 1)
	assert.Equal(t, uint64(3), told[0].Position)
	assert.Equal(t, uint64(3), d.Position())
	assert.Equal(t, uint64(1), d.Version())
	for _, joined := range []eventstore.Append{first, second} {
		assert.Len(t, readAll(t, store, joined.Stream), 1)
	}

	require.NoError(t, repo.Save(t.Context(), d), "nothing is left to save")
	require.NoError(t, d.Edit(t.Context(), "v1"))
	require.NoError(t, repo.Save(t.Context(), d), "nobody joins the next save")
	assert.Len(t, told, 1)
}

func TestJoinWithoutEvents(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id := created(t, repo)
	d, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	var told answers
	require.NoError(t, d.Join(note(t), told.stored))
	require.NoError(t, repo.Save(t.Context(), d))
	assert.Len(t, told, 1)
	assert.Equal(t, uint64(1), d.Version())
	require.NoError(t, d.Edit(t.Context(), "v1"))
	require.NoError(t, repo.Save(t.Context(), d), "the aggregate can be used on")

	stale, err := repo.LoadAt(t.Context(), id, 1)
	require.NoError(t, err)
	late := note(t)
	require.NoError(t, stale.Join(late, told.stored))
	require.ErrorIs(t, repo.Save(t.Context(), stale), eventstore.ErrConflict, "the aggregate has changed")
	assert.Empty(t, readAll(t, store, late.Stream))
	assert.Len(t, told, 1)
}

func TestJoinIsSentAgain(t *testing.T) {
	t.Parallel()
	inner := openStore(t)
	unknown := &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
	store := &fakeStore{Store: inner, onAppend: failing(inner, 1, unknown, true)}
	repo := repository(t, store, aggregate.Config{})
	joined := note(t)
	var told answers
	require.NoError(t, repo.Update(t.Context(), event.NewID(), func(d *Document) error {
		if err := d.Create(t.Context(), "Plan"); err != nil {
			return err
		}
		return d.Join(joined, told.stored)
	}))
	assert.Len(t, told, 1)
	assert.Len(t, readAll(t, inner, joined.Stream), 1)
}

func TestJoinASaveOfSeveral(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	unchanged, err := repo.Load(t.Context(), created(t, repo))
	require.NoError(t, err)
	emits, quiet := repo.New(event.NewID()), repo.New(event.NewID())
	require.NoError(t, emits.Create(t.Context(), "Plan"))
	var told answers
	require.NoError(t, emits.Join(note(t), told.stored))
	require.NoError(t, quiet.Join(note(t), told.stored))
	require.NoError(t, aggregate.SaveAll(t.Context(), store, unchanged, emits, quiet))
	assert.Len(t, told, 2)
	assert.Equal(t, []uint64{1, 1, 0}, []uint64{unchanged.SavedVersion(), emits.SavedVersion(), quiet.SavedVersion()})
	assert.Equal(t, uint64(1), unchanged.Position(), "it has no event in this save")
}

// Whoever is told of a save of several finds all of them saved.
func TestThoseWhoJoinedAreToldAtTheEnd(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	first, second := repo.New(event.NewID()), repo.New(event.NewID())
	require.NoError(t, first.Create(t.Context(), "A"))
	require.NoError(t, second.Create(t.Context(), "B"))
	told := false
	require.NoError(t, first.Join(note(t), func(context.Context, eventstore.Result) {
		told = true
		assert.Equal(t, []uint64{1, 1}, []uint64{first.SavedVersion(), second.SavedVersion()})
		assert.Empty(t, second.Pending())
	}))
	require.NoError(t, aggregate.SaveAll(t.Context(), store, first, second))
	assert.True(t, told)
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	var unbound Document
	require.ErrorIs(t, unbound.Join(note(t), nil), aggregate.ErrUnbound)
	d := repository(t, openStore(t), aggregate.Config{}).New(event.NewID())
	require.ErrorIs(t, d.Join(eventstore.Append{}, nil), event.ErrInvalid)
}
