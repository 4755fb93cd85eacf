package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ audit.LogHome = (*AuditLog)(nil)

// AuditLog keeps the record of every event in the store's own schema. It is a
// projection for a runner on that store, and each event takes effect exactly
// once; a batch is written by one COPY. It answers the questions of
// [audit.Reader]; reads see what is committed, and no connection is held while
// the caller works on a record. Behind row-level security a query that names its
// tenant sees that tenant's records, also if the role sees no others; one that
// does not is about what the role sees.
//
// Its table, audit_log, refuses by trigger to change or delete a record, whoever
// asks. Only a reset empties it, by a function of the schema, empty_records;
// whoever may call that function may reset. Its methods are safe for concurrent
// use.
type AuditLog struct {
	*Projection
	audit.Reader
}

// NewAuditLog returns the audit log of a store. What it has recorded before is
// there. There is one in each schema: two with different configurations would
// refuse each other's records.
func NewAuditLog(store *Store, config audit.Config) *AuditLog {
	r := &records{store: store, config: config, listing: recordListing()}
	return &AuditLog{
		Projection: NewProjection(audit.LogName, 1, OnBatch(r.apply), OnReset(r.reset)),
		Reader:     audit.NewReader(r),
	}
}

// records implements [audit.Finder].
type records struct {
	store   *Store
	config  audit.Config
	listing *listing[audit.ActivityRecord]
}

func (r *records) apply(ctx context.Context, tx pgx.Tx, events []event.Event) error {
	given := make([]audit.ActivityRecord, len(events))
	for i, e := range events {
		record, err := audit.FromEvent(e, r.config)
		if err != nil {
			return err
		}
		given[i] = record
	}
	added, err := r.listing.add(ctx, r.store, tx, given)
	if err != nil || added {
		return err
	}
	return r.compare(ctx, tx, given[0])
}

func (r *records) reset(ctx context.Context, tx pgx.Tx) error {
	return r.listing.empty(ctx, r.store, tx)
}

// compare finds out why a record was not added: it is there already, or another
// one stands in its place.
func (r *records) compare(ctx context.Context, tx pgx.Tx, given audit.ActivityRecord) error {
	stored, found, err := r.listing.lookUp(ctx, r.store, tx, "position = $1", signed(given.Position()))
	if err != nil {
		return err
	}
	if found {
		if changes := stored.Changes(given); changes != nil {
			return &audit.ImmutableError{ID: given.ID(), Position: given.Position(), Changes: changes}
		}
		return nil
	}
	stored, _, err = r.listing.lookUp(ctx, r.store, tx, "id = $1", given.ID())
	if err != nil {
		return err
	}
	return &audit.ImmutableError{ID: given.ID(), Position: stored.Position()}
}

// Find implements [audit.Finder].
func (r *records) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return r.listing.find(ctx, r.store, query.Page, query.TenantID, recordSearch(query))
}

// FindActions implements [audit.Finder].
func (r *records) FindActions(ctx context.Context, query audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
	return grouped(func() (found []audit.ActionUse, err error) {
		text, args := r.actionsInUse(query)
		err = r.store.ofTenant(ctx, "find actions", query.TenantID, func(ctx context.Context, c conn) error {
			found, err = collect(ctx, c, scanAction, text, args...)
			return err
		})
		return found, err
	})
}

