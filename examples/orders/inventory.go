package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// What can happen to the stock of an article.
type (
	StockReceived struct {
		Article string `json:"article"`
		Pieces  int    `json:"pieces"`
	}
	StockReserved struct {
		Article string `json:"article"`
		Pieces  int    `json:"pieces"`
		Order   string `json:"order"`
	}
)

func (StockReceived) EventType() string { return "StockReceived" }
func (StockReserved) EventType() string { return "StockReserved" }

func (p StockReceived) String() string { return fmt.Sprintf("%d × %s", p.Pieces, p.Article) }
func (p StockReserved) String() string {
	return fmt.Sprintf("%d × %s for %s", p.Pieces, p.Article, p.Order)
}

// StockState is what is known of an article in the warehouse.
type StockState struct {
	Article string
	Free    int // pieces that nobody has reserved
}

var stocks = aggregate.Define("Stock",
	aggregate.On(func(s *StockState, e event.Of[StockReceived]) {
		s.Article = e.Payload.Article
		s.Free += e.Payload.Pieces
	}),
	aggregate.On(func(s *StockState, e event.Of[StockReserved]) { s.Free -= e.Payload.Pieces }),
)

// StockID is the id of the stock of an article.
func StockID(article string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://shop.example/stock/"+article))
}

// Stock decides what may happen to the stock of an article.
type Stock struct {
	aggregate.AggregateRoot[StockState]
}

// What a stock refuses.
var (
	ErrPieces   = errors.New("at least one piece is needed")
	ErrSoldOut  = errors.New("not enough pieces are free")
	ErrMisnamed = errors.New("stock is of another article")
)

// Receive puts pieces of the article on the shelf.
func (s *Stock) Receive(ctx context.Context, article string, pieces int) error {
	switch {
	case pieces < 1:
		return ErrPieces
	case s.Version() > 0 && s.State().Article != article:
		return ErrMisnamed
	default:
		return s.Emit(ctx, StockReceived{Article: article, Pieces: pieces})
	}
}

// Reserve puts pieces aside for an order.
func (s *Stock) Reserve(ctx context.Context, order string, pieces int) error {
	switch {
	case pieces < 1:
		return ErrPieces
	case pieces > s.State().Free:
		return ErrSoldOut
	default:
		return s.Emit(ctx, StockReserved{Article: s.State().Article, Pieces: pieces, Order: order})
	}
}
