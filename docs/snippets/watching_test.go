package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionhttp"
	"github.com/evident-go/evident/projection/projectionotel"
)

func Example_watched() {
	run(watched)
	// Output:
	// 200 healthy
	// balances v1: healthy
	// balances v1: unhealthy ["not running"]
	// ready: false, alive: true
}

func watched(ctx context.Context, b *bank) error {
	runner, err := projection.NewRunner(b.store, projection.Config{
		Projections: []projection.Projection{newBalances().Projection()},
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := probes(mux, runner, func(next http.Handler) http.Handler { return next }); err != nil {
		return err
	}
	live, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(live) }()
	if err := runner.WaitFor(ctx, "balances", 2); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	ask(mux)
	stop()
	if err := <-ended; err != nil {
		return err
	}
	return judge(ctx, runner)
}

func ask(h http.Handler) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	fmt.Print(w.Code, " ", w.Body)
}

func probes(mux *http.ServeMux, runner *projection.Runner, authenticated func(http.Handler) http.Handler) error {
	//docs:begin probes
	health, err := projectionhttp.New(projectionhttp.Config{
		Status: runner,
		Health: projection.Health{
			MaxBehind: 30 * time.Second,
			Except: map[string]projection.Health{
				"search": {MaxBehind: time.Hour, Optional: true}, // the service can do without
			},
		},
	})
	if err != nil {
		return err
	}
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready())
	mux.Handle("/admin/projections", authenticated(health.Status())) // texts of errors, names of people
	//docs:end probes
	return nil
}

func judge(ctx context.Context, runner *projection.Runner) error {
	//docs:begin check
	statuses, err := runner.Status(ctx)
	if err != nil {
		return err
	}
	report := projection.Health{}.Check(time.Now(), statuses)
	for _, p := range report.Projections {
		fmt.Printf("%s v%d: %s %q\n", p.Status.Projection, p.Status.Version, p.Verdict, p.Reasons)
	}
	fmt.Printf("ready: %t, alive: %t\n", report.Ready(), report.Alive())
	//docs:end check
	return nil
}

func Example_measured() {
	run(measured)
	// Output:
	// evident.projection.lag of balances: 0
}

func measured(ctx context.Context, b *bank) (err error) {
	reader := sdkmetric.NewManualReader() // a program has one that exports
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracers := sdktrace.NewTracerProvider()
	runner, unregister, err := telemetry(b.store, meters, tracers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unregister()) }()
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		return err
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "evident.projection.lag" {
				continue
			}
			for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
				name, _ := p.Attributes.Value("evident.projection.name")
				fmt.Printf("%s of %s: %d\n", m.Name, name.AsString(), p.Value)
			}
		}
	}
	return nil
}

func telemetry(store *memory.Store, meters metric.MeterProvider, tracers trace.TracerProvider) (*projection.Runner, func() error, error) {
	balances := newBalances().Projection()
	//docs:begin telemetry
	config := projectionotel.Config{MeterProvider: meters, TracerProvider: tracers} // of OpenTelemetry's SDK
	observer, err := projectionotel.NewObserver(config)
	if err != nil {
		return nil, nil, err
	}
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{balances},
		Observer:    observer, // spans and counters, step by step
	})
	if err != nil {
		return nil, nil, err
	}
	unregister, err := projectionotel.Register(config, runner) // gauges, when metrics are collected
	if err != nil {
		return nil, nil, err
	}
	//docs:end telemetry
	return runner, unregister, nil
}