// actionsInUse goes from one action to the next, and looks for the last use of
// each, by indexes alone: PostgreSQL would look at every entry to group them.
func (r *records) actionsInUse(q audit.ActionQuery) (text string, args []any) {
	where := bounded()
	if q.TenantID != "" {
		where.and("tenant_id <> '' AND tenant_id = ", string(q.TenantID)) // the first half is what the partial index says
	}
	tenant, order, table := where.sql.String(), direction(!q.OldestFirst), r.listing.in(r.store)
	text = `
		WITH RECURSIVE used (action) AS (
			(SELECT action FROM ` + table + ` WHERE true` + tenant + ` ORDER BY action LIMIT 1)
			 UNION ALL
			SELECT (SELECT action FROM ` + table + ` WHERE action > used.action` + tenant + ` ORDER BY action LIMIT 1)
			  FROM used WHERE used.action IS NOT NULL)
		SELECT used.action, last.position, last.occurred_at
		  FROM used CROSS JOIN LATERAL (
			SELECT position, occurred_at FROM ` + table + `
			 WHERE action = used.action AND position > $1 AND position <= $2` + tenant + ` ORDER BY position DESC LIMIT 1) AS last
		 ORDER BY last.position` + order + ` LIMIT $3`
	return text, where.within(signed(q.After), lastOf(q.Page), limitOf(q.Limit))
}

func scanAction(row pgx.Row) (u audit.ActionUse, err error) {
	err = row.Scan(&u.Action, &u.Last, &u.LastAt)
	u.LastAt = event.Time(u.LastAt)
	return u, err
}

// recordSearch looks for a range of times day by day, unless a narrower
// question is asked as well.
func recordSearch(q audit.Query) search {
	c := bounded()
	s := search{where: c}
	if ranged := !q.OccurredFrom.IsZero() || !q.OccurredUntil.IsZero(); ranged && !isNarrow(q) {
		s.days = c.days(q.TenantID, q.OccurredFrom, q.OccurredUntil)
	}
	c.matching(q)
	return s
}

// isNarrow reports whether a query asks for something that few records have, or
// that has the time in its own index.
func isNarrow(q audit.Query) bool {
	return q.ID != uuid.Nil || q.CorrelationID != uuid.Nil || q.EntityID != "" || q.OwnerID != "" || q.ActorID != "" ||
		q.OnBehalfOf != "" || q.Action != "" || q.Outcome != "" && q.Outcome != audit.Success
}

// days returns the conditions for days on which the range of times has a part.
func (c *conditions) days(tenant event.TenantID, from, until time.Time) *conditions {
	d := &conditions{args: c.args}
	if tenant != "" {
		d.and("tenant_id <> '' AND tenant_id = ", string(tenant))
	}
	if !from.IsZero() {
		d.and("occurred_on >= ", ceilMicros(from).UTC())
	}
	if !until.IsZero() {
		d.and("occurred_on <= ", ceilMicros(until).Add(-time.Microsecond).UTC())
	}
	c.args = d.args
	return d
}

// matching adds what a query asks for.
func (c *conditions) matching(q audit.Query) {
	if q.ID != uuid.Nil {
		c.and("id = ", q.ID)
	}
	if q.CorrelationID != uuid.Nil {
		c.and("correlation_id = ", q.CorrelationID)
	}
	for _, name := range []struct{ condition, value string }{
		{"entity_id = ", q.EntityID},
		{"owner_id <> '' AND owner_id = ", q.OwnerID}, // the first half is what the partial index says
		{"actor_id = ", string(q.ActorID)},
		{"on_behalf_of <> '' AND on_behalf_of = ", string(q.OnBehalfOf)},
		{"action = ", q.Action},
		{"event_type = ", q.EventType},
		{"tenant_id <> '' AND tenant_id = ", string(q.TenantID)},
		{"entity_type = ", q.EntityType},
	} {
		if name.value != "" {
			c.and(name.condition, name.value)
		}
	}
	switch q.Outcome {
	case "":
	case audit.Success: // which most are
		c.and("outcome = ", string(q.Outcome))
	default:
		c.and("outcome <> 'success' AND outcome = ", string(q.Outcome))
	}
	c.occurred(q.OccurredFrom, q.OccurredUntil)
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
		encode:   encodeRecord,
		decode:   decodeRecord,
		position: audit.ActivityRecord.Position,
	}
}

