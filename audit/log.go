package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// MaxAppend is how many records one append takes.
const MaxAppend = 500

// LogConfig is how a [Log] appends. The zero value is ready.
type LogConfig struct {
	// Before are the hooks that look at each record before it is stored.
	Before []BeforeAppend
	// After are the hooks that are told of each record after it was stored.
	After []AfterAppend
	// HookTimeout bounds the hooks of Before, all of a record together.
	// Default [HookTimeout].
	HookTimeout time.Duration
	// Report is told what goes wrong after a record was stored, always an
	// [*AfterError]. It must be set if After is.
	Report func(ctx context.Context, err error)
	// Now is the clock that records are dated by. Default [time.Now].
	Now func() time.Time
}

// Validate refuses hooks that are nil and a negative timeout. The error names the field.
func (c LogConfig) Validate() error {
	if c.HookTimeout < 0 {
		return &event.InvalidError{Field: "hook_timeout", Value: c.HookTimeout.String(), Reason: "must not be negative; 0 means the default"}
	}
	for i, hook := range c.Before {
		if hook == nil {
			return &event.InvalidError{Field: fmt.Sprintf("before[%d]", i), Reason: "must not be nil"}
		}
	}
	for i, hook := range c.After {
		if hook == nil {
			return &event.InvalidError{Field: fmt.Sprintf("after[%d]", i), Reason: "must not be nil"}
		}
	}
	if len(c.After) > 0 && c.Report == nil {
		return &event.InvalidError{Field: "report", Reason: "must be set: nobody else hears of a hook that fails after the append"}
	}
	return nil
}

// Appender is what writes to an audit log. [*Log] is one.
type Appender interface {
	Append(ctx context.Context, drafts ...Draft) (Receipt, error)
}

// Unit is what an append can join: an aggregate that is going to be saved.
// Every struct that embeds aggregate.AggregateRoot is one.
type Unit interface {
	// Pending returns what is going to be saved.
	Pending() []event.Event
	// Join adds an append to the save, and somebody who is told of it.
	Join(also eventstore.Append, stored func(ctx context.Context, result eventstore.Result)) error
}

// Receipt says where an append was stored.
type Receipt struct {
	// Records are what was stored, in the order in which they were given, with
	// the time at which it was stored. They have their positions if there is one,
	// or if the first draft named its id; else other appends may stand between
	// them, and only the last is known.
	Records    []ActivityRecord
	Position   uint64 // of the last record
	RecordedAt time.Time
	// Replayed says that the records were stored by an earlier append already,
	// and that this one has changed nothing.
	Replayed bool
}

// Log is the activity log: where activities are written that no other event
// says, such as reads, exports, failed log-ins and denials, and where all
// activities are read.
//
// It makes these promises, for every event store:
//
//  1. One log. A record is an event of the store, in the one order of all
//     events. Homes derive it as they derive the records of other events, and a
//     replay gives it again.
//  2. Whole. What was appended comes back with every field as it was.
//  3. Atomic. An append of several records stores all of them or none. One
//     that joins a save is stored together with the aggregate's events, or not
//     at all.
//  4. From the context. Actor, tenant, correlation, causation and metadata
//     that a draft leaves out are those that the context carries; whoever is
//     not named there, either, is anonymous. Request fields are taken from the
//     metadata keys that events have them under.
//  5. Refused before anything is stored. A record that breaks a rule or a
//     limit is refused with an error that names the field.
//  6. Idempotent. A draft that names its id can be appended again and again
//     for ever: it is stored once, and answered with what was stored. Another
//     record under a stored id is refused with [ErrImmutable].
//  7. Hooks. [LogConfig.Before] runs in its order, and what refuses, panics or
//     takes too long stores nothing. [LogConfig.After] runs when the record is
//     stored, and undoes nothing.
//  8. Tenants. A log on a store that is bound to a tenant fails closed.
//
// A Log is safe for concurrent use. Its Reader answers from the records that
// it was given: a home sees a record when its runner has applied it,
// [Replay] at once.
type Log struct {
	Reader

	events eventstore.Store
	config LogConfig
	before beforeHooks
}

