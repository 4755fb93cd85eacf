package sqlite

import (
	"database/sql/driver"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
)

// conditions is the part of a query that does not change from page to page.
type conditions struct {
	sql     strings.Builder // " AND …" for each
	args    []driver.Value
	indexed bool // whether an index leads to the few events that match
}

func conditionsOf(q eventstore.Query) *conditions {
	c := &conditions{}
	if q.CorrelationID != uuid.Nil {
		c.byIndex("correlation_id = ?", q.CorrelationID[:])
	}
	if q.ActorID != "" {
		// The second half is what the partial index says; so with the tenant.
		c.byIndex("actor_id = ? AND actor_id <> ''", string(q.ActorID))
	}
	if q.AggregateID != uuid.Nil {
		c.byIndex("aggregate_id = ?", q.AggregateID[:])
	}
	if q.TenantID != "" {
		c.byIndex("tenant_id = ? AND tenant_id <> ''", string(q.TenantID))
	}
	c.anyOf("event_type", q.Types)
	c.anyOf("aggregate_type", q.AggregateTypes)
	if !q.OccurredFrom.IsZero() {
		c.add("occurred_at >= ?", ceilMicros(q.OccurredFrom))
	}
	if !q.OccurredUntil.IsZero() {
		c.add("occurred_at < ?", ceilMicros(q.OccurredUntil))
	}
	return c
}

func (c *conditions) add(condition string, args ...driver.Value) {
	c.sql.WriteString(" AND ")
	c.sql.WriteString(condition)
	c.args = append(c.args, args...)
}

func (c *conditions) byIndex(condition string, arg driver.Value) {
	c.add(condition, arg)
	c.indexed = true
}

func (c *conditions) anyOf(column string, values []string) {
	if len(values) == 0 {
		return
	}
	args := make([]driver.Value, len(values))
	for i, value := range values {
		args[i] = value
	}
	c.add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

// ceilMicros returns the first microsecond that is not before t. Stored times
// have no fractions of one.
func ceilMicros(t time.Time) int64 {
	micros := t.UnixMicro()
	if t.Nanosecond()%int(time.Microsecond) != 0 {
		micros++
	}
	return micros
}

// order returns the SQL for a direction.
func order(d eventstore.Direction) string {
	if d == eventstore.Backward {
		return " DESC"
	}
	return ""
}

// bounds returns the arguments of a page between two positions, with room for
// those of the conditions.
func (c *conditions) bounds(low, high int64) []driver.Value {
	return append(make([]driver.Value, 0, len(c.args)+3), low, high)
}
