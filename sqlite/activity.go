package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"iter"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

var _ audit.ActivityHome = (*UserActivity)(nil)

// UserActivity keeps the feeds of all actors in the store's own file, in the
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
		Projection:     NewProjection(audit.ActivityName, 1, OnEvery(a.apply), OnReset(a.listing.empty)),
		ActivityReader: audit.NewActivityReader(a),
	}
}

// activities implements [audit.ActivityFinder].
type activities struct {
	store   *Store
	listing *listing[audit.Activity]
}

func (a *activities) apply(ctx context.Context, tx *sql.Tx, e event.Event) error {
	given := audit.ActivityOf(e)
	err := a.listing.add(ctx, tx, []any{
		toInteger(given.Position), given.EventID[:], given.EventType,
		given.Action, given.Entity.Type, given.Entity.ID, toInteger(given.Entity.Version),
		string(given.TenantID), string(given.ActorID), storedID(given.CorrelationID), storedTime(given.OccurredAt), storedTime(given.RecordedAt),
	})
	if primary(codeOf(err)) != sqlite3.SQLITE_CONSTRAINT {
		return err
	}
	stored, found, lookErr := a.listing.lookUp(ctx, tx, "position = ?", toInteger(given.Position))
	if lookErr != nil || !found {
		return errors.Join(err, lookErr)
	}
	if changes := stored.Changes(given); changes != nil {
		return &audit.ImmutableError{ID: given.EventID, Position: given.Position, Changes: changes}
	}
	return nil
}

// FindActivities implements [audit.ActivityFinder].
func (a *activities) FindActivities(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
	return a.listing.find(ctx, a.store, query.Page, activityConditions(query))
}

// FindActors implements [audit.ActivityFinder]. It holds all actors that it
// found: SQLite has to group them all before it knows the first.
func (a *activities) FindActors(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
	return grouped(a.store, "find actors", func() ([]audit.ActiveActor, error) {
		text, args := activeActors(query)
		return rowsOf(ctx, a.store, text, args, 5, func(d *decoder) audit.ActiveActor {
			return audit.ActiveActor{
				TenantID: event.TenantID(d.text(0)), ActorID: event.ActorID(d.text(1)), Count: d.unsigned(2), Last: d.unsigned(3), LastAt: d.time(4),
			}
		})
	})
}

func activeActors(q audit.ActivityQuery) (text string, args []driver.Value) {
	where := activityConditions(q)
	position := "position"
	if !where.indexed && !q.OccurredFrom.IsZero() {
		position = "+position" // which no index has, so that SQLite takes the one by time
	}
	// Beside max, SQLite takes occurred_at from the row that has the maximum.
	text = "SELECT tenant_id, actor_id, count(*), max(position), occurred_at FROM user_activity WHERE " + position + " > ? AND " + position + " <= ?" +
		where.sql.String() + " GROUP BY tenant_id, actor_id ORDER BY max(position)" + orderOf(q.Page) + " LIMIT ?"
	args = append(append(where.bounds(toInteger(q.After), lastOf(q.Page)), where.args...), int64(limitOf(q.Limit)))
	return text, args
}

func activityConditions(q audit.ActivityQuery) *conditions {
	c := &conditions{}
	if q.ActorID != "" {
		c.byIndex("actor_id = ?", string(q.ActorID))
	}
	if q.TenantID != "" {
		c.byIndex("tenant_id = ? AND tenant_id <> ''", string(q.TenantID))
	}
	c.occurred(q.OccurredFrom, q.OccurredUntil)
	return c
}

// occurred adds a range of times, its start inclusive and its end exclusive.
func (c *conditions) occurred(from, until time.Time) {
	if !from.IsZero() {
		c.add("occurred_at >= ?", ceilMicros(from))
	}
	if !until.IsZero() {
		c.add("occurred_at < ?", ceilMicros(until))
	}
}

func activityListing() *listing[audit.Activity] {
	return &listing[audit.Activity]{
		table: "user_activity",
		columns: []string{
			"position", "event_id", "event_type", "action", "entity_type", "entity_id", "entity_version",
			"tenant_id", "actor_id", "correlation_id", "occurred_at", "recorded_at",
		},
		decode:   decodeActivity,
		position: func(a audit.Activity) uint64 { return a.Position },
	}
}

func decodeActivity(row []driver.Value) (audit.Activity, error) {
	d := decoder{row: row}
	return audit.Activity{
		Position:      d.unsigned(0),
		EventID:       d.id(1),
		EventType:     d.text(2),
		Action:        d.text(3),
		Entity:        audit.EntityRef{Type: d.text(4), ID: d.text(5), Version: d.unsigned(6)},
		TenantID:      event.TenantID(d.text(7)),
		ActorID:       event.ActorID(d.text(8)),
		CorrelationID: d.id(9),
		OccurredAt:    d.time(10),
		RecordedAt:    d.time(11),
	}, d.err
}
