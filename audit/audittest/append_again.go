package audittest

import (
	"errors"
	"strconv"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

func appendedAgain(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{})
	for _, draft := range []audit.Draft{whole(), {ID: event.NewID(), Action: "a", Entity: audit.EntityRef{Type: "T", ID: "1"}}} {
		first, err := log.Append(event.WithMetadata(t.Context(), event.Metadata{audit.KeyRequest: "req_1"}), draft)
		require.NoError(t, err)
		assert.False(t, first.Replayed)
		again, err := log.Append(event.WithMetadata(t.Context(), event.Metadata{audit.KeyRequest: "req_2", "region": "eu"}), draft)
		require.NoError(t, err, "another request says the same")
		assert.True(t, again.Replayed)
		assert.Equal(t, first.Position, again.Position)
		assert.Empty(t, first.Records[0].Changes(again.Records[0]))
		again, err = log.Append(t.Context(), draft)
		require.NoError(t, err, "so does one without an id")
		assert.True(t, again.Replayed)
	}
	assert.Len(t, h.found(t, audit.Query{}), 2)
}

func anotherUnderItsID(t promisetest.T, h AppendHarness) {
	log, draft := h.log(t, audit.LogConfig{}), whole()
	_, err := log.Append(t.Context(), draft)
	require.NoError(t, err)
	for field, change := range map[string]func(*audit.Draft){
		"action":      func(d *audit.Draft) { d.Action = "invoice.deleted" },
		"actor_id":    func(d *audit.Draft) { d.ActorID = "user:mallory" },
		"entity.id":   func(d *audit.Draft) { d.Entity.ID = "8" },
		"outcome":     func(d *audit.Draft) { d.Outcome = audit.Success },
		"reason":      func(d *audit.Draft) { d.Reason = "" },
		"occurred_at": func(d *audit.Draft) { d.OccurredAt = start },
		"metadata":    func(d *audit.Draft) { d.Metadata = event.Metadata{"int": int64(2)} },

		"correlation_id": func(d *audit.Draft) { d.CorrelationID = id(503) },
		"causation_id":   func(d *audit.Draft) { d.CausationID = id(503) },
	} {
		other := whole()
		other.ID = draft.ID
		change(&other)
		_, err := log.Append(t.Context(), other)
		require.ErrorIs(t, err, audit.ErrImmutable, field)
		immutable, ok := errors.AsType[*audit.ImmutableError](err)
		require.True(t, ok)
		require.Len(t, immutable.Changes, 1, field)
		assert.Equal(t, field, immutable.Changes[0].Field)
	}
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	assert.Equal(t, "invoice.line.exported", found[0].Action())
}

func joinedAgain(t promisetest.T, h AppendHarness) {
	ctx := event.WithActor(t.Context(), "user:alice")
	log, tasks, draft := h.log(t, audit.LogConfig{}), newTasks(h.Store), whole()
	draft.TenantID = ""
	first, err := log.Append(ctx, draft)
	require.NoError(t, err)
	task := tasks.New(event.NewID())
	again, err := log.AppendWith(ctx, task, draft)
	require.NoError(t, err)
	assert.Equal(t, first.Records[0].Position(), again[0].Position(), "it is told what is stored")
	require.NoError(t, task.Create(ctx, "Plan"))
	require.NoError(t, tasks.Save(ctx, task), "the save does not meet it")
	draft.Reason = "another"
	_, err = log.AppendWith(ctx, task, draft)
	require.ErrorIs(t, err, audit.ErrImmutable, "a save with nothing else would be answered as if it stored it")
	assert.Len(t, h.found(t, audit.Query{}), 2)
}

func severalAgain(t promisetest.T, h AppendHarness) {
	log := h.log(t, audit.LogConfig{})
	drafts := []audit.Draft{exported(), exported(), exported()}
	for i := range drafts {
		drafts[i].ID = event.NewID()
	}
	first, err := log.Append(t.Context(), drafts...)
	require.NoError(t, err)
	again, err := log.Append(t.Context(), drafts...)
	require.NoError(t, err)
	assert.True(t, again.Replayed)
	assert.Equal(t, first.Position, again.Position)
	_, err = log.Append(t.Context(), drafts[:2]...)
	require.ErrorIs(t, err, audit.ErrImmutable, "fewer")
	_, err = log.Append(t.Context(), drafts[1])
	require.ErrorIs(t, err, audit.ErrImmutable, "an id that stands elsewhere")
	assert.Len(t, h.found(t, audit.Query{}), 3)
}

func racingAppends(t promisetest.T, h AppendHarness) {
	log, draft := h.log(t, audit.LogConfig{}), whole()
	var wg sync.WaitGroup
	receipts, errs := make([]audit.Receipt, 8), make([]error, 8)
	for i := range receipts {
		wg.Go(func() {
			mine := draft
			mine.Request.ID = strconv.Itoa(i) // every call has its own
			if i%2 == 1 {
				mine.Reason = "another"
			}
			receipts[i], errs[i] = log.Append(t.Context(), mine)
		})
	}
	wg.Wait()
	found := h.found(t, audit.Query{})
	require.Len(t, found, 1)
	for i, err := range errs {
		if (found[0].Reason() == "another") == (i%2 == 1) {
			require.NoError(t, err)
			assert.Equal(t, found[0].Position(), receipts[i].Position)
			assert.Empty(t, found[0].Changes(receipts[i].Records[0]), "it is told what is stored")
			assert.Equal(t, found[0].Request().ID != strconv.Itoa(i), receipts[i].Replayed)
			continue
		}
		assert.ErrorIs(t, err, audit.ErrImmutable, "its record is not what is stored")
	}
}
