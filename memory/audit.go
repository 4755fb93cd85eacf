package memory

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

var _ audit.LogHome = (*AuditLog)(nil)

// AuditLog keeps the record of every event in the process's memory. It is a
// projection for a runner, whose progress must be forgotten with it: that of a
// memory [Store]. It answers the questions of [audit.Reader], by looking
// through its records.
//
// Events take effect at least once; one that comes again changes nothing. Its
// methods are safe for concurrent use.
type AuditLog struct {
	audit.Reader

	config  audit.Config
	records *records
}

// NewAuditLog returns an empty log.
func NewAuditLog(config audit.Config) *AuditLog {
	r := &records{
		shelf: shelf[audit.ActivityRecord]{position: audit.ActivityRecord.Position},
		byID:  make(map[uuid.UUID]uint64),
	}
	return &AuditLog{Reader: audit.NewReader(r), config: config, records: r}
}

// Records returns all records, oldest first: for tests.
func (l *AuditLog) Records() []audit.ActivityRecord { return slices.Clone(l.records.all()) }

// Name implements [projection.Projection]: [audit.LogName].
func (l *AuditLog) Name() string { return audit.LogName }

// Version implements [projection.Projection].
func (l *AuditLog) Version() int { return 1 }

// EventTypes implements [projection.Projection]: all of them.
func (l *AuditLog) EventTypes() []string { return nil }

// Guarantee implements [projection.Projection].
func (l *AuditLog) Guarantee() projection.Guarantee { return projection.AtLeastOnce }

// Apply implements [projection.Projection].
func (l *AuditLog) Apply(ctx context.Context, _ projection.Tx, e event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	record, err := audit.FromEvent(e, l.config)
	if err != nil {
		return err
	}
	return l.records.add(record)
}

// Reset implements [projection.Projection].
func (l *AuditLog) Reset(context.Context, projection.Tx) error {
	l.records.reset()
	return nil
}

// records implements [audit.Finder].
type records struct {
	shelf[audit.ActivityRecord]

	adding sync.Mutex // held while byID and the shelf are brought in step
	byID   map[uuid.UUID]uint64
}

// add keeps a record unless it is there already, and refuses another in its place.
func (r *records) add(record audit.ActivityRecord) error {
	r.adding.Lock()
	defer r.adding.Unlock()
	if position, known := r.byID[record.ID()]; known && position != record.Position() {
		return &audit.ImmutableError{ID: record.ID(), Position: position}
	}
	stored, taken := r.put(record)
	if changes := stored.Changes(record); taken && changes != nil {
		return &audit.ImmutableError{ID: record.ID(), Position: record.Position(), Changes: changes}
	}
	r.byID[record.ID()] = record.Position()
	return nil
}

func (r *records) reset() {
	r.adding.Lock()
	defer r.adding.Unlock()
	clear(r.byID)
	r.clear()
}

// Find implements [audit.Finder].
func (r *records) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return r.find(ctx, query.Page, query.Matches)
}

// FindActions implements [audit.Finder].
func (r *records) FindActions(ctx context.Context, query audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
	page := query.Page
	query.Limit = 0
	return audit.GroupActions(r.Find(ctx, audit.Query{Page: query.Page, TenantID: query.TenantID}), page)
}
