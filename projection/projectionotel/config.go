package projectionotel

import (
	"time"

	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// ScopeName is the name of the instrumentation scope of all spans and metrics.
const ScopeName = "github.com/evident-go/evident/projection/projectionotel"

// Config is where spans and metrics go. The zero value sends them nowhere.
type Config struct {
	// MeterProvider takes the metrics. Default: none are made.
	MeterProvider metric.MeterProvider
	// TracerProvider takes the spans. Default: none are made.
	TracerProvider trace.TracerProvider
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.MeterProvider == nil {
		c.MeterProvider = noopmetric.NewMeterProvider()
	}
	if c.TracerProvider == nil {
		c.TracerProvider = nooptrace.NewTracerProvider()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) meter() metric.Meter {
	return c.MeterProvider.Meter(ScopeName, metric.WithSchemaURL(semconv.SchemaURL))
}

func (c Config) tracer() trace.Tracer {
	return c.TracerProvider.Tracer(ScopeName, trace.WithSchemaURL(semconv.SchemaURL))
}
