package projectionotel_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionotel"
)

func TestSpanOfABatch(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	now := noon
	x.config.Now = func() time.Time { return now }
	ctx, end := x.observer().Begin(t.Context(), batch())
	assert.True(t, trace.SpanFromContext(ctx).IsRecording(), "handlers find it in their context")
	now = now.Add(250 * time.Millisecond)
	end(projection.StepEnd{Applied: 3, Parked: 1, Skipped: 1})

	spans := x.spans.Ended()
	require.Len(t, spans, 1)
	s := spans[0]
	assert.Equal(t, "process titles", s.Name())
	assert.Equal(t, trace.SpanKindConsumer, s.SpanKind())
	assert.False(t, s.Parent().IsValid())
	assert.Equal(t, codes.Unset, s.Status().Code, "parked events are no failure of the batch")
	assert.Equal(t, 250*time.Millisecond, s.EndTime().Sub(s.StartTime()), "as long as the metric says")
	assert.Equal(t, strings.Join([]string{
		"evident.projection.applied=3 evident.projection.first_position=11 evident.projection.lane=3 evident.projection.last_position=20",
		"evident.projection.owner=host/1 evident.projection.parked=1 evident.projection.skipped=1 evident.projection.version=2",
		"messaging.batch.message_count=5 messaging.destination.name=titles messaging.operation.name=process messaging.operation.type=process messaging.system=evident",
	}, " "), inWords(s.Attributes()))

	common := "evident.projection.version=2 messaging.destination.name=titles messaging.operation.name=process messaging.system=evident"
	assert.Equal(t, map[string]float64{
		"messaging.process.duration{" + common + "}":                                                     0.25,
		"messaging.client.consumed.messages{" + common + "}":                                             5,
		"evident.projection.events.applied{evident.projection.name=titles evident.projection.version=2}": 3,
		"evident.projection.events.parked{evident.projection.name=titles evident.projection.version=2}":  1,
		"evident.projection.events.skipped{evident.projection.name=titles evident.projection.version=2}": 1,
	}, x.values())
}

func TestSpanOfARedrive(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.step(x.observer(), redrive(), projection.StepEnd{Applied: 2, Err: errors.New("no"), Class: projection.Poison})
	s := x.spans.Ended()[0]
	assert.Equal(t, "redrive titles", s.Name())
	assert.Equal(t, trace.SpanKindConsumer, s.SpanKind())
	words := inWords(s.Attributes())
	assert.Contains(t, words, "evident.projection.sequence=Note/1")
	assert.Contains(t, words, "messaging.operation.name=redrive messaging.operation.type=process")
	assert.NotContains(t, words, "position")
	assert.NotContains(t, words, "batch")
	values := x.values()
	assert.InDelta(t, 2, values["evident.projection.events.redriven{evident.projection.name=titles evident.projection.version=2}"], 0)
	assert.InDelta(t, 1, values["evident.projection.step.errors{error.type=poison evident.projection.name=titles evident.projection.step=redrive evident.projection.version=2}"], 0)
	for name := range values {
		assert.NotContains(t, name, "applied", "what is redriven is counted once")
		assert.NotContains(t, name, "consumed")
	}
}

func TestSpanOfAnOrder(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.step(x.observer(), order(), projection.StepEnd{})
	s := x.spans.Ended()[0]
	assert.Equal(t, "order titles", s.Name())
	assert.Equal(t, trace.SpanKindInternal, s.SpanKind(), "no message is processed")
	words := inWords(s.Attributes())
	assert.Contains(t, words, "evident.projection.order=rebuild")
	assert.NotContains(t, words, "messaging.operation.type")
	assert.Empty(t, x.values(), "it is no batch, and did not fail")
}

