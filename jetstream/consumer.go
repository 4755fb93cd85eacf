package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/projection"
)

// ConsumerConfig says what is read, and how. Only Durable is required.
type ConsumerConfig struct {
	// Durable names the consumer; the server keeps under this name how far it
	// has come. Processes with one name share the work, one message at a time.
	Durable string
	// Stream is the name of the stream. Default "AUDIT".
	Stream string
	// Subjects filters, with wildcards as NATS has them: "*" for one part, ">"
	// for the rest. Write names with [Token]. Default: everything.
	Subjects []string
	// FromNow leaves out what was published before the consumer was first
	// started, or before it is made again if somebody has deleted the durable.
	// Default: from the first message.
	FromNow bool

	// Seen remembers what took effect. Default: a [Window] of 100,000.
	Seen Seen
	// Retry is how a message is tried again whose handler failed. After
	// MaxAttempts it is poison. Errors that are no message's fault, as
	// [projection.DefaultClass] tells, are tried again for ever. Default: 10
	// attempts, from 100 ms to 30 s.
	Retry projection.Retry
	// OnPoison is told of a message that cannot be handled, for example to keep
	// it elsewhere. If it returns nil the message is done with, and the server
	// does not deliver it again, unless it does not hear of that: then it is told
	// again. Otherwise the message is tried again. Default: Run ends
	// in front of the message, with a [*PoisonError].
	OnPoison func(ctx context.Context, p Poisoned) error
	// AckWait is how long the server waits for a sign of life before it gives a
	// message to another process; signs are given at a third of it. At least
	// 1 s. Default 30 s.
	AckWait time.Duration
	// Logger gets what operators need to see. Default: none.
	Logger *zap.Logger
}

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	setDefault(&c.Stream, "AUDIT")
	setDefault(&c.Retry.MaxAttempts, 10)
	if c.Retry.First == 0 {
		c.Retry.First = 100 * time.Millisecond
		if c.Retry.Most > 0 {
			c.Retry.First = min(c.Retry.First, c.Retry.Most)
		}
	}
	setDefault(&c.Retry.Most, max(30*time.Second, c.Retry.First))
	setDefault(&c.AckWait, 30*time.Second)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Seen == nil {
		c.Seen, _ = NewWindow(100_000) // the size is right
	}
	return c
}

// Validate checks everything that [NewConsumer] would refuse. The error names
// the field.
func (c ConsumerConfig) Validate() error {
	if err := validateRetry(c.Retry); err != nil {
		return err
	}
	c = c.withDefaults()
	if err := validateStreamName(c.Stream); err != nil {
		return err
	}
	if c.Durable == "" || len(c.Durable) > 32 || Token(c.Durable) != c.Durable {
		return &event.InvalidError{Field: "durable", Value: shown(c.Durable), Reason: `must be 1 to 32 letters, digits, "-" and "_"`}
	}
	for _, subject := range c.Subjects {
		if subject == "" || len(subject) > MaxSubjectBytes || !isVisible(subject) {
			return &event.InvalidError{Field: "subjects", Value: shown(subject), Reason: "must be a subject without blanks; write names with jetstream.Token"}
		}
	}
	if c.AckWait < time.Second {
		return &event.InvalidError{Field: "ack_wait", Value: c.AckWait.String(), Reason: "must be at least 1s"}
	}
	return nil
}

// Consumer reads a stream. It makes these promises:
//
//  1. Order. Messages are handled one at a time, in the order of the stream;
//     the next one when the last was done with, also if several processes
//     share the durable. A process that is cut off from the server for longer
//     than AckWait may still be at a message that another one is given.
//  2. At least once. A message is acknowledged when its handler has succeeded,
//     and delivered again otherwise.
//  3. Once, as far as [ConsumerConfig.Seen] remembers: a message whose source
//     and id took effect is acknowledged without being handled.
//  4. A message whose handler fails is tried again, with growing pauses; one
//     that cannot be handled is never dropped silently, see
//     [ConsumerConfig.OnPoison].
//  5. A server that is down, or restarts, or loses its leader, is waited for.
type Consumer struct {
	js     natsjs.JetStream
	config ConsumerConfig
	log    *zap.Logger
}

