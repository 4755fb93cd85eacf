package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
)

func TestOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	golden.Compare(t, out.Bytes(), "testdata/output.txt")
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	require.NoError(t, strict().Validate())
	require.NoError(t, tolerant().Validate())
}
