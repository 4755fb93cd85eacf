// Projections shows a read model that meets events it cannot apply: each is
// parked with its aggregate while the others go on, and is redriven when the
// program is mended, or discarded with a reason. Then somebody reads their own
// write, and the read model is rebuilt from the first event.
//
//	go run ./examples/projections
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/progressbar"
	"github.com/evident-go/evident/sqlite"
)

func main() {
	if err := inTemporaryFolder(context.Background(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "projections:", err)
		os.Exit(1)
	}
}

// inTemporaryFolder runs the program on a database that is gone afterwards.
func inTemporaryFolder(ctx context.Context, out, bar io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "projections")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return run(ctx, out, bar, filepath.Join(folder, "orders.db"))
}

// run tells the story on out and draws the progress of the rebuild on bar.
func run(ctx context.Context, out, bar io.Writer, path string) (err error) {
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	s := &shop{out: out, store: store, orders: aggregate.NewRepository[Order](store, orders)}
	for _, act := range []func(context.Context) error{s.placeOrders, s.catchUp, s.mend, s.discard, s.readOwnWrite} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return s.rebuild(ctx, bar)
}

// shop is what the acts of the story share.
type shop struct {
	out    io.Writer
	store  *sqlite.Store
	orders *aggregate.Repository[Order]
	runner *projection.Runner
}

func orderID(number int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "order %d", number))
}

// emit lets something happen to an order and returns the position of it.
func (s *shop) emit(ctx context.Context, number int, payload event.Payload) (position uint64, err error) {
	ctx = event.WithActor(ctx, event.User("alice"))
	err = s.orders.Update(ctx, orderID(number), func(o *Order) error { return o.Emit(ctx, payload) })
	if err != nil {
		return 0, err
	}
	o, err := s.orders.Load(ctx, orderID(number))
	if err != nil {
		return 0, err
	}
	return o.Position(), nil
}

func (s *shop) placeOrders(ctx context.Context) error {
	for _, happened := range []struct {
		order   int
		payload event.Payload
	}{
		{1, Placed{Item: "coffee", Cents: 1200, Currency: "EUR"}},
		{2, Placed{Item: "chocolate", Cents: 1000, Currency: "CHF"}}, // no rate for it yet
		{3, Placed{Item: "nothing", Cents: -1, Currency: "EUR"}},     // will never make sense
		{4, Placed{Item: "tea", Cents: 700, Currency: "EUR"}},
		{2, Shipped{Carrier: "post"}}, // waits behind what failed
		{1, Shipped{Carrier: "courier"}},
	} {
		if _, err := s.emit(ctx, happened.order, happened.payload); err != nil {
			return err
		}
	}
	return nil
}

// start returns a runner of this program's read model.
func (s *shop) start(known rates, onProgress func(projection.Status)) error {
	//docs:begin runner
	runner, err := projection.NewRunner(s.store, projection.Config{
		Projections: []projection.Projection{readModel(known)},
		Redrive:     projection.Retry{MaxAttempts: 1}, // by command only; by default parked events are also tried again by themselves
		OnProgress:  onProgress,
	})
	//docs:end runner
	s.runner = runner
	return err
}

func (s *shop) catchUp(ctx context.Context) error {
	fmt.Fprintln(s.out, "=== Two of six events cannot be applied: they park, all other orders go on ===")
	if err := s.start(rates{"EUR": 100}, nil); err != nil {
		return err
	}
	if err := s.runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	return s.show(ctx)
}

func (s *shop) mend(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== The next release knows Swiss francs: what is parked is tried again, in order ===")
	if err := s.start(rates{"EUR": 100, "CHF": 105}, nil); err != nil {
		return err
	}
	//docs:begin redrive
	redriven, err := s.runner.Redrive(ctx, "orders")
	//docs:end redrive
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "redriven: %d events applied, %d sequence failed again\n", redriven.Applied, redriven.Failed)
	return s.show(ctx)
}

func (s *shop) discard(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== The other one is beyond help: bob takes it out and says why ===")
	key := "Order/" + orderID(3).String()
	//docs:begin discard
	bob := event.WithActor(ctx, event.User("bob"))
	if err := s.runner.Discard(bob, "orders", key, "test order from before the launch"); err != nil {
		return err
	}
	//docs:end discard
	discarded, err := s.runner.DeadLetters().Discarded(ctx, "orders", 1)
	if err != nil {
		return err
	}
	for _, d := range discarded {
		fmt.Fprintf(s.out, "discarded: %s at position %d, by %s: %s\n", d.Letter.EventType, d.Letter.Position, d.By, d.Reason)
	}
	return s.show(ctx)
}

// readOwnWrite runs the read model live, as a service does, and waits until it
// shows what was just written.
func (s *shop) readOwnWrite(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== Live: an order is shipped, and the reader sees it ===")
	//docs:begin wait
	live, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.runner.Run(live) }()

	position, err := s.emit(ctx, 4, Shipped{Carrier: "bicycle"})
	if err != nil {
		return err
	}
	if err := s.runner.WaitFor(ctx, "orders", position); err != nil {
		return err
	}
	//docs:end wait
	if err := s.show(ctx); err != nil {
		return err
	}
	stop()
	return <-ended // nil: the batch in hand is finished, the checkpoint saved, the lease given up
}

// rebuild throws the table away and replays all events into a new one. The
// event that was discarded is still in the store, which forgets nothing: it
// fails once more, and parks.
func (s *shop) rebuild(ctx context.Context, bar io.Writer) error {
	fmt.Fprintln(s.out, "\n=== The table is dropped and rebuilt from the first event ===")
	before, err := s.rows(ctx)
	if err != nil {
		return err
	}
	if err := s.start(rates{"EUR": 100, "CHF": 105}, progressbar.New(bar, "rebuild").Update); err != nil {
		return err
	}
	//docs:begin rebuild
	if err := s.runner.Rebuild(ctx, "orders"); err != nil {
		return err
	}
	//docs:end rebuild
	after, err := s.rows(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "equal to what it was:", before == after)
	return s.show(ctx)
}
