package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
)

// Holds returns the store's legal holds. Their time is [Config.Now].
func (s *Store) Holds() privacy.Holds { return holds{session: s} }

// holds implements [privacy.Holds].
type holds struct{ session session }

const holdColumns = "place, id, tenant_id, person, entity_type, entity_id, reason, placed_by, placed_at, released_at, released_by, release_reason"

// placed is a hold and where it stands in the list.
type placed struct {
	privacy.Hold

	place int64
}

func scanHold(row scanner) (placed, error) {
	var (
		h                    placed
		id, person           stored
		tenant, by, released string
		at, end              moment
	)
	err := row.Scan(&h.place, &id, &tenant, &person, &h.Scope.Entity.Type, &h.Scope.Entity.ID, &h.Reason, &by, &at, &end, &released, &h.ReleaseReason)
	h.ID, h.Scope.TenantID, h.Scope.Person = uuid.UUID(id), event.TenantID(tenant), uuid.UUID(person)
	h.PlacedBy, h.PlacedAt, h.ReleasedBy, h.ReleasedAt = event.ActorID(by), time.Time(at), event.ActorID(released), time.Time(end)
	return h, err
}

// findHold returns the hold that meets a condition, or [privacy.ErrUnknown].
func findHold(ctx context.Context, q querier, condition string, args ...any) (privacy.Hold, error) {
	h, err := scanHold(q.QueryRowContext(ctx, "SELECT "+holdColumns+" FROM legal_holds WHERE "+condition, args...))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("hold: %w", privacy.ErrUnknown)
	}
	return h.Hold, err
}

// refuseHeld looks for a hold that forbids to cut a person.
func refuseHeld(ctx context.Context, q querier, tenant event.TenantID, token uuid.UUID) error {
	hold, err := findHold(ctx, q, "released_at IS NULL AND tenant_id = ? AND (person = ? OR person IS NULL AND entity_type = '') ORDER BY place LIMIT 1",
		string(tenant), token[:])
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
	hold.PlacedAt = h.session.clock()
	if hold.ID == uuid.Nil {
		hold.ID = event.NewIDAt(hold.PlacedAt)
	}
	err = h.session.write(ctx, "place hold", func(q querier) error {
		found, err := findHold(ctx, q, "id = ?", hold.ID[:])
		if err == nil {
			stands, err = privacy.SameHold(found, hold)
			return err
		}
		if !errors.Is(err, privacy.ErrUnknown) {
			return err
		}
		stands = hold
		_, err = q.ExecContext(ctx, `INSERT INTO legal_holds (id, tenant_id, person, entity_type, entity_id, reason, placed_by, placed_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, hold.ID[:], string(hold.Scope.TenantID), storedID(hold.Scope.Person),
			hold.Scope.Entity.Type, hold.Scope.Entity.ID, hold.Reason, string(hold.PlacedBy), storedTime(hold.PlacedAt))
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
	err = h.session.write(ctx, "release hold", func(q querier) error {
		if _, err := q.ExecContext(ctx, `UPDATE legal_holds SET released_at = ?, released_by = ?, release_reason = ?
			WHERE id = ? AND tenant_id = ? AND released_at IS NULL`, storedTime(h.session.clock()), string(by), reason, id[:], string(tenant)); err != nil {
			return err
		}
		hold, err = findHold(ctx, q, "id = ? AND tenant_id = ?", id[:], string(tenant))
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
		pages := privacy.Pages(0, pageEvents, func(last placed, limit int) ([]placed, error) { return h.page(ctx, query, last.place, limit) })
		for hold, err := range pages {
			if !yield(hold.Hold, err) {
				return
			}
		}
	}
}

func (h holds) page(ctx context.Context, query privacy.HoldQuery, after int64, limit int) (page []placed, err error) {
	err = h.session.read(ctx, "list holds", func(q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT "+holdColumns+` FROM legal_holds
			WHERE place > ?1 AND (?2 = '' OR tenant_id = ?2) AND (NOT ?3 OR released_at IS NULL) ORDER BY place LIMIT ?4`,
			after, string(query.TenantID), query.Active, limit)
		page, err = collect(rows, err, scanHold)
		return err
	})
	return page, err
}
