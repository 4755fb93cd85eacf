package snippets_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// owners is a read model of which two versions are about.
func owners(version int) projection.Projection {
	return projection.New("owners", version,
		projection.On(func(context.Context, event.Of[Opened]) error { return nil }),
		projection.OnReset(func(context.Context) error { return nil }),
	)
}

func Example_abort() {
	run(abort)
	// Output:
	// owners v2 is retired
	// owners v1 is live
}

func abort(ctx context.Context, b *bank) error {
	control, err := projection.NewControl(b.store, projection.ControlConfig{Recorder: projection.Unrecorded{}})
	if err != nil {
		return err
	}
	for _, release := range [][]projection.Projection{{owners(1)}, {owners(1), owners(2)}} {
		runner, err := projection.NewRunner(b.store, projection.Config{Projections: release})
		if err != nil {
			return err
		}
		if err := runner.RunUntilCaughtUp(ctx); err != nil {
			return err
		}
	}
	//docs:begin both
	runner, err := projection.NewRunner(b.store, projection.Config{
		Projections: []projection.Projection{owners(1), owners(2)}, // versions of one name side by side
	})
	if err != nil {
		return err
	}
	//docs:end both
	live, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(live) }()
	v2 := registry.Name{Projection: "owners", Version: 2}
	//docs:begin abort
	if err := control.Abort(ctx, v2, "amounts are wrong"); err != nil {
		return err
	}
	if err := control.Await(ctx, v2); err != nil {
		return err
	}
	//docs:end abort
	for _, version := range []int{2, 1} {
		r, err := b.store.Registry().Load(ctx, registry.Name{Projection: "owners", Version: version})
		if err != nil {
			return err
		}
		fmt.Println(r.Name, "is", r.State)
	}
	stop()
	return errors.Join(<-ended)
}
