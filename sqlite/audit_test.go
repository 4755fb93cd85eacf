package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
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
	"github.com/evident-go/evident/sqlite"
)

// newQuickStore returns a store that does not wait for the disk, and its file.
func newQuickStore(t *testing.T) (*sqlite.Store, string) {
	t.Helper()
	config := newFile(t)
	config.Synchronous = sqlite.SynchronousNormal
	return open(t, config), config.Path
}

func TestConformanceAuditLog(t *testing.T) {
	t.Parallel()
	audittest.RunLog(t, func(t *testing.T) audittest.LogHarness {
		t.Helper()
		store, path := newQuickStore(t)
		return audittest.LogHarness{
			Home: sqlite.NewAuditLog(store, audit.Config{}), Begin: store.Begin, Tamper: tamper(t, path, "audit_log"),
		}
	})
}

func TestConformanceUserActivity(t *testing.T) {
	t.Parallel()
	audittest.RunActivity(t, func(t *testing.T) audittest.ActivityHarness {
		t.Helper()
		store, _ := newQuickStore(t)
		return audittest.ActivityHarness{Home: sqlite.NewUserActivity(store), Begin: store.Begin}
	})
}

// tamper lists what another program may try with the table.
func tamper(t *testing.T, path, table string) map[string]func(context.Context) error {
	t.Helper()
	db := raw(t, path)
	ways := make(map[string]func(context.Context) error)
	for _, statement := range []string{
		"UPDATE %s SET actor_id = 'user:mallory'",
		"UPDATE OR IGNORE %s SET actor_id = 'user:mallory' WHERE position = 2",
		"DELETE FROM %s",
		"DELETE FROM %s WHERE position = 2",
		"REPLACE INTO %[1]s SELECT * FROM %[1]s WHERE position = 2",
		"INSERT OR REPLACE INTO %[1]s SELECT * FROM %[1]s",
	} {
		statement = fmt.Sprintf(statement, table)
		ways[statement] = func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, statement)
			return err
		}
	}
	return ways
}

func TestUserActivityRefusesChangesInTheFile(t *testing.T) {
	t.Parallel()
	store, path := newQuickStore(t)
	add(t, store, 3)
	activity := sqlite.NewUserActivity(store)
	runner := newAuditRunner(t, store, activity)
	for range 2 {
		require.NoError(t, runner.Rebuild(t.Context(), audit.ActivityName))
		for statement, way := range tamper(t, path, "user_activity") {
			require.ErrorContains(t, way(t.Context()), "activities are never", statement)
		}
	}
	assertEqualToReplay(t, store, nil, activity, 3)
}

func newAuditRunner(t *testing.T, store *sqlite.Store, projections ...projection.Projection) *projection.Runner {
	t.Helper()
	runner, err := projection.NewRunner(store, projection.Config{Projections: projections})
	require.NoError(t, err)
	return runner
}

func assertEqualToReplay(t *testing.T, store eventstore.Store, log audit.Finder, activity audit.ActivityFinder, events uint64) {
	t.Helper()
	if log != nil {
		comparison, err := audit.Compare(t.Context(), log, audit.Replay(store, audit.Config{}), 5)
		require.NoError(t, err)
		assert.Equal(t, audit.Comparison{Compared: events}, comparison, comparison.String())
	}
	if activity != nil {
		comparison, err := audit.CompareActivities(t.Context(), activity, audit.ReplayActivities(store), 5)
		require.NoError(t, err)
		assert.Equal(t, audit.Comparison{Compared: events}, comparison, comparison.String())
	}
}

func TestAuditHomesAreFilledByARunner(t *testing.T) {
	t.Parallel()
	store, path := newQuickStore(t)
	add(t, store, 700)
	auditLog, activity := sqlite.NewAuditLog(store, audit.Config{}), sqlite.NewUserActivity(store)
	runner := newAuditRunner(t, store, auditLog, activity)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assertEqualToReplay(t, store, auditLog, activity, 700)

	add(t, store, 5)
	require.NoError(t, runner.Rebuild(t.Context(), audit.LogName))
	require.NoError(t, runner.Rebuild(t.Context(), audit.ActivityName))
	assertEqualToReplay(t, store, auditLog, activity, 705)

	inMemory, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	rebuilt := memory.NewAuditLog(audit.Config{})
	fresh, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{rebuilt}, Progress: inMemory})
	require.NoError(t, err)
	require.NoError(t, fresh.RunUntilCaughtUp(t.Context()))
	comparison, err := audit.Compare(t.Context(), auditLog, rebuilt, 5)
	require.NoError(t, err)
	assert.Equal(t, "705 compared, all equal", comparison.String())

	again := open(t, sqlite.Config{Path: path})
	assertEqualToReplay(t, again, sqlite.NewAuditLog(again, audit.Config{}), sqlite.NewUserActivity(again), 705)
}

func TestARecordChangedInTheFileIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	store, path := newQuickStore(t)
	add(t, store, 20)
	auditLog := sqlite.NewAuditLog(store, audit.Config{})
	require.NoError(t, newAuditRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
	db := raw(t, path)
	for _, statement := range []string{ // as somebody would who may do anything
		"DROP TRIGGER audit_log_is_not_updated", "DROP TRIGGER audit_log_is_not_deleted",
		"UPDATE audit_log SET actor_id = 'user:mallory' WHERE position = 7", "DELETE FROM audit_log WHERE position = 11",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	comparison, err := audit.Compare(t.Context(), auditLog, audit.Replay(store, audit.Config{}), 10)
	require.NoError(t, err)
	assert.Equal(t, "20 compared, 2 differ\n"+
		`position 7: actor_id "user:mallory" is "user:ada" in the other`+"\n"+
		"position 11: only in the second", comparison.String())
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"metadata":      `UPDATE audit_log SET metadata = '{'`,
		"more metadata": `UPDATE audit_log SET metadata = '{} {}'`,
		"reduced":       `UPDATE audit_log SET reduced = '{'`,
		"id":            `UPDATE audit_log SET id = x'00'`,
		"aggregate id":  `UPDATE audit_log SET aggregate_id = x'00'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, path := newQuickStore(t)
			add(t, store, 1)
			auditLog := sqlite.NewAuditLog(store, audit.Config{})
			require.NoError(t, newAuditRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
			damageTable(t, raw(t, path), damage)
			var errs []error
			for record, err := range auditLog.Find(t.Context(), audit.Query{}) {
				assert.Equal(t, audit.ActivityRecord{}, record)
				errs = append(errs, err)
			}
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], eventstore.ErrCorrupt)
		})
	}
}

func TestDamagedActivitiesAreErrors(t *testing.T) {
	t.Parallel()
	store, path := newQuickStore(t)
	add(t, store, 1)
	activity := sqlite.NewUserActivity(store)
	require.NoError(t, newAuditRunner(t, store, activity).RunUntilCaughtUp(t.Context()))
	_, err := raw(t, path).ExecContext(t.Context(), "DROP TRIGGER user_activity_is_not_updated; UPDATE user_activity SET event_id = x'00'")
	require.NoError(t, err)
	for found, err := range activity.FindActivities(t.Context(), audit.ActivityQuery{}) {
		assert.Equal(t, audit.Activity{}, found)
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	}
	for _, err := range activity.FindActors(t.Context(), audit.ActivityQuery{}) {
		require.NoError(t, err) // it does not look there
		break
	}
}

func damageTable(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "DROP TRIGGER audit_log_is_not_updated; "+statement)
	require.NoError(t, err)
}

func TestAClosedStoreAnswersNoQuery(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store, err := sqlite.Open(t.Context(), config)
	require.NoError(t, err)
	auditLog, activity := sqlite.NewAuditLog(store, audit.Config{}), sqlite.NewUserActivity(store)
	require.NoError(t, store.Close())
	for _, err := range auditLog.Find(t.Context(), audit.Query{}) {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
	for _, err := range activity.FindActivities(t.Context(), audit.ActivityQuery{}) {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
	for _, err := range activity.FindActors(t.Context(), audit.ActivityQuery{}) {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
}

func TestAuditHomesTellTheRunnerWhatTheyAre(t *testing.T) {
	t.Parallel()
	store, _ := newQuickStore(t)
	for name, p := range map[string]projection.Projection{
		"audit_log": sqlite.NewAuditLog(store, audit.Config{}), "user_activity": sqlite.NewUserActivity(store),
	} {
		assert.Equal(t, name, p.Name())
		assert.Equal(t, 1, p.Version())
		assert.Nil(t, p.EventTypes())
		assert.Equal(t, projection.ExactlyOnce, p.Guarantee())
		require.ErrorIs(t, p.Apply(t.Context(), nil, event.Event{}), event.ErrDefinition)
	}
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) })
	refused := sqlite.NewAuditLog(store, audit.Config{Action: func(event.Event) string { return "Not an action" }})
	require.ErrorIs(t, refused.Apply(t.Context(), tx, event.Event{ID: uuid.New(), Position: 1}), audit.ErrInvalid)
}

// TestResetIsUndoneWithItsTransaction shows that a reset which does not commit
// leaves records and guards as they were.
func TestResetIsUndoneWithItsTransaction(t *testing.T) {
	t.Parallel()
	store, path := newQuickStore(t)
	add(t, store, 10)
	auditLog := sqlite.NewAuditLog(store, audit.Config{})
	require.NoError(t, newAuditRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, auditLog.Reset(t.Context(), tx))
	assertEqualToReplay(t, store, auditLog, nil, 10) // readers see nothing of it
	require.NoError(t, tx.Rollback(t.Context()))
	assertEqualToReplay(t, store, auditLog, nil, 10)
	for statement, way := range tamper(t, path, "audit_log") {
		require.ErrorContains(t, way(t.Context()), "records are never", statement)
	}
}

// TestManyRecordsAreVerified has another program with the file open, which
// takes the guards off.
func TestManyRecordsAreVerified(t *testing.T) {
	t.Parallel()
	store, path := newQuickStore(t)
	db := raw(t, path)
	change := func(ctx context.Context, table, guard, statement string, position uint64) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("DROP TRIGGER %s_is_not_%s; "+statement, table, guard, table, position))
		return err
	}
	audittest.RunVerify(t, audittest.VerifyHarness{
		Events: store, Log: sqlite.NewAuditLog(store, audit.Config{}), Activity: sqlite.NewUserActivity(store),
		Forge: func(ctx context.Context, table string, position uint64) error {
			return change(ctx, table, "updated", "UPDATE %s SET actor_id = 'user:mallory' WHERE position = %d", position)
		},
		Erase: func(ctx context.Context, table string, position uint64) error {
			return change(ctx, table, "deleted", "DELETE FROM %s WHERE position = %d", position)
		},
	})
}
