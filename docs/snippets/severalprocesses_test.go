package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

func Example_lanes() {
	for _, key := range []string{"Account/" + aliceID.String(), "Account/" + bobID.String()} {
		fmt.Println(projection.Slot(key), projection.LaneOf(key, 4), projection.LaneOf(key, 8))
	}
	run(shareLanes)
	// Output:
	// 911 3 7
	// 322 1 2
	// lane 0 of index v1: one
	// lane 1 of index v1: one
	// lane 2 of index v1: two
	// lane 3 of index v1: two
	// one has stopped, and two has all lanes
	// lanes: 6
}

// process runs a projection in lanes, as one process of several.
func process(ctx context.Context, store *memory.Store, owner string) (stop func() error, err error) {
	index := func(context.Context, event.Of[Opened]) error { return nil }
	//docs:begin lanes
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{
			projection.New("index", 1, projection.On(index), projection.InLanes(4)), // to begin with
		},
		Owner:    owner,           // by default host, process id and something random
		LeaseTTL: 2 * time.Second, // by default 10 s
	})
	//docs:end lanes
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	return func() error { cancel(); return <-ended }, nil
}

func shareLanes(ctx context.Context, b *bank) error {
	control, err := projection.NewControl(b.store, projection.ControlConfig{Recorder: projection.Unrecorded{}})
	if err != nil {
		return err
	}
	stopOne, err := process(ctx, b.store, "one")
	if err != nil {
		return err
	}
	if err := awaitOwners(ctx, control, 4, 0); err != nil {
		return errors.Join(err, stopOne())
	}
	stopTwo, err := process(ctx, b.store, "two")
	if err != nil {
		return errors.Join(err, stopOne())
	}
	err = awaitOwners(ctx, control, 2, 2)
	if err != nil {
		return errors.Join(err, stopOne(), stopTwo())
	}
	if err := showLanes(ctx, control); err != nil {
		return errors.Join(err, stopOne(), stopTwo())
	}
	return errors.Join(stopOne(), moreLanes(ctx, control), stopTwo())
}

func showLanes(ctx context.Context, control *projection.Control) error {
	//docs:begin owners
	versions, err := control.Status(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		for lane, l := range v.Lanes {
			fmt.Printf("lane %d of %s: %s\n", lane, v.Name, l.Owner)
		}
	}
	//docs:end owners
	return nil
}

func moreLanes(ctx context.Context, control *projection.Control) error {
	if err := awaitOwners(ctx, control, 0, 4); err != nil {
		return err
	}
	fmt.Println("one has stopped, and two has all lanes")
	//docs:begin set
	index := registry.Name{Projection: "index", Version: 1}
	if err := control.SetLanes(ctx, index, 6, "it falls behind at noon"); err != nil {
		return err
	}
	if err := control.Await(ctx, index); err != nil { // until it is done
		return err
	}
	//docs:end set
	versions, err := control.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Println("lanes:", len(versions[0].Lanes))
	return nil
}

// awaitOwners waits until each process has so many lanes, and nobody has none.
func awaitOwners(ctx context.Context, control *projection.Control, one, two int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		versions, err := control.Status(ctx)
		if err != nil {
			return err
		}
		lanes := make(map[string]int)
		for _, v := range versions {
			for _, l := range v.Lanes {
				lanes[l.Owner]++
			}
		}
		if lanes["one"] == one && lanes["two"] == two && lanes[""] == 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("lanes are owned by %v: %w", lanes, ctx.Err())
		}
	}
}
