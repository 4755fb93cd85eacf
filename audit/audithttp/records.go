package audithttp

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// safeInteger is the largest that every reader of JSON holds.
const safeInteger = 1<<53 - 1

func (x *exchange) listRecords() error {
	p, err := x.parameters(listing("actor_id", "on_behalf_of", "owner_id", "action", "entity_type", "entity_id", "outcome", "correlation_id", "event_type")...)
	if err != nil {
		return err
	}
	query, w := p.query(), x.want(p)
	if err := p.err(); err != nil {
		return err
	}
	return x.listed(query).serve(x, w)
}

func (x *exchange) listEntityRecords() error {
	p, err := x.parameters(listing("actor_id", "on_behalf_of", "owner_id", "action", "outcome", "correlation_id", "event_type")...)
	if err != nil {
		return err
	}
	query, w := p.query(), x.want(p)
	query.EntityType, query.EntityID = x.path["type"], x.path["id"]
	p.check("type", event.ValidateName("type", query.EntityType))
	p.check("id", event.ValidateText("id", query.EntityID, audit.MaxEntityIDBytes))
	if err := p.err(); err != nil {
		return err
	}
	return x.listed(query).serve(x, w)
}

// listed is the list of records that match a query.
func (x *exchange) listed(query audit.Query) listed[audit.ActivityRecord] {
	find := func(query audit.Query) func(context.Context, audit.Page) iter.Seq2[audit.ActivityRecord, error] {
		return func(ctx context.Context, page audit.Page) iter.Seq2[audit.ActivityRecord, error] {
			query.Page = page
			return x.records().Find(ctx, query)
		}
	}
	return listed[audit.ActivityRecord]{
		find: find(query), all: find(audit.Query{}),
		position: audit.ActivityRecord.Position, encode: encodeRecord, columns: recordColumns(), row: recordRow,
	}
}

func (x *exchange) getRecord() error {
	p, err := x.parameters()
	if err != nil {
		return err
	}
	id, ok := parseID(x.path["id"])
	if !ok {
		p.faultf("id", codeInvalidParameter, "must be a UUID in the usual form, and not all zeros")
		return p.err()
	}
	record, err := x.records().Get(x.r.Context(), id)
	missing := errors.Is(err, audit.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	if err := x.recordReading(x.route.action, event.Metadata{"id": id.String(), "found": !missing}); err != nil {
		return err
	}
	if missing {
		return refuse(codeNotFound, "there is no record %s", id)
	}
	body, err := encodeRecord(record)
	if err != nil {
		return err
	}
	x.write(http.StatusOK, typeJSON, append(body, '\n'))
	return nil
}

// encodeRecord is a record as JSON. Integers among its metadata that not every
// reader holds are text.
func encodeRecord(r audit.ActivityRecord) ([]byte, error) {
	metadata := r.Metadata()
	changed := false
	for key, value := range metadata {
		if text, large := largeInteger(value); large {
			metadata[key], changed = text, true
		}
	}
	if changed {
		draft := r.Draft()
		draft.Metadata = metadata
		r = audit.Restore(draft)
	}
	return r.MarshalJSON()
}
