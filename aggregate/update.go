package aggregate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/delay"
)

// Update loads the aggregate, lets decide emit events, and saves them. An
// aggregate without events is given to decide at version 0.
//
// When somebody else was faster, it pauses for a random time and starts over:
// decide is called again with another aggregate, loaded afresh, so it must not
// do anything but decide, nor keep the aggregate. When an append's outcome is
// unknown, the same events are sent again.
//
// If ctx carries an [event.Reaction], as that of a reactor's handler does, each
// call is made once however often the reaction is tried: when an earlier try has
// saved what decide emitted, or another process has, Update returns nil and decide
// is not called. That holds as long as every try makes the same calls about the
// aggregate in the same order, see [event.WithStep].
//
// Errors: what decide returns, as it is; [*ContentionError] when
// [Config.MaxAttempts] appends all failed; [eventstore.ErrOutcomeUnknown] when
// the outcome stayed unknown; those of [Repository.Load] and
// [Repository.Save].
func (r *Repository[A]) Update(ctx context.Context, id uuid.UUID, decide func(*A) error) error {
	if decide == nil {
		return &event.InvalidError{Field: "decide", Reason: "must not be nil"}
	}
	c := r.begin(ctx, id)
	return r.home.settled(ctx, c, r.update(ctx, id, c, decide))
}

func (r *Repository[A]) update(ctx context.Context, id uuid.UUID, c *call, decide func(*A) error) error {
	pace := pacer{config: &r.config}
	for {
		a, root, err := r.loadFor(ctx, id, c)
		if err != nil || c.isStored() {
			return err
		}
		if err := decide(a); err != nil {
			c.refuse()
			return err
		}
		err = r.saveSurely(ctx, root, &pace)
		if !errors.Is(err, eventstore.ErrConflict) {
			return err
		}
		if more, waitErr := pace.wait(ctx); waitErr != nil {
			return fmt.Errorf("update: %w after %w", waitErr, err)
		} else if !more {
			return &ContentionError{Stream: r.home.streamOf(ctx, root), Attempts: pace.attempts, Err: err}
		}
	}
}

// saveSurely saves until the outcome is known: the same events are sent again,
// which a store answers as it did, or would have done, the first time.
func (r *Repository[A]) saveSurely(ctx context.Context, root Root, pace *pacer) error {
	err := r.home.save(ctx, root)
	if !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		return err
	}
	unknown := err
	for {
		if more, waitErr := pace.wait(ctx); waitErr != nil || !more {
			return unknown
		}
		err := r.home.save(ctx, root)
		if err == nil || errors.Is(err, eventstore.ErrConflict) {
			return err
		}
		if !errors.Is(err, eventstore.ErrOutcomeUnknown) && !eventstore.IsRetryable(err) {
			return fmt.Errorf("%w; sent again: %w", unknown, err)
		}
	}
}

// pacer counts attempts and pauses between them.
type pacer struct {
	config   *Config
	attempts int // that failed
	delays   *backoff.ExponentialBackOff
}

// wait pauses after a failed attempt. It reports whether there may be another
// one, and ctx's error if that ended first.
func (p *pacer) wait(ctx context.Context) (more bool, err error) {
	p.attempts++
	if p.attempts >= p.config.MaxAttempts {
		return false, nil
	}
	err = delay.For(ctx, p.delay())
	return err == nil, err // the caller says what was going on.
}

// delay is random between 0 and a bound that doubles ("full jitter"), so that
// those who met once do not meet again.
func (p *pacer) delay() time.Duration {
	if p.delays == nil {
		p.delays = &backoff.ExponentialBackOff{
			InitialInterval:     p.config.MinBackoff / 2, // the factor of 1 spreads from 0 to twice the interval
			MaxInterval:         p.config.MaxBackoff / 2,
			RandomizationFactor: 1,
			Multiplier:          2,
		}
		p.delays.Reset()
	}
	return p.delays.NextBackOff()
}
