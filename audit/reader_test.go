package audit_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func TestQuestionsAboutNobodyAreRefused(t *testing.T) {
	t.Parallel()
	log, ctx, page := logOf(t, created(1)), t.Context(), audit.Page{}
	requireInvalid(t, firstError(log.ByActor(ctx, "", page)), "actor_id")
	requireInvalid(t, firstError(log.ByOwner(ctx, "", page)), "owner_id")
	requireInvalid(t, firstError(log.ByAction(ctx, "", page)), "action")
	requireInvalid(t, firstError(log.ByEntity(ctx, audit.EntityRef{Type: "Document"}, page)), "entity.id")
	requireInvalid(t, firstError(log.ByEntity(ctx, audit.EntityRef{ID: "x"}, page)), "entity.type")
	requireInvalid(t, firstError(log.ByAggregate(ctx, uuid.Nil, page)), "aggregate_id")
	requireInvalid(t, firstError(log.ByCorrelation(ctx, uuid.Nil, page)), "correlation_id")
	_, err := log.Get(ctx, uuid.Nil)
	requireInvalid(t, err, "id")
	activity := memory.NewUserActivity()
	requireInvalid(t, firstError(activity.ByActor(ctx, "", page)), "actor_id")
}

func TestGet(t *testing.T) {
	t.Parallel()
	log := logOf(t, created(1), created(2))
	r, err := log.Get(t.Context(), id(2))
	require.NoError(t, err)
	assert.EqualValues(t, 2, r.Position())
	_, err = log.Get(t.Context(), id(3))
	var missing *audit.NotFoundError
	require.ErrorAs(t, err, &missing)
	require.ErrorIs(t, err, audit.ErrNotFound)
	require.EqualError(t, err, "record 01900000-0000-7000-8000-000000000003: no such record")
}

func TestAsOfNeverWidensAPage(t *testing.T) {
	t.Parallel()
	log := logOf(t, created(1), created(2), created(3), created(4))
	find := func(r audit.Reader, before uint64) int {
		return len(collect(t, r.Find(t.Context(), audit.Query{Page: audit.Page{Before: before}})))
	}
	assert.Equal(t, 3, find(log.AsOf(3), 0))
	assert.Equal(t, 1, find(log.AsOf(3), 2))
	assert.Equal(t, 3, find(log.AsOf(3), 9))
	assert.Equal(t, 2, find(log.AsOf(3).AsOf(2), 0))
	assert.Equal(t, 2, find(log.AsOf(2).AsOf(3), 0))
	assert.Equal(t, 4, find(log.AsOf(math.MaxUint64), 0))
	assert.Equal(t, 1, find(log.AsOf(math.MaxUint64), 2))
}

func TestCountActors(t *testing.T) {
	t.Parallel()
	activities := func(yield func(audit.Activity, error) bool) {
		for _, e := range []event.Event{created(3), created(1), created(2, func(e *event.Event) { e.ActorID = "" })} {
			if !yield(audit.ActivityOf(e), nil) {
				return
			}
		}
	}
	alice := audit.ActiveActor{ActorID: "user:alice", Count: 2, Last: 3, LastAt: start.Add(3 * time.Minute)}
	nobody := audit.ActiveActor{ActorID: event.Anonymous, Count: 1, Last: 2, LastAt: start.Add(2 * time.Minute)}
	assert.Equal(t, []audit.ActiveActor{alice, nobody}, collect(t, audit.CountActors(activities, audit.Page{})))
	assert.Equal(t, []audit.ActiveActor{nobody, alice}, collect(t, audit.CountActors(activities, audit.Page{OldestFirst: true})))
	assert.Equal(t, []audit.ActiveActor{alice}, collect(t, audit.CountActors(activities, audit.Page{Limit: 1})))
	for actor, err := range audit.CountActors(activities, audit.Page{}) {
		require.NoError(t, err)
		assert.Equal(t, alice, actor)
		break
	}
}

func TestErrorsSayWhatWasTried(t *testing.T) {
	t.Parallel()
	require.EqualError(t, &audit.ImmutableError{ID: id(1), Position: 4},
		"record 01900000-0000-7000-8000-000000000001 at position 4 is stored already under another position")
	require.EqualError(t, &audit.ImmutableError{ID: id(1), Position: 4, Changes: []audit.Change{{Field: "reason", A: "x", B: "y"}}},
		`record at position 4 is stored already with another content: reason "x" is "y" in the other`)
}
