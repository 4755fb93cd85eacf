package audittest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/projection"
)

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// id returns the same id for the same number.
func id(n uint64) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012x", n))
}

// at returns an event at a position: alice created a document, a minute after
// the one before.
func at(position uint64, changes ...func(e *event.Event)) event.Event {
	e := event.Event{
		ID: id(position), Type: "DocumentCreated", SchemaVersion: 1,
		AggregateType: "Document", AggregateID: id(1_000_000 + position), AggregateVersion: 1,
		ActorID: "user:alice", CorrelationID: id(position),
		OccurredAt: start.Add(time.Duration(position) * time.Minute), RecordedAt: start.Add(time.Duration(position) * time.Second),
		Position: position, Data: []byte(`{}`),
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

func by(actor event.ActorID) func(*event.Event) { return func(e *event.Event) { e.ActorID = actor } }

func of(tenant event.TenantID) func(*event.Event) {
	return func(e *event.Event) { e.TenantID = tenant }
}

func occurred(t time.Time) func(*event.Event) { return func(e *event.Event) { e.OccurredAt = t } }

// explicit makes an event an activity that somebody wrote down: bob closed task
// 5 or was not allowed to, and so on.
func explicit(outcome audit.Outcome) func(*event.Event) {
	return func(e *event.Event) {
		e.Type, e.AggregateType, e.AggregateID, e.AggregateVersion = audit.RecordedType, audit.ActivityStream, e.ID, 1
		e.Data = fmt.Appendf(nil, `{
			"action": "task.close", "entity": {"type": "Task", "id": "task/5", "version": "3"}, "outcome": %q,
			"owner_id": "user:2", "on_behalf_of": "user:carol", "reason": "it was done", "purpose": "tidying up",
			"description": "closed a task", "request": {"id": "req_1", "source_address": "192.0.2.1"}
		}`, outcome)
	}
}

func with(m event.Metadata) func(*event.Event) { return func(e *event.Event) { e.Metadata = m } }

// run returns the events at the positions from first to last.
func run(first, last uint64, changes ...func(e *event.Event)) []event.Event {
	var events []event.Event
	for position := first; position <= last; position++ {
		events = append(events, at(position, changes...))
	}
	return events
}

// full returns an event in which nothing is absent.
func full(position uint64) event.Event {
	return at(position, func(e *event.Event) {
		e.SchemaVersion, e.AggregateVersion = 3, 7
		e.TenantID, e.ActorID = "acme", "service:billing"
		e.CorrelationID, e.CausationID = id(501), id(502)
		e.OccurredAt = start.Add(123456 * time.Microsecond)
		e.Metadata = event.Metadata{
			audit.KeyOwner: "user:bob", audit.KeyOnBehalfOf: "user:carol", audit.KeyPurpose: "yearly review",
			audit.KeyRequest: "req_abc123", audit.KeyTraceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			audit.KeySourceAddress: "192.168.1.100", audit.KeyUserAgent: "Mozilla/5.0 …",
			"nested": map[string]any{"a": []any{int64(1), "é"}},
		}
	})
}

// mixed returns events of several actors, tenants, types and documents, some
// with metadata, with clocks that run backwards now and then, and explicit
// activities.
func mixed(n uint64) []event.Event {
	actors := []event.ActorID{"user:alice", "user:bob", "", "system:cleanup", event.Anonymous}
	tenants := []event.TenantID{"", "acme", "Acme"}
	types := []string{"DocumentCreated", "DocumentEdited", "Archived"}
	events := make([]event.Event, 0, n)
	for position := uint64(1); position <= n; position++ {
		events = append(events, at(3*position, func(e *event.Event) {
			e.ActorID = actors[position%5]
			e.TenantID = tenants[position%3]
			e.Type = types[position%3]
			e.AggregateID, e.AggregateVersion = id(2_000_000+position%7), position/7+1
			e.CorrelationID = id(3_000_000 + position/10)
			if position%4 == 0 {
				e.OccurredAt = start.Add(-time.Duration(position) * time.Hour)
				e.Metadata = event.Metadata{
					audit.KeyOwner: fmt.Sprintf("user:%d", position%6), audit.KeyOnBehalfOf: "user:dave", "n": int64(position),
				}
			}
			if position%6 == 5 {
				explicit([]audit.Outcome{audit.Success, audit.Failure, audit.Denied}[position/6%3])(e)
			}
		}))
	}
	return events
}

type home interface {
	projection.Projection
}

// inTx calls f with a transaction, or without one if the home takes none, and
// commits it.
func inTx(ctx context.Context, p home, begin func(context.Context) (projection.Tx, error), f func(tx projection.Tx) error) error {
	if p.Guarantee() != projection.ExactlyOnce {
		return f(nil)
	}
	tx, err := begin(ctx)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	return tx.Commit(ctx)
}

func apply(ctx context.Context, p home, begin func(context.Context) (projection.Tx, error), events []event.Event) error {
	return inTx(ctx, p, begin, func(tx projection.Tx) error {
		for _, e := range events {
			if err := p.Apply(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h LogHarness) apply(t promisetest.T, events ...event.Event) {
	t.Helper()
	require.NoError(t, apply(t.Context(), h.Home, h.Begin, events))
}

func (h LogHarness) reset(t promisetest.T) {
	t.Helper()
	require.NoError(t, inTx(t.Context(), h.Home, h.Begin, func(tx projection.Tx) error { return h.Home.Reset(t.Context(), tx) }))
}

func (h LogHarness) reader() audit.Reader { return audit.NewReader(h.Home) }

func (h ActivityHarness) apply(t promisetest.T, events ...event.Event) {
	t.Helper()
	require.NoError(t, apply(t.Context(), h.Home, h.Begin, events))
}

func (h ActivityHarness) reset(t promisetest.T) {
	t.Helper()
	require.NoError(t, inTx(t.Context(), h.Home, h.Begin, func(tx projection.Tx) error { return h.Home.Reset(t.Context(), tx) }))
}

func (h ActivityHarness) reader() audit.ActivityReader { return audit.NewActivityReader(h.Home) }

// all returns what a sequence yields, and requires that it yields no error.
func all[T any](t promisetest.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var items []T
	for item, err := range seq {
		require.NoError(t, err)
		items = append(items, item)
	}
	return items
}

// onlyError requires that a sequence yields one error and nothing else.
func onlyError[T any](t promisetest.T, seq iter.Seq2[T, error]) error {
	t.Helper()
	var zero T
	var errs []error
	for item, err := range seq {
		require.Error(t, err)
		require.Equal(t, zero, item)
		errs = append(errs, err)
	}
	require.Len(t, errs, 1)
	return errs[0]
}

// positions returns the positions of records.
func positions(t promisetest.T, seq iter.Seq2[audit.ActivityRecord, error]) []uint64 {
	t.Helper()
	found := []uint64{}
	for _, record := range all(t, seq) {
		found = append(found, record.Position())
	}
	return found
}

// entries returns the positions of activities.
func entries(t promisetest.T, seq iter.Seq2[audit.Activity, error]) []uint64 {
	t.Helper()
	found := []uint64{}
	for _, activity := range all(t, seq) {
		found = append(found, activity.Position)
	}
	return found
}

// down returns the numbers from first down to last.
func down(first, last uint64) []uint64 {
	var numbers []uint64
	for n := first; n >= last; n-- {
		numbers = append(numbers, n)
	}
	return numbers
}

func up(first, last uint64) []uint64 {
	var numbers []uint64
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// derived returns the records of events, in their order.
func derived(t promisetest.T, events []event.Event) []audit.ActivityRecord {
	t.Helper()
	records := make([]audit.ActivityRecord, len(events))
	for i, e := range events {
		record, err := audit.FromEvent(e, audit.Config{})
		require.NoError(t, err)
		records[i] = record
	}
	return records
}

// given is a log of records that are given in the order of their positions.
type given []audit.ActivityRecord

// Find implements [audit.Finder] as far as [audit.Compare] needs it.
func (g given) Find(context.Context, audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		for _, record := range g {
			if !yield(record, nil) {
				return
			}
		}
	}
}

// FindActions implements [audit.Finder]; nobody asks.
func (g given) FindActions(context.Context, audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
	return func(func(audit.ActionUse, error) bool) {}
}

// requireLog requires that the log holds the records of events and no others.
func (h LogHarness) requireLog(t promisetest.T, events []event.Event) {
	t.Helper()
	comparison, err := audit.Compare(t.Context(), h.Home, given(derived(t, events)), 3)
	require.NoError(t, err)
	require.True(t, comparison.Equal(), comparison.String())
	require.EqualValues(t, len(events), comparison.Compared)
}
