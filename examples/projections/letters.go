package main

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/event"
)

// parkWhatFails is about events that cannot be applied.
func (s *shop) parkWhatFails(ctx context.Context) error {
	fmt.Fprintln(s.out, "=== Two of six events cannot be applied: they park, all other orders go on ===")
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
	if err := s.start(nil, readModel(rates{"EUR": 100})); err != nil {
		return err
	}
	if err := s.runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	return s.show(ctx)
}

// mended is what the next release knows.
func mended() rates { return rates{"EUR": 100, "CHF": 105} }

func (s *shop) mend(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== The next release knows Swiss francs: what is parked is tried again, in order ===")
	if err := s.start(nil, readModel(mended())); err != nil {
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
	if err := s.control.Discard(bob, version1, key, "test order from before the launch"); err != nil {
		return err
	}
	//docs:end discard
	discarded, err := s.control.Discarded(ctx, version1)
	if err != nil {
		return err
	}
	for _, d := range discarded {
		fmt.Fprintf(s.out, "discarded: %s at position %d, by %s: %s\n", d.Letter.EventType, d.Letter.Position, d.By, d.Reason)
	}
	if err := s.runner.RunUntilCaughtUp(ctx); err != nil { // the command is in the log, too: one event more
		return err
	}
	return s.show(ctx)
}
