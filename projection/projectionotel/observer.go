package projectionotel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/evident-go/evident/projection"
)

// Observer makes a span of each step of a runner, and counts. It is safe for
// concurrent use, and waits for nothing.
//
// The span of a step is what handlers find in their context. Its parent is
// whatever span the runner was started in, usually none.
type Observer struct {
	tracer trace.Tracer
	now    func() time.Time
	known  sync.Map // of series, by what they are for

	duration messagingconv.ProcessDuration
	consumed messagingconv.ClientConsumedMessages
	applied  metric.Int64Counter
	redriven metric.Int64Counter
	parked   metric.Int64Counter
	skipped  metric.Int64Counter
	failed   metric.Int64Counter
}

// NewObserver returns an observer for [projection.Config]. The error is that of
// a provider which refuses an instrument.
func NewObserver(config Config) (*Observer, error) {
	config = config.withDefaults()
	meter := config.meter()
	var errs []error
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	o := &Observer{
		tracer: config.tracer(), now: config.Now,
		applied:  counter("evident.projection.events.applied", "{event}", "Events that took effect when they came."),
		redriven: counter("evident.projection.events.redriven", "{event}", "Parked events that took effect when they were tried again."),
		parked:   counter("evident.projection.events.parked", "{event}", "Events that were put into the dead-letter queue."),
		skipped:  counter("evident.projection.events.skipped", "{event}", "Events that were discarded because the configuration says so."),
		failed:   counter("evident.projection.step.errors", "{error}", "Steps of the runner that failed, by the class of the error."),
	}
	var err error
	o.duration, err = messagingconv.NewProcessDuration(meter, metric.WithExplicitBucketBoundaries(boundaries()...))
	errs = append(errs, err)
	o.consumed, err = messagingconv.NewClientConsumedMessages(meter)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("make instruments: %w", err)
	}
	return o, nil
}

// boundaries are the buckets, in seconds, that the conventions want.
func boundaries() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// Begin implements [projection.Observer].
func (o *Observer) Begin(ctx context.Context, s projection.Step) (context.Context, func(projection.StepEnd)) {
	kind := trace.SpanKindConsumer
	if s.Kind == projection.OrderStep {
		kind = trace.SpanKindInternal
	}
	began := o.now()
	ctx, span := o.tracer.Start(ctx, operation(s.Kind)+" "+s.Projection,
		trace.WithSpanKind(kind), trace.WithTimestamp(began), trace.WithAttributes(before(s)...))
	return ctx, func(e projection.StepEnd) {
		ended := o.now()
		finish(span, e, ended)
		o.count(ctx, s, e, ended.Sub(began))
	}
}

// finish ends a span.
func finish(span trace.Span, e projection.StepEnd, ended time.Time) {
	if span.IsRecording() {
		span.SetAttributes(after(e)...)
		if failed(e) {
			span.SetStatus(codes.Error, cut(e.Err.Error()))
		}
	}
	span.End(trace.WithTimestamp(ended))
}

// count adds a step to the metrics.
func (o *Observer) count(ctx context.Context, s projection.Step, e projection.StepEnd, took time.Duration) {
	these := o.series(s, e)
	if s.Kind != projection.OrderStep {
		o.duration.RecordSet(ctx, took.Seconds(), these.measured)
	}
	applied := o.applied
	if s.Kind == projection.RedriveStep {
		applied = o.redriven
	} else if s.Events > 0 {
		o.consumed.AddSet(ctx, int64(s.Events), these.measured)
	}
	add(ctx, applied, e.Applied, these.named)
	add(ctx, o.parked, e.Parked, these.named)
	add(ctx, o.skipped, e.Skipped, these.named)
	if failed(e) {
		add(ctx, o.failed, 1, these.failed)
	}
}

func add(ctx context.Context, c metric.Int64Counter, n int, set attribute.Set) {
	if n > 0 {
		c.Add(ctx, int64(n), metric.WithAttributeSet(set))
	}
}

// series are the attributes that steps of one kind, which end in the same way,
// are counted under.
type series struct {
	measured attribute.Set
	named    attribute.Set
	failed   attribute.Set
}

// series returns those of a step. They are put together once: that takes longer
// than to count.
func (o *Observer) series(s projection.Step, e projection.StepEnd) *series {
	type subject struct {
		kind       projection.StepKind
		projection string
		version    int
		failed     bool
		class      projection.Class
	}
	of := subject{kind: s.Kind, projection: s.Projection, version: s.Version, failed: failed(e)}
	if of.failed {
		of.class = e.Class
	}
	if known, ok := o.known.Load(of); ok {
		return known.(*series) //nolint:forcetypeassert // it holds nothing else.
	}
	these := &series{measured: measured(s, e), named: named(s.Projection, s.Version)}
	if of.failed {
		these.failed = named(s.Projection, s.Version, errorType(e.Class), keyStep.String(s.Kind.String()))
	}
	o.known.Store(of, these)
	return these
}

// cut bounds the text of an error, which may hold a stack.
func cut(text string) string {
	const limit = 1024
	if len(text) <= limit {
		return text
	}
	at := limit
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at] + "…"
}

var _ projection.Observer = (*Observer)(nil)
