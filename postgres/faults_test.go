package postgres_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

const sessionLocks = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 'evident.store'::regclass AND objid = 1`

// An append that fails while it takes a position leaves no lock of the session
// behind: others could append no more.
func TestReadOnlyLeavesNoLock(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.URL += "&pool_max_conns=1"
	store, other := open(t, config), open(t, config)
	execIn(t, store, "SET default_transaction_read_only = on")
	_, err := store.Append(t.Context(), newAppend(1))
	require.ErrorIs(t, err, eventstore.ErrReadOnly)
	execIn(t, store, "SET default_transaction_read_only = off")
	assert.Zero(t, value[int](t, other, sessionLocks))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = other.Append(ctx, newAppend(2))
	require.NoError(t, err)
}

// A cancellation that comes in the moment in which the lock is granted.
func TestCancelAsTheLockIsGranted(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		t.Run(strconv.Itoa(n), func(t *testing.T) { t.Parallel(); cancelAsTheLockIsGranted(t, n) })
	}
}

func cancelAsTheLockIsGranted(t *testing.T, n int) {
	t.Helper()
	server := pgtest.Private(t)
	config := postgres.Config{URL: server.URL()}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	config.URL += "&pool_max_conns=1"
	store, other := open(t, config), open(t, config)
	pid := value[int](t, store, "SELECT pg_backend_pid()")
	admin, err := pgx.Connect(t.Context(), server.URL())
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(context.WithoutCancel(t.Context()))) }()
	exec := func(sql string, args ...any) {
		_, err := admin.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec("SELECT pg_advisory_lock('evident.store'::regclass::oid::int, 1)")
	done := make(chan error, 1)
	go func() { _, err := store.Append(t.Context(), newAppend(n)); done <- err }()
	require.Eventually(t, func() bool {
		return value[int](t, other, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
	}, patience, tick)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	exec("SELECT pg_advisory_unlock('evident.store'::regclass::oid::int, 1)")
	exec("SELECT pg_cancel_backend($1)", pid)
	proc, _ := os.FindProcess(pid)
	require.NoError(t, proc.Signal(syscall.SIGCONT))
	t.Log(n, <-done)
	assert.Zero(t, value[int](t, other, sessionLocks), n)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	_, err = other.Append(ctx, newAppend(2))
	cancel()
	require.NoError(t, err, n)
}

// What was never sent is not unknown.
func TestNeverSentIsNotUnknown(t *testing.T) {
	t.Parallel()
	t.Run("no free connection", func(t *testing.T) {
		t.Parallel()
		config := newDatabase(t)
		config.URL += "&pool_max_conns=1"
		store := open(t, config)
		tx, err := store.Pool().Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = store.Append(ctx, newAppend(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	})
	t.Run("refused connection", func(t *testing.T) {
		t.Parallel()
		config := newDatabase(t)
		execute(t, config.URL, "CREATE ROLE limited_"+databaseOf(t, config.URL)+" LOGIN")
		role := "limited_" + databaseOf(t, config.URL)
		require.NoError(t, postgres.Grant(t.Context(), config, role, postgres.CanAppend))
		store := open(t, as(role, config))
		execute(t, config.URL, "ALTER ROLE "+role+" CONNECTION LIMIT 0")
		store.Pool().Reset()
		_, err := store.Append(t.Context(), newAppend(1))
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	})
}

// naughty is an inline projection whose handler does what it likes.
type naughty struct {
	projection.Projection

	apply func(ctx context.Context, tx *postgres.Tx, e event.Event) error
}

func (naughty) Name() string                               { return "naughty" }
func (naughty) Version() int                               { return 1 }
func (naughty) EventTypes() []string                       { return nil }
func (naughty) Guarantee() projection.Guarantee            { return projection.ExactlyOnce }
func (naughty) Reset(context.Context, projection.Tx) error { return nil }
func (p naughty) Apply(ctx context.Context, tx projection.Tx, e event.Event) error {
	own, _ := projection.TxAs[*postgres.Tx](tx)
	return p.apply(ctx, own, e)
}

// A handler whose statement fails, and which passes that over, is refused.
func TestInlinePassedOver(t *testing.T) {
	t.Parallel()
	store := open(t, deployed(t, newDatabase(t), naughty{apply: func(ctx context.Context, tx *postgres.Tx, _ event.Event) error {
		_, _ = tx.PGX().Exec(ctx, "SELECT 1/0")
		return nil
	}}))
	_, err := store.Append(t.Context(), newAppend(1))
	require.Error(t, err)
	require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	require.ErrorAs(t, err, new(*postgres.InlineError))
	require.ErrorIs(t, err, postgres.ErrTxFailed)
}

// A handler that undoes the transaction undoes the append, which says so.
func TestInlineRollback(t *testing.T) {
	t.Parallel()
	store := open(t, deployed(t, newDatabase(t), naughty{apply: func(ctx context.Context, tx *postgres.Tx, _ event.Event) error {
		_, err := tx.PGX().Exec(ctx, "ROLLBACK")
		return err
	}}))
	a := newAppend(1)
	_, err := store.Append(t.Context(), a)
	require.Zero(t, storedOf(t, store, a))
	require.Error(t, err, "reported as stored, though not")
}

// A handler that kills the connection has stored nothing, for sure.
func TestInlineKilled(t *testing.T) {
	t.Parallel()
	store := open(t, deployed(t, newDatabase(t), naughty{apply: func(ctx context.Context, tx *postgres.Tx, _ event.Event) error {
		_, err := tx.PGX().Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	}}))
	_, err := store.Append(t.Context(), newAppend(1))
	require.Error(t, err)
	require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
}

// Handlers that block each other are no fault of the events.
func TestInlineDeadlock(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	execute(t, config.URL, "CREATE TABLE counters (name text PRIMARY KEY, n int NOT NULL)", "INSERT INTO counters VALUES ('user:a', 0), ('user:b', 0)")
	config = deployed(t, config, naughty{apply: func(ctx context.Context, tx *postgres.Tx, e event.Event) error {
		_, err := tx.PGX().Exec(ctx, "UPDATE counters SET n = n + 1 WHERE name = $1", string(e.ActorID))
		if err == nil {
			_, err = tx.PGX().Exec(ctx, "SELECT pg_sleep(0.01)")
		}
		return err
	}})
	store, other := open(t, config), open(t, config)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			a := newAppend(2)
			a.Events[i%2].ActorID, a.Events[1-i%2].ActorID = "user:a", "user:b"
			_, err := []*postgres.Store{store, other}[i%2].Append(t.Context(), a)
			if err != nil {
				assert.True(t, eventstore.IsRetryable(err), "%v", err)
			}
		})
	}
	all.Wait()
}

// Appends that are on their way finish when the store is closed, with inline
// projections, too.
func TestCloseLetsInlineFinish(t *testing.T) {
	t.Parallel()
	inHandler, closing := make(chan struct{}), make(chan struct{})
	store := open(t, deployed(t, newDatabase(t), naughty{apply: func(context.Context, *postgres.Tx, event.Event) error {
		close(inHandler)
		<-closing
		return nil
	}}))
	letGo := sync.OnceFunc(func() { close(closing) })
	t.Cleanup(letGo) // before the store is closed for good
	answer := make(chan error, 1)
	go func() { _, err := store.Append(t.Context(), newAppend(1)); answer <- err }()
	await(t, inHandler, "the handler")
	go func() { _ = store.Close() }()
	require.Eventually(t, func() bool { _, err := store.Head(t.Context()); return errors.Is(err, eventstore.ErrClosed) }, patience, tick)
	letGo()
	require.NoError(t, <-answer)
}

// A connection that has forgotten its statements is good again after one error,
// also for a store that is bound to a tenant.
func TestForgottenStatements(t *testing.T) {
	t.Parallel()
	for name, tenant := range map[string]event.TenantID{"unbound": "", "bound": "acme"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newDatabase(t)
			config.URL += "&pool_max_conns=1"
			unbound := open(t, config)
			var store eventstore.Store = unbound
			if tenant != "" {
				store = unbound.BindTenant(tenant)
			}
			save := func(events int) error {
				a := newAppend(events)
				a.Stream.TenantID = tenant
				_, err := store.Append(t.Context(), a)
				return err
			}
			for _, events := range []int{1, 2} { // both functions
				require.NoError(t, save(events))
			}
			_, err := unbound.Pool().Exec(t.Context(), "DEALLOCATE ALL", pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)
			for _, events := range []int{1, 2} {
				t.Log(save(events))
				require.NoError(t, save(events))
			}
		})
	}
}

// Whoever changes what is deployed is seen by programs that are open, also if
// the change comes from another server.
func TestAppendsLookWhoeverHasDeployed(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"origin", "replica"} {
		store := newStore(t)
		appendTo(t, store, orders(), 1)
		tx, err := store.Pool().Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "SELECT set_config('session_replication_role', $1, true)", role)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "UPDATE evident.store SET inline = 'totals v1'")
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
		for _, events := range []int{1, 2} { // both functions
			_, err = store.Append(t.Context(), eventstore.Append{Stream: orders(), Events: newOrders(events)})
			require.ErrorIs(t, err, eventstore.ErrSchema, role)
		}
	}
}

// Nobody appends past a deployment, in a transaction with an old snapshot either.
func TestDeployBesideAnOldSnapshot(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	old := open(t, config)
	tx, err := old.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM evident.store") // its snapshot
	require.NoError(t, err)
	with := deployed(t, config, totals{})
	_, err = old.Within(tx).Append(t.Context(), eventstore.Append{Stream: orders(), Events: newOrders(1)})
	if err == nil {
		err = tx.Commit(t.Context())
	} else {
		require.NoError(t, tx.Rollback(t.Context()))
	}
	require.Error(t, err, "appended past the projection")
	requireTotals(t, open(t, with))
}

// A sequence that is behind the events gives positions that readers have passed.
func TestSequenceBehind(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	add(t, store, 5)
	execIn(t, store, "SELECT setval('evident.position', 2)")
	_, err := postgres.Open(t.Context(), config)
	require.ErrorIs(t, err, postgres.ErrUnsafe)
}

// Appends of bound stores to streams that are held do not hold all others.
func TestHeldStreamsOfBoundStores(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.URL += "&pool_max_conns=8"
	store := open(t, config)
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	a := newAppend(1)
	a.Stream.TenantID = "acme"
	_, err = store.Within(tx).Append(t.Context(), a)
	require.NoError(t, err)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	for range 12 {
		waiting.Go(func() {
			_, _ = store.BindTenant("acme").Append(context.WithoutCancel(t.Context()), eventstore.Append{Stream: a.Stream, Expected: eventstore.Any(), Events: randomEvents(1)})
		})
	}
	require.Eventually(t, func() bool {
		return value[int](t, store, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0
	}, patience, tick)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = store.Append(ctx, newAppend(1))
	require.NoError(t, err)
}

// Import names an event id that it is given twice.
func TestImportTwice(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	all := history(1, 2)
	all[1].ID = all[0].ID
	_, err := store.Import(t.Context(), sequence(all))
	require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
}

// While all appends that wait are on streams that are on their way, nobody is
// busy with them.
func TestWaitingCostsNothing(t *testing.T) {
	t.Parallel()
	postgres.RequireQueueRests(t, newAppend(1))
}

// What the driver takes for safe to repeat is not, when it was a COMMIT.
func TestErrorsOfACommitAreUnsure(t *testing.T) {
	t.Parallel()
	safe := resendableError{errors.New("connection is closed")}
	require.True(t, pgconn.SafeToRetry(safe))
	require.False(t, postgres.IsUnsure(safe))
	require.True(t, postgres.IsUnsure(postgres.OfCommit(safe)))
	require.False(t, postgres.IsUnsure(postgres.OfCommit(&pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "23505"})), "the server has said so")
	require.False(t, postgres.IsUnsure(postgres.Undone(io.ErrUnexpectedEOF)))
	require.True(t, postgres.IsUnsure(io.ErrUnexpectedEOF))
}

type resendableError struct{ error }

func (resendableError) SafeToRetry() bool { return true }

// A handler of an inline projection that ends the transaction may have kept the
// append, so nobody can say that it was refused.
func TestInlineHandlerThatCommits(t *testing.T) {
	t.Parallel()
	eager := postgres.NewProjection("eager", 1, postgres.OnReset(func(context.Context, pgx.Tx) error { return nil }),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, _ event.Event) error {
			_, err := tx.Exec(ctx, "COMMIT")
			return err
		}))
	store := open(t, deployed(t, newDatabase(t), eager))
	a := newAppend(1)
	_, err := store.Append(t.Context(), a)
	require.ErrorIs(t, err, event.ErrDefinition)
	require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	requireOnce(t, store, a)
}
