package projectionotel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionotel"
)

func Example() {
	spans := tracetest.NewSpanRecorder() // a program has an exporter
	observer, err := projectionotel.NewObserver(projectionotel.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A runner does this, with the observer as projection.Config.Observer.
	_, end := observer.Begin(context.Background(), projection.Step{Kind: projection.ApplyStep, Projection: "titles", Version: 1, Events: 5})
	end(projection.StepEnd{Applied: 5})

	for _, span := range spans.Ended() {
		fmt.Println(span.Name())
	}
	// Output: process titles
}