func TestSpanOfAStepThatFails(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	o := x.observer()
	for class, want := range map[projection.Class]string{
		projection.Unclassified: "unclassified", projection.Infrastructure: "infrastructure", projection.Poison: "poison",
		projection.Bug: "bug", projection.Lost: "ownership_lost",
	} {
		x.step(o, batch(), projection.StepEnd{Err: errors.New("it rained"), Class: class})
		ended := x.spans.Ended()
		s := ended[len(ended)-1]
		assert.Equal(t, sdktrace.Status{Code: codes.Error, Description: "it rained"}, s.Status())
		assert.Contains(t, s.Attributes(), attribute.String("error.type", want))
		values := x.values()
		failed := "error.type=" + want + " evident.projection.version=2 messaging.destination.name=titles messaging.operation.name=process messaging.system=evident"
		assert.Contains(t, values, "messaging.process.duration{"+failed+"}")
		assert.InDelta(t, 5, values["messaging.client.consumed.messages{"+failed+"}"], 0)
		assert.InDelta(t, 1, values["evident.projection.step.errors{error.type="+want+" evident.projection.name=titles evident.projection.step=apply evident.projection.version=2}"], 0)
	}
}

func TestEndOfTheRunIsNoFailure(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.step(x.observer(), batch(), projection.StepEnd{Err: context.Canceled, Class: projection.Cancelled})
	s := x.spans.Ended()[0]
	assert.Equal(t, codes.Unset, s.Status().Code)
	for name := range x.values() {
		assert.NotContains(t, name, "error")
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.step(x.observer(), batch(), projection.StepEnd{Err: errors.New("x" + strings.Repeat("ä", 5000)), Class: projection.Bug})
	text := x.spans.Ended()[0].Status().Description
	assert.True(t, utf8.ValidString(text), "at the edge of a letter")
	assert.Less(t, len(text), 1100)
	assert.True(t, strings.HasSuffix(text, "…"))
}

func TestDurationHasTheBucketsOfTheConventions(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.step(x.observer(), batch(), projection.StepEnd{})
	for _, m := range x.collect() {
		if histogram, ok := m.Data.(metricdata.Histogram[float64]); ok {
			assert.Equal(t, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}, histogram.DataPoints[0].Bounds)
			return
		}
	}
	t.Error("there is no histogram")
}

// TestNothingGlobalIsAsked gives the process providers of its own: nobody may use
// them who was not given them.
func TestNothingGlobalIsAsked(t *testing.T) {
	t.Parallel()
	spans, metrics := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics)))

	o, err := projectionotel.NewObserver(projectionotel.Config{})
	require.NoError(t, err)
	ctx, end := o.Begin(t.Context(), batch())
	assert.False(t, trace.SpanFromContext(ctx).IsRecording())
	end(projection.StepEnd{Applied: 5, Err: errors.New("no"), Class: projection.Poison})
	unregister, err := projectionotel.Register(projectionotel.Config{}, says(projection.Status{Projection: "titles"}))
	require.NoError(t, err)

	assert.Empty(t, spans.Ended())
	var all metricdata.ResourceMetrics
	require.NoError(t, metrics.Collect(t.Context(), &all))
	assert.Empty(t, all.ScopeMetrics)
	require.NoError(t, unregister())
}

type noted struct{ Text string }

func (noted) EventType() string { return "Noted" }

// loop is what a runner does with an observer, made small: it goes through a
// store in batches of two.
func loop(ctx context.Context, events eventstore.Store, o projection.Observer, apply func(context.Context, event.Event) error) error {
	var batch []event.Event
	flush := func() {
		if len(batch) == 0 {
			return
		}
		ctx, end := o.Begin(ctx, projection.Step{
			Kind: projection.ApplyStep, Projection: "notes", Version: 1, Events: len(batch), First: batch[0].Position, Last: batch[len(batch)-1].Position,
		})
		var came projection.StepEnd
		for _, e := range batch {
			if came.Err = apply(ctx, e); came.Err != nil {
				came.Class = projection.DefaultClass(came.Err)
				break
			}
			came.Applied++
		}
		end(came)
		batch = nil
	}
	for e, err := range events.ReadAll(ctx, eventstore.Query{}) {
		if err != nil {
			return err
		}
		if batch = append(batch, e); len(batch) == 2 {
			flush()
		}
	}
	flush()
	return nil
}