// NewLog returns a log that appends to events and reads from records, which is
// a home or a [Replay]. The error, an [*event.InvalidError], names the field.
func NewLog(events eventstore.Store, records Finder, config LogConfig) (*Log, error) {
	if events == nil {
		return nil, &event.InvalidError{Field: "events", Reason: "must not be nil"}
	}
	if records == nil {
		return nil, &event.InvalidError{Field: "records", Reason: "must not be nil; audit.Replay(events, audit.Config{}) needs no home"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	config.HookTimeout = cmp.Or(config.HookTimeout, HookTimeout)
	return &Log{
		Reader: NewReader(records), events: events, config: config,
		before: beforeHooks{hooks: config.Before, timeout: config.HookTimeout},
	}, nil
}

// On returns the same log, appending through another view of its store: one
// that is bound to a tenant, or a transaction of the caller's.
func (l *Log) On(events eventstore.Store) *Log {
	view := *l
	view.events = events
	return &view
}

// Append stores records of what drafts say, in their order, as one unit. There
// may be [MaxAppend] of them, all of one tenant.
//
// Errors: [*event.InvalidError] and [*event.TooLargeError], which name the
// field, [*VetoError], [*ImmutableError], and those of [eventstore.Store].
// After [eventstore.ErrOutcomeUnknown] the same drafts may be sent again if
// they name their ids.
func (l *Log) Append(ctx context.Context, drafts ...Draft) (Receipt, error) {
	records, err := l.prepare(ctx, drafts)
	if err != nil {
		return Receipt{}, err
	}
	outgoing, err := appending(records)
	if err != nil {
		return Receipt{}, err
	}
	if drafts[0].ID != uuid.Nil {
		return l.appendNamed(ctx, drafts, records, outgoing)
	}
	receipt, err := l.store(ctx, records, outgoing)
	if err == nil {
		l.tell(ctx, receipt.Records)
	}
	return receipt, err
}

// appendNamed appends records whose first id the caller chose: they may be
// stored already, or somebody may store others under it at this moment.
func (l *Log) appendNamed(ctx context.Context, drafts []Draft, records []ActivityRecord, outgoing eventstore.Append) (Receipt, error) {
	stored, err := l.stored(ctx, outgoing.Stream)
	if err != nil {
		return Receipt{}, err
	}
	if len(stored) > 0 {
		return replayed(drafts, records, stored)
	}
	if _, err = l.store(ctx, records, outgoing); err != nil {
		return Receipt{}, err
	}
	if stored, err = l.stored(ctx, outgoing.Stream); err != nil {
		return Receipt{}, err
	}
	receipt, err := replayed(drafts, records, stored)
	if err != nil {
		return Receipt{}, err
	}
	if receipt.Replayed = !sameAppend(records, stored); !receipt.Replayed {
		l.tell(ctx, receipt.Records)
	}
	return receipt, nil
}

// store appends records.
func (l *Log) store(ctx context.Context, records []ActivityRecord, outgoing eventstore.Append) (Receipt, error) {
	result, err := l.events.Append(ctx, outgoing)
	if err != nil {
		return Receipt{}, fmt.Errorf("append activity: %w", err)
	}
	return Receipt{Records: settled(records, result), Position: result.Position, RecordedAt: result.RecordedAt}, nil
}

// AppendWith is [Log.Append] as a part of the next save of unit, an aggregate:
// the records are stored together with its events, or not at all.
//
//	err := tasks.Update(ctx, id, func(t *Task) error {
//		if err := t.Create(ctx, title); err != nil {
//			return err
//		}
//		_, err := log.AppendWith(ctx, t, audit.Draft{Action: "create_task", Entity: audit.Aggregate("Task", id)})
//		return err
//	})
//
// What the unit emitted last is the cause of the records, unless drafts name
// another. It returns the records as they will be stored. Hooks of [LogConfig.Before] run now,
// those of [LogConfig.After] when the save has succeeded. The aggregate must
// be saved to the log's store. Errors are those of [Log.Append] that need no store.
func (l *Log) AppendWith(ctx context.Context, unit Unit, drafts ...Draft) ([]ActivityRecord, error) {
	if unit == nil {
		return nil, &event.InvalidError{Field: "unit", Reason: "must not be nil"}
	}
	if pending := unit.Pending(); len(pending) > 0 {
		ctx = event.WithCause(ctx, pending[len(pending)-1])
	}
	records, err := l.prepare(ctx, drafts)
	if err != nil {
		return nil, err
	}
	outgoing, err := appending(records)
	if err != nil {
		return nil, err
	}
	err = unit.Join(outgoing, func(ctx context.Context, result eventstore.Result) {
		l.tell(ctx, settled(records, eventstore.Result{RecordedAt: result.RecordedAt}))
	})
	if err != nil {
		return nil, fmt.Errorf("append activity: %w", err)
	}
	return records, nil
}

// prepare makes records of drafts: what they leave out is filled in, hooks
// have seen them, and all is valid.
func (l *Log) prepare(ctx context.Context, drafts []Draft) ([]ActivityRecord, error) {
	if len(drafts) == 0 {
		return nil, &event.InvalidError{Field: "drafts", Reason: "must not be empty"}
	}
	if len(drafts) > MaxAppend {
		return nil, &event.TooLargeError{Field: "drafts", Size: len(drafts), Limit: MaxAppend, Unit: "records"}
	}
	origin, now := event.OriginFrom(ctx), l.config.Now()
	origin.TenantID = cmp.Or(origin.TenantID, l.bound(ctx))
	records := make([]ActivityRecord, len(drafts))
	for i, draft := range drafts {
		record, err := l.record(ctx, draft.from(origin, now))
		if err != nil {
			return nil, inDraft(i, len(drafts), err)
		}
		if records[i] = record; record.TenantID() != records[0].TenantID() {
			return nil, inDraft(i, len(drafts), &event.InvalidError{Field: "tenant_id", Value: string(record.TenantID()), Reason: "must be the same in all drafts of one append"})
		}
	}
	return records, nil
}

// record checks what a caller said before hooks see it, and what they left.
func (l *Log) record(ctx context.Context, draft Draft) (ActivityRecord, error) {
	if err := draft.unplaced(); err != nil {
		return ActivityRecord{}, err
	}
	record, err := NewRecord(draft)
	if err != nil || len(l.config.Before) == 0 {
		return record, err
	}
	draft, err = l.before.run(ctx, record.d)
	if err != nil {
		return ActivityRecord{}, err
	}
	return NewRecord(draft)
}

// unplaced refuses what only a store can say.
func (d Draft) unplaced() error {
	switch {
	case d.Position != 0:
		return &event.InvalidError{Field: "position", Reason: "is the store's to say"}
	case !d.RecordedAt.IsZero():
		return &event.InvalidError{Field: "recorded_at", Reason: "is the store's to say"}
	case !d.Origin.IsZero():
		return &event.InvalidError{Field: "origin", Reason: "belongs to records that are derived from an event"}
	case len(d.Reduced) > 0:
		return &event.InvalidError{Field: "reduced", Reason: "belongs to records that are derived from an event"}
	default:
		return nil
	}
}

// from fills in what a draft leaves out and the context says.
func (d Draft) from(origin event.Origin, now time.Time) Draft {
	if d.ID == uuid.Nil {
		d.ID = event.NewIDAt(now)
	}
	if d.OccurredAt.IsZero() {
		d.OccurredAt = now
	}
	d.ActorID = cmp.Or(d.ActorID, origin.ActorID)
	d.TenantID = cmp.Or(d.TenantID, origin.TenantID)
	d.CausationID = cmp.Or(d.CausationID, origin.CausationID)
	d.CorrelationID = cmp.Or(d.CorrelationID, origin.CorrelationID, d.ID)
	if len(origin.Metadata) > 0 {
		said := origin.Metadata
		d.Request.ID = cmp.Or(d.Request.ID, metadataText(said, KeyRequest))
		d.Request.Traceparent = cmp.Or(d.Request.Traceparent, metadataText(said, KeyTraceparent))
		d.Request.SourceAddress = cmp.Or(d.Request.SourceAddress, metadataText(said, KeySourceAddress))
		d.Request.UserAgent = cmp.Or(d.Request.UserAgent, metadataText(said, KeyUserAgent))
		d.OnBehalfOf = cmp.Or(d.OnBehalfOf, event.ActorID(metadataText(said, KeyOnBehalfOf)))
		d.Purpose = cmp.Or(d.Purpose, metadataText(said, KeyPurpose))
		merged := maps.Clone(origin.Metadata)
		maps.Copy(merged, d.Metadata)
		d.Metadata = merged
	}
	return d
}

// appending returns what stores records.
func appending(records []ActivityRecord) (eventstore.Append, error) {
	events := make([]event.Event, len(records))
	for i, record := range records {
		e, err := activityEvent(record)
		if err != nil {
			return eventstore.Append{}, err
		}
		events[i] = e
	}
	stream := activityStream(records[0].TenantID(), records[0].ID())
	return eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: events}, nil
}

// bound returns the tenant that the store is bound to, "" if to none.
func (l *Log) bound(ctx context.Context) event.TenantID {
	store, ok := l.events.(interface {
		Tenant(ctx context.Context) event.TenantID
	})
	if !ok {
		return ""
	}
	return store.Tenant(ctx)
}

// stored returns the records of an earlier append, none if there was none.
func (l *Log) stored(ctx context.Context, stream eventstore.Stream) ([]ActivityRecord, error) {
	var records []ActivityRecord
	for e, err := range l.events.ReadStream(ctx, stream, eventstore.StreamQuery{}) {
		if err != nil {
			return nil, fmt.Errorf("append activity: %w", err)
		}
		record, err := FromEvent(e, Config{})
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// replayed answers an append whose first id is stored already.
func replayed(drafts []Draft, records, stored []ActivityRecord) (Receipt, error) {
	if len(stored) != len(records) {
		return Receipt{}, &ImmutableError{ID: records[0].ID()}
	}
	for i, record := range records {
		if changes := repeats(drafts[i], record, stored[i]); len(changes) > 0 {
			return Receipt{}, &ImmutableError{ID: record.ID(), Position: stored[i].Position(), Changes: changes}
		}
	}
	last := stored[len(stored)-1]
	return Receipt{Records: stored, Position: last.Position(), RecordedAt: last.RecordedAt(), Replayed: true}, nil
}

// sameAppend reports whether what is stored came of this very append, as far as
// can be told: two that say the same at the same time are one.
func sameAppend(records, stored []ActivityRecord) bool {
	for i, record := range records {
		record.d.Position, record.d.RecordedAt = stored[i].d.Position, stored[i].d.RecordedAt
		if !record.Equal(stored[i]) {
			return false
		}
	}
	return true
}

// repeats returns in what a record differs from the stored one, leaving out
// what every call has its own of: its place, its request and its chain, what
// else its context said, and the time if the draft did not claim one.
func repeats(draft Draft, record, stored ActivityRecord) []Change {
	again := record.d
	again.Position, again.RecordedAt = stored.d.Position, stored.d.RecordedAt
	again.Request, again.CorrelationID, again.CausationID = stored.d.Request, stored.d.CorrelationID, stored.d.CausationID
	if draft.OccurredAt.IsZero() {
		again.OccurredAt = stored.d.OccurredAt
	}
	again.Metadata = maps.Clone(again.Metadata)
	for key := range again.Metadata {
		if _, said := draft.Metadata[key]; said {
			continue
		}
		if value, ok := stored.d.Metadata[key]; ok {
			again.Metadata[key] = value
		}
	}
	return stored.Changes(Restore(again))
}

// settled returns records with what the store said of them.
func settled(records []ActivityRecord, result eventstore.Result) []ActivityRecord {
	out := make([]ActivityRecord, len(records))
	for i, record := range records {
		record.d.RecordedAt = event.Time(result.RecordedAt)
		if len(records) == 1 {
			record.d.Position = result.Position
		}
		out[i] = record
	}
	return out
}

func (l *Log) tell(ctx context.Context, records []ActivityRecord) {
	for _, record := range records {
		runAfter(ctx, l.config.After, record, l.config.Report)
	}
}

func inDraft(i, of int, err error) error {
	if of == 1 {
		return fmt.Errorf("append activity: %w", err)
	}
	return fmt.Errorf("append activity: drafts[%d]: %w", i, err)
}
