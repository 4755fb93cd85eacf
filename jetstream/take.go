package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/projection"
)

// take handles a message until it is done with. It returns an error if ctx
// ends, or if the message stops the consumer.
func (c *Consumer) take(ctx context.Context, m natsjs.Msg, handle Handler) error {
	r, err := received(m)
	if err != nil {
		return unavailable("read stream "+c.config.Stream, err)
	}
	hold := c.hold(ctx, m)
	defer hold()
	if err := json.Unmarshal(r.Data, &r.Event); err != nil {
		r.Event = CloudEvent{} // what was read of it is nobody's id
		handle = func(context.Context, Received) error { return projection.AsPoison(err) }
	}
	poisoned, err := c.try(ctx, r, handle)
	switch {
	case err != nil:
		return errors.Join(err, m.Nak()) // somebody else may take it at once
	case poisoned != nil:
		return c.finish(ctx, m.TermWithReason(reasonOf(poisoned.Err)), r)
	default:
		return c.finish(ctx, c.acknowledge(ctx, m), r)
	}
}

// finish notes that the server may not have heard that a message is done with.
// Then it comes again, and is known.
func (c *Consumer) finish(ctx context.Context, err error, r Received) error {
	if err != nil && ctx.Err() == nil {
		c.log.Warn("message was not acknowledged; it will come again", zap.Error(err), zap.Uint64("sequence", r.Sequence))
	}
	return nil
}

// acknowledge waits for the server to confirm, also when ctx has ended: the
// handler has succeeded.
func (c *Consumer) acknowledge(ctx context.Context, m natsjs.Msg) error {
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	return m.DoubleAck(brief)
}

const ackTimeout = 2 * time.Second

// try handles a message again and again, until it took effect or was given up.
func (c *Consumer) try(ctx context.Context, r Received, handle Handler) (*Poisoned, error) {
	pauses := c.pauses()
	for attempts := 1; ; {
		err := ctx.Err()
		if err == nil {
			err = c.once(ctx, r, handle)
		}
		switch {
		case err == nil:
			return nil, nil
		case ctx.Err() != nil:
			return nil, ctx.Err() // the caller's own.
		}
		wait := pauses.NextBackOff()
		if class := classOf(err); class != projection.Infrastructure {
			if attempts >= c.config.Retry.MaxAttempts || class == projection.Poison {
				p := &Poisoned{Received: r, Attempts: attempts, Err: err}
				if done, err := c.giveUp(ctx, p); done || err != nil {
					return p, err
				}
			}
			attempts++
		}
		c.log.Warn("message failed and is tried again", zap.Error(err), zap.Uint64("sequence", r.Sequence), zap.Int("attempts", attempts), zap.Duration("retry_in", wait))
		if err := delay.For(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// once handles a message unless it took effect already.
func (c *Consumer) once(ctx context.Context, r Received, handle Handler) error {
	if r.Event.ID == "" { // it could not be read; handle says why
		return handle(ctx, r)
	}
	key := Key{Source: r.Event.Source, ID: r.Event.ID}
	return c.config.Seen.Once(ctx, key, func(ctx context.Context) error {
		return projection.Recovered(func() error { return handle(ctx, r) })
	})
}

// classOf says what a handler's error means. A message that nobody can read is poison.
func classOf(err error) projection.Class {
	if errors.Is(err, ErrUnknownType) {
		return projection.Poison
	}
	return projection.DefaultClass(err)
}

// giveUp reports a message that cannot be handled, and whether it is done with.
func (c *Consumer) giveUp(ctx context.Context, p *Poisoned) (done bool, err error) {
	c.log.Error("message cannot be handled", zap.Error(p.Err), zap.Uint64("sequence", p.Sequence), zap.String("subject", p.Subject), zap.Int("attempts", p.Attempts))
	if c.config.OnPoison == nil {
		return false, &PoisonError{Poisoned: *p}
	}
	err = projection.Recovered(func() error { return c.config.OnPoison(ctx, *p) })
	if err != nil {
		c.log.Error("poison message could not be reported", zap.Error(err), zap.Uint64("sequence", p.Sequence))
	}
	return err == nil, nil
}

// reasonOf is what the server tells in its advisory: a line, without what the
// handler said, which may be anything.
func reasonOf(err error) string {
	if errors.Is(err, ErrUnknownType) {
		return "unknown type of message"
	}
	return "message cannot be handled: " + classOf(err).String()
}

// hold tells the server that a message is being worked on, until the returned
// function is called.
func (c *Consumer) hold(ctx context.Context, m natsjs.Msg) func() {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(c.config.AckWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := m.InProgress(); err != nil {
					c.log.Warn("server was not told that a message is being worked on", zap.Error(err))
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}
