package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Pseudonyms returns the store's table of pseudonyms. It can be that of another
// database than the log's, so that the two have other readers and other
// backups: migrate and open a second store for it. Who may read it is a right of
// its own ([CanIdentify]), and so is to cut ([CanErase]).
//
// A cut leaves the old row to VACUUM, and its bytes in the file until the page
// is written over; VACUUM FULL evident.pseudonyms writes the table anew. What
// stands in the write-ahead log, on standbys that are behind and in backups it
// does not reach.
func (s *Store) Pseudonyms() privacy.Pseudonyms { return pseudonyms{store: s} }

// pseudonyms implements [privacy.Pseudonyms].
type pseudonyms struct{ store *Store }

// ofTenant is call for statements about one tenant, which the database is told
// if there is a wall between tenants.
func (s *Store) ofTenant(ctx context.Context, op string, tenant event.TenantID, f func(ctx context.Context, c conn) error) error {
	if !s.walled || tenant == "" {
		return s.call(ctx, op, f)
	}
	return s.transaction(ctx, op, tenant, f)
}

// transaction is ofTenant in a transaction of several statements.
func (s *Store) transaction(ctx context.Context, op string, tenant event.TenantID, f func(ctx context.Context, c conn) error) error {
	return s.call(ctx, op, func(ctx context.Context, _ conn) error {
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			if s.walled && tenant != "" {
				if _, err := tx.Exec(ctx, "SELECT set_config('evident.tenant', $1, true)", string(tenant)); err != nil {
					return err
				}
			}
			return f(ctx, tx)
		})
	})
}

// TokenFor implements [privacy.Pseudonyms].
func (p pseudonyms) TokenFor(ctx context.Context, tenant event.TenantID, person string) (uuid.UUID, error) {
	// Whoever loses a race finds what the winner has made, unless that is cut
	// in between.
	for n := 1; ; n++ {
		token, err := p.TokenOf(ctx, tenant, person)
		if !errors.Is(err, privacy.ErrUnknown) {
			return token, err
		}
		token, err = p.make(ctx, tenant, person)
		if token != uuid.Nil || err != nil {
			return token, err
		}
		if n == attempts {
			return uuid.Nil, fmt.Errorf("make pseudonym: %w", eventstore.ErrUnavailable)
		}
	}
}

// make returns a new token, [uuid.Nil] if the person has one by now.
func (p pseudonyms) make(ctx context.Context, tenant event.TenantID, person string) (token uuid.UUID, err error) {
	if token, err = privacy.NewToken(); err != nil {
		return uuid.Nil, err
	}
	made := int64(0)
	err = p.store.ofTenant(ctx, "make pseudonym", tenant, func(ctx context.Context, c conn) error {
		tag, err := c.Exec(ctx, p.store.sql(`
			INSERT INTO evident.pseudonyms (token, tenant_id, person, created_at) VALUES ($1, $2, $3, coalesce($4::timestamptz, clock_timestamp()))
			ON CONFLICT (tenant_id, person) WHERE person IS NOT NULL DO NOTHING`), [16]byte(token), string(tenant), person, p.store.clock())
		made = tag.RowsAffected()
		return err
	})
	if err != nil || made == 0 {
		return uuid.Nil, err
	}
	return token, nil
}

// TokenOf implements [privacy.Pseudonyms].
func (p pseudonyms) TokenOf(ctx context.Context, tenant event.TenantID, person string) (token uuid.UUID, err error) {
	if err := privacy.CheckPerson(tenant, person); err != nil {
		return uuid.Nil, err
	}
	err = p.store.ofTenant(ctx, "look up token", tenant, func(ctx context.Context, c conn) error {
		token, err = p.find(ctx, c, tenant, person)
		return err
	})
	if err == nil && token == uuid.Nil {
		err = fmt.Errorf("person: %w", privacy.ErrUnknown)
	}
	return token, err
}

// find returns a person's token, [uuid.Nil] if there is none.
func (p pseudonyms) find(ctx context.Context, c conn, tenant event.TenantID, person string) (token uuid.UUID, err error) {
	err = c.QueryRow(ctx, p.store.sql("SELECT token FROM evident.pseudonyms WHERE tenant_id = $1 AND person = $2"), string(tenant), person).Scan(&token)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, nil
	}
	return token, err
}

