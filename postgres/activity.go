package postgres

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ audit.ActivityHome = (*UserActivity)(nil)

// UserActivity keeps the feeds of all actors in the store's own schema, in the
// table user_activity. As to its guarantee, its guards and concurrency it is
// like [AuditLog]. It answers the questions of [audit.ActivityReader].
type UserActivity struct {
	*Projection
	audit.ActivityReader
}

// NewUserActivity returns the feeds of a store. What was recorded before is
// there.
func NewUserActivity(store *Store) *UserActivity {
	a := &activities{store: store, listing: activityListing()}
	return &UserActivity{
		Projection:     NewProjection(audit.ActivityName, 1, OnBatch(a.apply), OnReset(a.reset)),
		ActivityReader: audit.NewActivityReader(a),
	}
}

// activities implements [audit.ActivityFinder].
type activities struct {
	store   *Store
	listing *listing[audit.Activity]
}

func (a *activities) apply(ctx context.Context, tx pgx.Tx, events []event.Event) error {
	given := make([]audit.Activity, len(events))
	for i, e := range events {
		given[i] = audit.ActivityOf(e)
	}
	added, err := a.listing.add(ctx, a.store, tx, given)
	if err != nil || added {
		return err
	}
	stored, _, err := a.listing.lookUp(ctx, a.store, tx, "position = $1", signed(given[0].Position))
	if err != nil {
		return err
	}
	if changes := stored.Changes(given[0]); changes != nil {
		return &audit.ImmutableError{ID: given[0].EventID, Position: given[0].Position, Changes: changes}
	}
	return nil
}

func (a *activities) reset(ctx context.Context, tx pgx.Tx) error {
	return a.listing.empty(ctx, a.store, tx)
}

// FindActivities implements [audit.ActivityFinder].
func (a *activities) FindActivities(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
	return a.listing.find(ctx, a.store, query.Page, query.TenantID, search{where: activityConditions(query)})
}

// FindActors implements [audit.ActivityFinder]. It holds all actors that it
// found: the database has to group them all before it knows the first.
func (a *activities) FindActors(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
	return grouped(func() ([]audit.ActiveActor, error) { return a.actors(ctx, query) })
}

func (a *activities) actors(ctx context.Context, query audit.ActivityQuery) (found []audit.ActiveActor, err error) {
	where, order := activityConditions(query), direction(!query.OldestFirst)
	table := a.listing.in(a.store)
	text := `
		WITH active AS (
			SELECT tenant_id, actor_id, count(*) AS activities, max(position) AS position FROM ` + table + `
			 WHERE position > $1 AND position <= $2` + where.sql.String() + `
			 GROUP BY tenant_id, actor_id ORDER BY max(position)` + order + ` LIMIT $3)
		SELECT active.tenant_id, active.actor_id, active.activities, active.position, last.occurred_at
		  FROM active JOIN ` + table + ` AS last ON last.position = active.position ORDER BY active.position` + order
	err = a.store.ofTenant(ctx, "find actors", query.TenantID, func(ctx context.Context, c conn) error {
		found, err = collect(ctx, c, scanActor, text, where.within(signed(query.After), lastOf(query.Page), limitOf(query.Limit))...)
		return err
	})
	return found, err
}

func scanActor(row pgx.Row) (a audit.ActiveActor, err error) {
	var tenant, actor string
	err = row.Scan(&tenant, &actor, &a.Count, &a.Last, &a.LastAt)
	a.TenantID, a.ActorID, a.LastAt = event.TenantID(tenant), event.ActorID(actor), event.Time(a.LastAt)
	return a, err
}

func activityConditions(q audit.ActivityQuery) *conditions {
	c := bounded()
	if q.ActorID != "" {
		c.and("actor_id = ", string(q.ActorID))
	}
	if q.TenantID != "" {
		c.and("tenant_id <> '' AND tenant_id = ", string(q.TenantID))
	}
	c.occurred(q.OccurredFrom, q.OccurredUntil)
	return c
}

func activityListing() *listing[audit.Activity] {
	return &listing[audit.Activity]{
		table: "user_activity",
		columns: []string{
			"position", "event_id", "event_type", "action", "entity_type", "entity_id", "entity_version",
			"tenant_id", "actor_id", "correlation_id", "occurred_at", "recorded_at",
		},
		encode:   encodeActivity,
		decode:   decodeActivity,
		position: func(a audit.Activity) uint64 { return a.Position },
	}
}

func encodeActivity(t *tuples, a audit.Activity) error {
	t.int64(signed(a.Position))
	t.id(a.EventID)
	t.text(a.EventType)
	t.text(a.Action)
	t.text(a.Entity.Type)
	t.text(a.Entity.ID)
	t.int64(signed(a.Entity.Version))
	t.text(string(a.TenantID))
	t.text(string(a.ActorID))
	t.optionalID(a.CorrelationID)
	t.time(a.OccurredAt)
	t.time(a.RecordedAt)
	return nil
}

func decodeActivity(d *decoder, row [][]byte) (audit.Activity, error) {
	d.err = nil
	a := audit.Activity{
		Position:      d.unsigned(row[0]),
		EventID:       d.id(row[1]),
		EventType:     d.name(row[2]),
		Action:        d.name(row[3]),
		Entity:        audit.EntityRef{Type: d.name(row[4]), ID: string(row[5]), Version: d.unsigned(row[6])},
		TenantID:      event.TenantID(d.name(row[7])),
		ActorID:       event.ActorID(d.name(row[8])),
		CorrelationID: d.optionalID(row[9]),
		OccurredAt:    d.time(row[10]),
		RecordedAt:    d.time(row[11]),
	}
	if d.err != nil {
		return audit.Activity{}, fmt.Errorf("%w: activity at position %d: %w", eventstore.ErrCorrupt, a.Position, d.err)
	}
	return a, nil
}
