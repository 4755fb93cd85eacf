package postgres

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
)

// selection is the query for a page of a read: a statement whose first three
// arguments are the bounds and the limit of the page.
type selection struct {
	sql  strings.Builder
	args []any
}

// bounds are the arguments of a selection that change from page to page.
const bounds = 3

// ofStream selects from one stream, between versions.
func ofStream(stream eventstore.Stream, d eventstore.Direction) *selection {
	s := &selection{}
	s.sql.WriteString("SELECT " + eventColumns + " FROM evident.events WHERE aggregate_version > $1 AND aggregate_version <= $2")
	s.and("aggregate_id = $%d", stream.AggregateID)
	s.and("aggregate_type = $%d", stream.AggregateType)
	s.and("tenant_id = $%d", string(stream.TenantID))
	s.order("aggregate_version", d)
	return s
}

// ofAll selects from all streams, between positions.
func ofAll(q eventstore.Query) *selection {
	s := &selection{}
	s.sql.WriteString("SELECT " + eventColumns + " FROM evident.events WHERE position > $1 AND position <= $2")
	order := "position"
	if q.CorrelationID != uuid.Nil || q.AggregateID != uuid.Nil {
		order = "position + 0" // few events match: they are to be found first, then put in order
	}
	if q.CorrelationID != uuid.Nil {
		s.and("correlation_id = $%d", q.CorrelationID)
	}
	if q.TenantID != "" {
		s.and("tenant_id = $%d AND tenant_id <> ''", string(q.TenantID)) // the second half is what the partial index says
	}
	if q.AggregateID != uuid.Nil {
		s.and("aggregate_id = $%d", q.AggregateID)
	}
	if q.ActorID != "" {
		s.and("actor_id = $%d", string(q.ActorID))
	}
	if len(q.Types) > 0 {
		s.and("event_type = ANY ($%d)", q.Types)
	}
	if len(q.AggregateTypes) > 0 {
		s.and("aggregate_type = ANY ($%d)", q.AggregateTypes)
	}
	s.times(q)
	s.order(order, q.Direction)
	return s
}

// times adds the range of occurred-at times. Stored times are whole
// microseconds, so a bound between two of them means the later.
func (s *selection) times(q eventstore.Query) {
	if !q.OccurredFrom.IsZero() {
		s.and("occurred_at >= $%d", ceilMicros(q.OccurredFrom))
	}
	if !q.OccurredUntil.IsZero() {
		s.and("occurred_at < $%d", ceilMicros(q.OccurredUntil))
	}
}

func (s *selection) and(condition string, arg any) {
	s.args = append(s.args, arg)
	s.sql.WriteString(" AND ")
	fmt.Fprintf(&s.sql, condition, bounds+len(s.args))
}

func (s *selection) order(by string, d eventstore.Direction) {
	s.sql.WriteString(" ORDER BY " + by)
	if d == eventstore.Backward {
		s.sql.WriteString(" DESC")
	}
	s.sql.WriteString(" LIMIT $3")
}
