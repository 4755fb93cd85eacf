package process_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

// What customers, the warehouse and the bank do.
type (
	OrderPlaced struct {
		Cents int64 `json:"cents"`
	}
	ParcelPacked     struct{}
	ParcelUnpacked   struct{}
	ParcelSent       struct{}
	PaymentRequested struct {
		Cents int64 `json:"cents"`
	}
	PaymentReceived struct {
		Order uuid.UUID `json:"order"`
	}
	PaymentCancelled struct{}
)

func (OrderPlaced) EventType() string      { return "OrderPlaced" }
func (ParcelPacked) EventType() string     { return "ParcelPacked" }
func (ParcelUnpacked) EventType() string   { return "ParcelUnpacked" }
func (ParcelSent) EventType() string       { return "ParcelSent" }
func (PaymentRequested) EventType() string { return "PaymentRequested" }
func (PaymentReceived) EventType() string  { return "PaymentReceived" }
func (PaymentCancelled) EventType() string { return "PaymentCancelled" }

// What the process itself records: what it has done, to be undone perhaps.
type (
	//docs:begin own-events

	// Packed says that the parcel was packed for the order.
	Packed struct{}
	// Asked says that the customer was asked for the money.
	Asked struct {
		Cents int64 `json:"cents"`
	}

	//docs:end own-events
)

func (Packed) EventType() string { return "FulfilmentPacked" }
func (Asked) EventType() string  { return "FulfilmentAsked" }

//docs:begin state

// Fulfilment is what the process remembers of one order.
type Fulfilment struct {
	Cents int64
}

//docs:end state

// shop is what the process gives commands to.
type shop struct {
	orders   *aggregate.Repository[Order]
	parcels  *aggregate.Repository[Parcel]
	payments *aggregate.Repository[Payment]
	patience time.Duration
}

//docs:begin definition
func (s *shop) fulfilment() *process.Definition[Fulfilment] {
	return process.Define("Fulfilment", 1,
		process.StartOn(process.ByAggregate, s.placed),
		process.On(func(e event.Of[PaymentReceived]) uuid.UUID { return e.Payload.Order }, s.paid),
		process.OnTimeout("payment", s.notPaid),

		process.Apply(func(f *Fulfilment, e event.Of[Asked]) { f.Cents = e.Payload.Cents }),
		process.Undo(s.unpack),
		process.Undo(s.cancelPayment),

		process.StartAt[Fulfilment](projection.StartAtFirst), // without it: what happens from now on
	)
}

//docs:end definition

//docs:begin handlers
func (s *shop) placed(ctx context.Context, p *process.Instance[Fulfilment], e event.Of[OrderPlaced]) error {
	err := p.Do(ctx, "pack", func(ctx context.Context) error {
		return s.parcels.Update(ctx, p.ID(), func(a *Parcel) error { return a.Pack(ctx) })
	})
	if errors.Is(err, errSoldOut) {
		p.Fail("sold out")
		return nil
	}
	if err != nil {
		return err // tried again, and then parked
	}
	p.Emit(Packed{}, Asked{Cents: e.Payload.Cents})
	p.SetTimeout("payment", s.patience)
	return p.Do(ctx, "ask for payment", func(ctx context.Context) error {
		return s.payments.Update(ctx, p.ID(), func(a *Payment) error { return a.Request(ctx, e.Payload.Cents) })
	})
}

func (s *shop) paid(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[PaymentReceived]) error {
	p.CancelTimeout("payment")
	p.Done()
	return p.Do(ctx, "send", func(ctx context.Context) error {
		return s.parcels.Update(ctx, p.ID(), func(a *Parcel) error { return a.Send(ctx) })
	})
}

func (s *shop) notPaid(_ context.Context, p *process.Instance[Fulfilment]) error {
	p.Fail("not paid in time")
	return nil
}

//docs:end handlers

//docs:begin undo
func (s *shop) unpack(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[Packed]) error {
	return s.parcels.Update(ctx, p.ID(), func(a *Parcel) error { return a.Emit(ctx, ParcelUnpacked{}) })
}

func (s *shop) cancelPayment(ctx context.Context, p *process.Instance[Fulfilment], _ event.Of[Asked]) error {
	return s.payments.Update(ctx, p.ID(), func(a *Payment) error { return a.Cancel(ctx) })
}

//docs:end undo

func newShop(store eventstore.Store, patience time.Duration) *shop {
	return &shop{
		orders:   aggregate.NewRepository[Order](store, orders),
		parcels:  aggregate.NewRepository[Parcel](store, parcels),
		payments: aggregate.NewRepository[Payment](store, payments),
		patience: patience,
	}
}

// Two orders are placed, and one is paid for. The other's parcel is unpacked
// when its time is over.
func Example() {
	if err := fulfil(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// over  map[]
	// over not paid in time map[]
	// {packed:1 unpacked:0 sent:1}
	// {packed:1 unpacked:1 sent:0}
}

func fulfil(ctx context.Context) error {
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return err
	}
	s, first, second := newShop(store, 20*time.Millisecond), event.NewID(), event.NewID()
	for _, id := range []uuid.UUID{first, second} {
		if err := s.orders.Update(ctx, id, func(o *Order) error { return o.Emit(ctx, OrderPlaced{Cents: 1995}) }); err != nil {
			return err
		}
	}
	if err := s.payments.Update(ctx, first, func(a *Payment) error { return a.Receive(ctx, first) }); err != nil {
		return err
	}
	over := make(chan uuid.UUID, 2)
	watch := projection.NewReactor("watch", 1,
		projection.On(func(_ context.Context, e event.Of[process.Ended]) error { over <- e.AggregateID; return nil }),
		projection.StartAt(projection.StartAtFirst),
	)

	//docs:begin run
	manager, err := process.NewManager(store, s.fulfilment(), process.Config{})
	if err != nil {
		return err
	}
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{manager.Projection(), watch},
	})
	if err != nil {
		return err
	}
	live, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 2)
	go func() { done <- runner.Run(live) }()  // feeds the instances
	go func() { done <- manager.Run(live) }() // looks after their timeouts
	//docs:end run

	<-over
	<-over
	//docs:begin show
	for _, id := range []uuid.UUID{first, second} {
		v, err := manager.Show(ctx, id)
		if err != nil {
			return err
		}
		fmt.Println(v.Phase, v.Failure, v.Timeouts)
	}
	//docs:end show
	for _, id := range []uuid.UUID{first, second} {
		parcel, err := s.parcels.Load(ctx, id)
		if err != nil {
			return err
		}
		fmt.Println(parcel.State())
	}
	stop()
	return errors.Join(<-done, <-done)
}
