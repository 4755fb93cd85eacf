package audittest

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

var errNo = errors.New("no")

func hooksPatch(t promisetest.T, h AppendHarness) {
	var said []string
	log := h.log(t, audit.LogConfig{Before: []audit.BeforeAppend{
		saying(&said, "a", nil),
		func(_ context.Context, d *audit.Draft) error {
			d.Metadata = event.Metadata{"reason": d.Reason, "n": 1}
			d.Purpose, d.Description, d.Request.UserAgent = "p", "d", "u"
			return nil
		},
		saying(&said, "b", nil),
	}})
	draft := exported()
	draft.Metadata = event.Metadata{"secret": "s3cr3t"}
	receipt, err := log.Append(t.Context(), draft)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, said)
	assert.Equal(t, event.Metadata{"secret": "s3cr3t"}, draft.Metadata, "the caller's own is not touched")
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	assert.Empty(t, receipt.Records[0].Changes(found[0]))
	d := found[0].Draft()
	assert.Equal(t, []string{"ab", "p", "d", "u"}, []string{d.Reason, d.Purpose, d.Description, d.Request.UserAgent})
	assert.Equal(t, event.Metadata{"reason": "a", "n": int64(1)}, d.Metadata)
}

// requireVeto requires that the hook refuses, also a record that is valid
// beside others, and that nothing is stored.
func requireVeto(t promisetest.T, h AppendHarness, hook audit.BeforeAppend) error {
	t.Helper()
	var said []string
	log := h.log(t, audit.LogConfig{
		Before:      []audit.BeforeAppend{saying(&said, "a", nil), hook, saying(&said, "b", nil)},
		HookTimeout: time.Second,
	})
	_, err := log.Append(t.Context(), exported(), exported())
	require.ErrorIs(t, err, audit.ErrVetoed)
	veto, ok := errors.AsType[*audit.VetoError](err)
	require.True(t, ok)
	assert.Equal(t, 1, veto.Hook)
	assert.Equal(t, "document.exported", veto.Action)
	assert.Equal(t, []string{"a"}, said, "later hooks and records are not asked")
	h.requireNothing(t)
	return err
}

func hookVetoes(t promisetest.T, h AppendHarness) {
	err := requireVeto(t, h, func(context.Context, *audit.Draft) error { return errNo })
	assert.ErrorIs(t, err, errNo)
}

func hookPanics(t promisetest.T, h AppendHarness) {
	err := requireVeto(t, h, func(context.Context, *audit.Draft) error { panic("hook") })
	panicked, ok := errors.AsType[*audit.PanicError](err)
	require.True(t, ok)
	assert.Equal(t, "hook", panicked.Value)
}

func hookBlocks(t promisetest.T, h AppendHarness) {
	release := make(chan struct{})
	defer close(release)
	var said []string
	log := h.log(t, audit.LogConfig{
		Before:      []audit.BeforeAppend{saying(&said, "a", nil), func(context.Context, *audit.Draft) error { <-release; return nil }},
		HookTimeout: time.Millisecond,
	})
	_, err := log.Append(t.Context(), exported())
	require.ErrorIs(t, err, audit.ErrVetoed)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	h.requireNothing(t)
}

func hookOversteps(t promisetest.T, h AppendHarness) {
	for field, change := range map[string]func(*audit.Draft){
		"id":             func(d *audit.Draft) { d.ID = uuid.New() },
		"tenant_id":      func(d *audit.Draft) { d.TenantID = "acme" },
		"occurred_at":    func(d *audit.Draft) { d.OccurredAt = start },
		"actor_id":       func(d *audit.Draft) { d.ActorID = "user:mallory" },
		"on_behalf_of":   func(d *audit.Draft) { d.OnBehalfOf = "user:mallory" },
		"owner_id":       func(d *audit.Draft) { d.OwnerID = "x" },
		"action":         func(d *audit.Draft) { d.Action = "x" },
		"entity.id":      func(d *audit.Draft) { d.Entity.ID = "x" },
		"outcome":        func(d *audit.Draft) { d.Outcome = audit.Failure },
		"correlation_id": func(d *audit.Draft) { d.CorrelationID = uuid.New() },
		"causation_id":   func(d *audit.Draft) { d.CausationID = uuid.New() },
	} {
		err := requireVeto(t, h, func(_ context.Context, d *audit.Draft) error {
			change(d)
			return nil
		})
		invalid, ok := errors.AsType[*event.InvalidError](err)
		require.True(t, ok, field)
		assert.Equal(t, field, invalid.Field)
	}
}

