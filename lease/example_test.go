package lease_test

import (
	"context"
	"fmt"
	"time"

	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/memory"
)

// The lease goes from owner to owner, and each takeover gets a greater fence.
func ExampleStore() {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store, err := memory.Open(ctx, memory.Config{Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	leases := store.Leases()
	acquire := func(owner string) lease.Lease {
		got, err := leases.Acquire(ctx, "titles", owner, 30*time.Second)
		if err != nil {
			fmt.Println(err)
			return got
		}
		fmt.Println(got.Owner, "holds it with fence", got.Fence)
		return got
	}

	acquire("host-1")
	acquire("host-2")
	now = now.Add(30 * time.Second) // host-1 sleeps
	second := acquire("host-2")
	fmt.Println(leases.Release(ctx, second))
	acquire("host-1")
	// Output:
	// host-1 holds it with fence 1
	// lease "titles" is held by host-1 until 2026-03-01T12:00:30Z
	// host-2 holds it with fence 2
	// <nil>
	// host-1 holds it with fence 3
}

// A process that runs several things renews all its leases in one call, and
// learns which of them it has lost. Others see who is there.
func ExampleStore_renew() {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store, err := memory.Open(ctx, memory.Config{Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	leases := store.Leases()
	var mine []lease.Lease
	for _, name := range []string{"titles lane 0", "titles lane 1", "counts"} {
		l, err := leases.Acquire(ctx, name, "host-1", 30*time.Second)
		if err != nil {
			fmt.Println(err)
			return
		}
		mine = append(mine, l)
	}

	now = now.Add(31 * time.Second) // host-1 sleeps too long, and host-2 takes what it can get
	_, err = leases.Acquire(ctx, "titles lane 1", "host-2", 30*time.Second)
	fmt.Println(err)
	mine, err = leases.Renew(ctx, mine, 30*time.Second)
	fmt.Println(len(mine), "left", err)

	lanes, err := leases.List(ctx, "titles ")
	for _, l := range lanes {
		fmt.Println(l.Name, "is held by", l.Owner)
	}
	fmt.Println(err)
	// Output:
	// <nil>
	// 2 left <nil>
	// titles lane 0 is held by host-1
	// titles lane 1 is held by host-2
	// <nil>
}
