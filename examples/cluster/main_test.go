package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/internal/golden"
)

// TestMain has the test's binary be the application processes of the story, too.
func TestMain(m *testing.M) {
	if os.Getenv(jobVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	folder := t.TempDir()
	require.NoError(t, inTemporaryFolder(t.Context(), folder, &out))
	golden.Compare(t, out.Bytes(), "testdata/output.txt")
	requireEmpty(t, folder)
}

func TestInterruptedWhileAServerIsGone(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	folder := t.TempDir()
	out := &listener{awaited: "is gone", heard: interrupt}
	require.ErrorIs(t, inTemporaryFolder(ctx, folder, out), context.Canceled)
	requireEmpty(t, folder)
}

func TestAShipmentRefusesStepsOutOfOrder(t *testing.T) {
	t.Parallel()
	s := aggregate.New[Shipment](shipments, uuid.New())
	require.ErrorIs(t, s.Depart(t.Context(), "rail"), errTooSoon)
	require.NoError(t, s.Accept(t.Context(), "Oslo"))
	require.ErrorIs(t, s.Accept(t.Context(), "Oslo"), errTooSoon)
	require.ErrorIs(t, s.Deliver(t.Context()), errTooSoon)
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