func hookLeavesBad(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{Before: []audit.BeforeAppend{func(_ context.Context, d *audit.Draft) error {
		d.Metadata = event.Metadata{"list": []any{}}
		return nil
	}}})
	_, err := log.Append(t.Context(), exported())
	require.ErrorIs(t, err, audit.ErrInvalid)
	require.ErrorContains(t, err, "metadata.list")
	h.requireNothing(t)
}

// heard is what hooks are told and what is reported.
type heard struct {
	records []audit.ActivityRecord
	errs    []error
}

func (x *heard) config(err error) audit.LogConfig {
	return audit.LogConfig{
		After: []audit.AfterAppend{
			func(context.Context, audit.ActivityRecord) error { return err },
			func(_ context.Context, r audit.ActivityRecord) error {
				x.records = append(x.records, r)
				return nil
			},
		},
		Report: func(_ context.Context, err error) { x.errs = append(x.errs, err) },
	}
}

func hooksAfter(t promisetest.T, h AppendHarness) {
	var x heard
	log := h.log(t, x.config(nil))
	_, err := log.Append(t.Context(), exported())
	require.NoError(t, err)
	named := whole()
	for range 2 {
		_, err = log.Append(t.Context(), named)
		require.NoError(t, err)
	}
	bad := exported()
	bad.Action = ""
	_, err = log.Append(t.Context(), bad)
	require.Error(t, err)
	found := h.found(t, audit.Query{})
	require.Len(t, found, 2)
	require.Len(t, x.records, 2, "once for each that was stored, not for those sent again")
	for i := range found {
		assert.Empty(t, x.records[i].Changes(found[i]))
	}
	assert.Empty(t, x.errs)
}

func hooksAfterFail(t promisetest.T, h AppendHarness) {
	var x heard
	log := h.log(t, x.config(errNo))
	receipt, err := log.Append(t.Context(), exported())
	require.NoError(t, err)
	require.Len(t, x.errs, 1)
	failed, ok := errors.AsType[*audit.AfterError](x.errs[0])
	require.True(t, ok)
	assert.Equal(t, &audit.AfterError{Hook: 0, RecordID: receipt.Records[0].ID(), Err: errNo}, failed)
	require.ErrorIs(t, failed, audit.ErrAfterAppend)
	assert.Len(t, x.records, 1, "the other hook is told all the same")
	assert.Len(t, h.found(t, audit.Query{}), 1)

	config := x.config(nil)
	config.After[0] = func(context.Context, audit.ActivityRecord) error { panic("after") }
	_, err = h.log(t, config).Append(t.Context(), exported())
	require.NoError(t, err)
	require.Len(t, x.errs, 2)
	require.ErrorContains(t, x.errs[1], "panic: after")
}

func hooksAfterSave(t promisetest.T, h AppendHarness) {
	var x heard
	log, tasks := h.log(t, x.config(nil)), newTasks(h.Store)
	task := tasks.New(event.NewID())
	require.NoError(t, task.Create(t.Context(), "Plan"))
	joined, err := log.AppendWith(t.Context(), task, exported())
	require.NoError(t, err)
	assert.Empty(t, x.records, "not before it is stored")
	require.NoError(t, tasks.Save(t.Context(), task))
	require.Len(t, x.records, 1)
	assert.Equal(t, joined[0].ID(), x.records[0].ID())
	assert.False(t, x.records[0].RecordedAt().IsZero())
}
