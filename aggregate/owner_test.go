package aggregate_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// A parcel belongs to somebody until it is delivered.
type (
	Sent       struct{ To string }
	Redirected struct{ To string }
	Delivered  struct{}
	Lost       struct{}

	parcelState struct{ owner string }
	parcel      struct {
		aggregate.AggregateRoot[parcelState]
	}
)

func (Sent) EventType() string       { return "ParcelSent" }
func (Redirected) EventType() string { return "ParcelRedirected" }
func (Delivered) EventType() string  { return "ParcelDelivered" }
func (Lost) EventType() string       { return "ParcelLost" }

func parcels(owner func(parcelState) string) *aggregate.Definition[parcelState] {
	return aggregate.Define("Parcel",
		aggregate.On(func(s *parcelState, e event.Of[Sent]) { s.owner = e.Payload.To }),
		aggregate.On(func(s *parcelState, e event.Of[Redirected]) { s.owner = e.Payload.To }),
		aggregate.On(func(s *parcelState, _ event.Of[Delivered]) { s.owner = "" }),
		aggregate.On(func(*parcelState, event.Of[Lost]) {}),
		aggregate.OwnedBy(owner),
	)
}

func TestOwnedBy(t *testing.T) {
	t.Parallel()
	p := aggregate.New[parcel](parcels(func(s parcelState) string { return s.owner }), event.NewID())
	shared := event.Metadata{"channel": "web", event.KeyOwner: "user:claimed"}
	ctx := event.WithMetadata(t.Context(), shared)
	require.NoError(t, p.Emit(ctx, Sent{To: "user:alice"}, Redirected{To: "user:bob"}, Delivered{}, Lost{}))
	var owners []any
	for _, e := range p.Pending() {
		owners = append(owners, e.Metadata[event.KeyOwner])
		assert.Equal(t, "web", e.Metadata["channel"])
	}
	assert.Equal(t, []any{"user:alice", "user:bob", "user:bob", "user:claimed"}, owners)
	assert.Equal(t, "user:claimed", shared[event.KeyOwner], "the context's own is not touched")
}

func TestOwnedByRefuses(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, parcels(nil).Validate(), event.ErrDefinition)
	broken := aggregate.New[parcel](parcels(func(parcelState) string { panic("owner") }), event.NewID())
	require.ErrorIs(t, broken.Emit(t.Context(), Sent{To: "user:alice"}), aggregate.ErrApply)
	assert.Empty(t, broken.Pending())
}

// The audit log then knows whose data was touched, whoever did it.
func ExampleOwnedBy() {
	p := aggregate.New[parcel](parcels(func(s parcelState) string { return s.owner }), event.NewID())
	if err := p.Emit(event.WithActor(context.Background(), event.Service("post")), Sent{To: "user:alice"}); err != nil {
		fmt.Println(err)
		return
	}
	sent := p.Pending()[0]
	fmt.Println(sent.ActorID, sent.Metadata[event.KeyOwner])
	// Output: service:post user:alice
}
