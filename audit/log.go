package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
//     record under a stored id is refused with [ErrImmutable]. Of several
//     drafts all name their ids, or none.
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
	_, failed := l.store(ctx, records, outgoing)
	switch {
	case errors.Is(failed, eventstore.ErrDuplicateEvent): // an id of another append, or of an event
		return Receipt{}, &ImmutableError{ID: records[0].ID()}
	case failed != nil && !errors.Is(failed, eventstore.ErrConflict):
		return Receipt{}, failed
	}
	stored, err = l.readBack(ctx, outgoing.Stream)
	if failed != nil && len(stored) == 0 { // nothing of this append is stored, whatever was found or not.
		return Receipt{}, failed
	}
	if err != nil {
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

// readBackTimeout bounds the reading back of what was stored.
const readBackTimeout = 5 * time.Second

// readBack returns what this append has stored, or another one with the same
// ids that was faster. A caller that goes away does not end it: what is stored
// has to be told.
func (l *Log) readBack(ctx context.Context, stream eventstore.Stream) ([]ActivityRecord, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	stored, err := l.stored(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be read back: %w", eventstore.ErrOutcomeUnknown, err)
	}
	return stored, nil
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
// be saved to the log's store. Drafts that name their ids and are stored
// already do not join: it returns what is stored. Errors are those of [Log.Append].
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
	if drafts[0].ID != uuid.Nil {
		stored, err := l.stored(ctx, outgoing.Stream)
		if err != nil {
			return nil, err
		}
		if len(stored) > 0 {
			receipt, err := replayed(drafts, records, stored)
			return receipt.Records, err
		}
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
		if (draft.ID == uuid.Nil) != (drafts[0].ID == uuid.Nil) {
			return nil, inDraft(i, len(drafts), &event.InvalidError{Field: "id", Reason: "must be given in all drafts of one append, or in none"})
		}
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
