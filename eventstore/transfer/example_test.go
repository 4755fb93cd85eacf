package transfer_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/memory"
)

type renamed struct {
	Title string `json:"title"`
}

func (renamed) EventType() string { return "DocumentRenamed" }

// The store that was used so far, and the one that comes next.
func Example() {
	ctx := context.Background()
	source, target, err := twoStores(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := transfer.Copy(ctx, source, target, transfer.Config{})
	fmt.Println(report.Digest.Events, "events, stored now:", report.Stored, err)

	report, err = transfer.Copy(ctx, source, target, transfer.Config{}) // after an interruption, for example
	fmt.Println(report.Digest.Events, "events, stored now:", report.Stored, err)

	verified, err := transfer.Verify(ctx, source, target, transfer.VerifyConfig{})
	fmt.Println("verified:", verified.Digest == report.Digest, err)
	// Output:
	// 3 events, stored now: 3 <nil>
	// 3 events, stored now: 0 <nil>
	// verified: true <nil>
}

// A target that holds anything else than a beginning of the source is refused.
func ExampleDifferenceError() {
	ctx := context.Background()
	used, other, err := twoStores(ctx)
	if err == nil {
		err = rename(ctx, other, uuid.UUID{15: 9}, "Something else")
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = transfer.Copy(ctx, used, other, transfer.Config{})
	difference, ok := errors.AsType[*transfer.DifferenceError](err)
	fmt.Println(ok, "event", difference.Number, difference.Field)
	// Output: true event 1 event_id
}

// twoStores returns a store with three events, and an empty one.
func twoStores(ctx context.Context) (source, target *memory.Store, err error) {
	if source, err = memory.Open(ctx, memory.Config{}); err != nil {
		return nil, nil, err
	}
	if target, err = memory.Open(ctx, memory.Config{}); err != nil {
		return nil, nil, err
	}
	for n := range 3 {
		if err := rename(ctx, source, uuid.UUID{15: byte(n % 2), 14: 1}, fmt.Sprint("Draft ", n)); err != nil {
			return nil, nil, err
		}
	}
	return source, target, nil
}

func rename(ctx context.Context, store eventstore.Store, document uuid.UUID, title string) error {
	e, err := event.New(ctx, renamed{Title: title})
	if err != nil {
		return err
	}
	_, err = store.Append(ctx, eventstore.Append{
		Stream: eventstore.Stream{AggregateType: "Document", AggregateID: document}, Events: []event.Event{e},
	})
	return err
}
