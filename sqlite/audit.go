package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ audit.LogHome = (*AuditLog)(nil)

// AuditLog keeps the record of every event in the store's own file. It is a
// projection for a runner on that store, and each event takes effect exactly
// once. It answers the questions of [audit.Reader]; reads see what is
// committed, and no connection is held while the caller works on a record.
//
// Its table, audit_log, refuses by triggers to change or delete a record,
// whoever asks. Only a reset empties it. Its methods are safe for concurrent
// use.
type AuditLog struct {
	*Projection
	audit.Reader
}

// NewAuditLog returns the audit log of a store. What it has recorded before is
// there. There is one in each file: two with different configurations would
// refuse each other's records.
func NewAuditLog(store *Store, config audit.Config) *AuditLog {
	r := &records{store: store, config: config, listing: recordListing()}
	return &AuditLog{
		Projection: NewProjection(audit.LogName, 1, OnEvery(r.apply), OnReset(r.listing.empty)),
		Reader:     audit.NewReader(r),
	}
}

// records implements [audit.Finder].
type records struct {
	store   *Store
	config  audit.Config
	listing *listing[audit.ActivityRecord]
}

func (r *records) apply(ctx context.Context, tx *sql.Tx, e event.Event) error {
	record, err := audit.FromEvent(e, r.config)
	if err != nil {
		return err
	}
	row, err := encodeRecord(record)
	if err != nil {
		return err
	}
	err = r.listing.add(ctx, tx, row)
	if primary(codeOf(err)) == sqlite3.SQLITE_CONSTRAINT {
		return r.compare(ctx, tx, record, err)
	}
	return err
}

// compare finds out why a record was refused: it is there already, or another
// one stands in its place.
func (r *records) compare(ctx context.Context, tx *sql.Tx, given audit.ActivityRecord, refusal error) error {
	id := given.ID()
	stored, found, err := r.listing.lookUp(ctx, tx, "position = ?", toInteger(given.Position()))
	if err != nil {
		return err
	}
	if found {
		if changes := stored.Changes(given); changes != nil {
			return &audit.ImmutableError{ID: id, Position: given.Position(), Changes: changes}
		}
		return nil
	}
	if stored, found, err = r.listing.lookUp(ctx, tx, "id = ?", id[:]); found {
		return &audit.ImmutableError{ID: id, Position: stored.Position()}
	} else if err != nil {
		return err
	}
	return refusal
}

// Find implements [audit.Finder].
func (r *records) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return r.listing.find(ctx, r.store, query.Page, recordConditions(query))
}

// FindActions implements [audit.Finder].
func (r *records) FindActions(ctx context.Context, query audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
	return grouped(r.store, "find actions", func() ([]audit.ActionUse, error) {
		text, args := actionsInUse(query)
		return rowsOf(ctx, r.store, text, args, 3, func(d *decoder) audit.ActionUse {
			return audit.ActionUse{Action: d.text(0), Last: d.unsigned(1), LastAt: d.time(2)}
		})
	})
}

// actionsInUse goes from one action to the next, and looks for the last use of
// each, by indexes alone: SQLite would look at every entry to group them.
func actionsInUse(q audit.ActionQuery) (text string, args []driver.Value) {
	where := "WHERE "
	var tenant []driver.Value
	if q.TenantID != "" {
		where += "tenant_id = ? AND tenant_id <> '' AND " // the second half is what the partial index says
		tenant = []driver.Value{string(q.TenantID)}
	}
	text = `
		WITH RECURSIVE used (action) AS (
			SELECT (SELECT min(action) FROM audit_log ` + where + `true)
			 UNION ALL
			SELECT (SELECT min(action) FROM audit_log ` + where + `action > used.action) FROM used WHERE used.action IS NOT NULL),
		last (position) AS MATERIALIZED (
			SELECT (SELECT max(position) FROM audit_log ` + where + `action = used.action AND position > ? AND position <= ?) FROM used)
		SELECT action, audit_log.position, occurred_at FROM last CROSS JOIN audit_log ON audit_log.position = last.position
		 ORDER BY last.position` + orderOf(q.Page) + ` LIMIT ?`
	args = slices.Concat(tenant, tenant, tenant, []driver.Value{toInteger(q.After), lastOf(q.Page), int64(limitOf(q.Limit))})
	return text, args
}

func recordConditions(q audit.Query) *conditions {
	c := &conditions{}
	if q.ID != uuid.Nil {
		c.byIndex("id = ?", q.ID[:])
	}
	if q.CorrelationID != uuid.Nil {
		c.byIndex("correlation_id = ?", q.CorrelationID[:])
	}
	if q.EntityID != "" {
		c.byIndex("entity_id = ?", q.EntityID)
	}
	if q.OwnerID != "" {
		c.byIndex("owner_id = ? AND owner_id <> ''", q.OwnerID)
	}
	if q.ActorID != "" {
		c.byIndex("actor_id = ?", string(q.ActorID))
	}
	if q.OnBehalfOf != "" {
		c.byIndex("on_behalf_of = ? AND on_behalf_of <> ''", string(q.OnBehalfOf))
	}
	if q.Action != "" {
		c.byIndex("action = ?", q.Action)
	}
	if q.EventType != "" {
		c.byIndex("event_type = ?", q.EventType)
	}
	if q.TenantID != "" {
		c.byIndex("tenant_id = ? AND tenant_id <> ''", string(q.TenantID))
	}
	if q.EntityType != "" {
		c.byIndex("entity_type = ?", q.EntityType)
	}
	switch q.Outcome {
	case "":
	case audit.Success: // which most are
		c.add("outcome = ?", string(q.Outcome))
	default:
		c.byIndex("outcome = ? AND outcome <> 'success'", string(q.Outcome))
	}
	c.occurred(q.OccurredFrom, q.OccurredUntil)
	return c
}

