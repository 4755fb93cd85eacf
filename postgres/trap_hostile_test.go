package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// A deferred constraint, and a deferred trigger of the user's,
// refuse an event at the COMMIT. The first stops the projection for good, the
// second has it retried for ever.
func TestTrapADeferredConstraintFindsItsEvent(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"constraint": "CREATE TABLE lines (position bigint REFERENCES known DEFERRABLE INITIALLY DEFERRED)",
		"trigger": `CREATE TABLE lines (position bigint);
			CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
			CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON lines DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.position = 5) EXECUTE FUNCTION refuse()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			store.run(t, "CREATE TABLE known (position bigint PRIMARY KEY)")
			store.run(t, "INSERT INTO known SELECT n FROM generate_series(1, 10) AS n WHERE n <> 5")
			store.run(t, table)
			for range 10 {
				add(t, store, 1)
			}
			p := postgres.NewProjection("lines", 1, postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
				_, err := tx.Exec(ctx, "INSERT INTO lines VALUES ($1)", e.Position)
				return err
			}))
			config := quick(p)
			config.Redrive = projection.Retry{MaxAttempts: 1}
			r, err := projection.NewRunner(store, config)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			require.NoError(t, r.RunUntilCaughtUp(ctx))
			assert.Equal(t, 9, store.count(t, "SELECT count(*) FROM lines"))
			assert.Equal(t, 5, store.count(t, "SELECT position FROM evident.dead_letters"))
		})
	}
}

// At the end of a run a savepoint and a transaction are rolled back without
// any bound. If the way to the server swallows everything, as a firewall does
// that has forgotten the connection, Run does not return.
func TestTrapAShutdownEndsThoughTheServerIsSilent(t *testing.T) {
	t.Parallel()
	p, store, straight := newPluggedStore(t, nil)
	appendTo(t, straight, newStream(), 1)
	begun := make(chan struct{})
	config := quick(postgres.NewProjection("ledger", 1, postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, _ event.Event) error {
		_, err := tx.Exec(ctx, "SELECT 1")
		close(begun)
		<-ctx.Done() // something else takes its time
		if err == nil {
			err = ctx.Err()
		}
		return err
	})))
	config.ShutdownTimeout = 500 * time.Millisecond
	r, err := projection.NewRunner(store, config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	await(t, begun, "the batch")
	p.Swallow()
	cancel()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(15 * time.Second):
		assert.Fail(t, "Run has not returned 15 s after its context has ended, the time of grace is half a second")
	}
	p.Heal()
}

// A writer announces the floor that it has read a moment before, and keeps
// its transaction open: the head of a process that starts now is below what
// another has seen and saved. After one second that counts as "restored from an
// older copy", and the projection stops for good, with the advice to reset it.
func TestTrapAFloorThatIsAnnouncedLateStopsNobody(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	for range 10 {
		add(t, store, 1)
	}
	p := ledgerProjection(onlyLedger)
	require.NoError(t, newRunner(t, store, p).RunUntilCaughtUp(t.Context()))
	late := hold(t, store.Store)
	_, err := late.Exec(t.Context(), store.sql("SELECT pg_advisory_xact_lock_shared('evident.position'::regclass::oid::int, 7)"))
	require.NoError(t, err)

	fresh := newRunner(t, store.again(t), p) // another process, after a deploy
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- fresh.Run(ctx) }()
	select {
	case err := <-done:
		require.NoError(t, err, "it has given up")
	case <-time.After(5 * time.Second):
	}
	require.NoError(t, late.Rollback(t.Context()))
	brief, end := context.WithTimeout(t.Context(), 10*time.Second)
	defer end()
	require.NoError(t, fresh.WaitFor(brief, "ledger", add(t, store, 1).Position))
	cancel()
}
