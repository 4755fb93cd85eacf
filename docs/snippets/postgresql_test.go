package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

//docs:begin test

// openPostgreSQLFor opens an empty store in a schema that the test has to
// itself. The URL is that of any database where schemas may be created.
func openPostgreSQLFor(t *testing.T, url string) *postgres.Store {
	t.Helper()
	schema := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	config := postgres.Config{URL: url, Schema: schema, Relaxed: true} // the server may be one that can lose commits
	require.NoError(t, postgres.Migrate(t.Context(), config))
	store, err := postgres.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := store.Pool().Exec(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(t, errors.Join(err, store.Close()))
	})
	return store
}

//docs:end test

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	for range 2 {
		store := openPostgreSQLFor(t, url)
		repo := aggregate.NewRepository[Account](store, accounts)
		require.NoError(t, repo.Update(t.Context(), aliceID, func(a *Account) error { return a.Open(t.Context(), "alice") }))
		head, err := store.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(1), head, "its own")
	}
}

func Example_postgreSQL() {
	err := onPostgreSQL(context.Background(), func(ctx context.Context, owner, application string) error {
		if err := openPostgreSQL(ctx, owner, application); err != nil {
			return err
		}
		return afterTheRestore(ctx, owner)
	})
	if err != nil {
		fmt.Println("error:", err)
	}
	// Output:
	// ledger and balance: 1 row, 70 cents
	// night-job has held the head at 3 for too long, 2 wait behind it
	// withdrawn: 30
	// replica: 6 events
	// acme sees 1, a query without a tenant 0
	// another history: true
}

// onPostgreSQL calls f with the URL of an empty database, as its owner and as a
// role that owns nothing.
func onPostgreSQL(ctx context.Context, f func(ctx context.Context, owner, application string) error) (err error) {
	server, err := pgtest.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, "CREATE ROLE bank LOGIN; CREATE SCHEMA bank AUTHORIZATION bank"); err != nil {
		return err
	}
	return f(ctx, server.URL(), strings.Replace(server.URL(), "postgres@", "bank@", 1))
}

func openPostgreSQL(ctx context.Context, owner, application string) (err error) {
	//docs:begin open
	config := postgres.Config{URL: owner}
	if err := postgres.Migrate(ctx, config); err != nil { // creates the schema, or brings it up to date
		return err
	}
	if err := postgres.Grant(ctx, config, "bank", postgres.CanProject, postgres.CanSeeAllTenants); err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Config{URL: application, KeepMark: true}) // never changes the schema
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	//docs:end open
	for _, use := range []func(context.Context, *postgres.Store) error{withdraw, stalled, query, replicas, walled(owner, application)} {
		if err := use(ctx, store); err != nil {
			return err
		}
	}
	return nil
}

func withdraw(ctx context.Context, store *postgres.Store) error {
	if _, err := store.Pool().Exec(ctx, "CREATE TABLE ledger (account uuid, cents bigint)"); err != nil {
		return err
	}
	before := aggregate.NewRepository[Account](store, accounts)
	err := before.Update(ctx, aliceID, func(a *Account) error {
		return errors.Join(a.Open(ctx, "alice"), a.Deposit(ctx, 100))
	})
	if err != nil {
		return err
	}
	//docs:begin atomically
	err = store.Atomically(ctx, func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		repo := aggregate.NewRepository[Account](events, accounts) // it appends in the transaction
		a, err := repo.Load(ctx, aliceID)
		if err != nil {
			return err
		}
		if err := errors.Join(a.Withdraw(ctx, 30), repo.Save(ctx, a)); err != nil {
			return err // everything is undone
		}
		_, err = tx.Exec(ctx, "INSERT INTO ledger (account, cents) VALUES ($1, $2)", aliceID, -30)
		return err
	})
	//docs:end atomically
	if err != nil {
		return err
	}
	a, err := before.Load(ctx, aliceID)
	if err != nil {
		return err
	}
	var rows int
	err = store.Pool().QueryRow(ctx, "SELECT count(*) FROM ledger").Scan(&rows)
	fmt.Printf("ledger and balance: %d row, %d cents\n", rows, a.State().Cents)
	return err
}

