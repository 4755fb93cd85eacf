package dlq_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
)

func TestFullError(t *testing.T) {
	t.Parallel()
	err := error(&dlq.FullError{
		Sequence: dlq.Sequence{Projection: "titles", Version: 2, Key: "Document/1"},
		What:     "letters in the sequence", Limit: 1000,
	})
	require.ErrorIs(t, err, dlq.ErrFull)
	require.NotErrorIs(t, err, dlq.ErrNotFound)
	assert.EqualError(t, err, "dead-letter queue of titles v2 is full: 1000 letters in the sequence (Document/1); "+
		"retry or discard letters; the projection goes on when there is room")
}
