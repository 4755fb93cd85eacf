package jetstream_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

func TestWhatErrorsSay(t *testing.T) {
	t.Parallel()
	cause := errors.New("no route")
	down := &jetstream.UnavailableError{Doing: "publish on a.b", Err: cause}
	require.ErrorIs(t, down, jetstream.ErrUnavailable)
	require.ErrorIs(t, down, cause)
	require.EqualError(t, down, "publish on a.b: JetStream is not available: no route")
	assert.True(t, jetstream.IsRetryable(down))
	assert.Equal(t, projection.Infrastructure, projection.DefaultClass(down), "a handler that publishes may return it as it is")

	wrong := &jetstream.StreamError{Stream: "AUDIT", Setting: "no_ack", Have: "true", Want: "false", Reason: "messages would not be acknowledged"}
	require.EqualError(t, wrong, `stream "AUDIT": setting no_ack is true and must be false: messages would not be acknowledged`)
	unknown := &jetstream.UnknownTypeError{Type: "x.v2", Known: "x.v1"}
	require.EqualError(t, unknown, `message of type "x.v2" is not known here; known is x.v1`)
}
