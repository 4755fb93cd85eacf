package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// Balances is a read model in memory: what each account has.
type Balances struct {
	mu    sync.Mutex
	cents map[uuid.UUID]int64
	at    map[uuid.UUID]uint64 // the position that an account's sum includes
}

//docs:begin balances
func (b *Balances) Projection() projection.Projection {
	return projection.New("balances", 1,
		projection.On(func(_ context.Context, e event.Of[Deposited]) error { return b.add(e.Event, e.Payload.Cents) }),
		projection.On(func(_ context.Context, e event.Of[Withdrawn]) error { return b.add(e.Event, -e.Payload.Cents) }),
		projection.OnReset(b.reset),
	)
}

func (b *Balances) add(e event.Event, cents int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Position > b.at[e.AggregateID] { // at least once: this event may have been here before
		b.cents[e.AggregateID] += cents
		b.at[e.AggregateID] = e.Position
	}
	return nil
}

//docs:end balances

func (b *Balances) reset(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cents, b.at = make(map[uuid.UUID]int64), make(map[uuid.UUID]uint64)
	return nil
}

func newBalances() *Balances {
	return &Balances{cents: make(map[uuid.UUID]int64), at: make(map[uuid.UUID]uint64)}
}

func Example_inMemoryReadModel() {
	inFolder(inMemoryReadModel)
	// Output:
	// 100
	// balances v1 (at least once): live false, position 2 of 2, lag 0, 100 % done
}

func inMemoryReadModel(ctx context.Context, folder string) (err error) {
	store, err := sqliteBank(ctx, filepath.Join(folder, "bank.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	balances := newBalances()
	//docs:begin memory-progress
	progress, err := memory.Open(ctx, memory.Config{}) // forgotten with the read model
	if err != nil {
		return err
	}
	runner, err := projection.NewRunner(store, projection.Config{ // the events are in SQLite
		Projections: []projection.Projection{balances.Projection()},
		Progress:    progress,
	})
	if err != nil {
		return err
	}
	//docs:end memory-progress
	//docs:begin catch-up
	if err := runner.RunUntilCaughtUp(ctx); err != nil { // jobs and tests; a service calls Run
		return err
	}
	//docs:end catch-up
	fmt.Println(balances.cents[aliceID])
	//docs:begin status
	all, err := runner.Status(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		fmt.Printf("%s v%d (%s): live %t, position %d of %d, lag %d, %.0f %% done\n",
			s.Projection, s.Version, s.Guarantee, s.State == projection.Live, s.Position, s.Head, s.Lag(), 100*s.Done())
	}
	//docs:end status
	return nil
}

func Example_waitFor() {
	run(waitFor)
	// Output:
	// 75
	// 75
}

func waitFor(ctx context.Context, b *bank) error {
	repo, balances := b.repo, newBalances()
	runner, err := projection.NewRunner(b.store, projection.Config{Projections: []projection.Projection{balances.Projection()}})
	if err != nil {
		return err
	}
	//docs:begin run
	live, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(live) }() // until live ends
	//docs:end run
	//docs:begin wait-for
	a, err := repo.Load(ctx, aliceID)
	if err != nil {
		return err
	}
	if err := errors.Join(a.Withdraw(ctx, 25), repo.Save(ctx, a)); err != nil {
		return err
	}
	if err := runner.WaitFor(ctx, "balances", a.Position()); err != nil {
		return err
	}
	//docs:end wait-for
	fmt.Println(balances.cents[aliceID])
	//docs:begin stop
	stop()
	if err := <-ended; err != nil { // nil unless a projection has stopped for good
		return err
	}
	//docs:end stop
	//docs:begin rebuild
	if err := runner.Rebuild(ctx, "balances"); err != nil { // Reset, then everything from the first event
		return err
	}
	//docs:end rebuild
	fmt.Println(balances.cents[aliceID])
	return nil
}
