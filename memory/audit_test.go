package memory_test

import (
	"context"
	"iter"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

func TestConformanceAuditLog(t *testing.T) {
	t.Parallel()
	audittest.RunLog(t, func(*testing.T) audittest.LogHarness {
		return audittest.LogHarness{Home: memory.NewAuditLog(audit.Config{}), NoTamper: "what it keeps is reached through it alone"}
	})
}

func TestConformanceUserActivity(t *testing.T) {
	t.Parallel()
	audittest.RunActivity(t, func(*testing.T) audittest.ActivityHarness {
		return audittest.ActivityHarness{Home: memory.NewUserActivity()}
	})
}

type documentCreated struct {
	Title string `json:"title"`
}

func (documentCreated) EventType() string { return "DocumentCreated" }

func appendDocuments(t *testing.T, store eventstore.Store, actors ...event.ActorID) {
	t.Helper()
	for _, actor := range actors {
		ctx := event.WithMetadata(event.WithActor(t.Context(), actor), event.Metadata{"channel": "web", "retries": 2})
		e, err := event.New(ctx, documentCreated{Title: "Notes"})
		require.NoError(t, err)
		_, err = store.Append(ctx, eventstore.Append{
			Stream: eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}, Expected: eventstore.NoStream(), Events: []event.Event{e},
		})
		require.NoError(t, err)
	}
}

func TestAuditHomesAreFilledByARunner(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	appendDocuments(t, store, "user:alice", "user:bob", "", "user:alice")

	config := audit.Config{Describe: func(e event.Event) string { return "a document by " + e.ActorID.Name() }}
	auditLog, activity := memory.NewAuditLog(config), memory.NewUserActivity()
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{auditLog, activity}})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))

	requireEqualToReplay(t, store, config, auditLog, activity, 4)
	records := auditLog.Records()
	require.Len(t, records, 4)
	assert.Equal(t, "a document by alice", records[0].Description())
	records[0] = audit.ActivityRecord{}
	assert.Equal(t, "a document by alice", auditLog.Records()[0].Description(), "Records is a copy")

	appendDocuments(t, store, "user:carol")
	require.NoError(t, runner.Rebuild(t.Context(), audit.LogName))
	require.NoError(t, runner.Rebuild(t.Context(), audit.ActivityName))
	requireEqualToReplay(t, store, config, auditLog, activity, 5)
}

func requireEqualToReplay(t *testing.T, store eventstore.Store, config audit.Config, log audit.Finder, activity audit.ActivityFinder, events uint64) {
	t.Helper()
	comparison, err := audit.Compare(t.Context(), log, audit.Replay(store, config), 5)
	require.NoError(t, err)
	assert.Equal(t, audit.Comparison{Compared: events}, comparison, comparison.String())
	comparison, err = audit.CompareActivities(t.Context(), activity, audit.ReplayActivities(store), 5)
	require.NoError(t, err)
	assert.Equal(t, audit.Comparison{Compared: events}, comparison, comparison.String())
}

func TestAuditLogRefusesAnActionThatIsNone(t *testing.T) {
	t.Parallel()
	auditLog := memory.NewAuditLog(audit.Config{Action: func(event.Event) string { return "Not an action" }})
	err := auditLog.Apply(t.Context(), nil, event.Event{ID: uuid.New(), Position: 1})
	require.ErrorIs(t, err, audit.ErrInvalid)
	assert.Empty(t, auditLog.Records())
}

func TestAuditHomesTellTheRunnerWhatTheyAre(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]projection.Projection{
		"audit_log": memory.NewAuditLog(audit.Config{}), "user_activity": memory.NewUserActivity(),
	} {
		assert.Equal(t, name, p.Name())
		assert.Equal(t, 1, p.Version())
		assert.Nil(t, p.EventTypes())
		assert.Equal(t, projection.AtLeastOnce, p.Guarantee())
		ended, end := context.WithCancel(t.Context())
		end()
		require.ErrorIs(t, p.Apply(ended, nil, event.Event{}), context.Canceled)
	}
}

// TestManyRecordsAreVerified has homes that forge what they hand out.
func TestManyRecordsAreVerified(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	f := &forgery{forged: make(map[string]uint64), erased: make(map[string]uint64)}
	audittest.RunVerify(t, audittest.VerifyHarness{
		Events: store, Log: forgedLog{memory.NewAuditLog(audit.Config{}), f}, Activity: forgedFeeds{memory.NewUserActivity(), f},
		Forge: func(_ context.Context, table string, position uint64) error {
			f.forged[table] = position
			return nil
		},
		Erase: func(_ context.Context, table string, position uint64) error {
			f.erased[table] = position
			return nil
		},
	})
}

// forgery says which positions are not handed out as they are.
type forgery struct{ forged, erased map[string]uint64 }

type forgedLog struct {
	*memory.AuditLog

	*forgery
}

func (l forgedLog) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		for record, err := range l.AuditLog.Find(ctx, query) {
			if record.Position() == l.forged[audit.LogName] {
				d := record.Draft()
				d.ActorID = "user:mallory"
				record = audit.Restore(d)
			}
			if query.Limit == 1 && record.Position() == l.erased[audit.LogName] {
				yield(audit.Restore(audit.Draft{Position: record.Position() - 1}), nil) // the one before
				return
			}
			if record.Position() != l.erased[audit.LogName] && !yield(record, err) {
				return
			}
		}
	}
}

type forgedFeeds struct {
	*memory.UserActivity

	*forgery
}

func (u forgedFeeds) FindActivities(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
	return func(yield func(audit.Activity, error) bool) {
		for a, err := range u.UserActivity.FindActivities(ctx, query) {
			if a.Position == u.forged[audit.ActivityName] {
				a.ActorID = "user:mallory"
			}
			if query.Limit == 1 && a.Position == u.erased[audit.ActivityName] {
				yield(audit.Activity{Position: a.Position - 1}, nil) // the one before
				return
			}
			if a.Position != u.erased[audit.ActivityName] && !yield(a, err) {
				return
			}
		}
	}
}