func TestSpansOfALoop(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	for _, text := range []string{"one", "two", "three", "bad", "five"} {
		e, err := event.New(t.Context(), noted{Text: text})
		require.NoError(t, err)
		_, err = store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}, Events: []event.Event{e}})
		require.NoError(t, err)
	}
	x := newTelescope(t)
	tracer := x.config.TracerProvider.Tracer("handler")
	err = loop(t.Context(), store, x.observer(), func(ctx context.Context, e event.Event) error {
		_, span := tracer.Start(ctx, "handle")
		defer span.End()
		if string(e.Data) == `{"Text":"bad"}` {
			return projection.AsPoison(errors.New("bad"))
		}
		return nil
	})
	require.NoError(t, err)
	var batches, inside []string
	for _, s := range x.spans.Ended() {
		if s.Name() == "handle" {
			inside = append(inside, s.Parent().SpanID().String())
			continue
		}
		batches = append(batches, s.SpanContext().SpanID().String())
	}
	require.Len(t, batches, 3)
	assert.Equal(t, []string{batches[0], batches[0], batches[1], batches[1], batches[2]}, inside, "what handlers do is inside of the batch's span")
	assert.InDelta(t, 4, x.values()["evident.projection.events.applied{evident.projection.name=notes evident.projection.version=1}"], 0)
}

func TestObserverIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	o := x.observer()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 100 {
				x.step(o, batch(), projection.StepEnd{Applied: 5})
			}
		})
	}
	all.Wait()
	assert.Len(t, x.spans.Ended(), 1600)
	assert.InDelta(t, 8000, x.values()["evident.projection.events.applied{evident.projection.name=titles evident.projection.version=2}"], 0)
}

// stubborn is a provider whose meters refuse some of what they are asked for.
type stubborn struct {
	noopmetric.MeterProvider

	refuses string // the name of an instrument, or "callback"
}

func (s stubborn) Meter(string, ...metric.MeterOption) metric.Meter {
	return stubbornMeter{refuses: s.refuses}
}

type stubbornMeter struct {
	noopmetric.Meter

	refuses string
}

func (m stubbornMeter) refuse(name string) error {
	if name == m.refuses {
		return errors.New("no " + name)
	}
	return nil
}

func (m stubbornMeter) Int64Counter(name string, options ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	c, _ := m.Meter.Int64Counter(name, options...)
	return c, m.refuse(name)
}

func (m stubbornMeter) Float64Histogram(name string, options ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	h, _ := m.Meter.Float64Histogram(name, options...)
	return h, m.refuse(name)
}

func (m stubbornMeter) Float64ObservableGauge(name string, options ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	g, _ := m.Meter.Float64ObservableGauge(name, options...)
	return g, m.refuse(name)
}

func (m stubbornMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return noopmetric.Registration{}, m.refuse("callback")
}

func TestProvidersThatRefuse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"messaging.process.duration", "messaging.client.consumed.messages", "evident.projection.step.errors"} {
		_, err := projectionotel.NewObserver(projectionotel.Config{MeterProvider: stubborn{refuses: name}})
		require.ErrorContains(t, err, "no "+name)
	}
	for _, name := range []string{"evident.projection.behind", "evident.projection.status.errors", "callback"} {
		_, err := projectionotel.Register(projectionotel.Config{MeterProvider: stubborn{refuses: name}}, says())
		require.ErrorContains(t, err, "no "+name)
	}
	_, err := projectionotel.Register(projectionotel.Config{}, nil)
	require.ErrorIs(t, err, event.ErrInvalid)
}

func BenchmarkObserver(b *testing.B) {
	for name, config := range map[string]projectionotel.Config{
		"nothing": {},
		"metrics": {MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))},
		"metrics and spans": {
			MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
			TracerProvider: sdktrace.NewTracerProvider(),
		},
	} {
		b.Run(name, func(b *testing.B) {
			o, err := projectionotel.NewObserver(config)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, end := o.Begin(b.Context(), batch())
				end(projection.StepEnd{Applied: 5})
			}
		})
	}
}
