// Orders is a small shop on PostgreSQL. Orders, payments and stock are
// aggregates; the invoices are a table of the shop's own. It shows who did what
// on whose behalf, and what followed from it.
//
//	go run ./examples/orders                              # on a server of its own, which is gone afterwards
//	go run ./examples/orders -url postgres://localhost/   # in a new database on this server, dropped afterwards
//
// What to look at, in this order:
//
//   - order.go, payment.go, inventory.go: what can happen, and what is refused;
//   - commands.go: three ways to say who acts;
//   - readmodels.go: a list that is never late, and sales that catch up;
//   - invoice.go: several aggregates and the shop's own table in one transaction;
//   - reactions.go: what leads to what, through a webhook, with nothing lost;
//   - shop.go: how it is put together;
//   - story.go, show.go: the walk-through, whose output is testdata/output.txt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/evident-go/evident/internal/pgtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, os.Stdout, os.Stderr, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1) //nolint:gocritic // nothing is left for stop to do.
	}
}

// start runs the program with its arguments. The options are those of the
// server, if it starts one.
func start(ctx context.Context, out, usage io.Writer, arguments []string, options ...pgtest.Option) (err error) {
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	flags.SetOutput(usage)
	server := flags.String("url", os.Getenv(pgtest.Variable), "make the database on the server with this `URL` (default: that in "+pgtest.Variable+", or a new one)")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *server == "" {
		own, err := pgtest.Start(ctx, options...)
		if missing, ok := errors.AsType[*pgtest.NotFoundError](err); ok {
			return fmt.Errorf("%w, or name a server with -url", missing)
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, own.Stop()) }() //nolint:contextcheck // it bounds its time itself.
		*server = own.URL()
	}
	return inDatabase(ctx, out, *server)
}

// inDatabase runs the program in a database that is gone afterwards.
func inDatabase(ctx context.Context, out io.Writer, server string) (err error) {
	url, drop, err := pgtest.Database(ctx, server)
	if err != nil {
		return err
	}
	defer func() {
		const patience = 10 * time.Second
		lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, drop(lasting))
	}()
	return run(ctx, out, url, time.Now)
}

// run opens the shop and tells its story on out.
func run(ctx context.Context, out io.Writer, url string, now func() time.Time) (err error) {
	shop, err := open(ctx, url, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()
	return story{Shop: shop, out: out}.tell(ctx)
}