// PersonOf implements [privacy.Pseudonyms].
func (p pseudonyms) PersonOf(ctx context.Context, tenant event.TenantID, token uuid.UUID) (string, error) {
	if err := privacy.CheckToken(tenant, token); err != nil {
		return "", err
	}
	var found privacy.Pseudonym
	err := p.store.ofTenant(ctx, "look up person", tenant, func(ctx context.Context, c conn) (err error) {
		found, err = scanPseudonym(c.QueryRow(ctx, p.store.sql("SELECT "+pseudonymColumns+" FROM evident.pseudonyms WHERE token = $1 AND tenant_id = $2"),
			[16]byte(token), string(tenant)))
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", fmt.Errorf("token %s: %w", token, privacy.ErrUnknown)
	case err != nil:
		return "", err
	case found.State() == privacy.Cut:
		return "", &privacy.CutError{Token: token, CutAt: found.CutAt, Reason: found.Reason}
	default:
		return found.Person, nil
	}
}

// Cut implements [privacy.Pseudonyms]. While it looks for holds none can be
// placed; one whose transaction has begun before is waited for.
func (p pseudonyms) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (token uuid.UUID, err error) {
	if err := privacy.CheckCut(tenant, person, reason); err != nil {
		return uuid.Nil, err
	}
	err = p.store.transaction(ctx, "cut pseudonym", tenant, func(ctx context.Context, c conn) error {
		if token, err = p.find(ctx, c, tenant, person); err != nil || token == uuid.Nil {
			return err
		}
		if _, err := c.Exec(ctx, p.store.sql("LOCK TABLE evident.legal_holds IN SHARE MODE")); err != nil {
			return err
		}
		if err := holds(p).refuseHeld(ctx, c, tenant, token); err != nil {
			return err
		}
		tag, err := c.Exec(ctx, p.store.sql(`
			UPDATE evident.pseudonyms SET person = NULL, cut_at = coalesce($2::timestamptz, clock_timestamp()), reason = $3
			 WHERE token = $1 AND person IS NOT NULL`), [16]byte(token), p.store.clock(), reason)
		if err == nil && tag.RowsAffected() == 0 { // somebody else has just cut it
			token = uuid.Nil
		}
		return err
	})
	if err != nil {
		return uuid.Nil, err
	}
	return token, nil
}

// List implements [privacy.Pseudonyms]. No connection is held while the caller
// works on what was yielded.
func (p pseudonyms) List(ctx context.Context, query privacy.PseudonymQuery) iter.Seq2[privacy.Pseudonym, error] {
	return func(yield func(privacy.Pseudonym, error) bool) {
		if err := query.Validate(); err != nil {
			yield(privacy.Pseudonym{}, err)
			return
		}
		pages := privacy.Pages(query.Limit, pageRows, func(last privacy.Pseudonym, limit int) ([]privacy.Pseudonym, error) {
			return p.page(ctx, query, cmp.Or(last.Token, query.After), limit)
		})
		pages(yield)
	}
}

const (
	pseudonymColumns = "token, tenant_id, coalesce(person, ''), created_at, cut_at, reason"
	pageRows         = 512
)

func (p pseudonyms) page(ctx context.Context, query privacy.PseudonymQuery, after uuid.UUID, limit int) (page []privacy.Pseudonym, err error) {
	where := &conditions{}
	where.and("token > ", [16]byte(after))
	if query.TenantID != "" {
		where.and("tenant_id = ", string(query.TenantID))
	}
	switch query.State {
	case privacy.Whole:
		where.sql.WriteString(" AND person IS NOT NULL")
	case privacy.Cut:
		where.sql.WriteString(" AND person IS NULL")
	}
	where.sql.WriteString(" ORDER BY token LIMIT " + where.arg(limit))
	err = p.store.ofTenant(ctx, "list pseudonyms", query.TenantID, func(ctx context.Context, c conn) error {
		page, err = collect(ctx, c, scanPseudonym, p.store.sql("SELECT "+pseudonymColumns+" FROM evident.pseudonyms WHERE true"+where.sql.String()), where.args...)
		return err
	})
	return page, err
}

func scanPseudonym(row pgx.Row) (p privacy.Pseudonym, err error) {
	var cut *time.Time
	err = row.Scan(&p.Token, (*string)(&p.TenantID), &p.Person, &p.CreatedAt, &cut, &p.Reason)
	p.CreatedAt, p.CutAt = event.Time(p.CreatedAt), restored(cut)
	return p, err
}
