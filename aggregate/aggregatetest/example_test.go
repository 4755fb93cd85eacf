package aggregatetest_test

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
)

// printer stands for a test's *testing.T.
type printer struct{}

func (printer) Helper()                           {}
func (printer) Context() context.Context          { return context.Background() }
func (printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (printer) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func ExampleGiven() {
	t := printer{} // in a test: t *testing.T
	aggregatetest.Given[Document](t, documents, Created{Title: "Plan"}).
		As(event.User("alice")).
		When(func(ctx context.Context, d *Document) error { return d.Edit(ctx, "v2") }).
		Then(Edited{Content: "v2"})

	aggregatetest.Given[Document](t, documents).
		When(func(ctx context.Context, d *Document) error { return d.Edit(ctx, "v2") }).
		Then(Edited{Content: "v2"})
	// Output:
	// then: unexpected error: document does not exist
}
