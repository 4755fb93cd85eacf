package aggregate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestEmitStampsFromContext(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 5, 6, 7, 8, 9, 1234, time.FixedZone("CEST", 7200))
	repo := repository(t, openStore(t), aggregate.Config{Now: func() time.Time { return now }})
	d := repo.New(event.NewID())
	cause, correlation := event.NewID(), event.NewID()
	ctx := event.WithOrigin(t.Context(), event.Origin{
		ActorID: event.User("alice"), TenantID: "acme", CorrelationID: correlation,
		CausationID: cause, Metadata: event.Metadata{"request": "r1"},
	})
	require.NoError(t, d.Create(ctx, "Plan"))

	pending := d.Pending()
	require.Len(t, pending, 1)
	e := pending[0]
	assert.NotZero(t, e.ID)
	e.ID = d.ID()
	assert.Equal(t, event.Event{
		ID: d.ID(), Type: "DocumentCreated", SchemaVersion: 1,
		AggregateType: "Document", AggregateID: d.ID(), AggregateVersion: 1,
		TenantID: "acme", ActorID: event.User("alice"), CorrelationID: correlation, CausationID: cause,
		OccurredAt: time.Date(2025, 5, 6, 5, 8, 9, 1000, time.UTC), Metadata: event.Metadata{"request": "r1"},
		Data: []byte(`{"title":"Plan","content":""}`),
	}, e)
	assert.Equal(t, event.User("alice"), d.State().CreatedBy)
	assert.EqualValues(t, 1, d.Version())
	assert.Zero(t, d.SavedVersion())
	assert.Zero(t, d.Position())
}

func TestEmitCorrelatesOneUnit(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	d := repo.New(event.NewID())
	other := event.NewID()
	require.NoError(t, d.Emit(event.WithCorrelation(t.Context(), other), Created{}))
	require.NoError(t, d.Emit(t.Context(), Edited{}, Edited{}))
	require.NoError(t, d.Emit(t.Context(), Edited{}))

	pending := d.Pending()
	assert.Equal(t, other, pending[0].CorrelationID)
	for _, e := range pending[1:] {
		assert.Equal(t, pending[1].ID, e.CorrelationID)
	}

	require.NoError(t, repo.Save(t.Context(), d))
	require.NoError(t, d.Edit(t.Context(), "next unit"))
	assert.Equal(t, d.Pending()[0].ID, d.Pending()[0].CorrelationID)
}

func TestEmitRefusedStartsNoCorrelation(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, event.NewID())
	require.Error(t, d.Emit(t.Context(), Created{}, Poisoned{}))
	require.NoError(t, d.Create(t.Context(), "Plan"))
	assert.Equal(t, d.Pending()[0].ID, d.Pending()[0].CorrelationID)
}

// TestTrapAnEventWhoseApplyFailsChangesNothing emits events that cannot be
// applied or stored, among others that can. The aggregate is as before, and can
// be used on and saved.
func TestTrapAnEventWhoseApplyFailsChangesNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		bad    event.Payload
		target error
	}{
		"nil payload":     {nil, event.ErrInvalid},
		"no handler":      {Unhandled{}, aggregate.ErrUnknownEvent},
		"does not encode": {Unencodable{Broken: make(chan int)}, event.ErrEncode},
		"apply fails":     {Poisoned{}, aggregate.ErrApply},
		"apply panics":    {Poisoned{Panic: true}, aggregate.ErrApply},
		"nil pointer":     {(*Edited)(nil), event.ErrEncode},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := repository(t, openStore(t), aggregate.Config{})
			d, err := repo.Load(t.Context(), created(t, repo, "v1"))
			require.NoError(t, err)
			require.NoError(t, d.Edit(t.Context(), "v2"))
			before := d.Pending()

			err = d.Emit(t.Context(), Edited{Content: "v3"}, test.bad, Edited{Content: "v4"})
			require.ErrorIs(t, err, test.target)

			assert.Equal(t, before, d.Pending(), "nothing new is pending")
			assert.EqualValues(t, 3, d.Version())
			assert.Equal(t, "v2", d.State().Content, "the state is as before")
			assert.Equal(t, 2, d.State().Edits)

			require.NoError(t, d.Edit(t.Context(), "v5"), "the aggregate can be used on")
			require.NoError(t, repo.Save(t.Context(), d))
			again, err := repo.Load(t.Context(), d.ID())
			require.NoError(t, err)
			assert.Equal(t, d.State(), again.State())
			assert.EqualValues(t, 4, again.Version())
		})
	}
}

