package seeds_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// guarded returns orders that only their customers and administrators get.
func (d *door) guarded() (*auth.Repository[Order], error) {
	return auth.NewRepository(auth.RepositoryConfig[Order]{
		Repository: d.orders,
		Type:       "Order",
		Owner:      func(o *Order) event.ActorID { return o.State().Customer },
		Recorder:   d.recorder,
	})
}

// An order belongs to its customer. Administrators get it, others do not.
func Example_ownerOrAdmin() {
	withDoor(func(ctx context.Context, d *door) error {
		repo, err := d.guarded()
		if err != nil {
			return err
		}
		ann := auth.With(ctx, auth.Principal{ActorID: event.User("ann")})
		err = repo.Create(ann, orderID, func(o *Order) error { return o.Create(ann, "user:ann", 9900) })
		if err != nil {
			return err
		}
		for _, p := range []auth.Principal{
			{ActorID: event.User("ann")},
			{ActorID: event.User("root"), Roles: []string{auth.RoleAdmin}},
			{ActorID: event.User("bob")},
		} {
			_, err := repo.Load(auth.With(ctx, p), orderID)
			fmt.Println(p.ActorID, errors.Is(err, auth.ErrDenied))
		}
		for record, err := range d.log.ByAction(ctx, auth.ActionDenied, audit.Page{}) {
			fmt.Println("recorded:", record.ActorID(), record.Entity().Type, err)
		}
		return nil
	})
	// Output:
	// user:ann false
	// user:root false
	// user:bob true
	// recorded: user:bob Order <nil>
}

// What belongs to another tenant does not exist, for its administrators either.
func Example_tenantAndOwner() {
	withDoor(func(ctx context.Context, d *door) error {
		repo, err := d.guarded()
		if err != nil {
			return err
		}
		ann := auth.With(ctx, auth.Principal{ActorID: event.User("ann"), TenantID: "acme"})
		err = repo.Create(ann, orderID, func(o *Order) error { return o.Create(ann, "user:ann", 9900) })
		if err != nil {
			return err
		}
		bob := auth.Principal{ActorID: event.User("bob"), TenantID: "acme"}
		_, err = repo.Load(auth.With(ctx, bob), orderID)
		fmt.Println("same tenant, not the owner:", errors.Is(err, auth.ErrDenied))
		eve := auth.Principal{ActorID: event.User("eve"), TenantID: "other", Roles: []string{auth.RoleAdmin}}
		_, err = repo.Load(auth.With(ctx, eve), orderID)
		fmt.Println("another tenant's admin:", errors.Is(err, aggregate.ErrNotFound))
		for record, err := range d.log.ForTenant("other").Recent(ctx, audit.Page{}) {
			if err != nil {
				return err
			}
			fmt.Println("recorded:", record.ActorID(), record.Outcome())
		}
		return nil
	})
	// Output:
	// same tenant, not the owner: true
	// another tenant's admin: true
	// recorded: user:eve denied
}
