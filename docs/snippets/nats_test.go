package snippets_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite" // the readers' own database

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

// withNATS runs an example at a bank with a NATS server of its own.
func withNATS(example func(ctx context.Context, b *bank, js natsjs.JetStream, dir string) error) {
	run(func(ctx context.Context, b *bank) error {
		dir, err := os.MkdirTemp("", "nats")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
		if err != nil {
			return err
		}
		go s.Start()
		defer s.Shutdown()
		if !s.ReadyForConnections(time.Minute) {
			return fmt.Errorf("no server at %s", dir)
		}
		url := s.ClientURL()
		//docs:begin connect
		conn, err := nats.Connect(url, nats.MaxReconnects(-1)) // for ever: the publisher waits for the server to come back
		if err != nil {
			return err
		}
		defer conn.Close()
		js, err := natsjs.New(conn)
		if err != nil {
			return err
		}
		//docs:end connect
		return example(ctx, b, js, dir)
	})
}

// publishAll publishes the bank's records.
func publishAll(ctx context.Context, b *bank, js natsjs.JetStream) error {
	store := b.store
	//docs:begin publish
	config := jetstream.PublisherConfig{Replicas: 1} // 3 in production
	if err := jetstream.ProvisionStream(ctx, js, config); err != nil {
		return err // jetstream.IsRetryable(err): NATS is down; jetstream.ErrStream: a setting is wrong
	}
	publisher, err := jetstream.NewPublisher(js, config)
	if err != nil {
		return err
	}
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{publisher},
	})
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil { // a service calls Run, which follows new events
		return err
	}
	//docs:end publish
	return nil
}

//docs:begin seen

// inTransaction remembers messages in the database in which they take effect.
type inTransaction struct{ db *sql.DB }

type txKey struct{}

// Once implements jetstream.Seen.
func (s inTransaction) Once(ctx context.Context, key jetstream.Key, f func(ctx context.Context) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return projection.AsInfrastructure(err) // the fault of no message
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	done, err := tx.ExecContext(ctx, "INSERT INTO seen (source, id) VALUES (?, ?) ON CONFLICT DO NOTHING", key.Source, key.ID)
	if err != nil {
		return projection.AsInfrastructure(err)
	}
	if rows, err := done.RowsAffected(); err != nil || rows == 0 {
		return projection.AsInfrastructure(err) // nil: it took effect before
	}
	if err := f(context.WithValue(ctx, txKey{}, tx)); err != nil {
		return err
	}
	return projection.AsInfrastructure(tx.Commit())
}

//docs:end seen

func Example_natsConsume() {
	withNATS(func(ctx context.Context, b *bank, js natsjs.JetStream, dir string) error {
		if err := publishAll(ctx, b, js); err != nil {
			return err
		}
		db, err := sql.Open("sqlite", filepath.Join(dir, "reader.db"))
		if err != nil {
			return err
		}
		defer db.Close() //nolint:errcheck // the example is over
		_, err = db.ExecContext(ctx, `CREATE TABLE seen (source TEXT, id TEXT, PRIMARY KEY (source, id)); CREATE TABLE feed (line TEXT)`)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		seen := &stopAfter{Seen: inTransaction{db}, left: 3, stop: cancel}
		//docs:begin consume
		consumer, err := jetstream.NewConsumer(js, jetstream.ConsumerConfig{
			Durable:  "feed",
			Subjects: []string{"audit.v1.*.activity.recorded.Account.*"}, // of every tenant
			Seen:     seen,                                               // inTransaction{db}, see below
			OnPoison: func(_ context.Context, p jetstream.Poisoned) error {
				fmt.Println("left out:", p.Sequence, p.Err)
				return nil // done with; without OnPoison Run ends in front of the message
			},
		})
		if err != nil {
			return err
		}
		write := func(ctx context.Context, a jetstream.Activity, _ jetstream.Received) error {
			tx, _ := ctx.Value(txKey{}).(*sql.Tx)
			_, err := tx.ExecContext(ctx, "INSERT INTO feed (line) VALUES (?)", fmt.Sprintf("%s by %s", a.Action, a.ActorID))
			return err
		}
		//docs:end consume
		if err := consumer.Run(ctx, jetstream.HandleActivity(write)); err != nil {
			return err
		}
		var lines int
		var first string
		err = db.QueryRow("SELECT count(*), min(line) FROM feed").Scan(&lines, &first) // ctx has ended
		fmt.Println(lines, "lines, the first is", first)
		return err
	})
	// Output:
	// 3 lines, the first is account.deposited by user:teller
}

// stopAfter ends an example after so many messages.
type stopAfter struct {
	jetstream.Seen

	left int
	stop func()
}

// Once implements jetstream.Seen.
func (s *stopAfter) Once(ctx context.Context, key jetstream.Key, f func(ctx context.Context) error) error {
	defer func() {
		if s.left--; s.left == 0 {
			s.stop()
		}
	}()
	return s.Seen.Once(ctx, key, f)
}

func Example_natsMapping() {
	withNATS(func(ctx context.Context, b *bank, js natsjs.JetStream, _ string) error {
		//docs:begin mapping
		config := jetstream.PublisherConfig{
			Stream: "BANK", Prefix: "bank.v1", Name: "bank_events",
			Types: []string{"Deposited"},
			Map: func(e event.Event) (jetstream.Message, bool, error) {
				c := jetstream.CloudEventOf(e, "/bank", "org.example.bank.deposited.v1") // the payload is its data
				m, err := jetstream.NewMessage(jetstream.Subject("bank.v1", string(e.TenantID), "deposited"), c)
				return m, true, err
			},
		}
		//docs:end mapping
		if err := jetstream.ProvisionStream(ctx, js, config); err != nil {
			return err
		}
		publisher, err := jetstream.NewPublisher(js, config)
		if err != nil {
			return err
		}
		runner, err := projection.NewRunner(b.store, projection.Config{Projections: []projection.Projection{publisher}})
		if err != nil {
			return err
		}
		if err := runner.RunUntilCaughtUp(ctx); err != nil {
			return err
		}
		stream, err := js.Stream(ctx, "BANK")
		if err != nil {
			return err
		}
		m, err := stream.GetMsg(ctx, 1)
		if err != nil {
			return err
		}
		fmt.Println(m.Subject, m.Header.Get("Content-Type"))
		return nil
	})
	// Output:
	// bank.v1.~.deposited application/cloudevents+json
}
