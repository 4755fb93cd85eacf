package snippets_test

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// operated is a bank with two versions of a projection, as their runners have
// left them, and a control of them.
type operated struct {
	*bank

	log     *audit.Log
	control *projection.Control
}

func operate(example func(ctx context.Context, o *operated) error) {
	run(func(ctx context.Context, b *bank) error {
		store := b.store
		//docs:begin control
		log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
		if err != nil {
			return err
		}
		control, err := projection.NewControl(store, projection.ControlConfig{Recorder: audit.CommandLog(log)})
		if err != nil {
			return err
		}
		//docs:end control
		o := &operated{bank: b, log: log, control: control}
		for version, state := range []registry.State{registry.Live, registry.CaughtUp} {
			if err := o.ran(ctx, registry.Name{Projection: "accounts", Version: version + 1}, state); err != nil {
				return err
			}
		}
		return example(event.WithActor(ctx, event.User("anna")), o)
	})
}

// ran does what a runner does that runs a version for the first time.
func (o *operated) ran(ctx context.Context, name registry.Name, state registry.State) error {
	_, err := o.store.Registry().Save(ctx, registry.Record{Name: name, State: state, Since: time.Now(), Lanes: 1})
	if err != nil {
		return err
	}
	return o.caughtUp(ctx, name)
}

// caughtUp does what a runner does that has caught up.
func (o *operated) caughtUp(ctx context.Context, name registry.Name) error {
	key := checkpoint.Key{Projection: name.Projection, Version: name.Version}
	at, err := o.store.Checkpoints().Load(ctx, key)
	if err != nil {
		return err
	}
	head, err := o.store.Head(ctx)
	if err != nil {
		return err
	}
	return o.store.Checkpoints().Move(ctx, key, checkpoint.Move{From: at.Position, To: head, StoreID: o.store.ID()})
}

// carriedOut does what a runner does that has carried out an order.
func (o *operated) carriedOut(ctx context.Context, name registry.Name, state registry.State) error {
	r, err := o.store.Registry().Load(ctx, name)
	if err != nil {
		return err
	}
	r.State, r.Order = state, registry.Order{}
	if _, err = o.store.Registry().Save(ctx, r); err != nil {
		return err
	}
	return o.caughtUp(ctx, name)
}

func Example_operatingStatus() {
	operate(func(ctx context.Context, o *operated) error {
		control := o.control
		//docs:begin status
		versions, err := control.Status(ctx)
		if err != nil {
			return err
		}
		for _, v := range versions {
			fmt.Printf("%s: %s, %d behind, %d letters, run by %v\n", v.Name, v.Stage, v.Lag(), v.DeadLetters.Letters, v.Members)
			if order := v.Record.Order; order.Kind != "" {
				fmt.Println("  ordered:", order.Kind, order.Problem)
			}
		}
		//docs:end status
		return nil
	})
	// Output:
	// accounts v1: detached, 0 behind, 0 letters, run by []
	// accounts v2: detached, 0 behind, 0 letters, run by []
}

func Example_operatingPause() {
	operate(func(ctx context.Context, o *operated) error {
		control := o.control
		//docs:begin pause
		accounts := registry.Name{Projection: "accounts", Version: 1}
		if err := control.Pause(ctx, accounts, "search engine is being moved"); err != nil {
			return err
		}
		//docs:end pause
		fmt.Println(control.Pause(ctx, accounts, "again") != nil)
		//docs:begin resume
		if err := control.Resume(ctx, accounts, "search engine is back"); err != nil {
			return err
		}
		//docs:end resume
		log := o.log
		//docs:begin who
		entity := audit.EntityRef{Type: audit.EntityProjection, ID: "accounts v1"}
		for record, err := range log.ByEntity(ctx, entity, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Println(record.ActorID(), record.Action(), "-", record.Reason())
		}
		//docs:end who
		return nil
	})
	// Output:
	// true
	// user:anna projection.pause - search engine is being moved
	// user:anna projection.resume - search engine is back
}