func encodeRecord(t *tuples, record audit.ActivityRecord) (err error) {
	d := record.Draft()
	var metadata, reduced []byte
	if metadata, err = event.EncodeMetadata(d.Metadata); err != nil {
		return err
	}
	if len(d.Reduced) > 0 {
		if reduced, err = json.Marshal(d.Reduced); err != nil {
			return err
		}
	}
	t.int64(signed(d.Position))
	t.id(d.ID)
	t.text(string(d.TenantID))
	t.time(d.OccurredAt)
	t.time(d.RecordedAt)
	t.text(string(d.ActorID))
	t.text(string(d.OnBehalfOf))
	t.text(d.OwnerID)
	t.text(d.Action)
	t.text(d.Entity.Type)
	t.text(d.Entity.ID)
	t.int64(signed(d.Entity.Version))
	t.text(string(d.Outcome))
	t.text(d.Reason)
	t.text(d.Purpose)
	t.text(d.Description)
	t.text(d.Request.ID)
	t.text(d.Request.Traceparent)
	t.text(d.Request.SourceAddress)
	t.text(d.Request.UserAgent)
	t.optionalID(d.CorrelationID)
	t.optionalID(d.CausationID)
	t.optionalBlob(metadata)
	t.optionalBlob(reduced)
	encodeOrigin(t, d.Origin)
	return nil
}

func encodeOrigin(t *tuples, o audit.Origin) {
	if o.IsZero() {
		for range recordAggregateVersion - recordReduced {
			t.null()
		}
		return
	}
	t.text(o.EventType)
	t.text(o.Stream.AggregateType)
	t.id(o.Stream.AggregateID)
	t.int64(signed(o.Version))
}

func decodeRecord(r *decoder, row [][]byte) (audit.ActivityRecord, error) {
	r.err = nil
	d := audit.Draft{
		Position:      r.unsigned(row[recordPosition]),
		ID:            r.id(row[recordID]),
		TenantID:      event.TenantID(r.name(row[recordTenant])),
		OccurredAt:    r.time(row[recordOccurredAt]),
		RecordedAt:    r.time(row[recordRecordedAt]),
		ActorID:       event.ActorID(r.name(row[recordActor])),
		OnBehalfOf:    event.ActorID(r.name(row[recordOnBehalfOf])),
		OwnerID:       r.name(row[recordOwner]),
		Action:        r.name(row[recordAction]),
		Entity:        audit.EntityRef{Type: r.name(row[recordEntityType]), ID: string(row[recordEntityID]), Version: r.unsigned(row[recordEntityVersion])},
		Outcome:       audit.Outcome(r.name(row[recordOutcome])),
		Reason:        string(row[recordReason]),
		Purpose:       string(row[recordPurpose]),
		Description:   string(row[recordDescription]),
		CorrelationID: r.optionalID(row[recordCorrelation]),
		CausationID:   r.optionalID(row[recordCausation]),
		Request: audit.Request{
			ID: string(row[recordRequestID]), Traceparent: string(row[recordTraceparent]),
			SourceAddress: string(row[recordSourceAddress]), UserAgent: string(row[recordUserAgent]),
		},
	}
	if row[recordEventType] != nil {
		stream := eventstore.Stream{TenantID: d.TenantID, AggregateType: r.name(row[recordAggregateType]), AggregateID: r.id(row[recordAggregateID])}
		d.Origin = audit.Origin{
			EventID: d.ID, EventType: r.name(row[recordEventType]), Stream: stream, Version: r.unsigned(row[recordAggregateVersion]), Position: d.Position,
		}
	}
	r.details(&d, row[recordMetadata], row[recordReduced])
	if r.err != nil {
		return audit.ActivityRecord{}, fmt.Errorf("%w: record at position %d: %w", eventstore.ErrCorrupt, d.Position, r.err)
	}
	return audit.Restore(d), nil
}

// details reads the columns that hold JSON.
func (d *decoder) details(draft *audit.Draft, metadata, reduced []byte) {
	if metadata != nil && d.err == nil {
		draft.Metadata, d.err = event.DecodeMetadata(metadata)
	}
	if reduced != nil && d.err == nil {
		d.err = json.Unmarshal(reduced, &draft.Reduced)
	}
}
