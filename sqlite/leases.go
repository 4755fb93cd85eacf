package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/evident-go/evident/lease"
)

// leases implements [lease.Store].
type leases struct{ session session }

// Acquire implements [lease.Store].
func (s leases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (taken lease.Lease, err error) {
	if err := lease.Check(name, owner, ttl); err != nil {
		return lease.Lease{}, err
	}
	err = s.session.write(ctx, "acquire lease", func(q querier) error {
		taken, err = acquire(ctx, q, name, owner, s.session.clock(), ttl)
		return err
	})
	if err != nil {
		return lease.Lease{}, err
	}
	return taken, nil
}

func acquire(ctx context.Context, q querier, name, owner string, now time.Time, ttl time.Duration) (lease.Lease, error) {
	held, err := holder(ctx, q, name)
	if err != nil {
		return lease.Lease{}, err
	}
	if held.Owner != owner {
		if held.Owner != "" && now.Before(held.ExpiresAt) {
			return lease.Lease{}, &lease.HeldError{Lease: held}
		}
		held.Fence++
	}
	held.Owner, held.ExpiresAt = owner, now.Add(ttl)
	_, err = q.ExecContext(ctx, `INSERT INTO leases (name, owner, fence, expires_at) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET owner = excluded.owner, fence = excluded.fence, expires_at = excluded.expires_at`,
		name, owner, toInteger(held.Fence), storedTime(held.ExpiresAt))
	return held, err
}

// holder returns the lease as it stands, without an owner if nobody has it.
func holder(ctx context.Context, q querier, name string) (lease.Lease, error) {
	var (
		fence   int64
		expires moment
		held    = lease.Lease{Name: name}
	)
	err := q.QueryRowContext(ctx, "SELECT owner, fence, expires_at FROM leases WHERE name = ?", name).Scan(&held.Owner, &fence, &expires)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return lease.Lease{}, err
	}
	held.Fence, held.ExpiresAt = fromInteger(fence), time.Time(expires)
	return held, nil
}

// Release implements [lease.Store].
func (s leases) Release(ctx context.Context, l lease.Lease) error {
	return s.session.write(ctx, "release lease", func(q querier) error {
		_, err := q.ExecContext(ctx, "UPDATE leases SET owner = '', expires_at = 0 WHERE name = ? AND owner = ? AND fence = ?", l.Name, l.Owner, toInteger(l.Fence))
		return err
	})
}
