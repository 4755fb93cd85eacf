package main

import (
	"context"
	"fmt"
	"time"
)

// firstOfTraffic is the number of the first order of the traffic.
const firstOfTraffic = 1000

// traffic are customers who place orders, and look at what is there, all the
// while.
type traffic struct {
	shop  *shop
	stop  chan struct{}
	ended chan error

	placed   int
	last     uint64 // position
	seen     int
	failed   int // reads
	vanished int // how often a reader saw less than before
}

// early is how many orders there are before the traffic begins.
const early = 150

func (s *shop) beginTraffic(ctx context.Context) (*traffic, error) {
	t := &traffic{shop: s, stop: make(chan struct{}), ended: make(chan error, 1)}
	for range early {
		if err := t.place(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.runner.RunUntilCaughtUp(ctx); err != nil {
		return nil, err
	}
	go func() { t.ended <- t.flow(ctx) }()
	return t, nil
}

func (t *traffic) place(ctx context.Context) (err error) {
	t.last, err = t.shop.emit(ctx, firstOfTraffic+t.placed, Placed{Item: "bread", Cents: 300, Currency: "EUR"}, Shipped{Carrier: "van"})
	if err == nil {
		t.placed++
	}
	return err
}

func (t *traffic) flow(ctx context.Context) error {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		t.look(ctx)
		if err := t.place(ctx); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-t.stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look reads as any customer does, through the view.
func (t *traffic) look(ctx context.Context) {
	seen, err := t.shop.count(ctx, "SELECT count(*) FROM orders WHERE item = 'bread'")
	switch {
	case err != nil:
		t.failed++
		return
	case seen < t.seen:
		t.vanished++
	}
	t.seen = seen
}

// end returns when nobody orders any more.
func (t *traffic) end() error {
	close(t.stop)
	return <-t.ended
}

// showTraffic ends the traffic and says what customers have seen of the switch.
func (s *shop) showTraffic(ctx context.Context, t *traffic) error {
	if err := t.end(); err != nil {
		return err
	}
	if err := s.runner.WaitFor(ctx, "orders", t.last); err != nil {
		return err
	}
	t.look(ctx)
	fmt.Fprintln(s.out, "orders that were placed meanwhile are all there:", t.placed > early && t.seen == t.placed)
	fmt.Fprintf(s.out, "reads that failed: %d, reads that showed less than before: %d\n", t.failed, t.vanished)
	return nil
}