// stalled lets somebody forget a transaction.
func stalled(ctx context.Context, store *postgres.Store) error {
	tx, err := store.Pool().Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit it does nothing
	if _, err := tx.Exec(ctx, "SET application_name = 'night-job'"); err != nil {
		return err
	}
	for _, to := range []eventstore.Store{store.Within(tx), store} {
		if _, err := to.Append(ctx, opened(ctx, "", "bob")); err != nil {
			return err
		}
	}
	const tooLong = 0
	//docs:begin stall
	stall, err := store.Stall(ctx)
	if err != nil {
		return err
	}
	if !stall.Since.IsZero() && time.Since(stall.Since) > tooLong { // nobody holds it back: the zero value
		fmt.Printf("%s has held the head at %d for too long, %d wait behind it\n", stall.Application, stall.Floor, stall.Waiting)
	}
	//docs:end stall
	return tx.Commit(ctx)
}

// opened opens an account by hand.
func opened(ctx context.Context, tenant event.TenantID, owner string) eventstore.Append {
	e, err := event.New(ctx, Opened{Owner: owner})
	if err != nil {
		panic(err)
	}
	return eventstore.Append{
		Stream: eventstore.Stream{TenantID: tenant, AggregateType: "Account", AggregateID: event.NewID()},
		Events: []event.Event{e},
	}
}

const withdrawals = `
-- docs:begin sql
SELECT sum((convert_from(payload, 'UTF8')::json ->> 'cents')::bigint)
  FROM evident.events
 WHERE event_type = 'Withdrawn'
   AND position <= (SELECT position FROM evident.mark)
-- docs:end sql
`

// query waits for the mark, which is a moment late.
func query(ctx context.Context, store *postgres.Store) error {
	for {
		var cents *int64
		if err := store.Pool().QueryRow(ctx, withdrawals).Scan(&cents); err != nil {
			return err
		}
		if cents != nil {
			fmt.Println("withdrawn:", *cents)
			return nil
		}
	}
}

func replicas(ctx context.Context, store *postgres.Store) (err error) {
	standby := store.Pool().Config().ConnString()
	result, err := store.Append(ctx, opened(ctx, "", "carol"))
	if err != nil {
		return err
	}
	//docs:begin replica
	replica, err := postgres.Open(ctx, postgres.Config{URL: standby, Replica: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replica.Close()) }()
	//docs:end replica
	if _, err := replica.Wait(ctx, result.Position-1); err != nil {
		return err
	}
	n := 0
	for _, err := range replica.ReadAll(ctx, eventstore.Query{}) {
		if err != nil {
			return err
		}
		n++
	}
	fmt.Printf("replica: %d events\n", n)
	return nil
}

func walled(owner, application string) func(context.Context, *postgres.Store) error {
	return func(ctx context.Context, _ *postgres.Store) (err error) {
		//docs:begin tenants
		config := postgres.Config{URL: owner, RowSecurity: true}
		if err := postgres.Migrate(ctx, config); err != nil { // puts the wall up
			return err
		}
		if err := postgres.Grant(ctx, config, "bank", postgres.CanAppend); err != nil {
			return err
		}
		store, err := postgres.Open(ctx, postgres.Config{URL: application, RowSecurity: true})
		if err != nil {
			return err // also for a role that the wall does not stop
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		acme := store.BindTenant("acme") // RequireTenant takes the tenant from each call's context
		//docs:end tenants
		if _, err := acme.Append(ctx, opened(ctx, "acme", "dora")); err != nil {
			return err
		}
		seen := 0
		for _, err := range acme.ReadAll(ctx, eventstore.Query{}) {
			if err != nil {
				return err
			}
			seen++
		}
		var all int
		err = store.Pool().QueryRow(ctx, "SELECT count(*) FROM evident.events").Scan(&all)
		fmt.Printf("acme sees %d, a query without a tenant %d\n", seen, all)
		return err
	}
}

func afterTheRestore(ctx context.Context, owner string) error {
	config := postgres.Config{URL: owner}
	store, err := postgres.Open(ctx, config)
	if err != nil {
		return err
	}
	before := store.ID()
	if err := store.Close(); err != nil {
		return err
	}
	const highest = 4711
	//docs:begin renew
	// highest is the last position that anybody outside of this database has kept.
	id, err := postgres.Renew(ctx, config, highest)
	if err != nil {
		return err
	}
	//docs:end renew
	fmt.Println("another history:", id != before)
	return nil
}
