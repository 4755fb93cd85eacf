package audittest

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

func (h AppendHarness) log(t promisetest.T, config audit.LogConfig) *audit.Log {
	t.Helper()
	log, err := audit.NewLog(h.Store, h.Records, config)
	require.NoError(t, err)
	return log
}

// found returns all records, oldest first, when they have all arrived.
func (h AppendHarness) found(t promisetest.T, query audit.Query) []audit.ActivityRecord {
	t.Helper()
	if h.Settle != nil {
		require.NoError(t, h.Settle(t.Context()))
	}
	query.OldestFirst = true
	return all(t, h.Records.Find(t.Context(), query))
}

func (h AppendHarness) requireNothing(t promisetest.T) {
	t.Helper()
	head, err := h.Store.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, head, "nothing is stored")
}

// exported is a draft that says the least.
func exported() audit.Draft {
	return audit.Draft{Action: "document.exported", Entity: audit.EntityRef{Type: "Document", ID: "d1"}}
}

func recordAmongEvents(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	tasks := newTasks(h.Store)
	task := tasks.New(event.NewID())
	require.NoError(t, task.Create(ctx, "Plan"))
	require.NoError(t, tasks.Save(ctx, task))
	receipt, err := h.log(t, audit.LogConfig{}).Append(ctx, exported())
	require.NoError(t, err)
	require.NoError(t, task.Rename(ctx, "Plans"))
	require.NoError(t, tasks.Save(ctx, task))

	found := h.found(t, audit.Query{})
	require.Len(t, found, 3)
	assert.Equal(t, []string{"task.created", "document.exported", "task.renamed"}, actions(found))
	assert.Equal(t, receipt.Position, found[1].Position())
	assert.Equal(t, receipt.Records[0].ID(), found[1].ID())
	assert.True(t, receipt.RecordedAt.Equal(found[1].RecordedAt()))
}

func actions(records []audit.ActivityRecord) []string {
	var out []string
	for _, record := range records {
		out = append(out, record.Action())
	}
	return out
}

func replayOfAppended(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	for range 3 {
		_, err := h.log(t, audit.LogConfig{}).Append(ctx, exported(), exported())
		require.NoError(t, err)
	}
	assert.Len(t, h.found(t, audit.Query{}), 6)
	comparison, err := audit.Compare(ctx, h.Records, audit.Replay(h.Store, audit.Config{}), 10)
	require.NoError(t, err)
	assert.True(t, comparison.Equal(), comparison)
}

// whole is a draft in which nothing is left out.
func whole() audit.Draft {
	return audit.Draft{
		ID: event.NewID(), TenantID: "acme", OccurredAt: start.Add(123456 * time.Microsecond),
		ActorID: "service:billing", OnBehalfOf: "user:carol", OwnerID: "user:bob",
		Action: "invoice.line.exported", Entity: audit.EntityRef{Type: "Invoice", ID: "é/ 7%", Version: 1 << 60},
		Outcome: audit.Denied, Reason: "not the <owner> of \"7\"", Purpose: "yearly review", Description: "billing tried to export invoice 7",
		Request: audit.Request{
			ID: "req_abc123", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			SourceAddress: "192.168.1.100", UserAgent: "Mozilla/5.0 …",
		},
		CorrelationID: id(501), CausationID: id(502),
		Metadata: event.Metadata{"int": int64(1), "whole": float64(1), "text": "1", "bool": true, "nil": nil, "large": uint64(1) << 63},
	}
}

func everyAppendedField(t promisetest.T, h AppendHarness) {
	draft := whole()
	receipt, err := h.log(t, audit.LogConfig{}).Append(t.Context(), draft)
	require.NoError(t, err)
	draft.Position, draft.RecordedAt = receipt.Position, receipt.RecordedAt
	want, err := audit.NewRecord(draft)
	require.NoError(t, err)
	assert.Equal(t, []audit.ActivityRecord{want}, receipt.Records)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	assert.Empty(t, want.Changes(found[0]))
	assert.True(t, found[0].Origin().IsZero(), "it is derived from nothing")
}

func appendedDefaults(t promisetest.T, h AppendHarness) {
	now := start.Add(time.Hour)
	log := h.log(t, audit.LogConfig{Now: func() time.Time { return now }})
	receipt, err := log.Append(t.Context(), exported())
	require.NoError(t, err)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	record := found[0]
	assert.Empty(t, receipt.Records[0].Changes(record))
	assert.Equal(t, uuid.Version(7), record.ID().Version())
	assert.True(t, record.OccurredAt().Equal(now))
	assert.Equal(t, audit.Success, record.Outcome())
	assert.Equal(t, record.ID(), record.CorrelationID(), "it starts a chain of its own")
	assert.Nil(t, record.Metadata())
}

