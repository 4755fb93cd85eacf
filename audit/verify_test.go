package audit_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

// storedIn returns homes of the events of a store up to a position.
func storedIn(t *testing.T, store eventstore.Store, last uint64) (*memory.AuditLog, *memory.UserActivity) {
	t.Helper()
	log, feeds := memory.NewAuditLog(audit.Config{}), memory.NewUserActivity()
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{Until: last}) {
		require.NoError(t, err)
		require.NoError(t, log.Apply(t.Context(), nil, e))
		require.NoError(t, feeds.Apply(t.Context(), nil, e))
	}
	return log, feeds
}

// TestALogThatLagsHasNoFault has homes that have come to the 40th of 60 events.
func TestALogThatLagsHasNoFault(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	log, feeds := storedIn(t, store, 40)
	for asOf, missing := range map[uint64]uint64{0: 0, 30: 0, 40: 0, 45: 5, 1000: 20} {
		found, err := audit.Verify(t.Context(), log, store, audit.Config{}, asOf, 1)
		require.NoError(t, err)
		assert.Equal(t, []uint64{40 + missing, missing}, []uint64{found.Compared, found.Differing}, "as of %d: %s", asOf, found)
		found, err = audit.VerifyActivities(t.Context(), feeds, store, asOf, 1)
		require.NoError(t, err)
		assert.Equal(t, []uint64{40 + missing, missing}, []uint64{found.Compared, found.Differing}, "as of %d: %s", asOf, found)
	}
	empty, _ := storedIn(t, store, 1)
	require.NoError(t, empty.Reset(t.Context(), nil))
	found, err := audit.Verify(t.Context(), empty, store, audit.Config{}, 0, 1)
	require.NoError(t, err)
	assert.Equal(t, audit.Comparison{}, found)
}

// TestARecordBeyondTheCheckpointIsLookedAt has somebody write a record that no
// event says.
func TestARecordBeyondTheCheckpointIsLookedAt(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	log, feeds := storedIn(t, store, 60)
	require.NoError(t, log.Apply(t.Context(), nil, created(61)))
	require.NoError(t, feeds.Apply(t.Context(), nil, created(61)))
	want := audit.Comparison{Compared: 61, Differing: 1, Differences: []audit.Difference{{Position: 61, Missing: audit.B}}}
	found, err := audit.Verify(t.Context(), log, store, audit.Config{}, 60, 9)
	require.NoError(t, err)
	assert.Equal(t, want, found)
	found, err = audit.VerifyActivities(t.Context(), feeds, store, 60, 9)
	require.NoError(t, err)
	assert.Equal(t, want, found)
}

func TestVerifySaysWhatFailed(t *testing.T) {
	t.Parallel()
	store, errDisk := newStore(t), errors.New("disk on fire")
	_, err := audit.Verify(t.Context(), finder(func(yield func(audit.ActivityRecord, error) bool) { yield(audit.ActivityRecord{}, errDisk) }), store, audit.Config{}, 0, 1)
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "verify")
	_, err = audit.VerifyActivities(t.Context(), brokenFeeds{errDisk}, store, 0, 1)
	require.ErrorIs(t, err, errDisk)
}

type brokenFeeds struct{ err error }

func (b brokenFeeds) FindActivities(context.Context, audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
	return func(yield func(audit.Activity, error) bool) { yield(audit.Activity{}, b.err) }
}

func (b brokenFeeds) FindActors(context.Context, audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
	return audit.CountActors(b.FindActivities(context.Background(), audit.ActivityQuery{}), audit.Page{})
}

func TestGroupActions(t *testing.T) {
	t.Parallel()
	log := logOf(t, created(1), created(2, func(e *event.Event) { e.Type = "Archived" }), created(3))
	createdLast := audit.ActionUse{Action: "document.created", Last: 3, LastAt: created(3).OccurredAt}
	archived := audit.ActionUse{Action: "document.archived", Last: 2, LastAt: created(2).OccurredAt}
	records := log.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}})
	assert.Equal(t, []audit.ActionUse{createdLast, archived}, collect(t, audit.GroupActions(records, audit.Page{})))
	assert.Equal(t, []audit.ActionUse{archived, createdLast}, collect(t, audit.GroupActions(records, audit.Page{OldestFirst: true})))
	assert.Equal(t, []audit.ActionUse{createdLast}, collect(t, audit.GroupActions(records, audit.Page{Limit: 1})))
	errDisk := errors.New("disk on fire")
	require.ErrorIs(t, firstError(audit.GroupActions(broken{errDisk}.records, audit.Page{})), errDisk)
}

// A stored log is compared with what its events say.
func ExampleVerify() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := event.Event{ID: id(1), Type: "DocumentCreated", SchemaVersion: 1, ActorID: "user:alice", OccurredAt: start}
	stored, err := store.Append(ctx, eventstore.Append{
		Stream: eventstore.Stream{AggregateType: "Document", AggregateID: id(2)}, Events: []event.Event{e},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	auditLog := memory.NewAuditLog(audit.Config{}) // which no runner has filled
	comparison, err := audit.Verify(ctx, auditLog, store, audit.Config{}, stored.Position, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(comparison)
	// Output:
	// 1 compared, 1 differ
	// position 1: only in the second
}
