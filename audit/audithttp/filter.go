package audithttp

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

const (
	pageLimit = 200
	pageSize  = 50
)

// want is what a request for a list asks for besides its conditions.
type want struct {
	oldestFirst bool
	limit       int
	cursor      string
	given       map[string]string // every condition, for the cursor and the record of the reading
}

// want reads order, limit and cursor; exports have neither of the last two.
func (x *exchange) want(p *parameters) want {
	w := want{
		oldestFirst: p.oneOf("order", "desc", "asc") == "asc",
		limit:       p.number("limit", 1, pageLimit, pageSize),
		cursor:      p.text("cursor", 256),
		given:       maps.Clone(p.values),
	}
	maps.Copy(w.given, x.path)
	delete(w.given, "limit")
	delete(w.given, "cursor")
	if w.given["order"] == "desc" {
		delete(w.given, "order")
	}
	if x.exports() {
		for _, name := range []string{"limit", "cursor"} {
			if _, given := p.values[name]; given {
				p.faultf(name, codeInvalidParameter, "does not go with %s: an export is whole", x.format)
			}
		}
	}
	return w
}

// canonical is the same for the same conditions.
func (w want) canonical() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.given)) {
		b.WriteString(name + "\x00" + w.given[name] + "\x00")
	}
	return b.String()
}

// listing returns the parameters that lists have, and those of their own.
func listing(own ...string) []string {
	return append(own, "occurred_at[gte]", "occurred_at[gt]", "occurred_at[lte]", "occurred_at[lt]", "order", "limit", "cursor")
}

// occurred reads a range of time: from is inclusive, until exclusive. Stored
// times are in microseconds, so every bound can be said that way.
func (p *parameters) occurred() (from, until time.Time) {
	narrow := func(name string, bound *time.Time, later bool, convert func(time.Time) time.Time) {
		t := p.time(name)
		if t.IsZero() {
			return
		}
		if t = convert(t); bound.IsZero() || t.After(*bound) == later {
			*bound = t
		}
	}
	narrow("occurred_at[gte]", &from, true, notBefore)
	narrow("occurred_at[gt]", &from, true, after)
	narrow("occurred_at[lt]", &until, false, notBefore)
	narrow("occurred_at[lte]", &until, false, after)
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		p.faultf("occurred_at", codeInvalidParameter, "is a range that nothing can be in")
	}
	return from, until
}

// notBefore is the first microsecond that is not before t.
func notBefore(t time.Time) time.Time {
	if whole := t.Truncate(time.Microsecond); !whole.Equal(t) {
		return whole.Add(time.Microsecond)
	}
	return t
}

// after is the first microsecond after t.
func after(t time.Time) time.Time { return t.Truncate(time.Microsecond).Add(time.Microsecond) }

// query reads the conditions of a list of records.
func (p *parameters) query() audit.Query {
	q := audit.Query{
		ActorID: p.actor("actor_id"), OnBehalfOf: p.actor("on_behalf_of"), OwnerID: p.text("owner_id", audit.MaxOwnerBytes),
		Action: p.text("action", audit.MaxActionBytes), EntityType: p.text("entity_type", event.MaxNameBytes),
		EntityID: p.text("entity_id", audit.MaxEntityIDBytes), Outcome: audit.Outcome(p.oneOf("outcome", "success", "failure", "denied")),
		CorrelationID: p.id("correlation_id"), EventType: p.text("event_type", event.MaxNameBytes),
	}
	if q.Action != "" && len(q.Action) <= audit.MaxActionBytes {
		p.check("action", audit.ValidateAction(q.Action))
	}
	q.OccurredFrom, q.OccurredUntil = p.occurred()
	return q
}