func questionsFindAppended(t promisetest.T, h AppendHarness) {
	draft := whole()
	draft.TenantID = ""
	receipt, err := h.log(t, audit.LogConfig{}).Append(t.Context(), draft)
	require.NoError(t, err)
	for _, query := range []audit.Query{
		{ID: draft.ID},
		{ActorID: draft.ActorID},
		{OwnerID: draft.OwnerID},
		{Action: draft.Action},
		{EntityType: draft.Entity.Type, EntityID: draft.Entity.ID},
		{CorrelationID: draft.CorrelationID},
		{OccurredFrom: draft.OccurredAt, OccurredUntil: draft.OccurredAt.Add(time.Second)},
	} {
		found := h.found(t, query)
		require.Len(t, found, 1, "%+v", query)
		assert.Equal(t, receipt.Records[0].ID(), found[0].ID())
	}
	assert.Empty(t, h.found(t, audit.Query{EntityType: audit.ActivityStream}), "the stream is no entity")
}

func severalOrNone(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{})
	bad := exported()
	bad.Action = "Export!"
	_, err := log.Append(t.Context(), exported(), bad, exported())
	invalid, ok := errors.AsType[*event.InvalidError](err)
	require.True(t, ok, err)
	assert.Equal(t, "action", invalid.Field)
	require.ErrorContains(t, err, "drafts[1]")
	h.requireNothing(t)

	drafts := []audit.Draft{exported(), whole(), exported()}
	drafts[0].TenantID, drafts[2].TenantID, drafts[2].Action = "acme", "acme", "document.printed"
	_, err = log.Append(t.Context(), drafts...)
	require.ErrorIs(t, err, audit.ErrInvalid, "one names its id, and others do not")
	require.ErrorContains(t, err, "drafts[1]: invalid id")
	h.requireNothing(t)
	drafts[1].ID = uuid.Nil
	receipt, err := log.Append(t.Context(), drafts...)
	require.NoError(t, err)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 3)
	assert.Equal(t, []string{"document.exported", "invoice.line.exported", "document.printed"}, actions(found), "in their order")
	assert.Equal(t, receipt.Position, found[2].Position())
	for i := range found {
		assert.Equal(t, receipt.Records[i].ID(), found[i].ID())
	}
}

func joinsASave(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	log, tasks := h.log(t, audit.LogConfig{}), newTasks(h.Store)
	task := tasks.New(event.NewID())
	require.NoError(t, task.Create(ctx, "Plan"))
	joined, err := log.AppendWith(ctx, task, exported())
	require.NoError(t, err)
	h.requireNothing(t)
	require.NoError(t, tasks.Save(ctx, task))
	found := h.found(t, audit.Query{})
	require.Len(t, found, 2)
	assert.Equal(t, []string{"task.created", "document.exported"}, actions(found))
	assert.Equal(t, joined[0].ID(), found[1].ID())
	assert.Equal(t, found[0].ID(), found[1].CausationID(), "it follows from what was emitted")
	assert.Equal(t, found[0].CorrelationID(), found[1].CorrelationID())
	assert.Equal(t, found[0].RecordedAt(), found[1].RecordedAt(), "stored at once")

	require.NoError(t, tasks.Save(ctx, task), "saved once")
	_, err = log.AppendWith(ctx, task, exported())
	require.NoError(t, err)
	require.NoError(t, tasks.Save(ctx, task), "nothing else is pending")
	assert.Len(t, h.found(t, audit.Query{}), 3)
}

func conflictStoresNeither(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	log, tasks := h.log(t, audit.LogConfig{}), newTasks(h.Store)
	task := tasks.New(event.NewID())
	require.NoError(t, task.Create(ctx, "Plan"))
	require.NoError(t, tasks.Save(ctx, task))
	stale, err := tasks.Load(ctx, task.ID())
	require.NoError(t, err)
	require.NoError(t, task.Rename(ctx, "Plans"))
	require.NoError(t, tasks.Save(ctx, task))

	for name, emits := range map[string]bool{"with an event of its own": true, "with nothing but the record": false} {
		if emits {
			require.NoError(t, stale.Rename(ctx, "Planned"))
		}
		_, err = log.AppendWith(ctx, stale, exported())
		require.NoError(t, err)
		require.ErrorIs(t, tasks.Save(ctx, stale), eventstore.ErrConflict, name)
	}
	assert.Equal(t, []string{"task.created", "task.renamed"}, actions(h.found(t, audit.Query{})))
}

