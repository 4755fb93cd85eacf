package jetstream_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// connected runs f with a server of its own.
func connected(f func(ctx context.Context, js natsjs.JetStream) error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	go s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		fmt.Println("no server")
		return
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	js, err := natsjs.New(conn)
	if err == nil {
		err = f(ctx, js)
	}
	if err != nil {
		fmt.Println(err)
	}
}

// noted is an event's payload.
type noted struct {
	Text string `json:"text"`
}

func (noted) EventType() string { return "NoteWritten" }

// note stores an event of somebody's.
func note(ctx context.Context, store *memory.Store, actor event.ActorID) error {
	e, err := event.New(event.WithActor(event.WithTenant(ctx, "acme"), actor), noted{Text: "not for everybody"})
	if err != nil {
		return err
	}
	s := eventstore.Stream{TenantID: "acme", AggregateType: "Note", AggregateID: id(1)}
	_, err = store.Append(ctx, eventstore.Append{Stream: s, Events: []event.Event{e}})
	return err
}

// Example publishes what happened and reads it again.
func Example() {
	connected(func(ctx context.Context, js natsjs.JetStream) error {
		config := jetstream.PublisherConfig{}
		if err := jetstream.ProvisionStream(ctx, js, config); err != nil {
			return err
		}
		publisher, err := jetstream.NewPublisher(js, config)
		if err != nil {
			return err
		}
		store, err := memory.Open(ctx, memory.Config{})
		if err != nil {
			return err
		}
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{publisher}})
		if err != nil {
			return err
		}
		for _, actor := range []event.ActorID{"user:7f3a", "user:99c0", "user:alice@example.com"} {
			if err := note(ctx, store, actor); err != nil {
				return err
			}
		}
		if err := runner.RunUntilCaughtUp(ctx); err != nil { // a service calls Run
			return err
		}

		reading, cancel := context.WithCancel(ctx)
		defer cancel()
		consumer, err := jetstream.NewConsumer(js, jetstream.ConsumerConfig{Durable: "mailer"})
		if err != nil {
			return err
		}
		return consumer.Run(reading, jetstream.HandleActivity(func(_ context.Context, a jetstream.Activity, r jetstream.Received) error {
			fmt.Printf("%s: %q did %s to version %d\n", r.Subject, a.ActorID, a.Action, a.Entity.Version)
			if a.Position == 3 {
				cancel()
			}
			return nil
		}))
	})
	// Output:
	// audit.v1.acme.activity.recorded.Note.written: "user:7f3a" did note.written to version 1
	// audit.v1.acme.activity.recorded.Note.written: "user:99c0" did note.written to version 2
	// audit.v1.acme.activity.recorded.Note.written: "" did note.written to version 3
}

// ExampleStore stores an event and reads it back.
func ExampleStore() {
	connected(func(ctx context.Context, js natsjs.JetStream) error {
		config := jetstream.Config{} // with Replicas: 3 in production
		if err := jetstream.Provision(ctx, js, config); err != nil {
			return err
		}
		store, err := jetstream.Open(ctx, js, config)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		e, err := event.New(event.WithActor(ctx, event.User("ada")), noted{Text: "buy milk"})
		if err != nil {
			return err
		}
		stream := eventstore.Stream{AggregateType: "Note", AggregateID: id(1)}
		result, err := store.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: []event.Event{e}})
		if err != nil {
			return err
		}
		fmt.Println("position", result.Position, "version", result.Versions[0])
		for e, err := range store.ReadStream(ctx, stream, eventstore.StreamQuery{}) {
			if err != nil {
				return err
			}
			fmt.Println(e.AggregateVersion, e.Type, e.ActorID, string(e.Data))
		}
		return nil
	})
	// Output:
	// position 1 version 1
	// 1 NoteWritten user:ada {"text":"buy milk"}
}

func ExampleProvision() {
	connected(func(ctx context.Context, js natsjs.JetStream) error {
		_, err := jetstream.Open(ctx, js, jetstream.Config{})
		fmt.Println(err)
		_, err = js.CreateStream(ctx, natsjs.StreamConfig{Name: "EVIDENT", Subjects: []string{"evident.e.>"}, DenyDelete: true, DenyPurge: true, Duplicates: time.Hour})
		if err != nil {
			return err
		}
		fmt.Println(jetstream.Provision(ctx, js, jetstream.Config{}))
		return nil
	})
	// Output:
	// stream "EVIDENT": setting name is missing and must be there: create it with jetstream.Provision
	// nats: API error: code=404 err_code=10059 description=stream not found
	// stream "EVIDENT": setting allow_atomic is false and must be true: an append would be stored in part; a server that is too old says so too
}

func ExampleToken() {
	fmt.Println(jetstream.Token("acme"), jetstream.Token("a.b >"), jetstream.Token(""))
	fmt.Println(jetstream.Subject("audit.v1", "a.b", "activity"))
	name, err := jetstream.ParseToken("a%2Eb%20%3E")
	fmt.Println(name, err)
	// Output:
	// acme a%2Eb%20%3E ~
	// audit.v1.a%2Eb.activity
	// a.b > <nil>
}

func ExampleProvisionStream() {
	connected(func(ctx context.Context, js natsjs.JetStream) error {
		_, err := js.CreateStream(ctx, natsjs.StreamConfig{Name: "AUDIT", Subjects: []string{"audit.v1.>"}, DenyDelete: true, DenyPurge: true})
		if err != nil {
			return err
		}
		fmt.Println(jetstream.ProvisionStream(ctx, js, jetstream.PublisherConfig{}))
		return nil
	})
	// Output:
	// stream "AUDIT": setting duplicate_window is 2m0s and must be at least 1h0m0s: messages that are sent again would be stored again
}
