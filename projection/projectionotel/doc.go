// Package projectionotel gives OpenTelemetry what a projection runner does, as
// spans and metrics. It uses OpenTelemetry's API only: what becomes of them is
// decided by the providers that it is given. It never asks for the global ones.
//
//	config := projectionotel.Config{MeterProvider: meters, TracerProvider: tracers}
//	observer, err := projectionotel.NewObserver(config)
//	…
//	runner, err := projection.NewRunner(store, projection.Config{Projections: …, Observer: observer})
//	…
//	unregister, err := projectionotel.Register(config, runner)
//
// Spans, and metrics that begin with "messaging.", are named by OpenTelemetry's
// semantic conventions for messaging, version 1.43; the others begin with
// "evident.". docs/watching.md lists them all, and which alarms to set.
package projectionotel
