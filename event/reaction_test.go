package event_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/event"
)

// Stored events have these ids: a change of the rule would let reactions happen
// again. The values were worked out by another program from the comment on
// EventID.
func TestReactionEventIDNeverChanges(t *testing.T) {
	t.Parallel()
	cause := uuid.MustParse("0197a9c7-0000-7000-8000-000000000001")
	id := uuid.MustParse("0197a9c7-0000-7000-8000-0000000000aa")
	for want, got := range map[string]uuid.UUID{
		"0197a9c7-0000-86d6-af35-ae5705d63fd2": (&event.Reaction{Reactor: "billing", Cause: cause}).EventID("", "Payment", id, 0, 0),
		"0197a9c7-0000-8865-b23e-9b95f9d2fe04": (&event.Reaction{Reactor: "billing", Cause: cause}).EventID("", "Payment", id, 0, 1),
		"0197a9c7-0000-878f-b7bf-9939ba89e936": (&event.Reaction{Reactor: "billing", Cause: cause}).EventID("", "Payment", id, 1, 0),
		"0197a9c7-0000-84c9-9dfe-da50bba6bdfd": (&event.Reaction{Reactor: "billing", Step: "charge", Cause: cause}).EventID("", "Payment", id, 0, 0),
		"0197a9c7-0000-88e1-9f5f-4ddb57e2f13e": (&event.Reaction{Reactor: "billing", Step: "charge/again", Cause: cause}).EventID("acme", "Payment", id, 0, 0),
		"0197a9c7-0000-8f2f-80d4-15fcdbd58afc": (&event.Reaction{Reactor: "Überweisung", Cause: cause}).EventID("Größe", "Zahlung", id, 7, 300),
		"0197a9c7-0000-808a-b294-536b656466ec": (&event.Reaction{Reactor: "billing", Cause: cause}).Key(),
		"00000000-0000-814f-8a75-2562f26ccd91": new(event.Reaction).Key(),
	} {
		assert.Equal(t, want, got.String())
		assert.EqualValues(t, 8, got.Version())
		assert.Equal(t, uuid.RFC4122, got.Variant())
	}
}

// The position of the cause only says where to look.
func TestReactionEventIDIgnoresThePosition(t *testing.T) {
	t.Parallel()
	a := event.Reaction{Reactor: "billing", Position: 1}
	b := event.Reaction{Reactor: "billing", Position: 2}
	assert.Equal(t, a.Key(), b.Key())
}

func TestReactionEventIDsDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type input struct {
			reactor, step, tenant, kind string
			cause, id                   byte
			call, ordinal               uint64
		}
		text := rapid.SampledFrom([]string{"", "a", "b", "ab", "a/b", "a\x00"})
		draw := func(label string) input {
			number := rapid.Uint64Range(0, 2)
			return input{
				text.Draw(t, label), text.Draw(t, label), text.Draw(t, label), text.Draw(t, label),
				rapid.Byte().Draw(t, label), rapid.Byte().Draw(t, label), number.Draw(t, label), number.Draw(t, label),
			}
		}
		id := func(i input) uuid.UUID {
			r := event.Reaction{Reactor: i.reactor, Step: i.step, Cause: uuid.UUID{15: i.cause}}
			return r.EventID(event.TenantID(i.tenant), i.kind, uuid.UUID{0: i.id}, i.call, i.ordinal)
		}
		a, b := draw("a"), draw("b")
		assert.Equal(t, a == b, id(a) == id(b))
	})
}