// NewConsumer returns a consumer. It does not touch the server.
func NewConsumer(js natsjs.JetStream, config ConsumerConfig) (*Consumer, error) {
	if js == nil {
		return nil, &event.InvalidError{Field: "js", Reason: "must be set"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	return &Consumer{js: js, config: config, log: config.Logger.With(zap.String("stream", config.Stream), zap.String("durable", config.Durable))}, nil
}

// Run hands messages to handle until ctx ends, and then returns nil. It ends
// before only if trying again cannot help: with a [*PoisonError], or with a
// [*StreamError] if there is no such stream at the start. The handler's context
// ends with ctx. A panic of the handler is its error.
func (c *Consumer) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return &event.InvalidError{Field: "handle", Reason: "must be set"}
	}
	pauses := c.pauses()
	for started := false; ctx.Err() == nil; {
		consumer, err := c.open(ctx)
		if err == nil {
			started = true
			err = c.follow(ctx, consumer, handle, pauses)
		}
		if errors.Is(err, ErrPoison) || !started && errors.Is(err, ErrStream) {
			return err
		}
		if ctx.Err() == nil {
			wait := pauses.NextBackOff()
			c.log.Warn("consumer paused", zap.Error(err), zap.Duration("retry_in", wait))
			_ = delay.For(ctx, wait) // the loop asks ctx itself
		}
	}
	return nil
}

func (c *Consumer) pauses() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: c.config.Retry.First, Multiplier: 2, RandomizationFactor: 0.25, MaxInterval: c.config.Retry.Most}
}

// open creates the consumer on the server, or finds it.
func (c *Consumer) open(ctx context.Context) (natsjs.Consumer, error) {
	limited, cancel := context.WithTimeout(ctx, c.config.AckWait)
	defer cancel()
	settings := natsjs.ConsumerConfig{
		Durable: c.config.Durable, FilterSubjects: c.config.Subjects, AckPolicy: natsjs.AckExplicitPolicy,
		MaxAckPending: 1, // the order: nothing is delivered while a message is in hand
		MaxDeliver:    -1,
		AckWait:       c.config.AckWait,
	}
	if c.config.FromNow {
		settings.DeliverPolicy = natsjs.DeliverNewPolicy
	}
	consumer, err := c.js.CreateOrUpdateConsumer(limited, c.config.Stream, settings)
	if err != nil {
		return nil, streamAnswer(ctx, c.config.Stream, "open consumer "+c.config.Durable, err)
	}
	return consumer, nil
}

// follow takes one message after the other until something breaks.
func (c *Consumer) follow(ctx context.Context, consumer natsjs.Consumer, handle Handler, pauses *backoff.ExponentialBackOff) error {
	messages, err := consumer.Messages(natsjs.PullMaxMessages(pullAtATime), natsjs.PullExpiry(pullExpiry), natsjs.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return unavailable("read stream "+c.config.Stream, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(natsjs.NextContext(ctx))
		if err != nil {
			return unavailable("read stream "+c.config.Stream, err)
		}
		if err := c.take(ctx, m, handle); err != nil {
			return err
		}
		pauses.Reset()
	}
}

// How messages are asked for: one at a time, when the last was done with. No
// request is open meanwhile, or a message that is given back would be delivered
// to it, and to nobody.
const (
	pullAtATime   = 1
	pullExpiry    = 5 * time.Second
	pullHeartbeat = 500 * time.Millisecond
)

func validateRetry(r projection.Retry) error {
	switch {
	case r.MaxAttempts < 0 || r.First < 0 || r.Most < 0:
		return &event.InvalidError{Field: "retry", Reason: "must not be negative; 0 means the default"}
	case r.Most != 0 && r.Most < r.First:
		return &event.InvalidError{Field: "retry.most", Reason: "must not be less than first"}
	default:
		return nil
	}
}
