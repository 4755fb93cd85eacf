package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

// What happens to parcels and to payments.
type (
	ParcelSent struct {
		Cents int `json:"cents"`
	}
	ParcelArrived   struct{}
	PaymentTaken    struct{}
	PaymentReturned struct{}
)

func (ParcelSent) EventType() string      { return "ParcelSent" }
func (ParcelArrived) EventType() string   { return "ParcelArrived" }
func (PaymentTaken) EventType() string    { return "PaymentTaken" }
func (PaymentReturned) EventType() string { return "PaymentReturned" }

// Parcel and Payment are aggregates, of which a delivery has one each, with its
// own id. They have no rules, to keep the example short.
type (
	Parcel struct {
		aggregate.AggregateRoot[struct{}]
	}
	Payment struct {
		aggregate.AggregateRoot[struct{}]
	}
)

var (
	parcels = aggregate.Define("Parcel",
		aggregate.On(func(*struct{}, event.Of[ParcelSent]) {}),
		aggregate.On(func(*struct{}, event.Of[ParcelArrived]) {}),
	)
	payments = aggregate.Define("Payment",
		aggregate.On(func(*struct{}, event.Of[PaymentTaken]) {}),
		aggregate.On(func(*struct{}, event.Of[PaymentReturned]) {}),
	)
)

// Taken is what a delivery itself records: what is to be undone if it fails.
type Taken struct{}

func (Taken) EventType() string { return "DeliveryTaken" }

// deliveries is a process manager: the money is taken when a parcel is sent, and
// given back if the parcel does not arrive in time.
type deliveries struct {
	parcels  *aggregate.Repository[Parcel]
	payments *aggregate.Repository[Payment]
	patience time.Duration
}

//docs:begin process
func (d *deliveries) definition() *process.Definition[struct{}] {
	return process.Define("Delivery", 1,
		process.StartOn(process.ByAggregate, d.sent),
		process.On(process.ByAggregate, d.arrived),
		process.OnTimeout("arrival", d.late),
		process.Undo(d.giveBack),
		process.StartAt[struct{}](projection.StartAtFirst), // without it: what happens from now on
	)
}

func (d *deliveries) sent(ctx context.Context, p *process.Instance[struct{}], _ event.Of[ParcelSent]) error {
	p.Emit(Taken{})
	p.SetTimeout("arrival", d.patience)
	return p.Do(ctx, "take the money", func(ctx context.Context) error {
		return d.payments.Update(ctx, p.ID(), func(a *Payment) error { return a.Emit(ctx, PaymentTaken{}) })
	})
}

func (d *deliveries) arrived(_ context.Context, p *process.Instance[struct{}], _ event.Of[ParcelArrived]) error {
	p.Done()
	return nil
}

func (d *deliveries) late(_ context.Context, p *process.Instance[struct{}]) error {
	p.Fail("parcel did not arrive in time")
	return nil
}

func (d *deliveries) giveBack(ctx context.Context, p *process.Instance[struct{}], _ event.Of[Taken]) error {
	return d.payments.Update(ctx, p.ID(), func(a *Payment) error { return a.Emit(ctx, PaymentReturned{}) })
}

//docs:end process

// deliver sends two parcels, of which one arrives. The other one's time is over
// when the program has been started anew: what is waited for is in the log.
func (s *shop) deliver(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== Two parcels are sent, and one arrives: a process waits, and gives the money back for the other ===")
	d := &deliveries{
		parcels:  aggregate.NewRepository[Parcel](s.store, parcels),
		payments: aggregate.NewRepository[Payment](s.store, payments),
		patience: time.Second,
	}
	alice := event.WithActor(ctx, event.User("alice"))
	for number, payloads := range [][]event.Payload{{ParcelSent{Cents: 1200}, ParcelArrived{}}, {ParcelSent{Cents: 700}}} {
		err := d.parcels.Update(alice, orderID(number+1), func(a *Parcel) error { return a.Emit(alice, payloads...) })
		if err != nil {
			return err
		}
	}
	if err := s.begin(ctx, d); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "the program ends, and is started anew")
	return s.outlast(ctx, d)
}

// begin is the program of before: it has handled what happened, and ends while
// one parcel is on its way.
func (s *shop) begin(ctx context.Context, d *deliveries) error {
	manager, err := process.NewManager(s.store, d.definition(), process.Config{})
	if err != nil {
		return err
	}
	if err := s.start(nil, manager.Projection()); err != nil {
		return err
	}
	if err := s.runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	return s.showDeliveries(ctx, manager)
}

// outlast is the program of after. It waits until the second delivery is over.
func (s *shop) outlast(ctx context.Context, d *deliveries) error {
	//docs:begin manager
	manager, err := process.NewManager(s.store, d.definition(), process.Config{})
	if err != nil {
		return err
	}
	if err := s.start(nil, manager.Projection()); err != nil {
		return err
	}
	live, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- s.runner.Run(live) }() // feeds the deliveries
	go func() { ended <- manager.Run(live) }()  // looks after their timeouts
	//docs:end manager
	err = until(ctx, func() (bool, error) {
		v, err := manager.Show(ctx, orderID(2))
		return v.Phase == process.Over, err
	})
	if err == nil {
		err = s.showDeliveries(ctx, manager)
	}
	stop()
	return errors.Join(err, <-ended, <-ended)
}

// showDeliveries prints where the deliveries stand, and what has become of the
// money.
func (s *shop) showDeliveries(ctx context.Context, manager *process.Manager[struct{}]) error {
	for number := 1; number <= 2; number++ {
		v, err := manager.Show(ctx, orderID(number))
		if err != nil {
			return err
		}
		payment, err := s.payment(ctx, orderID(number))
		if err != nil {
			return err
		}
		line := fmt.Sprintf("  delivery %d is %s: %s", number, v.Phase, payment)
		for _, name := range slices.Sorted(maps.Keys(v.Timeouts)) {
			line = fmt.Sprintf("%s; it waits for the %s", line, name)
		}
		if v.Failure != "" {
			line += "; it failed, since the " + v.Failure
		}
		fmt.Fprintln(s.out, line)
	}
	return nil
}

// payment tells what has happened to a payment, and who has done it.
func (s *shop) payment(ctx context.Context, id uuid.UUID) (string, error) {
	var told []string
	for e, err := range s.store.ReadAll(ctx, eventstore.Query{AggregateTypes: []string{"Payment"}, AggregateID: id}) {
		if err != nil {
			return "", err
		}
		told = append(told, fmt.Sprintf("%s by %s", e.Type, e.ActorID))
	}
	return strings.Join(told, ", "), nil
}
