// Package lease is the port for who may run what: at most one owner at a time,
// with an expiry and a fencing number that grows with every change of owner.
//
// A lease alone cannot stop a process that slept through its expiry. The
// fencing number can: it is handed to whatever the owner writes, and a write
// with an old number is refused there (package checkpoint does).
//
// Package leasetest has one suite that every [Store] passes.
package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
)

// Lease is the right to run something until it expires.
type Lease struct {
	Name      string
	Owner     string
	Fence     uint64 // grows with every change of owner, never shrinks
	ExpiresAt time.Time
}

// Store hands out leases.
//
// Every store makes these promises:
//
//  1. A lease has at most one owner whose time has not run out.
//  2. Acquire by the owner renews it and keeps the fence; by anybody else it
//     succeeds only after expiry or release, and the fence grows.
//  3. Of racing Acquires by different owners exactly one succeeds; the others
//     are a [*HeldError].
//  4. Release ends it at once, so that the next owner need not wait; by
//     somebody who does not hold it, it does nothing.
//  5. The fence never repeats and never shrinks, over releases and restarts.
//  6. Time is the store's clock, one for all owners, where it has one.
//  7. Renew gives each lease that is still held as it says ttl from now, and
//     keeps its fence. One that was released or taken over is missing from the
//     answer and stays as it is; one that has run out and that nobody has taken
//     since is renewed, as Acquire by its owner does.
//  8. List returns the leases that have an owner whose time has not run out,
//     ordered by name, those alone whose name begins with the prefix, byte for
//     byte.
//
// All methods are safe for concurrent use.
type Store interface {
	// Acquire takes or renews the lease for ttl from now. Errors: [ErrHeld],
	// [event.ErrInvalid] for an empty name or owner or a ttl that is not positive.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error)
	// Renew renews leases, all in one call, and returns those that were, in the
	// order given, with their new expiry: whoever gave one that is missing does
	// not hold it any more. ExpiresAt of what is given does not count. Errors:
	// [event.ErrInvalid] for an empty name or owner or a ttl that is not positive;
	// then none is renewed.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) ([]Lease, error)
	// List returns the leases that are held now and whose name begins with
	// prefix; "" for all. Errors: [event.ErrInvalid] for a prefix that no name can
	// begin with.
	List(ctx context.Context, prefix string) ([]Lease, error)
	// Release gives the lease up, if it is held as l says.
	Release(ctx context.Context, l Lease) error
}

// ErrHeld says that somebody else holds the lease.
var ErrHeld = errors.New("lease is held by another owner")

// HeldError says who holds it and until when.
type HeldError struct{ Lease Lease }

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("lease %q is held by %s until %s", e.Lease.Name, e.Lease.Owner, e.Lease.ExpiresAt.Format(time.RFC3339Nano))
}

// Is reports whether target is [ErrHeld].
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// MaxNameBytes bounds the names of leases and of their owners.
const MaxNameBytes = 256

// Check says whether a lease may be asked for in these words; it is the first
// thing that Acquire does. The error is an [*event.InvalidError] or
// [*event.TooLargeError] that names the field.
func Check(name, owner string, ttl time.Duration) error {
	if err := checkNames(name, owner); err != nil {
		return err
	}
	return checkTTL(ttl)
}

// CheckRenewal says whether leases may be renewed for ttl; it is the first
// thing that Renew does. The error is an [*event.InvalidError] or
// [*event.TooLargeError] that names the field.
func CheckRenewal(leases []Lease, ttl time.Duration) error {
	for _, l := range leases {
		if err := checkNames(l.Name, l.Owner); err != nil {
			return err
		}
	}
	return checkTTL(ttl)
}

// Held returns those of the given leases that are among found with the same owner
// and fence, as found has them, in the order given: what Renew returns.
func Held(given, found []Lease) (held []Lease) {
	byName := make(map[string]Lease, len(found))
	for _, l := range found {
		byName[l.Name] = l
	}
	for _, l := range given {
		if have := byName[l.Name]; have.Owner == l.Owner && have.Fence == l.Fence {
			held = append(held, have)
		}
	}
	return held
}

// CheckPrefix says whether a name could begin with prefix; it is the first
// thing that List does. The error is an [*event.InvalidError] or
// [*event.TooLargeError].
func CheckPrefix(prefix string) error { return event.ValidateText("prefix", prefix, MaxNameBytes) }

func checkNames(name, owner string) error {
	if err := checkName("lease", name); err != nil {
		return err
	}
	return checkName("owner", owner)
}

func checkTTL(ttl time.Duration) error {
	if ttl <= 0 {
		return &event.InvalidError{Field: "ttl", Value: ttl.String(), Reason: "must be positive"}
	}
	return nil
}

func checkName(field, name string) error {
	if name == "" {
		return &event.InvalidError{Field: field, Reason: "must not be empty"}
	}
	return event.ValidateText(field, name, MaxNameBytes)
}
