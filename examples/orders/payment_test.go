package main

import (
	"context"
	"testing"

	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
)

type onPayment = func(ctx context.Context, p *Payment) error

func request(amount Cents) onPayment {
	return func(ctx context.Context, p *Payment) error { return p.Request(ctx, "T-1", amount) }
}

func pay(transaction string, amount Cents) onPayment {
	return func(ctx context.Context, p *Payment) error { return p.Confirm(ctx, transaction, amount) }
}

var (
	requested = []event.Payload{PaymentRequested{Order: "T-1", Cents: 2400}}
	paid      = []event.Payload{PaymentRequested{Order: "T-1", Cents: 2400}, PaymentConfirmed{Transaction: "txn_1"}}
)

func TestWhatHappensToAPayment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []event.Payload
		when  onPayment
		then  []event.Payload
	}{
		"request":                 {nil, request(2400), requested},
		"request again":           {requested, request(2400), nil},
		"confirm":                 {requested, pay("txn_1", 2400), paid[1:]},
		"the webhook comes again": {paid, pay("txn_1", 2400), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.Given[Payment](t, payments, c.given...).When(c.when).Then(c.then...)
		})
	}
}

func TestWhatAPaymentRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []event.Payload
		when  onPayment
		want  error
	}{
		"request another amount": {requested, request(2300), ErrAmount},
		"confirm unrequested":    {nil, pay("txn_1", 2400), ErrNotRequested},
		"confirm another amount": {requested, pay("txn_1", 2300), ErrAmount},
		"pay twice":              {paid, pay("txn_2", 2400), ErrPaidTwice},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.Given[Payment](t, payments, c.given...).When(c.when).ThenError(c.want)
		})
	}
}