func TestApplyErrorSaysWhat(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, event.NewID())
	var applyError *aggregate.ApplyError
	require.ErrorAs(t, d.Emit(t.Context(), Created{}, Poisoned{Panic: true}), &applyError)
	assert.Equal(t, "Document", applyError.AggregateType)
	assert.Equal(t, d.ID(), applyError.AggregateID)
	assert.Equal(t, "DocumentPoisoned", applyError.EventType)
	assert.EqualValues(t, 2, applyError.Version)
	require.ErrorIs(t, applyError, errPoison, "a panic with an error wraps it")

	var caught *aggregate.PanicError
	require.ErrorAs(t, applyError, &caught)
	assert.Contains(t, string(caught.Stack), "fixture_test.go", "the stack shows the handler")
	require.ErrorIs(t, d.Emit(t.Context(), Poisoned{}), errPoison)
}

func TestUnknownEventErrorInEmit(t *testing.T) {
	t.Parallel()
	tolerant := aggregate.Define("Document", aggregate.On(onCreated), aggregate.TolerateUnknown[State]())
	d := aggregate.New[Document](tolerant, event.NewID())
	var unknown *aggregate.UnknownEventError
	require.ErrorAs(t, d.Emit(t.Context(), Unhandled{}), &unknown, "tolerance is for what is stored")
	assert.Equal(t, "DocumentUnhandled", unknown.EventType)
}

func TestEncodeErrorNamesType(t *testing.T) {
	t.Parallel()
	definition := aggregate.Define("Document", aggregate.Codec[State](failingCodec{}), aggregate.On(onCreated))
	d := aggregate.New[Document](definition, event.NewID())
	var encodeError *event.EncodeError
	require.ErrorAs(t, d.Create(t.Context(), "Plan"), &encodeError)
	assert.Equal(t, "DocumentCreated", encodeError.Type)
	assert.ErrorIs(t, encodeError, errPoison)
}

func TestEmitTakesPointers(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, event.NewID())
	payload := &Created{Title: "Plan"}
	require.NoError(t, d.Emit(t.Context(), payload))
	payload.Title = "changed afterwards"
	assert.Equal(t, "Plan", d.State().Title)
	assert.JSONEq(t, `{"title":"Plan","content":""}`, string(d.Pending()[0].Data))
}

// Impostor has another payload's name.
type Impostor struct{ Created }

func TestEmitRefusesImpostors(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, event.NewID())
	err := d.Emit(t.Context(), Impostor{})
	require.ErrorIs(t, err, event.ErrDefinition)
	assert.Zero(t, d.Version())
}

func TestEmitWithoutPayloads(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, event.NewID())
	require.NoError(t, d.Emit(t.Context()))
	assert.Zero(t, d.Version())
	assert.Nil(t, d.Pending())
}

func TestUnboundAggregate(t *testing.T) {
	t.Parallel()
	var d Document
	require.ErrorIs(t, d.Create(t.Context(), "Plan"), aggregate.ErrUnbound)
	assert.Zero(t, d.Version())
	assert.Zero(t, d.State())
	assert.Nil(t, d.Pending())
	repo := repository(t, openStore(t), aggregate.Config{})
	require.ErrorIs(t, repo.Save(t.Context(), &d), aggregate.ErrUnbound)
	require.ErrorIs(t, aggregate.SaveAll(t.Context(), openStore(t), &d), aggregate.ErrUnbound)
}

func TestPendingIsACopy(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	d.Pending()[0].Type = "Changed"
	assert.Equal(t, "DocumentCreated", d.Pending()[0].Type)
}

func TestCloneKeepsMapsSafe(t *testing.T) {
	t.Parallel()
	c := aggregate.New[CartRoot](carts, event.NewID())
	require.NoError(t, c.Emit(t.Context(), Filled{Key: "a", Value: 1}))
	before := c.State()
	require.ErrorIs(t, c.Emit(t.Context(), Filled{Key: "a", Value: 2}, Filled{Key: "b", Fail: true}), errPoison)
	assert.Equal(t, map[string]int{"a": 1}, c.State().Items)
	require.NoError(t, c.Emit(t.Context(), Filled{Key: "a", Value: 3}))
	assert.Equal(t, map[string]int{"a": 1}, before.Items, "a state that was handed out does not change")
}

