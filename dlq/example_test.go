package dlq_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// One event failed and another one of the same document waits behind it. Once
// the first is discarded, the second is the one that has to succeed next.
func ExampleStore() {
	ctx, parkedAt := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	letters, document := store.DeadLetters(), dlq.Sequence{Projection: "titles", Version: 1, Key: "Document/1"}
	failed := dlq.Letter{Sequence: document, Position: 41, EventID: uuid.Max, EventType: "DocumentEdited", ParkedAt: parkedAt, Cause: "no such title", Attempts: 5}
	waits := dlq.Letter{Sequence: document, Position: 57, EventID: uuid.Max, EventType: "DocumentEdited", ParkedAt: parkedAt}

	show := func() {
		parked, err := letters.Sequences(ctx, dlq.Filter{Projection: "titles"})
		for _, p := range parked {
			fmt.Printf("%s: %d letters, first at %d: %q\n", p.Sequence.Key, p.Letters, p.First.Position, p.First.Cause)
		}
		if err != nil || len(parked) == 0 {
			fmt.Println("nothing is parked", err)
		}
	}
	fmt.Println(letters.Park(ctx, failed, waits))
	show()
	fmt.Println(letters.Discard(ctx, failed, "the document was deleted by hand", event.User("7"), parkedAt))
	show()
	fmt.Println(letters.Remove(ctx, waits))
	show()
	// Output:
	// <nil>
	// Document/1: 2 letters, first at 41: "no such title"
	// <nil>
	// Document/1: 1 letters, first at 57: ""
	// <nil>
	// nothing is parked <nil>
}

func ExampleCutCause() {
	cause := dlq.CutCause(strings.Repeat("✗", 5000)) // three bytes each
	fmt.Println(len(cause), strings.HasSuffix(cause, "✗"))
	// Output: 4095 true
}
