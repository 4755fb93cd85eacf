package transfer_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/memory"
)

// line is a history of one stream, all of whose fields are set.
func line(n int) []event.Event {
	stream := eventstore.Stream{TenantID: "acme", AggregateType: "Order", AggregateID: uuid.New()}
	events := make([]event.Event, n)
	for i := range events {
		id := event.NewID()
		events[i] = event.Event{
			ID: id, Type: "Changed", SchemaVersion: 1, TenantID: stream.TenantID, AggregateType: stream.AggregateType, AggregateID: stream.AggregateID,
			AggregateVersion: uint64(i) + 1, ActorID: "user:ada", CorrelationID: id, CausationID: id,
			OccurredAt: time.Date(2024, 5, 1, 0, 0, i, 0, time.UTC), RecordedAt: time.Date(2024, 5, 1, 0, 1, i, 0, time.UTC),
			Metadata: event.Metadata{"n": 1.0}, Data: []byte(`{"n":1}`), Position: uint64(i) + 1,
		}
	}
	return events
}

// holding returns a store that holds events as they are.
func holding(tb testing.TB, events []event.Event) *memory.Store {
	tb.Helper()
	store := inMemory(tb)
	_, err := store.Import(tb.Context(), each(events))
	require.NoError(tb, err)
	return store
}

// differ requires that the copy is refused, and Verify too, with the same
// difference, and that nothing is stored.
func differ(t *testing.T, source eventstore.Store, target transfer.Target) *transfer.DifferenceError {
	t.Helper()
	before, err := transfer.DigestOf(t.Context(), target, 0)
	require.NoError(t, err)
	report, err := transfer.Copy(t.Context(), source, target, transfer.Config{})
	require.ErrorIs(t, err, transfer.ErrDifferent)
	difference, ok := errors.AsType[*transfer.DifferenceError](err)
	require.True(t, ok)
	require.Equal(t, difference.Number-1, report.Digest.Events)
	require.Zero(t, report.Stored)
	after, err := transfer.DigestOf(t.Context(), target, 0)
	require.NoError(t, err)
	require.Equal(t, before, after)

	verified, err := transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{})
	same, ok := errors.AsType[*transfer.DifferenceError](err)
	require.True(t, ok)
	require.Equal(t, difference, same)
	require.Equal(t, report.Digest, verified.Digest)
	return difference
}

func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(e *event.Event){
		"event_id":       func(e *event.Event) { e.ID = uuid.New() },
		"event_type":     func(e *event.Event) { e.Type = "changed" },
		"schema_version": func(e *event.Event) { e.SchemaVersion = 2 },
		"actor_id":       func(e *event.Event) { e.ActorID = "user:ad" },
		"correlation_id": func(e *event.Event) { e.CorrelationID = uuid.Nil },
		"causation_id":   func(e *event.Event) { e.CausationID = uuid.Nil },
		"occurred_at":    func(e *event.Event) { e.OccurredAt = e.OccurredAt.Add(time.Microsecond) },
		"recorded_at":    func(e *event.Event) { e.RecordedAt = e.RecordedAt.Add(-time.Microsecond) },
		"metadata":       func(e *event.Event) { e.Metadata = event.Metadata{"n": 1} },
		"payload":        func(e *event.Event) { e.Data = []byte(`{"n": 1}`) },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			events := line(5)
			changed := slices.Clone(events)
			change(&changed[4])
			d := differ(t, holding(t, events), holding(t, changed))
			require.Equal(t, &transfer.DifferenceError{Number: 5, Field: field, Source: events[4], Target: d.Target}, d)
			require.Equal(t, changed[4].ID, d.Target.ID)
			require.ErrorContains(t, d, "event 5 differs in "+field)
		})
	}
}

func TestAnotherStream(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(e *event.Event){
		"tenant_id":      func(e *event.Event) { e.TenantID = "" },
		"aggregate_type": func(e *event.Event) { e.AggregateType = "order" },
		"aggregate_id":   func(e *event.Event) { e.AggregateID = uuid.New() },
	} {
		events := line(1)
		changed := slices.Clone(events)
		change(&changed[0])
		d := differ(t, holding(t, events), holding(t, changed))
		require.Equal(t, field, d.Field)
	}
}

func TestAnotherOrder(t *testing.T) {
	t.Parallel()
	events := append(line(3), line(3)...)
	turned := slices.Clone(events)
	turned[2], turned[3] = turned[3], turned[2]
	d := differ(t, holding(t, events), holding(t, turned))
	require.Equal(t, uint64(3), d.Number)
	require.Equal(t, events[2].ID, d.Source.ID)
	require.Equal(t, events[3].ID, d.Target.ID)
}

func TestTargetThatHoldsSomethingElse(t *testing.T) {
	t.Parallel()
	events := line(3)
	other := holding(t, line(1))
	d := differ(t, holding(t, events), other)
	require.Equal(t, uint64(1), d.Number)
}

// The target has become the store that is written to: a copy of the old one over
// it would be a mistake, and comparing the two is none.
func TestTargetThatHasGoneOn(t *testing.T) {
	t.Parallel()
	events := line(5)
	source, target := holding(t, events[:4]), holding(t, events)
	d := differ(t, source, target)
	require.Equal(t, &transfer.DifferenceError{Number: 5, Target: events[4]}, d)
	require.ErrorContains(t, d, "is not in the source")
	report, err := transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{Beyond: true})
	require.NoError(t, err)
	require.Equal(t, uint64(4), report.Digest.Events)
	digest, err := transfer.DigestOf(t.Context(), target, report.TargetPosition)
	require.NoError(t, err)
	require.Equal(t, report.Digest, digest)
}

func TestVerifyFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	events := line(5)
	source, target := holding(t, events), holding(t, events[:3])
	_, err := transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{})
	d, ok := errors.AsType[*transfer.DifferenceError](err)
	require.True(t, ok)
	require.Equal(t, &transfer.DifferenceError{Number: 4, Source: events[3]}, d)
	require.ErrorContains(t, err, "is not in the target")
	report, err := transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{Until: 3})
	require.NoError(t, err, "as far as it was copied")
	require.Equal(t, uint64(3), report.Digest.Events)
	_, err = transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{Until: 2})
	require.ErrorIs(t, err, transfer.ErrDifferent, "the target has more")
	_, err = transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{Until: 2, Beyond: true})
	require.NoError(t, err)
}

// Somebody else writes to the target while events are copied: that comes out at
// once, not when the old store is gone.
func TestSomebodyElseWritesToTheTarget(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	fill(t, source, 6000)
	meddled := false
	_, err := transfer.Copy(t.Context(), source, target, transfer.Config{Progress: func(transfer.Progress) {
		if !meddled {
			meddled = true
			fill(t, target, 1)
		}
	}})
	require.ErrorIs(t, err, transfer.ErrDifferent)
}
