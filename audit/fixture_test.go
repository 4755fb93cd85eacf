package audit_test

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

func id(n uint64) uuid.UUID { return uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012x", n)) }

// fullDraft returns a draft in which nothing is absent.
func fullDraft() audit.Draft {
	return audit.Draft{
		ID: id(1), TenantID: "acme", OccurredAt: start.Add(time.Microsecond), RecordedAt: start.Add(time.Second), Position: 42,
		ActorID: "user:bob", OnBehalfOf: "user:carol", OwnerID: "user:alice",
		Action: "task.closed", Entity: audit.EntityRef{Type: "Task", ID: taskID.String(), Version: 3},
		Outcome: audit.Denied, Reason: "not the owner", Purpose: "support", Description: "bob closed a task",
		Request:       audit.Request{ID: "req_1", Traceparent: "00-1", SourceAddress: "192.0.2.1", UserAgent: "curl"},
		CorrelationID: id(2), CausationID: id(3), Metadata: event.Metadata{"n": int64(1)},
		Origin: audit.Origin{
			EventID: id(1), EventType: "TaskClosed", Version: 3, Position: 42,
			Stream: eventstore.Stream{TenantID: "acme", AggregateType: "Task", AggregateID: taskID},
		},
		Reduced: []string{"metadata.sql"},
	}
}

// created returns an event as a store gives it back.
func created(position uint64, changes ...func(*event.Event)) event.Event {
	e := event.Event{
		ID: id(position), Type: "DocumentCreated", SchemaVersion: 1,
		AggregateType: "Document", AggregateID: id(1000 + position), AggregateVersion: 1,
		ActorID: "user:alice", CorrelationID: id(500), OccurredAt: start.Add(time.Duration(position) * time.Minute), RecordedAt: start,
		Position: position,
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

// logOf returns a log of the records of events.
func logOf(t *testing.T, events ...event.Event) *memory.AuditLog {
	t.Helper()
	log := memory.NewAuditLog(audit.Config{})
	for _, e := range events {
		require.NoError(t, log.Apply(t.Context(), nil, e))
	}
	return log
}

func derive(t *testing.T, e event.Event, config audit.Config) audit.ActivityRecord {
	t.Helper()
	r, err := audit.FromEvent(e, config)
	require.NoError(t, err)
	return r
}

func collect[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for item, err := range seq {
		require.NoError(t, err)
		all = append(all, item)
	}
	return all
}

func firstError[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

// broken yields one item and then an error.
type broken struct{ err error }

func (b broken) records(yield func(audit.ActivityRecord, error) bool) {
	d := fullDraft()
	_ = yield(audit.Restore(d), nil) && yield(audit.ActivityRecord{}, b.err)
}