func TestWithReaction(t *testing.T) {
	t.Parallel()
	cause := event.Event{ID: event.NewID(), CorrelationID: event.NewID(), TenantID: "acme", Position: 7}
	ctx := event.WithReaction(event.WithActor(t.Context(), event.System("billing")), "billing", cause)
	o := event.OriginFrom(ctx)
	require.NotNil(t, o.Reaction)
	assert.Same(t, o.Reaction, event.ReactionFrom(ctx))
	assert.Equal(t, "billing", o.Reaction.Reactor)
	assert.Equal(t, cause.ID, o.Reaction.Cause)
	assert.EqualValues(t, 7, o.Reaction.Position)
	assert.Empty(t, o.Reaction.Step)
	o.Reaction = nil
	assert.Equal(t, event.Origin{
		ActorID: event.System("billing"), TenantID: "acme", CorrelationID: cause.CorrelationID, CausationID: cause.ID,
	}, o)
	assert.Nil(t, event.ReactionFrom(t.Context()))
}

func TestWithStep(t *testing.T) {
	t.Parallel()
	assert.Nil(t, event.ReactionFrom(event.WithStep(t.Context(), "charge")), "a step of nothing is nothing")

	cause := event.Event{ID: event.NewID(), Position: 7}
	whole := event.WithReaction(t.Context(), "billing", cause)
	charge := event.ReactionFrom(event.WithStep(whole, "charge"))
	assert.Equal(t, "charge", charge.Step)
	assert.Equal(t, "billing", charge.Reactor)
	assert.Equal(t, cause.ID, charge.Cause)
	assert.EqualValues(t, 7, charge.Position)
	again := event.ReactionFrom(event.WithStep(event.WithStep(whole, "charge"), "again"))
	assert.Equal(t, "charge/again", again.Step)

	id := event.NewID()
	assert.Zero(t, event.ReactionFrom(whole).Begin("", "Payment", id))
	assert.Zero(t, charge.Begin("", "Payment", id), "each step counts from the first")
	assert.NotEqual(t, event.ReactionFrom(whole).Key(), charge.Key())
}

func TestReactionCountsCallsByStream(t *testing.T) {
	t.Parallel()
	var r event.Reaction
	a, b := event.NewID(), event.NewID()
	assert.EqualValues(t, 0, r.Begin("", "Payment", a))
	assert.EqualValues(t, 1, r.Begin("", "Payment", a))
	assert.EqualValues(t, 0, r.Begin("", "Payment", b))
	assert.EqualValues(t, 0, r.Begin("", "Refund", a))
	assert.EqualValues(t, 0, r.Begin("acme", "Payment", a))

	r.End("", "Payment", a, 1, false)
	assert.EqualValues(t, 1, r.Begin("", "Payment", a), "a call that was not made is made again")
	r.End("", "Payment", a, 0, false)
	assert.EqualValues(t, 2, r.Begin("", "Payment", a), "unless another has followed")
	r.End("", "Payment", a, 2, true)
	assert.EqualValues(t, 3, r.Begin("", "Payment", a))
	r.End("", "Payment", a, 3, false)
	r.End("", "Payment", a, 3, true)
	assert.EqualValues(t, 4, r.Begin("", "Payment", a), "it was made in the end")

	var fresh event.Reaction
	fresh.End("", "Payment", a, 0, true)
	assert.EqualValues(t, 1, fresh.Begin("", "Payment", a))
}

func TestReactionNumbersAreTakenOnce(t *testing.T) {
	t.Parallel()
	var r event.Reaction
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := make(map[uint64]bool)
	for range 50 {
		wg.Go(func() {
			n := r.Begin("", "Payment", uuid.Nil)
			mu.Lock()
			defer mu.Unlock()
			taken[n] = true
		})
	}
	wg.Wait()
	assert.Len(t, taken, 50)
}

func TestReactionStaysWithItsOrigin(t *testing.T) {
	t.Parallel()
	ctx := event.WithReaction(t.Context(), "billing", event.Event{ID: event.NewID()})
	want := event.ReactionFrom(ctx)
	for _, derived := range []context.Context{
		event.WithActor(ctx, event.User("7")), event.WithTenant(ctx, "acme"), event.WithMetadata(ctx, event.Metadata{"a": 1}),
		event.WithCause(ctx, event.Event{ID: event.NewID()}),
	} {
		assert.Same(t, want, event.ReactionFrom(derived))
	}
}