func Example_operatingRebuild() {
	operate(func(ctx context.Context, o *operated) error {
		control, accounts := o.control, registry.Name{Projection: "accounts", Version: 1}
		//docs:begin rebuild
		if err := control.Rebuild(ctx, accounts, "balances were rounded"); err != nil {
			return err
		}
		//docs:end rebuild
		if err := o.carriedOut(ctx, accounts, registry.Live); err != nil {
			return err
		}
		//docs:begin await
		waiting, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		if err := control.AwaitCaughtUp(waiting, accounts); err != nil {
			return err // it says how far it has come, or that an order is not done yet
		}
		//docs:end await
		//docs:begin rewind
		yesterday := time.Now().Add(-24 * time.Hour)
		if err := control.RewindTo(ctx, accounts, yesterday, "yesterday's release was wrong"); err != nil {
			return err
		}
		//docs:end rewind
		//docs:begin withdraw
		if err := control.Withdraw(ctx, accounts, "the release was right"); err != nil {
			return err
		}
		//docs:end withdraw
		//docs:begin lanes
		if err := control.SetLanes(ctx, accounts, 4, "it falls behind at noon"); err != nil {
			return err
		}
		//docs:end lanes
		fmt.Println(control.Rebuild(ctx, accounts, "once more") != nil)
		return nil
	})
	// Output:
	// true
}

func Example_operatingSwitch() {
	operate(func(ctx context.Context, o *operated) error {
		control, v1, v2 := o.control, registry.Name{Projection: "accounts", Version: 1}, registry.Name{Projection: "accounts", Version: 2}
		//docs:begin switch
		if err := control.AwaitCaughtUp(ctx, v2); err != nil {
			return err
		}
		if err := control.Switch(ctx, v2, "balances with currencies"); err != nil {
			return err
		}
		//docs:end switch
		if err := o.carriedOut(ctx, v1, registry.Replaced); err != nil {
			return err
		}
		if err := o.carriedOut(ctx, v2, registry.Live); err != nil {
			return err
		}
		//docs:begin retire
		if err := control.Await(ctx, v2); err != nil { // until the switch is done
			return err
		}
		if err := control.Retire(ctx, v1, "nobody has missed it for a week"); err != nil {
			return err
		}
		//docs:end retire
		fmt.Println(control.Abort(ctx, v2, "too late"))
		fmt.Println(control.Switch(ctx, v1, "v2 is wrong"))
		return nil
	})
	// Output:
	// projection accounts v2 is live, and abort is for versions that are not: switch to another version first
	// projection accounts v1 is replaced and stands at position 4 of 5: order a rebuild of it, and wait until it has caught up again
}

func Example_operatingDeadLetters() {
	operate(func(ctx context.Context, o *operated) error {
		control, accounts := o.control, registry.Name{Projection: "accounts", Version: 1}
		for e, err := range o.store.ReadAll(ctx, eventstore.Query{AggregateID: aliceID}) {
			if err != nil {
				return err
			}
			letter := dlq.Letter{
				Sequence: dlq.Sequence{Projection: "accounts", Version: 1, Key: projection.DefaultSequenceKey(e)},
				Position: e.Position, EventID: e.ID, EventType: e.Type, ParkedAt: time.Now(),
			}
			if e.Position == 1 {
				letter.Cause, letter.Attempts = "name is too long", 3
			}
			if err := o.store.DeadLetters().Park(ctx, letter); err != nil {
				return err
			}
		}
		//docs:begin letters
		parked, err := control.List(ctx, dlq.Filter{Projection: "accounts"})
		if err != nil {
			return err
		}
		for _, p := range parked {
			name := registry.Name{Projection: p.Sequence.Projection, Version: p.Sequence.Version}
			shown, err := control.Show(ctx, name, p.Sequence.Key, 10)
			if err != nil {
				return err
			}
			for _, s := range shown {
				fmt.Printf("%s %s: %s\n", s.Event.Type, s.Event.Data, cmp.Or(s.Letter.Cause, "waits behind the one before"))
			}
		}
		//docs:end letters
		//docs:begin retry
		sequences, err := control.Retry(ctx, accounts) // or only some: Retry(ctx, accounts, key)
		if err != nil {
			return err
		}
		//docs:end retry
		fmt.Println(sequences, "to be tried")
		key := parked[0].Sequence.Key
		//docs:begin discard
		if err := control.DiscardAt(ctx, accounts, key, parked[0].First.Position, "opened by mistake"); err != nil {
			return err
		}
		//docs:end discard
		stats, err := control.Statistics(ctx, accounts)
		fmt.Println(stats.Letters, "left")
		return err
	})
	// Output:
	// AccountOpened {"owner":"alice"}: name is too long
	// Deposited {"cents":100}: waits behind the one before
	// 1 to be tried
	// 1 left
}
