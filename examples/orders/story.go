package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// story is the walk-through.
type story struct {
	*Shop

	out io.Writer
}

// tell goes through the acts. They are one after the other, so that the output
// is the same each time; nothing of the shop asks for that.
func (s story) tell(ctx context.Context) error {
	if err := s.before(ctx); err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{s.place, s.edit} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return s.live(ctx, func() error {
		for _, act := range []func(context.Context) error{s.catchUp, s.pay, s.confirm, s.ship, s.trace, s.audit} {
			if err := act(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// live runs the runner, as a service does, while f runs.
func (s story) live(ctx context.Context, f func() error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.runner.Run(running) }()
	err := f()
	stop()
	return errors.Join(err, <-ended)
}

// The people of the story.
const (
	alice = "alice"
	bob   = "bob"
	carl  = "carl"
)

// before fills the shelves, and makes the tables of the read models.
func (s story) before(ctx context.Context) error {
	clerk := event.WithActor(ctx, event.Import("stocktaking-7"))
	if err := errors.Join(s.Receive(clerk, "desk", 2), s.Receive(clerk, "lamp", 5)); err != nil {
		return err
	}
	return s.runner.RunUntilCaughtUp(ctx)
}

// place places three orders. In each the actor is handed over in another way.
func (s story) place(ctx context.Context) error {
	fmt.Fprintln(s.out, "=== Three orders, and three ways to say who placed them ===")
	err := s.Place(checkout().Context(ctx), OrderPlaced{
		Number: "A-1", Customer: "customer-17", Address: "1 Hill Road",
		Lines: []Line{{Article: "lamp", Pieces: 2, Cents: 4900}, {Article: "desk", Pieces: 1, Cents: 17900}},
	})
	if err != nil {
		return err
	}
	err = s.PlaceAs(ctx, event.API("key_7f3"), OrderPlaced{
		Number: "A-2", Customer: "customer-21", Address: "5 Mill Lane", Lines: []Line{{Article: "lamp", Pieces: 1, Cents: 4900}},
	})
	if err != nil {
		return err
	}
	err = s.Handle(ctx, PlaceOrder{By: event.User(bob), For: event.User("dana"), Order: OrderPlaced{
		Number: "A-3", Customer: "customer-34", Address: "9 Park Row", Lines: []Line{{Article: "desk", Pieces: 1, Cents: 17900}},
	}})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "The list of orders runs in the transaction of the append. It shows them at once:")
	if err := s.showOrders(ctx, s.store.Pool()); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "The sales wait for a runner, and none has run yet:")
	return s.showSales(ctx)
}

// checkout is the request in which alice orders.
func checkout() Request {
	return Request{Actor: event.User(alice), ID: "req-1", From: "192.0.2.17"}
}

// edit lets two people edit one order.
func (s story) edit(ctx context.Context) error {
	s.title("Two people edit one order")
	asAlice := event.WithActor(ctx, event.User(alice))
	asBob := event.WithActor(ctx, event.User(bob))
	id := OrderID("A-1")

	//docs:begin conflict
	alices, err := s.orders.Load(ctx, id)
	if err != nil {
		return err
	}
	bobs, err := s.orders.Load(ctx, id) // before alice has saved
	if err != nil {
		return err
	}
	if err := errors.Join(alices.ChangeAddress(asAlice, "2 Lake Street"), s.orders.Save(ctx, alices)); err != nil {
		return err
	}
	err = errors.Join(bobs.LeaveNote(asBob, "ring at "+bobs.State().Address), s.orders.Save(ctx, bobs))
	conflict, ok := errors.AsType[*eventstore.ConflictError](err)
	//docs:end conflict
	if !ok {
		return errors.Join(errors.New("bob's save met no conflict"), err)
	}
	fmt.Fprintf(s.out, "bob saves what he decided on an old order: refused, it is at version %d, he expected %s\n", conflict.Actual, conflict.Expected)

	attempt := 0
	err = s.orders.Update(ctx, id, func(o *Order) error {
		attempt++
		fmt.Fprintf(s.out, "bob tries by Update, attempt %d: the address is %s\n", attempt, o.State().Address)
		if attempt == 1 { // in the meantime, to have a conflict to show: a decision should do nothing but decide
			if err := s.changeAddress(asAlice, "3 River Walk"); err != nil {
				return err
			}
		}
		return o.LeaveNote(asBob, "ring at "+o.State().Address)
	})
	if err != nil {
		return err
	}
	o, err := s.orders.Load(ctx, id)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "saved: address %q, note %q, version %d\n", o.State().Address, o.State().Note, o.Version())
	return nil
}

func (s story) changeAddress(ctx context.Context, address string) error {
	return s.orders.Update(ctx, OrderID("A-1"), func(o *Order) error { return o.ChangeAddress(ctx, address) })
}

// catchUp waits until the other read model shows the orders. The runner was
// started only now, so that there was something to wait for.
func (s story) catchUp(ctx context.Context) error {
	s.title("The sales are up to date when they have caught up")
	if err := s.waitFor(ctx, "A-3", "sales", "payment_requests"); err != nil {
		return err
	}
	return s.showSales(ctx)
}

// waitFor waits until read models show what was done to an order.
//
//docs:begin wait
func (s *Shop) waitFor(ctx context.Context, order string, projections ...string) error {
	o, err := s.orders.Load(ctx, OrderID(order))
	if err != nil {
		return err
	}
	for _, projection := range projections {
		if err := s.runner.WaitFor(ctx, projection, o.Position()); err != nil {
			return err
		}
	}
	return nil
}

//docs:end wait

// pay lets the bank say twice that it has the money.
func (s story) pay(ctx context.Context) error {
	s.title("The bank calls, and calls again")
	call := Webhook{Sender: "stripe", Order: "A-1", Transaction: "txn_42", Cents: 27700}
	for range 2 {
		if err := s.Paid(ctx, call); err != nil {
			return err
		}
	}
	p, err := s.payments.Load(ctx, PaymentID("A-1"))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "payment of %s: %s, version %d\n", p.State().Requested, p.State().Transaction, p.Version())
	return nil
}

