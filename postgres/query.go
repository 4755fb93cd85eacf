package postgres

import (
	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
)

// selection is how a read of events looks for them.
type selection struct {
	where *conditions // behind the bounds and the limit of a page
	place string      // the column that the bounds are about
	order string
}

// ofStream selects from one stream, between versions.
func ofStream(stream eventstore.Stream) selection {
	c := bounded()
	c.and("aggregate_id = ", stream.AggregateID)
	c.and("aggregate_type = ", stream.AggregateType)
	c.and("tenant_id = ", string(stream.TenantID))
	return selection{where: c, place: "aggregate_version", order: "aggregate_version"}
}

// ofAll selects from all streams, between positions.
func ofAll(q eventstore.Query) selection {
	c := bounded()
	if q.CorrelationID != uuid.Nil {
		c.and("correlation_id = ", q.CorrelationID)
	}
	if q.TenantID != "" {
		c.and("tenant_id <> '' AND tenant_id = ", string(q.TenantID)) // the first half is what the partial index says
	}
	if q.AggregateID != uuid.Nil {
		c.and("aggregate_id = ", q.AggregateID)
	}
	if q.ActorID != "" {
		c.and("actor_id = ", string(q.ActorID))
	}
	c.anyOf("event_type", q.Types)
	c.anyOf("aggregate_type", q.AggregateTypes)
	c.occurred(q.OccurredFrom, q.OccurredUntil)
	found := selection{where: c, place: "position", order: "position"}
	if q.CorrelationID != uuid.Nil || q.AggregateID != uuid.Nil {
		found.order = "position + 0" // few events match: they are to be found first, then put in order
	}
	return found
}

// sql returns the statement for a page.
func (s selection) sql(d eventstore.Direction) string {
	return s.where.page(eventColumns, "evident.events", s.place, s.order, d == eventstore.Backward)
}
