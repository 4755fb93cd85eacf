package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
)

// TestMain has the test's binary be the second process of the story, too.
func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestOutput(t *testing.T) {
	t.Parallel()
	var out, bar bytes.Buffer
	folder := t.TempDir()
	require.NoError(t, inTemporaryFolder(t.Context(), folder, &out, &bar))
	golden.Compare(t, out.Bytes(), "testdata/output.txt")
	assert.Contains(t, bar.String(), "rebuild 100%")
	assert.Contains(t, bar.String(), "version 2 100%")
	requireEmpty(t, folder)
}

func TestInterruptedWhileTwoProcessesRun(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	folder := t.TempDir()
	var bar bytes.Buffer
	out := &listener{awaited: "lanes: first process 2", heard: interrupt}
	require.ErrorIs(t, inTemporaryFolder(ctx, folder, out, &bar), context.Canceled)
	requireEmpty(t, folder)
}

func requireEmpty(t *testing.T, folder string) {
	t.Helper()
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

// listener calls heard when something has been printed.
type listener struct {
	awaited string
	heard   func()
}

func (l *listener) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(l.awaited)) {
		l.heard()
	}
	return len(p), nil
}
