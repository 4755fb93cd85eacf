package projection

import (
	"context"
	"errors"

	"go.uber.org/zap"
)

// Observer is told what a runner does while it does it, for spans and metrics.
// Package projectionotel has one for OpenTelemetry. Its methods are called from
// the goroutines of projections, several at once, and must not wait for
// anything. One that panics is logged, and does no harm.
type Observer interface {
	// Begin is called when a step begins. Handlers are given the context that it
	// returns; it must be ctx or derived from it. The function that it returns
	// is called once, when the step has ended.
	Begin(ctx context.Context, s Step) (context.Context, func(StepEnd))
}

// StepKind is what a step does.
type StepKind uint8

const (
	// ApplyStep applies a batch of events and moves the checkpoint.
	ApplyStep StepKind = iota
	// RedriveStep tries the letters of one sequence again.
	RedriveStep
	// OrderStep carries out an order: a rebuild, a switch, and so on.
	OrderStep
)

// String returns "apply", "redrive" or "order".
func (k StepKind) String() string {
	switch k {
	case RedriveStep:
		return "redrive"
	case OrderStep:
		return "order"
	default:
		return "apply"
	}
}

// Step is what a runner is about to do.
type Step struct {
	Kind       StepKind
	Projection string
	Version    int
	Lane       int
	Owner      string // of the lease: the runner
	Events     int    // in the batch; 0 for other steps
	First      uint64 // position of its first event; 0 for none
	Last       uint64 // and of its last
	Detail     string // the sequence's key, or what kind of order; "" for a batch
}

// StepEnd is what came of a step.
type StepEnd struct {
	Applied int // events
	Parked  int // events that were put into the dead-letter queue
	Skipped int // events that were discarded because the configuration says so
	Err     error
	Class   Class // of Err
}

// begin tells the observer that a step begins. An observer that panics, or
// gives no context back, is as good as none.
func (c Config) begin(ctx context.Context, s Step) (context.Context, func(StepEnd)) {
	nothing := func(StepEnd) {}
	if c.Observer == nil {
		return ctx, nothing
	}
	var observed context.Context
	end := nothing
	broken := Recovered(func() error {
		observed, end = c.Observer.Begin(ctx, s) //nolint:fatcontext // there is one.
		return nil
	})
	if broken == nil && (observed == nil || end == nil) {
		broken = errors.New("observer begins with nothing")
	}
	if broken != nil {
		c.Logger.Error("observer panicked", zap.Error(broken))
		return ctx, nothing
	}
	return observed, func(done StepEnd) {
		if broken := Recovered(func() error { end(done); return nil }); broken != nil {
			c.Logger.Error("observer panicked", zap.Error(broken))
		}
	}
}
