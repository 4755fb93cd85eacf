package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
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
	held, err := scanLease(q.QueryRowContext(ctx, "SELECT name, owner, fence, expires_at FROM leases WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return lease.Lease{Name: name}, nil
	}
	return held, err
}

// Renew implements [lease.Store].
func (s leases) Renew(ctx context.Context, given []lease.Lease, ttl time.Duration) (renewed []lease.Lease, err error) {
	if err := lease.CheckRenewal(given, ttl); err != nil || len(given) == 0 {
		return nil, err
	}
	as := make([][3]any, len(given))
	for i, l := range given {
		as[i] = [3]any{l.Name, l.Owner, toInteger(l.Fence)}
	}
	list, err := json.Marshal(as) // a list of any length is one argument
	if err != nil {
		return nil, err
	}
	err = s.session.write(ctx, "renew leases", func(q querier) error {
		rows, err := q.QueryContext(ctx, `UPDATE leases SET expires_at = ?
			WHERE (name, owner, fence) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?))
			RETURNING name, owner, fence, expires_at`, storedTime(s.session.clock().Add(ttl)), string(list))
		found, err := collect(rows, err, scanLease)
		renewed = lease.Held(given, found)
		return err
	})
	if err != nil {
		return nil, err
	}
	return renewed, nil
}

// List implements [lease.Store].
func (s leases) List(ctx context.Context, prefix string) (list []lease.Lease, err error) {
	if err := lease.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	err = s.session.read(ctx, "list leases", func(q querier) error {
		rows, err := q.QueryContext(ctx, `SELECT name, owner, fence, expires_at FROM leases
			WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 AND owner <> '' AND expires_at > ?2 ORDER BY name`, prefix, storedTime(s.session.clock()))
		list, err = collect(rows, err, scanLease)
		return err
	})
	return list, err
}

func scanLease(row scanner) (lease.Lease, error) {
	var (
		l       lease.Lease
		fence   int64
		expires moment
	)
	err := row.Scan(&l.Name, &l.Owner, &fence, &expires)
	l.Fence, l.ExpiresAt = fromInteger(fence), time.Time(expires)
	return l, err
}

// Release implements [lease.Store].
func (s leases) Release(ctx context.Context, l lease.Lease) error {
	return s.session.write(ctx, "release lease", func(q querier) error {
		_, err := q.ExecContext(ctx, "UPDATE leases SET owner = '', expires_at = 0 WHERE name = ? AND owner = ? AND fence = ?", l.Name, l.Owner, toInteger(l.Fence))
		return err
	})
}
