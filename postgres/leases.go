package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
)

// leases implements [lease.Store].
type leases struct{ store *Store }

// takeLease takes a lease if it can be had, by one statement: of owners that
// race, the later waits for the earlier and then judges what that has left. Who
// waits has an earlier time, and so gets less, never more.
const takeLease = `
	INSERT INTO evident.leases AS l (name, owner, fence, expires_at)
	SELECT $1, $2, 1, coalesce($3::timestamptz, clock_timestamp()) + $4::bigint * interval '1 microsecond'
	ON CONFLICT (name) DO UPDATE
	   SET owner = excluded.owner, fence = l.fence + (l.owner <> excluded.owner)::int, expires_at = excluded.expires_at
	 WHERE l.owner IN (excluded.owner, '') OR l.expires_at <= excluded.expires_at - $4::bigint * interval '1 microsecond'
	RETURNING name, owner, fence, expires_at`

// Acquire implements [lease.Store].
func (s leases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (taken lease.Lease, err error) {
	if err := lease.Check(name, owner, ttl); err != nil {
		return lease.Lease{}, err
	}
	err = s.store.call(ctx, "acquire lease", func(ctx context.Context, c conn) error {
		taken, err = s.acquire(ctx, c, name, owner, ttl)
		return err
	})
	if err != nil {
		return lease.Lease{}, err
	}
	return taken, nil
}

func (s leases) acquire(ctx context.Context, c conn, name, owner string, ttl time.Duration) (lease.Lease, error) {
	micros := int64((ttl + time.Microsecond - 1) / time.Microsecond)
	for n := 1; ; n++ {
		taken, err := scanLease(c.QueryRow(ctx, s.store.sql(takeLease), name, owner, s.store.clock(), micros))
		if !errors.Is(err, pgx.ErrNoRows) {
			return taken, err
		}
		held, err := scanLease(c.QueryRow(ctx, s.store.sql("SELECT name, owner, fence, expires_at FROM evident.leases WHERE name = $1"), name))
		if err != nil {
			return lease.Lease{}, err
		}
		if held.Owner != "" || n == attempts { // else it was given up in between
			return lease.Lease{}, &lease.HeldError{Lease: held}
		}
	}
}

func scanLease(row pgx.Row) (l lease.Lease, err error) {
	err = row.Scan(&l.Name, &l.Owner, &l.Fence, &l.ExpiresAt)
	l.ExpiresAt = event.Time(l.ExpiresAt)
	return l, err
}

// Release implements [lease.Store].
func (s leases) Release(ctx context.Context, l lease.Lease) error {
	return s.store.call(ctx, "release lease", func(ctx context.Context, c conn) error {
		_, err := c.Exec(ctx, s.store.sql("UPDATE evident.leases SET owner = '', expires_at = 'epoch' WHERE name = $1 AND owner = $2 AND fence = $3"), l.Name, l.Owner, signed(l.Fence))
		return err
	})
}
