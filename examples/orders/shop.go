package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// Shop sells articles. Its methods are in the files of what they are about.
type Shop struct {
	repositories

	store    *postgres.Store
	auditLog *postgres.AuditLog
	runner   *projection.Runner
	now      func() time.Time
}

// repositories are those of all aggregates, on one store.
type repositories struct {
	orders   *aggregate.Repository[Order]
	payments *aggregate.Repository[Payment]
	stocks   *aggregate.Repository[Stock]
}

// configuration is that of every program of the shop. Those that append must
// all have the same inline projections.
func configuration(url string) postgres.Config {
	return postgres.Config{URL: url, Inline: []projection.Projection{orderList()}}
}

// open opens the shop in a database and creates in it what is not there. now is
// the clock that events are stamped with.
//
//docs:begin open
func open(ctx context.Context, url string, now func() time.Time) (*Shop, error) {
	config := configuration(url)
	if err := postgres.Migrate(ctx, config); err != nil {
		return nil, err
	}
	if err := postgres.DeployInline(ctx, config); err != nil { // from now on no append without the list
		return nil, err
	}
	store, err := postgres.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	shop := &Shop{store: store, now: now, auditLog: postgres.NewAuditLog(store, audit.Config{Describe: describe})}
	if err := shop.furnish(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return shop, nil
}

//docs:end open

// furnish makes the invoices' table, the repositories and the runner.
func (s *Shop) furnish(ctx context.Context) (err error) {
	if _, err := s.store.Pool().Exec(ctx, invoices); err != nil {
		return err
	}
	if s.repositories, err = newRepositories(s.store, s.now); err != nil {
		return err
	}
	s.runner, err = projection.NewRunner(s.store, projection.Config{
		Projections: []projection.Projection{sales(), s.auditLog, s.paymentRequests()},
	})
	return err
}

// Close closes the shop's store.
func (s *Shop) Close() error { return s.store.Close() }

func newRepositories(store eventstore.Store, now func() time.Time) (r repositories, err error) {
	config := aggregate.Config{Now: now}
	if r.orders, err = aggregate.NewRepositoryWith[Order](store, orders, config); err != nil {
		return r, err
	}
	if r.payments, err = aggregate.NewRepositoryWith[Payment](store, payments, config); err != nil {
		return r, err
	}
	r.stocks, err = aggregate.NewRepositoryWith[Stock](store, stocks, config)
	return r, err
}

// describe says for the audit log what an event is about, in the words of its
// payload.
func describe(e event.Event) string {
	for _, definition := range []interface {
		Type() string
		Decode(e event.Event) ([]event.Payload, error)
	}{orders, payments, stocks} {
		if definition.Type() != e.AggregateType {
			continue
		}
		if payloads, err := definition.Decode(e); err == nil && len(payloads) == 1 {
			return fmt.Sprint(payloads[0])
		}
	}
	return audit.Describe(e)
}
