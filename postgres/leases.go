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
	for n := 1; ; n++ {
		taken, err := scanLease(c.QueryRow(ctx, s.store.sql(takeLease), name, owner, s.store.clock(), microsOf(ttl)))
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

// renewLeases renews what is still held as given. The rows are locked in one
// order, so that no two renewals wait for each other.
const renewLeases = `
	WITH held AS (
		SELECT l.name FROM evident.leases AS l
		  JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS given (name, owner, fence)
		    ON (l.name, l.owner, l.fence) = (given.name, given.owner, given.fence)
		 ORDER BY l.name FOR UPDATE OF l)
	UPDATE evident.leases AS l
	   SET expires_at = coalesce($4::timestamptz, clock_timestamp()) + $5::bigint * interval '1 microsecond'
	 WHERE name IN (SELECT name FROM held)
	RETURNING name, owner, fence, expires_at`

// Renew implements [lease.Store].
func (s leases) Renew(ctx context.Context, given []lease.Lease, ttl time.Duration) (renewed []lease.Lease, err error) {
	if err := lease.CheckRenewal(given, ttl); err != nil || len(given) == 0 {
		return nil, err
	}
	names, owners, fences := make([]string, len(given)), make([]string, len(given)), make([]int64, len(given))
	for i, l := range given {
		names[i], owners[i], fences[i] = l.Name, l.Owner, signed(l.Fence)
	}
	err = s.store.call(ctx, "renew leases", func(ctx context.Context, c conn) error {
		found, err := collect(ctx, c, scanLease, s.store.sql(renewLeases), names, owners, fences, s.store.clock(), microsOf(ttl))
		renewed = lease.Held(given, found)
		return err
	})
	if err != nil {
		return nil, err
	}
	return renewed, nil
}

// microsOf returns a time to live as the database counts it, never less than given.
func microsOf(ttl time.Duration) int64 { return int64((ttl + time.Microsecond - 1) / time.Microsecond) }

// List implements [lease.Store].
func (s leases) List(ctx context.Context, prefix string) (list []lease.Lease, err error) {
	if err := lease.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	err = s.store.call(ctx, "list leases", func(ctx context.Context, c conn) error {
		list, err = collect(ctx, c, scanLease, s.store.sql(`
			SELECT name, owner, fence, expires_at FROM evident.leases
			 WHERE name >= $1 AND starts_with(name, $1) AND owner <> '' AND expires_at > coalesce($2::timestamptz, clock_timestamp()) ORDER BY name`),
			prefix, s.store.clock())
		return err
	})
	return list, err
}

// Release implements [lease.Store].
func (s leases) Release(ctx context.Context, l lease.Lease) error {
	return s.store.call(ctx, "release lease", func(ctx context.Context, c conn) error {
		_, err := c.Exec(ctx, s.store.sql("UPDATE evident.leases SET owner = '', expires_at = 'epoch' WHERE name = $1 AND owner = $2 AND fence = $3"), l.Name, l.Owner, signed(l.Fence))
		return err
	})
}
