package snippets_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var errTimeout = errors.New("search engine: deadline passed")

//docs:begin classifier

// classify knows the errors of a search engine's client.
func classify(err error) (projection.Class, bool) {
	if errors.Is(err, errTimeout) {
		return projection.Infrastructure, true
	}
	return projection.Unclassified, false // ask the store, and then projection.DefaultClass
}

//docs:end classifier

func Example_parked() {
	run(parked)
	// Output:
	// Account/01900000-0000-7000-8000-00000000000a: 2 letters, the first after 1 attempts
	//   AccountOpened at 1: alice is not welcome
	//   Deposited at 2: waits behind the one before
	// parked: 1 sequences, 2 letters
	// applied: [bob alice]
	// redriven: 2 applied, 0 failed again
}

func parked(ctx context.Context, b *bank) error {
	var names []string
	refuse := true
	index := projection.New("names", 1,
		projection.On(func(_ context.Context, e event.Of[Opened]) error {
			if refuse && e.Payload.Owner == "alice" {
				return projection.AsPoison(errors.New("alice is not welcome"))
			}
			names = append(names, e.Payload.Owner)
			return nil
		}),
		projection.On(func(context.Context, event.Of[Deposited]) error { return nil }),
	)
	//docs:begin configure
	runner, err := projection.NewRunner(b.store, projection.Config{
		Projections:  []projection.Projection{index},
		OnPoison:     projection.Park, // the default; or Skip, or Stop
		Classifier:   projection.ClassifierFunc(classify),
		MaxSequences: 1024, // parked aggregates of one projection, the default
		MaxLetters:   1024, // letters of one aggregate, the default
	})
	//docs:end configure
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	//docs:begin list
	letters := runner.DeadLetters()
	parked, err := letters.Sequences(ctx, dlq.Filter{Projection: "names"})
	if err != nil {
		return err
	}
	for _, p := range parked {
		fmt.Printf("%s: %d letters, the first after %d attempts\n", p.Sequence.Key, p.Letters, p.First.Attempts)
		all, err := letters.Letters(ctx, p.Sequence, 0)
		if err != nil {
			return err
		}
		for _, l := range all {
			fmt.Printf("  %s at %d: %s\n", l.EventType, l.Position, cmp.Or(l.Cause, "waits behind the one before"))
		}
	}
	//docs:end list
	stats, err := letters.Stats(ctx, "names", 1)
	if err != nil {
		return err
	}
	fmt.Printf("parked: %d sequences, %d letters\n", stats.Sequences, stats.Letters)
	refuse = false
	//docs:begin redrive
	redriven, err := runner.Redrive(ctx, "names") // or only some: Redrive(ctx, "names", key)
	if err != nil {
		return err
	}
	//docs:end redrive
	fmt.Println("applied:", names)
	fmt.Printf("redriven: %d applied, %d failed again\n", redriven.Applied, redriven.Failed)
	return nil
}

func Example_retryUntil() {
	run(retryUntil)
	// Output:
	// 1 sequence to be tried
	// applied: [1 3], 1 letter left
}

// retryUntil has alice's account fail as a whole at first, and then lets through
// what came before a position.
func retryUntil(ctx context.Context, b *bank) error {
	var applied []uint64
	refuse := true
	index := projection.New("names", 1, projection.OnEvery(func(_ context.Context, e event.Event) error {
		if refuse && e.AggregateID == aliceID {
			return projection.AsPoison(errors.New("alice is not welcome"))
		}
		applied = append(applied, e.Position)
		return nil
	}))
	runner, err := projection.NewRunner(b.store, projection.Config{
		Projections: []projection.Projection{index}, Redrive: projection.Retry{MaxAttempts: 1},
	})
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	refuse = false
	control, err := projection.NewControl(b.store, projection.ControlConfig{Recorder: projection.Unrecorded{}})
	if err != nil {
		return err
	}
	//docs:begin retry-until
	names := registry.Name{Projection: "names", Version: 1}
	sequences, err := control.RetryUntil(ctx, names, 1) // letters up to position 1; those behind it wait
	if err != nil {
		return err
	}
	//docs:end retry-until
	fmt.Println(sequences, "sequence to be tried")
	if err := runner.RunUntilCaughtUp(ctx); err != nil { // a service runs anyway
		return err
	}
	//docs:begin statistics
	stats, err := control.Statistics(ctx, names)
	if err != nil {
		return err
	}
	//docs:end statistics
	slices.Sort(applied)
	fmt.Printf("applied: %v, %d letter left\n", applied, stats.Letters)
	return nil
}