func updateStoresOnce(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	log, tasks := h.log(t, audit.LogConfig{}), newTasks(h.Store)
	taskID, calls := event.NewID(), 0
	err := tasks.Update(ctx, taskID, func(task *task) error {
		if calls++; calls == 1 { // somebody else is faster
			other := tasks.New(taskID)
			if err := errors.Join(other.Create(ctx, "Theirs"), tasks.Save(ctx, other)); err != nil {
				return err
			}
		}
		if err := task.Rename(ctx, "Mine"); err != nil {
			return err
		}
		_, err := log.AppendWith(ctx, task, exported())
		return err
	})
	require.NoError(t, err)
	assert.Equal(t, 2, calls)
	assert.Equal(t, []string{"task.created", "task.renamed", "document.exported"}, actions(h.found(t, audit.Query{})))
}

func joinsSaveAll(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	log, tasks := h.log(t, audit.LogConfig{}), newTasks(h.Store)
	first, second := tasks.New(event.NewID()), tasks.New(event.NewID())
	require.NoError(t, errors.Join(first.Create(ctx, "A"), second.Create(ctx, "B")))
	_, errFirst := log.AppendWith(ctx, first, exported())
	_, errSecond := log.AppendWith(ctx, second, exported(), exported())
	require.NoError(t, errors.Join(errFirst, errSecond))
	require.NoError(t, saveAll(ctx, h.Store, first, second))
	found := h.found(t, audit.Query{})
	require.Len(t, found, 5)
	assert.Equal(t, uint64(1), first.SavedVersion())
	assert.Equal(t, uint64(1), second.SavedVersion())
}

func contextFillsIn(t promisetest.T, h AppendHarness) {
	ctx := event.WithOrigin(t.Context(), event.Origin{
		ActorID: "user:alice", TenantID: "acme", CorrelationID: id(501), CausationID: id(502),
		Metadata: event.Metadata{
			"channel": "mobile", audit.KeyRequest: "req_1", audit.KeyTraceparent: "00-1", audit.KeySourceAddress: "::1",
			audit.KeyUserAgent: "curl", audit.KeyOnBehalfOf: "user:carol", audit.KeyPurpose: "support",
		},
	})
	_, err := h.log(t, audit.LogConfig{}).Append(ctx, exported())
	require.NoError(t, err)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	d := found[0].Draft()
	assert.Equal(t, event.ActorID("user:alice"), d.ActorID)
	assert.Equal(t, event.TenantID("acme"), d.TenantID)
	assert.Equal(t, []uuid.UUID{id(501), id(502)}, []uuid.UUID{d.CorrelationID, d.CausationID})
	assert.Equal(t, audit.Request{ID: "req_1", Traceparent: "00-1", SourceAddress: "::1", UserAgent: "curl"}, d.Request)
	assert.Equal(t, event.ActorID("user:carol"), d.OnBehalfOf)
	assert.Equal(t, "support", d.Purpose)
	assert.Equal(t, "mobile", d.Metadata["channel"])
}

func draftWins(t promisetest.T, h AppendHarness) {
	ctx := event.WithOrigin(t.Context(), event.Origin{
		ActorID: "user:alice", CorrelationID: id(1), CausationID: id(2),
		Metadata: event.Metadata{"text": "context", audit.KeyRequest: "req_1", audit.KeyPurpose: "support"},
	})
	draft := whole()
	_, err := h.log(t, audit.LogConfig{}).Append(ctx, draft)
	require.NoError(t, err)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	d := found[0].Draft()
	assert.Equal(t, draft.ActorID, d.ActorID)
	assert.Equal(t, draft.CorrelationID, d.CorrelationID)
	assert.Equal(t, draft.Request, d.Request)
	assert.Equal(t, draft.Purpose, d.Purpose)
	assert.Equal(t, "1", d.Metadata["text"])
}

func nobodyIsAnonymous(t promisetest.T, h AppendHarness) {
	_, err := h.log(t, audit.LogConfig{}).Append(t.Context(), exported())
	require.NoError(t, err)
	found := h.found(t, audit.Query{ActorID: event.Anonymous})
	require.Len(t, found, 1)
	assert.Equal(t, event.Anonymous, found[0].ActorID())
}

