package snippets_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// mailbox is a service outside of the store's database that can tell what it
// was given before by a key.
type mailbox map[string]string

func (m mailbox) send(_ context.Context, key, text string) error {
	m[key] = text
	return nil
}

func Example_atLeastOnce() {
	run(atLeastOnce)
	// Output:
	// naive: 200, told by position: 100, letters: 2
}

// atLeastOnce has every event come twice, as after a crash in which the
// checkpoint was not saved.
func atLeastOnce(ctx context.Context, b *bank) error {
	var naive int64
	balances, box := newBalances(), mailbox{}
	count := projection.New("count", 1, projection.On(func(_ context.Context, e event.Of[Deposited]) error {
		naive += e.Payload.Cents
		return nil
	}))
	//docs:begin key
	welcome := projection.New("welcome", 1,
		projection.On(func(ctx context.Context, e event.Of[Opened]) error {
			return box.send(ctx, e.ID.String(), "Welcome, "+e.Payload.Owner) // the service drops a key that it knows
		}),
	)
	//docs:end key
	for range 2 {
		progress, err := memory.Open(ctx, memory.Config{}) // nobody knows that it was done before
		if err != nil {
			return err
		}
		runner, err := projection.NewRunner(b.store, projection.Config{
			Projections: []projection.Projection{count, balances.Projection(), welcome}, Progress: progress,
		})
		if err != nil {
			return err
		}
		if err := errors.Join(runner.RunUntilCaughtUp(ctx), progress.Close()); err != nil {
			return err
		}
	}
	fmt.Printf("naive: %d, told by position: %d, letters: %d\n", naive, balances.cents[aliceID], len(box))
	return nil
}
