package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
)

// Holds returns the store's legal holds. Their time is the database's clock,
// unless [Config.Now] is set. Who may place and release them is a right of its
// own ([CanErase]).
func (s *Store) Holds() privacy.Holds { return holds{store: s} }

// holds implements [privacy.Holds].
type holds struct{ store *Store }

const holdColumns = "place, id, tenant_id, person, entity_type, entity_id, reason, placed_by, placed_at, released_at, released_by, release_reason"

// placed is a hold and where it stands in the list.
type placed struct {
	privacy.Hold

	place int64
}

func scanHold(row pgx.Row) (h placed, err error) {
	var (
		person *uuid.UUID
		end    *time.Time
	)
	err = row.Scan(&h.place, &h.ID, (*string)(&h.Scope.TenantID), &person, &h.Scope.Entity.Type, &h.Scope.Entity.ID, &h.Reason,
		(*string)(&h.PlacedBy), &h.PlacedAt, &end, (*string)(&h.ReleasedBy), &h.ReleaseReason)
	if person != nil {
		h.Scope.Person = *person
	}
	h.PlacedAt, h.ReleasedAt = event.Time(h.PlacedAt), restored(end)
	return h, err
}

// find returns the hold that meets a condition, or [privacy.ErrUnknown].
func (h holds) find(ctx context.Context, c conn, condition string, args ...any) (privacy.Hold, error) {
	found, err := scanHold(c.QueryRow(ctx, h.store.sql("SELECT "+holdColumns+" FROM evident.legal_holds WHERE "+condition), args...))
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("hold: %w", privacy.ErrUnknown)
	}
	return found.Hold, err
}

// refuseHeld looks for a hold that forbids to cut a person.
func (h holds) refuseHeld(ctx context.Context, c conn, tenant event.TenantID, token uuid.UUID) error {
	hold, err := h.find(ctx, c, "released_at IS NULL AND tenant_id = $1 AND (person = $2 OR person IS NULL AND entity_type = '') ORDER BY place LIMIT 1",
		string(tenant), [16]byte(token))
	if errors.Is(err, privacy.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	return &privacy.HeldError{Hold: hold}
}

// Place implements [privacy.Holds].
func (h holds) Place(ctx context.Context, hold privacy.Hold) (stands privacy.Hold, err error) {
	if err := privacy.CheckHold(hold); err != nil {
		return privacy.Hold{}, err
	}
	if hold.ID == uuid.Nil {
		if hold.ID, err = uuid.NewV7(); err != nil {
			return privacy.Hold{}, err
		}
	}
	err = h.store.transaction(ctx, "place hold", hold.Scope.TenantID, func(ctx context.Context, c conn) error {
		if _, err := c.Exec(ctx, h.store.sql(`
			INSERT INTO evident.legal_holds (id, tenant_id, person, entity_type, entity_id, reason, placed_by, placed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, clock_timestamp())) ON CONFLICT (id) DO NOTHING`),
			[16]byte(hold.ID), string(hold.Scope.TenantID), idOrNull(hold.Scope.Person),
			hold.Scope.Entity.Type, hold.Scope.Entity.ID, hold.Reason, string(hold.PlacedBy), h.store.clock()); err != nil {
			return err
		}
		found, err := h.find(ctx, c, "id = $1", [16]byte(hold.ID))
		if errors.Is(err, privacy.ErrUnknown) { // it is there, but another tenant's
			found, err = privacy.Hold{}, nil
		}
		if err == nil {
			stands, err = privacy.SameHold(found, hold)
		}
		return err
	})
	if err != nil {
		return privacy.Hold{}, err
	}
	return stands, nil
}

// Release implements [privacy.Holds].
func (h holds) Release(ctx context.Context, tenant event.TenantID, id uuid.UUID, by event.ActorID, reason string) (hold privacy.Hold, err error) {
	if err := privacy.CheckRelease(tenant, id, by, reason); err != nil {
		return privacy.Hold{}, err
	}
	err = h.store.transaction(ctx, "release hold", tenant, func(ctx context.Context, c conn) error {
		if _, err := c.Exec(ctx, h.store.sql(`
			UPDATE evident.legal_holds SET released_at = coalesce($3::timestamptz, clock_timestamp()), released_by = $4, release_reason = $5
			 WHERE id = $1 AND tenant_id = $2 AND released_at IS NULL`),
			[16]byte(id), string(tenant), h.store.clock(), string(by), reason); err != nil {
			return err
		}
		hold, err = h.find(ctx, c, "id = $1 AND tenant_id = $2", [16]byte(id), string(tenant))
		return err
	})
	if err != nil {
		return privacy.Hold{}, err
	}
	return hold, nil
}

// List implements [privacy.Holds]. No connection is held while the caller works
// on what was yielded.
func (h holds) List(ctx context.Context, query privacy.HoldQuery) iter.Seq2[privacy.Hold, error] {
	return func(yield func(privacy.Hold, error) bool) {
		if err := query.Validate(); err != nil {
			yield(privacy.Hold{}, err)
			return
		}
		pages := privacy.Pages(0, pageRows, func(last placed, limit int) ([]placed, error) { return h.page(ctx, query, last.place, limit) })
		for hold, err := range pages {
			if !yield(hold.Hold, err) {
				return
			}
		}
	}
}

func (h holds) page(ctx context.Context, query privacy.HoldQuery, after int64, limit int) (page []placed, err error) {
	err = h.store.ofTenant(ctx, "list holds", query.TenantID, func(ctx context.Context, c conn) error {
		page, err = collect(ctx, c, scanHold, h.store.sql("SELECT "+holdColumns+` FROM evident.legal_holds
			WHERE place > $1 AND ($2 = '' OR tenant_id = $2) AND (NOT $3 OR released_at IS NULL) ORDER BY place LIMIT $4`),
			after, string(query.TenantID), query.Active, limit)
		return err
	})
	return page, err
}