// The columns of audit_log, in the order in which they are read and written.
const (
	recordPosition = iota
	recordID
	recordTenant
	recordOccurredAt
	recordRecordedAt
	recordActor
	recordOnBehalfOf
	recordOwner
	recordAction
	recordEntityType
	recordEntityID
	recordEntityVersion
	recordOutcome
	recordReason
	recordPurpose
	recordDescription
	recordRequestID
	recordTraceparent
	recordSourceAddress
	recordUserAgent
	recordCorrelation
	recordCausation
	recordMetadata
	recordReduced
	recordEventType
	recordAggregateType
	recordAggregateID
	recordAggregateVersion
)

func recordListing() *listing[audit.ActivityRecord] {
	return &listing[audit.ActivityRecord]{
		table: "audit_log",
		columns: []string{
			"position", "id", "tenant_id", "occurred_at", "recorded_at", "actor_id", "on_behalf_of", "owner_id", "action",
			"entity_type", "entity_id", "entity_version", "outcome", "reason", "purpose", "description",
			"request_id", "traceparent", "source_address", "user_agent", "correlation_id", "causation_id", "metadata", "reduced",
			"event_type", "aggregate_type", "aggregate_id", "aggregate_version",
		},
		decode:   decodeRecord,
		position: audit.ActivityRecord.Position,
	}
}

func encodeRecord(record audit.ActivityRecord) ([]any, error) {
	d := record.Draft()
	metadata, err := event.EncodeMetadata(d.Metadata)
	if err != nil {
		return nil, err
	}
	row := []any{
		toInteger(d.Position), d.ID[:], string(d.TenantID), storedTime(d.OccurredAt), storedTime(d.RecordedAt),
		string(d.ActorID), string(d.OnBehalfOf), d.OwnerID, d.Action,
		d.Entity.Type, d.Entity.ID, toInteger(d.Entity.Version), string(d.Outcome), d.Reason, d.Purpose, d.Description,
		d.Request.ID, d.Request.Traceparent, d.Request.SourceAddress, d.Request.UserAgent,
		storedID(d.CorrelationID), storedID(d.CausationID), nil, nil, nil, nil, nil, nil,
	}
	if metadata != nil {
		row[recordMetadata] = string(metadata)
	}
	if len(d.Reduced) > 0 {
		reduced, err := json.Marshal(d.Reduced)
		if err != nil {
			return nil, err
		}
		row[recordReduced] = string(reduced)
	}
	if o := d.Origin; !o.IsZero() {
		row[recordEventType], row[recordAggregateType] = o.EventType, o.Stream.AggregateType
		row[recordAggregateID], row[recordAggregateVersion] = o.Stream.AggregateID[:], toInteger(o.Version)
	}
	return row, nil
}

func decodeRecord(row []driver.Value) (audit.ActivityRecord, error) {
	r := decoder{row: row}
	d := audit.Draft{
		Position:      r.unsigned(recordPosition),
		ID:            r.id(recordID),
		TenantID:      event.TenantID(r.text(recordTenant)),
		OccurredAt:    r.time(recordOccurredAt),
		RecordedAt:    r.time(recordRecordedAt),
		ActorID:       event.ActorID(r.text(recordActor)),
		OnBehalfOf:    event.ActorID(r.text(recordOnBehalfOf)),
		OwnerID:       r.text(recordOwner),
		Action:        r.text(recordAction),
		Entity:        audit.EntityRef{Type: r.text(recordEntityType), ID: r.text(recordEntityID), Version: r.unsigned(recordEntityVersion)},
		Outcome:       audit.Outcome(r.text(recordOutcome)),
		Reason:        r.text(recordReason),
		Purpose:       r.text(recordPurpose),
		Description:   r.text(recordDescription),
		CorrelationID: r.id(recordCorrelation),
		CausationID:   r.id(recordCausation),
		Request: audit.Request{
			ID: r.text(recordRequestID), Traceparent: r.text(recordTraceparent),
			SourceAddress: r.text(recordSourceAddress), UserAgent: r.text(recordUserAgent),
		},
	}
	if row[recordEventType] != nil {
		stream := eventstore.Stream{TenantID: d.TenantID, AggregateType: r.text(recordAggregateType), AggregateID: r.id(recordAggregateID)}
		d.Origin = audit.Origin{
			EventID: d.ID, EventType: r.text(recordEventType), Stream: stream, Version: r.unsigned(recordAggregateVersion), Position: d.Position,
		}
	}
	if err := r.details(&d); err != nil {
		return audit.ActivityRecord{}, fmt.Errorf("%w: record at position %d: %w", eventstore.ErrCorrupt, d.Position, err)
	}
	return audit.Restore(d), r.err
}

// details reads the columns that hold JSON.
func (d *decoder) details(draft *audit.Draft) (err error) {
	if d.row[recordMetadata] != nil {
		if draft.Metadata, err = event.DecodeMetadata([]byte(d.text(recordMetadata))); err != nil {
			return err
		}
	}
	if d.row[recordReduced] != nil {
		return json.Unmarshal([]byte(d.text(recordReduced)), &draft.Reduced)
	}
	return nil
}
