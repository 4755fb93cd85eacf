//go:build unix

package natstest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
)

func TestAProcessIsFrozenAndThawed(t *testing.T) {
	t.Parallel()
	process := natstest.StartProcess(t, natstest.SyncAlways())
	js := process.JetStream(t)
	newStream(t, js, 1)
	process.Freeze(t)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := js.Publish(short, "s.a", []byte("x"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	process.Thaw(t)
	publish(t, js)
}
