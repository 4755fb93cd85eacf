package audithttp

import (
	"net/http"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// maxActions is how many actions one answer has at the most.
const maxActions = 1000

// actionsJSON are actions as JSON.
type actionsJSON struct {
	Data    []actionJSON `json:"data"`
	HasMore bool         `json:"has_more"`
}

type actionJSON struct {
	Action       string    `json:"action"`
	LastPosition uint64    `json:"last_position,string"`
	LastAt       time.Time `json:"last_at"`
}

func (x *exchange) listActions() error {
	p, err := x.parameters("limit")
	if err != nil {
		return err
	}
	limit := p.number("limit", 1, maxActions, maxActions)
	if err := p.err(); err != nil {
		return err
	}
	out := actionsJSON{Data: []actionJSON{}}
	query := audit.ActionQuery{Page: audit.Page{Limit: limit + 1}, TenantID: x.who.TenantID}
	for use, err := range x.records().FindActions(x.r.Context(), query) {
		if err != nil {
			return err
		}
		out.Data = append(out.Data, actionJSON{Action: use.Action, LastPosition: use.Last, LastAt: use.LastAt})
	}
	out.HasMore = len(out.Data) > limit
	out.Data = out.Data[:min(len(out.Data), limit)]
	if err := x.recordReading(x.route.action, event.Metadata{"count": len(out.Data)}); err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}
