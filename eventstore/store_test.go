package eventstore_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestStreamSaysItsName(t *testing.T) {
	t.Parallel()
	stream := orderStream()
	assert.Equal(t, "Order/00000000-0000-0000-0000-000000000001", stream.String())
	stream.TenantID = "acme"
	assert.Equal(t, "acme/Order/00000000-0000-0000-0000-000000000001", stream.String())
}

func TestStreamValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, orderStream().Validate())
	for field, spoil := range map[string]func(s *eventstore.Stream){
		"tenant_id":      func(s *eventstore.Stream) { s.TenantID = "\xff" },
		"aggregate_type": func(s *eventstore.Stream) { s.AggregateType = "" },
		"aggregate_id":   func(s *eventstore.Stream) { s.AggregateID = uuid.Nil },
	} {
		stream := orderStream()
		spoil(&stream)
		var invalid *event.InvalidError
		require.ErrorAs(t, stream.Validate(), &invalid)
		assert.Equal(t, field, invalid.Field)
	}
	stream := orderStream()
	stream.AggregateType = strings.Repeat("n", event.MaxNameBytes+1)
	assert.ErrorIs(t, stream.Validate(), eventstore.ErrTooLarge)
}
