package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
)

func TestOutput(t *testing.T) {
	t.Parallel()
	var out, bar bytes.Buffer
	require.NoError(t, inTemporaryFolder(t.Context(), &out, &bar))
	golden.Compare(t, out.Bytes(), "testdata/output.txt")
	assert.Contains(t, bar.String(), "rebuild 100%")
}