func badDrafts(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{})
	for field, spoil := range map[string]func(*audit.Draft){
		"action":             func(d *audit.Draft) { d.Action = "Export!" },
		"entity.type":        func(d *audit.Draft) { d.Entity.Type = "" },
		"entity.id":          func(d *audit.Draft) { d.Entity.ID = "a\x00b" },
		"outcome":            func(d *audit.Draft) { d.Outcome = "fine" },
		"actor_id":           func(d *audit.Draft) { d.ActorID = "nobody in particular" },
		"on_behalf_of":       func(d *audit.Draft) { d.OnBehalfOf = "carol" },
		"tenant_id":          func(d *audit.Draft) { d.TenantID = event.TenantID(strings.Repeat("t", 1000)) },
		"reason":             func(d *audit.Draft) { d.Reason = strings.Repeat("r", audit.MaxReasonBytes+1) },
		"purpose":            func(d *audit.Draft) { d.Purpose = "a\xff" },
		"description":        func(d *audit.Draft) { d.Description = "a\x00" },
		"request.user_agent": func(d *audit.Draft) { d.Request.UserAgent = strings.Repeat("u", audit.MaxRequestBytes+1) },
		"owner_id":           func(d *audit.Draft) { d.OwnerID = strings.Repeat("o", audit.MaxOwnerBytes+1) },
		"metadata.nested":    func(d *audit.Draft) { d.Metadata = event.Metadata{"nested": map[string]any{}} },
		"metadata.long": func(d *audit.Draft) {
			d.Metadata = event.Metadata{"long": strings.Repeat("x", audit.MaxMetadataString+1)}
		},
		"position":    func(d *audit.Draft) { d.Position = 7 },
		"recorded_at": func(d *audit.Draft) { d.RecordedAt = start },
		"origin":      func(d *audit.Draft) { d.Origin.EventType = "DocumentCreated" },
		"reduced":     func(d *audit.Draft) { d.Reduced = []string{"metadata"} },
	} {
		draft := exported()
		spoil(&draft)
		_, err := log.Append(t.Context(), draft)
		require.Error(t, err, field)
		require.ErrorContains(t, err, field)
		assert.True(t, errors.Is(err, audit.ErrInvalid) || errors.Is(err, audit.ErrTooLarge), "%s: %v", field, err)
	}
	h.requireNothing(t)
}

func tooManyDrafts(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{})
	_, err := log.Append(t.Context())
	require.ErrorIs(t, err, audit.ErrInvalid)
	drafts := make([]audit.Draft, audit.MaxAppend+1)
	for i := range drafts {
		drafts[i] = exported()
	}
	_, err = log.Append(t.Context(), drafts...)
	require.ErrorIs(t, err, audit.ErrTooLarge)
	drafts[1].TenantID = "acme"
	_, err = log.Append(t.Context(), drafts[:2]...)
	require.ErrorIs(t, err, audit.ErrInvalid)
	require.ErrorContains(t, err, "tenant_id")
	h.requireNothing(t)
	_, err = log.Append(t.Context(), append(drafts[:1], drafts[2:]...)...)
	require.NoError(t, err)
	assert.Len(t, h.found(t, audit.Query{}), audit.MaxAppend)
}

func boundTenant(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{}).On(eventstore.BindTenant(h.Store, "acme"))
	receipt, err := log.Append(t.Context(), exported())
	require.NoError(t, err)
	assert.Equal(t, event.TenantID("acme"), receipt.Records[0].TenantID())
	draft := exported()
	draft.TenantID = "globex"
	_, err = log.Append(t.Context(), draft)
	require.ErrorIs(t, err, eventstore.ErrTenant)
	_, err = log.Append(event.WithTenant(t.Context(), "globex"), exported())
	require.ErrorIs(t, err, eventstore.ErrTenant)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	assert.Equal(t, event.TenantID("acme"), found[0].TenantID())
}

func requiredTenant(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{}).On(eventstore.RequireTenant(h.Store))
	_, err := log.Append(t.Context(), exported())
	require.ErrorIs(t, err, eventstore.ErrTenant)
	h.requireNothing(t)
	_, err = log.Append(event.WithTenant(t.Context(), "acme"), exported())
	require.NoError(t, err)
}

// saying returns a hook that notes its name and returns what it is told to.
func saying(said *[]string, name string, err error) audit.BeforeAppend {
	return func(_ context.Context, draft *audit.Draft) error {
		*said = append(*said, name)
		draft.Reason += name
		return err
	}
}