// pointerState clones by pointer, panicState not at all.
type pointerState struct{ items map[string]int }

func (s *pointerState) Clone() pointerState { return pointerState{items: map[string]int{"cloned": 1}} }

type panicState struct{ filled bool }

func (panicState) Clone() panicState { panic("no clone") }

func TestCloneOfAllKinds(t *testing.T) {
	t.Parallel()
	type pointerRoot struct {
		aggregate.AggregateRoot[pointerState]
	}
	byPointer := aggregate.New[pointerRoot](aggregate.Define("X",
		aggregate.On(func(*pointerState, event.Of[Filled]) {})), event.NewID())
	require.NoError(t, byPointer.Emit(t.Context(), Filled{}))
	assert.Contains(t, byPointer.State().items, "cloned")

	type stateRoot struct {
		aggregate.AggregateRoot[*ownState]
	}
	pointerIsState := aggregate.New[stateRoot](aggregate.Define("X",
		aggregate.On(func(s **ownState, _ event.Of[Filled]) { (*s).n++ })), event.NewID())
	require.NoError(t, pointerIsState.Emit(t.Context(), Filled{}))
	assert.Equal(t, 1, pointerIsState.State().n)

	type panicRoot struct {
		aggregate.AggregateRoot[panicState]
	}
	panics := aggregate.New[panicRoot](aggregate.Define("X",
		aggregate.On(func(s *panicState, _ event.Of[Filled]) { s.filled = true })), event.NewID())
	require.ErrorIs(t, panics.Emit(t.Context(), Filled{}), aggregate.ErrApply)
	assert.Zero(t, panics.Version())
}

type ownState struct{ n int }

func (s *ownState) Clone() *ownState {
	if s == nil {
		return &ownState{}
	}
	return &ownState{n: s.n}
}

func TestUnitIsUsedAgainWithoutTraces(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	for i := range 40 {
		d := repo.New(event.NewID())
		require.NoError(t, d.Create(t.Context(), "Plan"))
		for range i {
			require.NoError(t, d.Edit(t.Context(), "v"))
		}
		first := d.Pending()[0]
		assert.Nil(t, first.Metadata)
		assert.Equal(t, first.ID, first.CorrelationID)
		require.Len(t, d.Pending(), i+1)
		require.NoError(t, repo.Save(t.Context(), d))
		assert.Nil(t, d.Pending())
	}
}

func TestEmitForAnotherTenant(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	acme := event.WithTenant(t.Context(), "acme")
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(acme, "Plan"))
	require.NoError(t, repo.Save(acme, d))
	var tenantError *eventstore.TenantError
	require.ErrorAs(t, d.Edit(event.WithTenant(t.Context(), "rival"), "v1"), &tenantError)
	assert.Equal(t, eventstore.TenantError{Bound: "acme", Given: "rival"}, *tenantError)

	require.NoError(t, d.Edit(t.Context(), "a context without tenant means the aggregate's"))
	assert.Equal(t, event.TenantID("acme"), d.Pending()[0].TenantID)
	require.ErrorIs(t, repo.Save(t.Context(), d), eventstore.ErrTenant, "but nothing is saved for an unnamed tenant")
	require.NoError(t, repo.Save(acme, d))
}

func TestPanicErrorWithoutError(t *testing.T) {
	t.Parallel()
	assert.NoError(t, errors.Unwrap(&aggregate.PanicError{Value: 1}))
}

type pointed struct {
	*aggregate.AggregateRoot[State]
}

func TestAPointerToTheRootIsRefused(t *testing.T) {
	t.Parallel()
	repo := aggregate.NewRepository[pointed](openStore(t), documents)
	require.ErrorIs(t, repo.Update(t.Context(), event.NewID(), func(*pointed) error { return nil }), event.ErrDefinition)
}

func TestUpdateNeedsADecision(t *testing.T) {
	t.Parallel()
	repo := aggregate.NewRepository[Document](openStore(t), documents)
	require.ErrorIs(t, repo.Update(t.Context(), event.NewID(), nil), event.ErrInvalid)
}
