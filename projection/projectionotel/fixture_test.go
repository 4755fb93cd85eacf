package projectionotel_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionotel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when tests without simulated time take place.
var noon = time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)

// telescope is what a test sees of spans and metrics.
type telescope struct {
	t      *testing.T
	config projectionotel.Config
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
}

func newTelescope(t *testing.T) *telescope {
	t.Helper()
	x := &telescope{t: t, spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	x.config = projectionotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(x.spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(x.reader)),
		Now:            func() time.Time { return noon },
	}
	return x
}

func (x *telescope) observer() *projectionotel.Observer {
	x.t.Helper()
	o, err := projectionotel.NewObserver(x.config)
	require.NoError(x.t, err)
	return o
}

// step has one step observed.
func (x *telescope) step(o projection.Observer, s projection.Step, e projection.StepEnd) {
	_, end := o.Begin(x.t.Context(), s)
	end(e)
}

// register has what reader says measured, until the test ends.
func (x *telescope) register(r projection.StatusReader) {
	x.t.Helper()
	unregister, err := projectionotel.Register(x.config, r)
	require.NoError(x.t, err)
	x.t.Cleanup(func() { require.NoError(x.t, unregister()) })
}

// collect returns all metrics.
func (x *telescope) collect() []metricdata.Metrics {
	x.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(x.t, x.reader.Collect(x.t.Context(), &all), "an error keeps readers from exporting anything")
	var out []metricdata.Metrics
	for _, scope := range all.ScopeMetrics {
		require.Equal(x.t, projectionotel.ScopeName, scope.Scope.Name)
		require.Equal(x.t, "https://opentelemetry.io/schemas/1.43.0", scope.Scope.SchemaURL)
		out = append(out, scope.Metrics...)
	}
	slices.SortFunc(out, func(a, b metricdata.Metrics) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// values returns what was measured, by "name{attribute=value …}". Of a histogram
// that is the sum.
func (x *telescope) values() map[string]float64 {
	x.t.Helper()
	out := make(map[string]float64)
	for _, m := range x.collect() {
		for _, p := range points(x.t, m) {
			out[m.Name+"{"+inWords(p.attributes.ToSlice())+"}"] = p.value
		}
	}
	return out
}

type point struct {
	attributes attribute.Set
	value      float64
}

// points returns the measurements of one metric.
func points(t *testing.T, m metricdata.Metrics) []point {
	t.Helper()
	var out []point
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			out = append(out, point{p.Attributes, float64(p.Value)})
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			out = append(out, point{p.Attributes, float64(p.Value)})
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			out = append(out, point{p.Attributes, p.Value})
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			out = append(out, point{p.Attributes, p.Sum})
		}
	default:
		t.Errorf("unexpected data of %s: %T", m.Name, m.Data)
	}
	return out
}

// kindOf is what a metric is, in OpenTelemetry's words.
func kindOf(m metricdata.Metrics) string {
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		if data.IsMonotonic {
			return "counter"
		}
		return "up-down counter"
	case metricdata.Histogram[float64]:
		return "histogram"
	default:
		return "gauge"
	}
}

func inWords(attributes []attribute.KeyValue) string {
	var words []string
	for _, a := range attributes {
		words = append(words, fmt.Sprintf("%s=%s", a.Key, a.Value.String()))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// keysOf returns the attributes that any measurement of a metric has.
func keysOf(t *testing.T, m metricdata.Metrics) []string {
	t.Helper()
	keys := make(map[string]bool)
	for _, p := range points(t, m) {
		for _, a := range p.attributes.ToSlice() {
			keys[string(a.Key)] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// reader is a StatusReader that does what the test says.
type reader func(ctx context.Context) ([]projection.Status, error)

func (r reader) Status(ctx context.Context) ([]projection.Status, error) { return r(ctx) }

// says is a reader that always has the same answer.
func says(statuses ...projection.Status) reader {
	return func(context.Context) ([]projection.Status, error) { return statuses, nil }
}

// batch is a step with five events.
func batch() projection.Step {
	return projection.Step{Kind: projection.ApplyStep, Projection: "titles", Version: 2, Lane: 3, Owner: "host/1", Events: 5, First: 11, Last: 20}
}

func redrive() projection.Step {
	return projection.Step{Kind: projection.RedriveStep, Projection: "titles", Version: 2, Lane: 3, Owner: "host/1", Detail: "Note/1"}
}

func order() projection.Step {
	return projection.Step{Kind: projection.OrderStep, Projection: "titles", Version: 2, Owner: "host/1", Detail: "rebuild"}
}
