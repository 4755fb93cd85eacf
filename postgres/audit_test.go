package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

func TestConformanceAuditLog(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	audittest.RunLog(t, func(t *testing.T) audittest.LogHarness {
		t.Helper()
		store := shared.home(t)
		return audittest.LogHarness{Home: postgres.NewAuditLog(store.Store, audit.Config{}), Begin: store.Begin, Tamper: tamper(store, "audit_log")}
	})
}

func TestConformanceUserActivity(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	audittest.RunActivity(t, func(t *testing.T) audittest.ActivityHarness {
		t.Helper()
		store := shared.home(t)
		return audittest.ActivityHarness{Home: postgres.NewUserActivity(store.Store), Begin: store.Begin}
	})
}

// tamper lists what another program may try with a table, as its owner, and
// with a setting that this one knows of.
func tamper(store *home, table string) map[string]func(context.Context) error {
	ways := make(map[string]func(context.Context) error)
	for _, statement := range []string{
		"UPDATE %s SET actor_id = 'user:mallory'",
		"UPDATE %s SET actor_id = 'user:mallory' WHERE position = 2",
		"UPDATE %s SET actor_id = 'user:mallory' WHERE false",
		"DELETE FROM %s",
		"DELETE FROM %s WHERE position = 2",
		"TRUNCATE %s",
		"TRUNCATE %s RESTART IDENTITY CASCADE",
		"INSERT INTO %[1]s (position) SELECT position FROM %[1]s WHERE position = 2 ON CONFLICT (position) DO UPDATE SET actor_id = 'user:mallory'",
		"WITH gone AS (DELETE FROM %s RETURNING *) SELECT * FROM gone",
	} {
		statement = fmt.Sprintf(statement, store.config.Schema+"."+table)
		ways[statement] = func(ctx context.Context) error {
			_, err := store.Pool().Exec(ctx, statement)
			return err
		}
	}
	return ways
}

func TestUserActivityRefusesChanges(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 3)
	activity := postgres.NewUserActivity(store.Store)
	runner := newRunner(t, store, activity)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	for range 2 { // and after a reset
		for statement, way := range tamper(store, "user_activity") {
			require.ErrorContains(t, way(t.Context()), "user_activity is append-only", statement)
		}
		require.NoError(t, runner.Rebuild(t.Context(), audit.ActivityName))
	}
	assertEqualToReplay(t, store, nil, activity, 3)
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
	store := newHome(t)
	add(t, store, 700)
	auditLog, activity := postgres.NewAuditLog(store.Store, audit.Config{}), postgres.NewUserActivity(store.Store)
	runner := newRunner(t, store, auditLog, activity)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assertEqualToReplay(t, store, auditLog, activity, 700)

	add(t, store, 5)
	require.NoError(t, runner.Rebuild(t.Context(), audit.LogName))
	require.NoError(t, runner.Rebuild(t.Context(), audit.ActivityName))
	assertEqualToReplay(t, store, auditLog, activity, 705)

	inMemory := memoryStore(t)
	rebuilt := memory.NewAuditLog(audit.Config{})
	fresh, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{rebuilt}, Progress: inMemory})
	require.NoError(t, err)
	require.NoError(t, fresh.RunUntilCaughtUp(t.Context()))
	comparison, err := audit.Compare(t.Context(), auditLog, rebuilt, 5)
	require.NoError(t, err)
	assert.Equal(t, "705 compared, all equal", comparison.String())

	other := store.again(t)
	assertEqualToReplay(t, other, postgres.NewAuditLog(other, audit.Config{}), postgres.NewUserActivity(other), 705)
}

func memoryStore(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	return store
}

// TestARecordThatIsThereAlreadyIsNoReasonToPark has a batch find some of its
// records in the table: as after a checkpoint that was put back by hand.
func TestARecordThatIsThereAlreadyIsNoReasonToPark(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 9)
	auditLog, activity := postgres.NewAuditLog(store.Store, audit.Config{}), postgres.NewUserActivity(store.Store)
	runner := newRunner(t, store, auditLog, activity)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	add(t, store, 9)
	store.run(t, "UPDATE evident.checkpoints SET position = 4")
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assertEqualToReplay(t, store, auditLog, activity, 18)
	for _, name := range []string{audit.LogName, audit.ActivityName} {
		stats, err := store.DeadLetters().Stats(t.Context(), name, 1)
		require.NoError(t, err)
		assert.Zero(t, stats.Letters)
	}
}

func TestARecordThatWasChangedIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 20)
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	require.NoError(t, newRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
	damage(t, store, "audit_log", "UPDATE %s SET actor_id = 'user:mallory' WHERE position = 7", "DELETE FROM %s WHERE position = 11")
	comparison, err := audit.Compare(t.Context(), auditLog, audit.Replay(store, audit.Config{}), 10)
	require.NoError(t, err)
	assert.Equal(t, "20 compared, 2 differ\n"+
		`position 7: actor_id "user:mallory" is "user:ada" in the other`+"\n"+
		"position 11: only in the second", comparison.String())
}

