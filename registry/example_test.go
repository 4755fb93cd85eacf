package registry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/registry"
)

// Somebody pauses a projection. Somebody else, who has loaded the record before,
// is told to look again.
func ExampleStore() {
	ctx, noon := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	records, titles := store.Registry(), registry.Name{Projection: "titles", Version: 1}
	first, err := records.Save(ctx, registry.Record{Name: titles, State: registry.Live, Since: noon, Lanes: 1})
	fmt.Println(first.Name, "is", first.State, err)

	paused := first
	paused.Pause = registry.Pause{Reason: "its table is moved to another disk", At: noon}
	_, err = records.Save(ctx, paused)
	fmt.Println(err)

	first.Order = registry.Order{Kind: registry.Rebuild, Reason: "titles were cut", At: noon}
	_, err = records.Save(ctx, first)
	fmt.Println(errors.Is(err, registry.ErrChanged), err)
	// Output:
	// titles v1 is live <nil>
	// <nil>
	// true record of projection titles v1 has revision 2, not 1: load it again
}

// A new version is made live in one transaction with the old one's end. Without
// that, it is refused.
func ExampleLiveError() {
	ctx, noon := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	records := store.Registry()
	for version := 1; version <= 2; version++ {
		name := registry.Name{Projection: "titles", Version: version}
		_, err := records.Save(ctx, registry.Record{Name: name, State: registry.Live, Since: noon, Lanes: 1})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// projection titles v2 cannot be live: version 1 is
}
