package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

// Board is the service, put together.
type Board struct {
	store     *store
	broker    *broker
	log       *audit.Log
	activity  audit.ActivityReader
	recorder  *auth.Recorder
	people    *People
	passwords map[string]string // by name
	tokens    *tokens
	tasks     *Tasks
	inbox     *Inbox
	handler   http.Handler

	views     *projection.Runner // what the board itself shows
	publisher *projection.Runner
	consumer  *jetstream.Consumer
	logger    *zap.Logger
}

// Config says where a board keeps what it knows.
type Config struct {
	Path     string // of a SQLite file
	Postgres string // URL of a PostgreSQL database; instead of a file
	NATS     string // URL of a server; "" for one in this process
	Messages string // folder of that one
	Rounds   int    // how often a password is hashed
	Logger   *zap.Logger
}

// open opens a board and makes what is not there. [Board.Serve] closes it.
func open(ctx context.Context, config Config) (_ *Board, err error) {
	b := &Board{inbox: newInbox(), logger: config.Logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.store, err = openStore(ctx, config); err != nil {
		return nil, err
	}
	if b.broker, err = openBroker(config.NATS, config.Messages); err != nil {
		return nil, err
	}
	if b.people, b.passwords, err = newPeople(config.Rounds); err != nil {
		return nil, err
	}
	if b.tokens, err = newTokens(); err != nil {
		return nil, err
	}
	if err := b.openLog(); err != nil {
		return nil, err
	}
	if b.tasks, err = newTasks(b.store.events, b.recorder, b.people, b.log); err != nil {
		return nil, err
	}
	if err := b.openStream(); err != nil {
		return nil, err
	}
	b.handler, err = b.routes()
	return b, err
}

//docs:begin audit-log

// openLog opens the audit log: what is appended to it is an event as any other,
// what is read from it is what the runner has derived from all events.
func (b *Board) openLog() (err error) {
	if b.log, err = audit.NewLog(b.store.events, b.store.records, audit.LogConfig{}); err != nil {
		return err
	}
	b.activity = audit.NewActivityReader(b.store.activity)
	if b.recorder, err = auth.NewRecorder(b.log, auth.RecorderConfig{}); err != nil {
		return err
	}
	b.views, err = projection.NewRunner(b.store.events, projection.Config{
		Projections: []projection.Projection{b.store.records, b.store.activity}, Logger: b.logger,
	})
	return err
}

//docs:end audit-log

//docs:begin publish

// stream says what is published, and where: everything, in the usual place.
func stream() jetstream.PublisherConfig { return jetstream.PublisherConfig{} }

// openStream puts the publisher together, and the consumer that reads what was
// published. Neither touches the server yet.
func (b *Board) openStream() error {
	publisher, err := jetstream.NewPublisher(b.broker.js, stream())
	if err != nil {
		return err
	}
	b.publisher, err = projection.NewRunner(b.store.events, projection.Config{
		Projections: []projection.Projection{publisher}, Logger: b.logger,
	})
	if err != nil {
		return err
	}
	b.consumer, err = jetstream.NewConsumer(b.broker.js, jetstream.ConsumerConfig{Durable: "taskboard", Logger: b.logger})
	return err
}

// provision makes the stream, and waits for the server as long as it takes.
// Meanwhile the board works: what it does is published later.
func (b *Board) provision(ctx context.Context) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := jetstream.ProvisionStream(ctx, b.broker.js, stream())
		if err != nil && !jetstream.IsRetryable(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, pause time.Duration) {
		b.logger.Warn("stream cannot be made yet", zap.Error(err), zap.Duration("retry_in", pause))
	}))
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

//docs:end publish

// publish publishes until ctx ends.
func (b *Board) publish(ctx context.Context) error {
	if err := b.provision(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return b.publisher.Run(ctx)
}

// receive gets what was published until ctx ends.
func (b *Board) receive(ctx context.Context) error {
	if err := b.provision(ctx); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return b.consumer.Run(ctx, jetstream.HandleActivity(b.inbox.take))
}

// report takes what a client is not told of.
func (b *Board) report(ctx context.Context, err error) {
	auth.Logger(ctx).Error("audit API", zap.Error(err))
}

func openStore(ctx context.Context, config Config) (*store, error) {
	if config.Postgres != "" {
		return openPostgres(ctx, config.Postgres)
	}
	return openSQLite(ctx, config.Path)
}

// close closes what was opened, the store last.
func (b *Board) close() error {
	if b.broker != nil {
		b.broker.Close()
	}
	if b.store == nil {
		return nil
	}
	return b.store.events.Close()
}
