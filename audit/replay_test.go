package audit_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// newStore returns a store with events of several actors, tenants and types.
func newStore(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	actors, tenants := []event.ActorID{"user:alice", "", event.Anonymous, "user:bob"}, []event.TenantID{"", "acme", "other"}
	for n := range uint64(60) {
		e := created(n+1, func(e *event.Event) {
			e.ActorID, e.TenantID, e.CorrelationID = actors[n%4], tenants[n%3], id(500+n/10)
			e.AggregateID, e.AggregateType = id(1000+n%7), []string{"Document", "Folder"}[n%2]
			e.Position, e.AggregateVersion = 0, 0
			if n%10 == 7 { // an explicit activity about what is an aggregate, too
				e.Type, e.AggregateType, e.AggregateID = audit.RecordedType, audit.ActivityStream, e.ID
				e.Data = fmt.Appendf(nil, `{"action":"folder.open","entity":{"type":"Folder","id":%q},"outcome":"denied","on_behalf_of":"user:x"}`, id(1000+n%7))
			}
		})
		_, err := store.Append(t.Context(), eventstore.Append{Stream: eventstore.StreamOf(e), Events: []event.Event{e}})
		require.NoError(t, err)
	}
	return store
}

// TestReplayAnswersAsAStoredLog asks both the same questions.
func TestReplayAnswersAsAStoredLog(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	stored, feeds := memory.NewAuditLog(audit.Config{}), memory.NewUserActivity()
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{stored, feeds}})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	replay := audit.Replay(store, audit.Config{})
	for _, query := range []audit.Query{
		{},
		{ID: id(3)},
		{TenantID: "acme"},
		{ActorID: "user:alice"},
		{ActorID: event.Anonymous},
		{Action: "folder.document_created"},
		{EntityType: "Folder"},
		{EntityID: id(1003).String()},
		{EntityID: id(1003).String(), Page: audit.Page{OldestFirst: true, Limit: 4}},
		{EntityID: id(1003).String(), EntityType: "Folder", ActorID: "user:bob"},
		{Action: "folder.open"},
		{Outcome: audit.Denied},
		{Outcome: audit.Success},
		{EventType: "DocumentCreated", TenantID: "other"},
		{EventType: audit.RecordedType},
		{OnBehalfOf: "user:x"},
		{EntityID: "not an id"},
		{CorrelationID: id(502)},
		{OwnerID: "user:x"},
		{OccurredFrom: start.Add(1e12), OccurredUntil: start.Add(2e12)},
		{Page: audit.Page{Limit: 7}},
		{Page: audit.Page{Limit: 7, OldestFirst: true, After: 20}},
		{Page: audit.Page{Before: 1}},
		{Page: audit.Page{Before: 30, After: 10, Limit: 5}, ActorID: event.Anonymous, TenantID: "other"},
	} {
		assert.Equal(t, collect(t, stored.Find(t.Context(), query)), collect(t, replay.Find(t.Context(), query)), "%+v", query)
	}
	for _, query := range []audit.ActionQuery{{}, {TenantID: "acme"}, {Page: audit.Page{Before: 9, OldestFirst: true}}, {Page: audit.Page{Limit: 1}}} {
		assert.Equal(t, collect(t, stored.FindActions(t.Context(), query)), collect(t, replay.FindActions(t.Context(), query)), "%+v", query)
	}
	again := audit.ReplayActivities(store)
	for _, query := range []audit.ActivityQuery{
		{},
		{ActorID: event.Anonymous},
		{TenantID: "acme", ActorID: "user:bob"},
		{OccurredFrom: start.Add(1e12)},
		{Page: audit.Page{Before: 1}},
		{Page: audit.Page{Before: 30, After: 10, Limit: 2}},
		{Page: audit.Page{OldestFirst: true, Limit: 3}},
	} {
		assert.Equal(t, collect(t, feeds.FindActivities(t.Context(), query)), collect(t, again.FindActivities(t.Context(), query)), "%+v", query)
		assert.Equal(t, collect(t, feeds.FindActors(t.Context(), query)), collect(t, again.FindActors(t.Context(), query)), "%+v", query)
	}
}

func TestReplayStopsAtAnError(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	broken := audit.Config{Action: func(e event.Event) string {
		if e.Position == 50 {
			return "?"
		}
		return "x"
	}}
	var seen, failed int
	for _, err := range audit.Replay(store, broken).Find(t.Context(), audit.Query{}) {
		if err != nil {
			require.ErrorIs(t, err, audit.ErrInvalid)
			failed++
			continue
		}
		seen++
	}
	assert.Equal(t, []int{10, 1}, []int{seen, failed})
	for _, err := range audit.Replay(store, audit.Config{}).Find(t.Context(), audit.Query{}) {
		require.NoError(t, err)
		break
	}
	require.NoError(t, store.Close())
	require.ErrorIs(t, firstError(audit.Replay(store, audit.Config{}).Find(t.Context(), audit.Query{})), eventstore.ErrClosed)
	require.ErrorIs(t, firstError(audit.ReplayActivities(store).FindActors(t.Context(), audit.ActivityQuery{})), eventstore.ErrClosed)
	_, err := audit.Trace(t.Context(), audit.Replay(store, audit.Config{}), uuid.New())
	require.ErrorIs(t, err, eventstore.ErrClosed)
}
