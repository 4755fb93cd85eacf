package main

import (
	"context"
	"testing"

	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
)

type onStock = func(ctx context.Context, s *Stock) error

func receive(article string, pieces int) onStock {
	return func(ctx context.Context, s *Stock) error { return s.Receive(ctx, article, pieces) }
}

func reserve(pieces int) onStock {
	return func(ctx context.Context, s *Stock) error { return s.Reserve(ctx, "T-1", pieces) }
}

var fivePens = []event.Payload{StockReceived{Article: "pen", Pieces: 5}}

func TestWhatHappensToStock(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Stock](t, stocks).When(receive("pen", 5)).Then(fivePens...)
	aggregatetest.Given[Stock](t, stocks, fivePens...).When(reserve(2)).
		Then(StockReserved{Article: "pen", Pieces: 2, Order: "T-1"}).
		ThenState(StockState{Article: "pen", Free: 3})
	aggregatetest.Given[Stock](t, stocks, fivePens...).When(reserve(5)).ThenState(StockState{Article: "pen"})
}

func TestWhatStockRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []event.Payload
		when  onStock
		want  error
	}{
		"receive nothing":      {nil, receive("pen", 0), ErrPieces},
		"receive another":      {fivePens, receive("ink", 1), ErrMisnamed},
		"reserve nothing":      {fivePens, reserve(0), ErrPieces},
		"reserve more":         {fivePens, reserve(6), ErrSoldOut},
		"reserve of no stock":  {nil, reserve(1), ErrSoldOut},
		"reserve what is gone": {append(fivePens[:1:1], StockReserved{Article: "pen", Pieces: 4}), reserve(2), ErrSoldOut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.Given[Stock](t, stocks, c.given...).When(c.when).ThenError(c.want)
		})
	}
}
