package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

// connectForever connects to servers of which any may be lost.
func connectForever(urls string) (natsjs.JetStream, error) {
	//docs:begin connect
	conn, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		return nil, err
	}
	js, err := natsjs.New(conn)
	//docs:end connect
	return js, err
}

// depositOnJetStream opens an account and follows it.
func depositOnJetStream(ctx context.Context, js natsjs.JetStream) (err error) {
	//docs:begin open
	config := jetstream.Config{Replicas: 1} // 3 in production
	if err := jetstream.Provision(ctx, js, config); err != nil {
		return err // jetstream.IsRetryable(err): NATS is down; jetstream.ErrStream: a setting is wrong
	}
	store, err := jetstream.Open(ctx, js, config) // never changes anything on the server
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	repo, err := aggregate.NewRepositoryWith[Account](store, accounts, aggregate.Config{Snapshots: store.Snapshots()})
	//docs:end open
	if err != nil {
		return err
	}
	err = repo.Update(ctx, aliceID, func(a *Account) error {
		return errors.Join(a.Open(ctx, "alice"), a.Deposit(ctx, 70))
	})
	if err != nil {
		return err
	}
	deposits := 0
	//docs:begin follow
	count := projection.New("deposits", 1, projection.On(func(context.Context, event.Of[Deposited]) error {
		deposits++
		return nil
	}))
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{count}})
	if err != nil {
		return err
	}
	err = runner.RunUntilCaughtUp(ctx) // or Run, in as many processes as you like
	//docs:end follow
	fmt.Println(deposits, "deposit")
	if err != nil {
		return err
	}
	return readOn(ctx, store)
}

func readOn(ctx context.Context, store *jetstream.Store) error {
	for e, err := range store.ReadAll(ctx, eventstore.Query{}) {
		if err != nil {
			return err
		}
		fmt.Println(e.Position, e.Type)
	}
	return nil
}

func Example_onJetStream() {
	withNATS(func(ctx context.Context, _ *bank, given natsjs.JetStream, _ string) error {
		js, err := connectForever(given.Conn().ConnectedUrl())
		if err != nil {
			return err
		}
		defer js.Conn().Close()
		return depositOnJetStream(ctx, js)
	})
	// Output:
	// 1 deposit
	// 1 AccountOpened
	// 2 Deposited
}