// damage changes a table as its owner can, who takes the guard off.
func damage(t *testing.T, store *home, table string, statements ...string) {
	t.Helper()
	for _, statement := range append([]string{"ALTER TABLE %s DISABLE TRIGGER USER"}, statements...) {
		store.run(t, fmt.Sprintf(statement, "evident."+table))
	}
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"metadata": `UPDATE %s SET metadata = '[]'`,
		"reduced":  `UPDATE %s SET reduced = '{}'`,
		"ids":      `ALTER TABLE %s ALTER aggregate_id TYPE text`,
		"times":    `ALTER TABLE %s ALTER recorded_at TYPE text`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			add(t, store, 1)
			auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
			require.NoError(t, newRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
			damage(t, store, "audit_log", statement)
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
	store := newHome(t)
	add(t, store, 1)
	activity := postgres.NewUserActivity(store.Store)
	require.NoError(t, newRunner(t, store, activity).RunUntilCaughtUp(t.Context()))
	damage(t, store, "user_activity", "ALTER TABLE %s ALTER event_id TYPE text")
	for found, err := range activity.FindActivities(t.Context(), audit.ActivityQuery{}) {
		assert.Equal(t, audit.Activity{}, found)
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	}
	for _, err := range activity.FindActors(t.Context(), audit.ActivityQuery{}) {
		require.NoError(t, err) // it does not look there
		break
	}
}

func TestAClosedStoreAnswersNoQuery(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	auditLog, activity := postgres.NewAuditLog(store.Store, audit.Config{}), postgres.NewUserActivity(store.Store)
	require.NoError(t, store.Close())
	for _, oldest := range []bool{true, false} {
		for _, err := range auditLog.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: oldest}}) {
			require.ErrorIs(t, err, eventstore.ErrClosed)
		}
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
	store := newHome(t)
	for name, p := range map[string]projection.Projection{
		"audit_log": postgres.NewAuditLog(store.Store, audit.Config{}), "user_activity": postgres.NewUserActivity(store.Store),
	} {
		assert.Equal(t, name, p.Name())
		assert.Equal(t, 1, p.Version())
		assert.Nil(t, p.EventTypes())
		assert.Equal(t, projection.ExactlyOnce, p.Guarantee())
		require.ErrorIs(t, p.Apply(t.Context(), nil, event.Event{}), event.ErrDefinition)
	}
	tx := begin(t, store)
	refused := postgres.NewAuditLog(store.Store, audit.Config{Action: func(event.Event) string { return "Not an action" }})
	require.ErrorIs(t, refused.Apply(t.Context(), tx, event.Event{ID: uuid.New(), Position: 1}), audit.ErrInvalid)
}

// TestResetIsUndoneWithItsTransaction shows that a reset which does not commit
// leaves records and guards as they were.
func TestResetIsUndoneWithItsTransaction(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 10)
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	require.NoError(t, newRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
	tx := begin(t, store)
	require.NoError(t, auditLog.Reset(t.Context(), tx))
	_, err := tx.PGX().Exec(t.Context(), store.sql("DELETE FROM evident.audit_log"))
	require.ErrorContains(t, err, "audit_log is append-only", "the guard is back within the transaction")
	require.NoError(t, tx.Rollback(t.Context()))
	assertEqualToReplay(t, store, auditLog, nil, 10)
	for statement, way := range tamper(store, "audit_log") {
		require.ErrorContains(t, way(t.Context()), "audit_log is append-only", statement)
	}
}

// TestWhoMayResetRecords has a role that may fill the audit log and nothing
// else try to empty it.
func TestWhoMayResetRecords(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	add(t, store, 1)
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	require.NoError(t, newRunner(t, store, auditLog).RunUntilCaughtUp(t.Context()))
	role := "filler_" + uuid.NewString()[:8]
	store.run(t, "CREATE ROLE "+role)
	t.Cleanup(func() {
		_, err := store.Pool().Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		assert.NoError(t, err)
	})
	store.run(t, "GRANT USAGE ON SCHEMA "+store.config.Schema+" TO "+role)
	store.run(t, "GRANT SELECT, INSERT ON evident.audit_log TO "+role)
	reset := func() error {
		tx := begin(t, store)
		_, err := tx.PGX().Exec(t.Context(), "SET LOCAL ROLE "+role)
		require.NoError(t, err)
		if err := auditLog.Reset(t.Context(), tx); err != nil {
			return err
		}
		return tx.Commit(t.Context())
	}
	class, _ := store.Classify(reset())
	assert.Equal(t, projection.Infrastructure, class, "a right that is missing is the fault of no event")
	assertEqualToReplay(t, store, auditLog, nil, 1)

	store.run(t, "GRANT EXECUTE ON FUNCTION evident.empty_records(text) TO "+role)
	require.NoError(t, reset())
	assertEqualToReplay(t, memoryStore(t), auditLog, nil, 0)
	_, err := store.Pool().Exec(t.Context(), store.sql("SELECT evident.empty_records('events')"))
	require.Error(t, err, "it empties nothing else")
}

// TestManyRecordsAreVerified has a superuser change rows, for whom no trigger
// is asked.
func TestManyRecordsAreVerified(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	change := func(ctx context.Context, statement string) error {
		return pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL session_replication_role = replica"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, store.sql(statement))
			return err
		})
	}
	audittest.RunVerify(t, audittest.VerifyHarness{
		Events: store.Store, Log: postgres.NewAuditLog(store.Store, audit.Config{}), Activity: postgres.NewUserActivity(store.Store),
		Forge: func(ctx context.Context, table string, position uint64) error {
			return change(ctx, fmt.Sprintf("UPDATE evident.%s SET actor_id = 'user:mallory' WHERE position = %d", table, position))
		},
		Erase: func(ctx context.Context, table string, position uint64) error {
			return change(ctx, fmt.Sprintf("DELETE FROM evident.%s WHERE position = %d", table, position))
		},
	})
}
