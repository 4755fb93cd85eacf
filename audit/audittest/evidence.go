package audittest

import (
	"maps"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

func resetEmpties(t promisetest.T, h LogHarness) {
	h.reset(t)
	h.apply(t, mixed(30)...)
	h.reset(t)
	assert.Empty(t, all(t, h.Home.Find(t.Context(), audit.Query{})))
	_, err := h.reader().Get(t.Context(), id(3))
	require.ErrorIs(t, err, audit.ErrNotFound)
}

func replayIsEqual(t promisetest.T, h LogHarness) {
	events := append(mixed(60), full(1000))
	h.apply(t, events...)
	before := all(t, h.Home.Find(t.Context(), audit.Query{}))
	h.requireLog(t, events)
	h.reset(t)
	for _, e := range events { // batches of another size
		h.apply(t, e)
	}
	assert.Equal(t, before, all(t, h.Home.Find(t.Context(), audit.Query{})))
	h.requireLog(t, events)
}

func resetTakesOthers(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 5)...)
	h.reset(t)
	others := run(3, 9, by("user:bob"), func(e *event.Event) { e.ID = id(e.Position - 2) }) // of a store that was made anew
	h.apply(t, others...)
	h.requireLog(t, others)
}

func tenantSeesItsOwn(t promisetest.T, h LogHarness) {
	h.apply(t, at(1), at(2, of("acme")), at(3, of("Acme")), at(4, of("acme ")), at(5, of("acme")))
	r := h.reader()
	assert.Equal(t, []uint64{5, 2}, positions(t, h.Home.Find(t.Context(), audit.Query{TenantID: "acme"})))
	assert.Equal(t, []uint64{5, 2}, positions(t, r.ForTenant("acme").ByActor(t.Context(), "user:alice", audit.Page{})))
	assert.Equal(t, []uint64{3}, positions(t, r.ForTenant("Acme").Recent(t.Context(), audit.Page{})))
	assert.Empty(t, positions(t, r.ForTenant("none").Recent(t.Context(), audit.Page{})))
	ctx := event.WithTenant(t.Context(), "acme")
	assert.Equal(t, []uint64{5, 2}, positions(t, r.RequireTenant().Recent(ctx, audit.Page{})))
	assert.Equal(t, []uint64{2}, positions(t, r.ForTenant("acme").AsOf(4).Recent(ctx, audit.Page{})))
}

func tenantFailsClosed(t promisetest.T, h LogHarness) {
	h.apply(t, at(1), at(2, of("acme")), at(3, of("other")))
	r, ctx := h.reader(), t.Context()
	for _, seq := range []struct {
		name  string
		query func() error
	}{
		{"another tenant's", func() error { return onlyError(t, r.ForTenant("acme").Find(ctx, audit.Query{TenantID: "other"})) }},
		{"no tenant bound", func() error { return onlyError(t, r.ForTenant("").Recent(ctx, audit.Page{})) }},
		{"no tenant in the context", func() error { return onlyError(t, r.RequireTenant().Recent(ctx, audit.Page{})) }},
		{"bound twice", func() error { return onlyError(t, r.ForTenant("acme").ForTenant("other").Recent(ctx, audit.Page{})) }},
	} {
		require.ErrorIs(t, seq.query(), eventstore.ErrTenant, seq.name)
	}
	_, err := r.ForTenant("acme").Get(ctx, id(3))
	require.ErrorIs(t, err, audit.ErrNotFound)
	_, err = r.ForTenant("acme").Get(ctx, id(1))
	require.ErrorIs(t, err, audit.ErrNotFound)
}

func handedOutCopies(t promisetest.T, h LogHarness) {
	events := []event.Event{full(1)}
	h.apply(t, events...)
	for record, err := range h.Home.Find(t.Context(), audit.Query{}) {
		require.NoError(t, err)
		clear(record.Metadata())
		record.Reduced()[0] = "forged"
		draft := record.Draft()
		draft.Metadata["forged"], draft.Reduced[0] = true, "forged"
	}
	clear(events[0].Metadata) // the writer's own copy
	h.requireLog(t, []event.Event{full(1)})
}

func nobodyTampers(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 3)...)
	h.requireUntouched(t, run(1, 3))
}

func nobodyTampersAfterReset(t promisetest.T, h LogHarness) {
	h.apply(t, mixed(9)...)
	h.reset(t)
	h.apply(t, run(1, 3)...)
	h.requireUntouched(t, run(1, 3))
}

func (h LogHarness) requireUntouched(t promisetest.T, events []event.Event) {
	t.Helper()
	if len(h.Tamper) == 0 {
		require.NotEmpty(t, h.NoTamper, "LogHarness.Tamper is empty and LogHarness.NoTamper does not say why")
		t.Log("there is no way around the home: " + h.NoTamper)
	}
	for _, way := range slices.Sorted(maps.Keys(h.Tamper)) {
		require.Error(t, h.Tamper[way](t.Context()), way)
		h.requireLog(t, events)
	}
}
