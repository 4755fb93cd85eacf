package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// throwaway starts a server with an empty database.
func throwaway(ctx context.Context) (url string, stop func()) {
	server := must1(pgtest.Start(ctx))
	return server.URL(), func() { must(server.Stop()) }
}

// placed is an order of a tenant's customer.
func placed(tenant event.TenantID) eventstore.Append {
	id := event.NewID()
	return eventstore.Append{
		Stream: eventstore.Stream{TenantID: tenant, AggregateType: "Order", AggregateID: event.NewID()},
		Events: []event.Event{{ID: id, Type: "OrderPlaced", SchemaVersion: 1, CorrelationID: id, OccurredAt: time.UnixMicro(0), Data: []byte(`{}`)}},
	}
}

// A role that owns nothing serves tenants: each of them behind two walls.
func ExampleStore_BindTenant() {
	ctx := context.Background()
	url, stop := throwaway(ctx)
	defer stop()

	owner := postgres.Config{URL: url, RowSecurity: true}
	must(postgres.Migrate(ctx, owner))
	admin := must1(pgx.Connect(ctx, url))
	must1(admin.Exec(ctx, "CREATE ROLE orders LOGIN PASSWORD 'secret'"))
	must(postgres.Grant(ctx, owner, "orders", postgres.CanAppend))
	must(admin.Close(ctx))

	orders := postgres.Config{URL: strings.Replace(url, "postgres@", "orders:secret@", 1), RowSecurity: true}
	store := must1(postgres.Open(ctx, orders))
	acme, umbrella := store.BindTenant("acme"), store.BindTenant("umbrella")
	must1(acme.Append(ctx, placed("acme")))
	must1(umbrella.Append(ctx, placed("umbrella")))

	_, err := acme.Append(ctx, placed("umbrella"))
	fmt.Println(err)
	for e, err := range acme.ReadAll(ctx, eventstore.Query{}) {
		fmt.Println(e.TenantID, e.Position, err)
	}
	var seen int
	must(store.Pool().QueryRow(ctx, "SELECT count(*) FROM evident.events").Scan(&seen))
	fmt.Println("a query that forgot its tenant sees", seen)
	must(store.Close())
	// Output:
	// tenant "umbrella" asked for at a store that is bound to tenant "acme"
	// acme 1 <nil>
	// a query that forgot its tenant sees 0
}

// Somebody has forgotten to end a transaction.
func ExampleStore_Stall() {
	ctx := context.Background()
	url, stop := throwaway(ctx)
	defer stop()
	config := postgres.Config{URL: url + "&application_name=night-job"}
	must(postgres.Migrate(ctx, config))
	store := must1(postgres.Open(ctx, config))

	tx := must1(store.Pool().Begin(ctx))
	must1(store.Within(tx).Append(ctx, placed("")))
	must1(store.Append(ctx, placed("")))

	stall := must1(store.Stall(ctx))
	fmt.Printf("%s (%s) holds the head at %d, %d wait\n", stall.Application, stall.State, stall.Floor, stall.Waiting)

	must(tx.Commit(ctx))
	stall = must1(store.Stall(ctx))
	fmt.Println(stall == postgres.Stall{})
	must(store.Close())
	// Output:
	// night-job (idle in transaction) holds the head at 0, 2 wait
	// true
}

// A store that reads as far as the mark says, which another one keeps.
func ExampleOpen_replica() {
	ctx := context.Background()
	url, stop := throwaway(ctx)
	defer stop()
	must(postgres.Migrate(ctx, postgres.Config{URL: url}))
	store := must1(postgres.Open(ctx, postgres.Config{URL: url, KeepMark: true}))
	replica := must1(postgres.Open(ctx, postgres.Config{URL: url, Replica: true})) // as a rule the URL of a standby

	result := must1(store.Append(ctx, placed("")))
	head := must1(replica.Wait(ctx, result.Position-1))
	fmt.Println("replica reads up to", head)
	_, err := replica.Append(ctx, placed(""))
	fmt.Println(err)
	must(replica.Close())
	must(store.Close())
	// Output:
	// replica reads up to 1
	// append: evident: the store was opened with Config.Replica, which only reads
}

// After a restore that lost events, whoever saw them has to be told.
func ExampleRenew() {
	ctx := context.Background()
	url, stop := throwaway(ctx)
	defer stop()
	config := postgres.Config{URL: url}
	must(postgres.Migrate(ctx, config))
	store := must1(postgres.Open(ctx, config))
	before := store.ID()
	must(store.Close())

	mailed := uint64(4711) // the last position that the mail service has seen
	id := must1(postgres.Renew(ctx, config, mailed))
	store = must1(postgres.Open(ctx, config))
	result := must1(store.Append(ctx, placed("")))
	fmt.Println(store.ID() == id, id != before, result.Position > mailed)
	must(store.Close())
	// Output: true true true
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must1[T any](value T, err error) T {
	must(err)
	return value
}
