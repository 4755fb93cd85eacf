package audithttp

import (
	"context"
	"encoding/json"
	"iter"
	"strconv"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

func (x *exchange) listActivity() error {
	p, err := x.parameters(listing()...)
	if err != nil {
		return err
	}
	var query audit.ActivityQuery
	query.OccurredFrom, query.OccurredUntil = p.occurred()
	w := x.want(p)
	query.ActorID, err = event.ParseActorID(x.path["id"])
	p.check("id", err)
	if err := p.err(); err != nil {
		return err
	}
	find := func(query audit.ActivityQuery) func(context.Context, audit.Page) iter.Seq2[audit.Activity, error] {
		return func(ctx context.Context, page audit.Page) iter.Seq2[audit.Activity, error] {
			query.Page = page
			return x.activity().FindActivities(ctx, query)
		}
	}
	return listed[audit.Activity]{
		find: find(query), all: find(audit.ActivityQuery{}),
		position: func(a audit.Activity) uint64 { return a.Position },
		encode:   encodeActivity, columns: activityColumns(), row: activityRow,
	}.serve(x, w)
}

// activityJSON is an entry of a feed as JSON.
type activityJSON struct {
	EventID       string         `json:"event_id"`
	EventType     string         `json:"event_type"`
	Action        string         `json:"action"`
	Entity        entityJSON     `json:"entity"`
	TenantID      event.TenantID `json:"tenant_id,omitempty"`
	ActorID       event.ActorID  `json:"actor_id"`
	CorrelationID string         `json:"correlation_id,omitempty"`
	OccurredAt    time.Time      `json:"occurred_at"`
	RecordedAt    time.Time      `json:"recorded_at"`
	Position      uint64         `json:"position,string"`
}

type entityJSON struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Version uint64 `json:"version,omitempty,string"`
}

func encodeActivity(a audit.Activity) ([]byte, error) {
	return json.Marshal(activityJSON{
		EventID: a.EventID.String(), EventType: a.EventType, Action: a.Action, Entity: entityJSON(a.Entity),
		TenantID: a.TenantID, ActorID: a.ActorID, CorrelationID: csvID(a.CorrelationID),
		OccurredAt: a.OccurredAt, RecordedAt: a.RecordedAt, Position: a.Position,
	})
}

func activityColumns() []string {
	return []string{
		"position", "event_id", "event_type", "recorded_at", "occurred_at", "tenant_id", "actor_id",
		"action", "entity_type", "entity_id", "entity_version", "correlation_id",
	}
}

func activityRow(a audit.Activity) []string {
	return []string{
		csvNumber(a.Position), a.EventID.String(), a.EventType, csvTime(a.RecordedAt), csvTime(a.OccurredAt), string(a.TenantID), string(a.ActorID),
		a.Action, a.Entity.Type, a.Entity.ID, csvNumber(a.Entity.Version), csvID(a.CorrelationID),
	}
}

// largeInteger returns an integer as text if not every reader of JSON holds it.
func largeInteger(value any) (text string, large bool) {
	switch v := value.(type) {
	case int64:
		return strconv.FormatInt(v, 10), v > safeInteger || v < -safeInteger
	case uint64:
		return strconv.FormatUint(v, 10), v > safeInteger
	default:
		return "", false
	}
}
