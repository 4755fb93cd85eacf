package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
)

func orderStream() eventstore.Stream {
	return eventstore.Stream{AggregateType: "Order", AggregateID: uuid.UUID{15: 1}}
}

func TestErrorsSayWhatAndMatchTheirSentinels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err      error
		sentinel error
		text     string
	}{
		{
			&eventstore.ConflictError{Stream: orderStream(), Expected: eventstore.Exact(3), Actual: 4}, eventstore.ErrConflict,
			"stream Order/00000000-0000-0000-0000-000000000001 is at version 4, expected: version 3; load it and decide again",
		},
		{
			&eventstore.DuplicateEventError{EventID: uuid.UUID{15: 2}, Stream: orderStream()}, eventstore.ErrDuplicateEvent,
			"event id 00000000-0000-0000-0000-000000000002, given for stream Order/00000000-0000-0000-0000-000000000001, is stored already at another place",
		},
		{
			&eventstore.OutcomeUnknownError{Stream: orderStream(), Err: io.EOF}, eventstore.ErrOutcomeUnknown,
			"append to stream Order/00000000-0000-0000-0000-000000000001 may or may not have been stored: EOF; sending the same events again is safe",
		},
		{
			&eventstore.TenantError{Bound: "acme", Given: "umbrella"}, eventstore.ErrTenant,
			`tenant "umbrella" asked for at a store that is bound to tenant "acme"`,
		},
		{&eventstore.SchemaError{Store: "a.db", Want: 3}, eventstore.ErrSchema, "a.db has no evident tables: call Migrate first"},
		{&eventstore.SchemaError{Store: "a.db", Have: 2, Want: 3}, eventstore.ErrSchema, "a.db has schema version 2, this program needs 3: call Migrate first"},
		{&eventstore.SchemaError{Store: "a.db", Have: 4, Want: 3}, eventstore.ErrSchema, "a.db has schema version 4, this program knows only 3: use a newer program"},
	} {
		require.EqualError(t, c.err, c.text)
		wrapped := fmt.Errorf("save: %w", c.err)
		require.ErrorIs(t, wrapped, c.sentinel)
		for _, other := range []error{
			eventstore.ErrConflict, eventstore.ErrDuplicateEvent, eventstore.ErrOutcomeUnknown, eventstore.ErrTenant, eventstore.ErrSchema,
		} {
			assert.Equal(t, errors.Is(c.sentinel, other), errors.Is(wrapped, other), "%v is %v", c.err, other)
		}
	}
	assert.ErrorIs(t, &eventstore.OutcomeUnknownError{Err: io.EOF}, io.EOF)
}

func TestIsRetryable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.EOF, false},
		{eventstore.ErrUnavailable, true},
		{eventstore.ErrFull, true},
		{eventstore.ErrOutcomeUnknown, true},
		{&eventstore.OutcomeUnknownError{Err: io.EOF}, true},
		{&eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}, true},
		{fmt.Errorf("%w: %w", eventstore.ErrUnavailable, context.Canceled), false},
		{fmt.Errorf("%w: %w", eventstore.ErrUnavailable, context.DeadlineExceeded), false},
		{context.Canceled, false},
		{context.DeadlineExceeded, false},
		{&eventstore.ConflictError{}, false},
		{&eventstore.DuplicateEventError{}, false},
		{eventstore.ErrClosed, false},
		{eventstore.ErrTenant, false},
		{eventstore.ErrInvalid, false},
		{eventstore.ErrTooLarge, false},
		{eventstore.ErrSchema, false},
		{eventstore.ErrCorrupt, false},
		{eventstore.ErrReadOnly, false},
	} {
		assert.Equal(t, c.want, eventstore.IsRetryable(c.err), "%v", c.err)
		if c.err != nil {
			assert.Equal(t, c.want, eventstore.IsRetryable(fmt.Errorf("save: %w", c.err)), "%v, wrapped", c.err)
		}
	}
}