// confirm confirms an order three times: to look and undo it, with a number of
// an invoice that is taken, and in earnest.
func (s story) confirm(ctx context.Context) error {
	s.title("Order, stock and invoice change together, or not at all")
	if err := s.rehearse(ctx); err != nil {
		return err
	}
	const byHand = "INSERT INTO invoices (number, order_number, cents) VALUES ('2024-0001', 'by hand', 100)"
	if _, err := s.store.Pool().Exec(ctx, byHand); err != nil {
		return err
	}
	for _, invoice := range []string{"2024-0001", "2024-0002"} {
		err := s.Confirm(ctx, "A-1", invoice)
		if err != nil && !errors.Is(err, ErrInvoice) {
			return err
		}
		fmt.Fprintf(s.out, "invoice %s: %s\n", invoice, outcome(err))
		if err := s.showConfirmation(ctx, "A-1"); err != nil {
			return err
		}
	}
	return nil
}

// rehearse shows that the list changes in the transaction, and only there until
// it is committed. This one is not.
func (s story) rehearse(ctx context.Context) (err error) {
	tx, err := s.store.Pool().Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
	if err := s.Shop.confirm(ctx, tx, s.store.Within(tx), "A-1", "2024-0001"); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "The list within the transaction:")
	if err := s.showOrders(ctx, tx); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "The list as everybody else sees it, before it is rolled back:")
	return s.showOrders(ctx, s.store.Pool())
}

// ship ends the story of the first order.
func (s story) ship(ctx context.Context) error {
	s.title("Carl ships it")
	if err := s.Ship(ctx, event.User(carl), "A-1", "PKG-1"); err != nil {
		return err
	}
	if err := s.showOrders(ctx, s.store.Pool()); err != nil {
		return err
	}
	return s.waitFor(ctx, "A-1", audit.LogName)
}
