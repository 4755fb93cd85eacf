package projectionhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionhttp"
)

func Example() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{
		projection.New("titles", 1, projection.On(func(context.Context, event.Of[noted]) error { return nil })),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	health, err := projectionhttp.New(projectionhttp.Config{Status: runner})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{projectionhttp.LivePath, projectionhttp.ReadyPath} {
		w := httptest.NewRecorder()
		health.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		fmt.Print(path, " ", w.Code, " ", w.Body)
	}
	// Output:
	// /livez 200 alive
	// titles v1: alive
	// /readyz 503 unhealthy
	// titles v1: unhealthy: not running
}
