package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/internal/golden"
)

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`)

func TestOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, inTemporaryFolder(t.Context(), &out))
	golden.Compare(t, times.ReplaceAll(out.Bytes(), []byte("2024-01-15T10:30:00")), "testdata/output.txt")
}

func TestADocumentRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	d := aggregate.New[Document](documents, uuid.New())
	require.ErrorIs(t, d.Edit(t.Context(), "text"), ErrNotCreated)
	require.NoError(t, d.Create(t.Context(), "title", "text"))
	require.ErrorIs(t, d.Create(t.Context(), "title", "text"), ErrExists)
}
