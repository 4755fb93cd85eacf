package audit_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

var taskID = uuid.MustParse("01900000-0000-7000-8000-00000000000a")

// createTask is the least that a record needs.
func createTask(changes ...func(*audit.Draft)) audit.Draft {
	d := audit.Draft{ActorID: "user:alice", Action: "create_task", Entity: audit.Aggregate("Task", taskID)}
	for _, change := range changes {
		change(&d)
	}
	return d
}

func TestNewRecordFillsItsDefaultsIn(t *testing.T) {
	t.Parallel()
	before := time.Now()
	r, err := audit.NewRecord(audit.Draft{Action: "create_task", Entity: audit.Aggregate("Task", taskID)})
	require.NoError(t, err)
	assert.EqualValues(t, 7, r.ID().Version())
	assert.WithinDuration(t, before, r.OccurredAt(), time.Minute)
	assert.Equal(t, time.UTC, r.OccurredAt().Location())
	assert.Equal(t, event.Anonymous, r.ActorID())
	assert.Equal(t, audit.Success, r.Outcome())
	assert.Zero(t, r.Position())
	assert.Zero(t, r.RecordedAt())
	assert.Nil(t, r.Metadata())
	assert.True(t, r.Origin().IsZero())
}

func TestNewRecordTakesTheTimeFromTheID(t *testing.T) {
	t.Parallel()
	noon := time.Date(2024, 1, 15, 12, 0, 0, 0, time.UTC)
	r, err := audit.NewRecord(createTask(func(d *audit.Draft) { d.ID = event.NewIDAt(noon) }))
	require.NoError(t, err)
	assert.Equal(t, noon, r.OccurredAt())
	_, err = audit.NewRecord(createTask(func(d *audit.Draft) { d.ID = uuid.NewSHA1(taskID, nil) }))
	requireInvalid(t, err, "occurred_at") // there is no time in such an id
}

func TestARecordSaysWhatItsDraftSays(t *testing.T) {
	t.Parallel()
	d := fullDraft()
	r, err := audit.NewRecord(d)
	require.NoError(t, err)
	assert.Equal(t, d, r.Draft())
	assert.Equal(t, d.ID, r.ID())
	assert.Equal(t, d.TenantID, r.TenantID())
	assert.Equal(t, d.OccurredAt, r.OccurredAt())
	assert.Equal(t, d.RecordedAt, r.RecordedAt())
	assert.Equal(t, d.Position, r.Position())
	assert.Equal(t, d.ActorID, r.ActorID())
	assert.Equal(t, d.OnBehalfOf, r.OnBehalfOf())
	assert.Equal(t, d.OwnerID, r.OwnerID())
	assert.Equal(t, d.Action, r.Action())
	assert.Equal(t, d.Entity, r.Entity())
	assert.Equal(t, d.Outcome, r.Outcome())
	assert.Equal(t, d.Reason, r.Reason())
	assert.Equal(t, d.Purpose, r.Purpose())
	assert.Equal(t, d.Description, r.Description())
	assert.Equal(t, d.Request, r.Request())
	assert.Equal(t, d.CorrelationID, r.CorrelationID())
	assert.Equal(t, d.CausationID, r.CausationID())
	assert.Equal(t, d.Metadata, r.Metadata())
	assert.Equal(t, d.Origin, r.Origin())
	assert.Equal(t, d.Origin.EventType, r.EventType())
	assert.Equal(t, d.Reduced, r.Reduced())
	assert.Equal(t, r, audit.Restore(d))
	assert.Equal(t, "#42 bob closed a task", r.String())
}

func TestARecordCannotBeChanged(t *testing.T) {
	t.Parallel()
	d := fullDraft()
	r, err := audit.NewRecord(d)
	require.NoError(t, err)
	restored := audit.Restore(d)
	for _, m := range []event.Metadata{d.Metadata, r.Metadata(), r.Draft().Metadata} {
		m["forged"] = true
	}
	for _, reduced := range [][]string{d.Reduced, r.Reduced(), r.Draft().Reduced} {
		reduced[0] = "forged"
	}
	assert.Equal(t, fullDraft(), r.Draft())
	assert.Equal(t, fullDraft(), restored.Draft())
}

func TestNewRecordNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1001)
	for field, change := range map[string]func(*audit.Draft){
		"actor_id":               func(d *audit.Draft) { d.ActorID = "alice" },
		"on_behalf_of":           func(d *audit.Draft) { d.OnBehalfOf = "alice" },
		"tenant_id":              func(d *audit.Draft) { d.TenantID = "a\x00" },
		"occurred_at":            func(d *audit.Draft) { d.OccurredAt = time.Date(12024, 1, 1, 0, 0, 0, 0, time.UTC) },
		"action":                 func(d *audit.Draft) { d.Action = "Create Task" },
		"entity.type":            func(d *audit.Draft) { d.Entity.Type = "" },
		"entity.id":              func(d *audit.Draft) { d.Entity.ID = "" },
		"outcome":                func(d *audit.Draft) { d.Outcome = "maybe" },
		"owner_id":               func(d *audit.Draft) { d.OwnerID = "a\nb" },
		"reason":                 func(d *audit.Draft) { d.Reason = "\xff" },
		"request.id":             func(d *audit.Draft) { d.Request.ID = "a\x7f" },
		"request.traceparent":    func(d *audit.Draft) { d.Request.Traceparent = "\x00" },
		"request.source_address": func(d *audit.Draft) { d.Request.SourceAddress = "\r\n" },
		"metadata.list":          func(d *audit.Draft) { d.Metadata = event.Metadata{"list": []any{1}} },
		"metadata.nan":           func(d *audit.Draft) { d.Metadata = event.Metadata{"nan": math.NaN()} },
		"metadata.text":          func(d *audit.Draft) { d.Metadata = event.Metadata{"text": "a\x00b"} },
	} {
		_, err := audit.NewRecord(createTask(change))
		requireInvalid(t, err, field)
	}
	for field, change := range map[string]func(*audit.Draft){
		"action":             func(d *audit.Draft) { d.Action = long },
		"entity.id":          func(d *audit.Draft) { d.Entity.ID = long },
		"owner_id":           func(d *audit.Draft) { d.OwnerID = long },
		"reason":             func(d *audit.Draft) { d.Reason = long },
		"purpose":            func(d *audit.Draft) { d.Purpose = long },
		"description":        func(d *audit.Draft) { d.Description = long },
		"request.user_agent": func(d *audit.Draft) { d.Request.UserAgent = long },
		"metadata.text":      func(d *audit.Draft) { d.Metadata = event.Metadata{"text": long[:audit.MaxMetadataString+1]} },
		"metadata": func(d *audit.Draft) {
			d.Metadata = event.Metadata{}
			for i := range audit.MaxMetadataKeys + 1 {
				d.Metadata[strconv.Itoa(i)] = i
			}
		},
	} {
		_, err := audit.NewRecord(createTask(change))
		var large *event.TooLargeError
		require.ErrorAs(t, err, &large, field)
		assert.Equal(t, field, large.Field)
		require.ErrorIs(t, err, audit.ErrTooLarge)
	}
}

func requireInvalid(t *testing.T, err error, field string) {
	t.Helper()
	var invalid *event.InvalidError
	require.ErrorAs(t, err, &invalid, field)
	assert.Equal(t, field, invalid.Field)
	require.ErrorIs(t, err, audit.ErrInvalid)
}

func TestMetadataIsNormalised(t *testing.T) {
	t.Parallel()
	r, err := audit.NewRecord(createTask(func(d *audit.Draft) {
		d.Metadata = event.Metadata{
			"a": 1, "b": int8(2), "c": int16(3), "d": int32(4), "e": int64(5), "f": uint(6), "g": uint8(7), "h": uint16(8), "i": uint32(9),
			"j": uint64(10), "k": uint64(math.MaxUint64), "l": float32(0.5), "m": 1.0, "n": nil, "o": true, "p": "text",
		}
	}))
	require.NoError(t, err)
	assert.Equal(t, event.Metadata{
		"a": int64(1), "b": int64(2), "c": int64(3), "d": int64(4), "e": int64(5), "f": int64(6), "g": int64(7), "h": int64(8), "i": int64(9),
		"j": int64(10), "k": uint64(math.MaxUint64), "l": 0.5, "m": 1.0, "n": nil, "o": true, "p": "text",
	}, r.Metadata())
}

func TestStringNeedsNoDescription(t *testing.T) {
	t.Parallel()
	r, err := audit.NewRecord(createTask())
	require.NoError(t, err)
	assert.Equal(t, "#0 user:alice create_task Task/01900000-0000-7000-8000-00000000000a", r.String())
}

func TestRecordsAsJSON(t *testing.T) {
	t.Parallel()
	r, err := audit.NewRecord(fullDraft())
	require.NoError(t, err)
	data, err := json.Marshal(r)
	require.NoError(t, err)
	assert.JSONEq(t, `{
	"id": "01900000-0000-7000-8000-000000000001",
	"tenant_id": "acme",
	"occurred_at": "2024-01-15T10:30:00.000001Z",
	"recorded_at": "2024-01-15T10:30:01Z",
	"position": "42",
	"actor_id": "user:bob",
	"on_behalf_of": "user:carol",
	"owner_id": "user:alice",
	"action": "task.closed",
	"entity": {
		"type": "Task",
		"id": "01900000-0000-7000-8000-00000000000a",
		"version": "3"
	},
	"outcome": "denied",
	"reason": "not the owner",
	"purpose": "support",
	"description": "bob closed a task",
	"request": {
		"id": "req_1",
		"traceparent": "00-1",
		"source_address": "192.0.2.1",
		"user_agent": "curl"
	},
	"correlation_id": "01900000-0000-7000-8000-000000000002",
	"causation_id": "01900000-0000-7000-8000-000000000003",
	"metadata": {
		"n": 1
	},
	"origin": {
		"event_id": "01900000-0000-7000-8000-000000000001",
		"event_type": "TaskClosed",
		"aggregate_type": "Task",
		"aggregate_id": "01900000-0000-7000-8000-00000000000a",
		"version": "3",
		"position": "42"
	},
	"reduced": [
		"metadata.sql"
	]
}`, string(data))
	bare, err := audit.NewRecord(createTask(func(d *audit.Draft) { d.ID = taskID }))
	require.NoError(t, err)
	data, err = json.Marshal(bare)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"01900000-0000-7000-8000-00000000000a","occurred_at":"2024-06-10T02:35:18.4Z","actor_id":"user:alice",
		"action":"create_task","entity":{"type":"Task","id":"01900000-0000-7000-8000-00000000000a"},"outcome":"success"}`, string(data))
}
