//go:build unix

package natstest_test

import (
	"testing"

	"github.com/evident-go/evident/internal/natstest"
)

func TestAProcessIsFrozenAndThawed(t *testing.T) {
	t.Parallel()
	process := natstest.StartProcess(t, natstest.SyncAlways())
	js := process.JetStream(t)
	newStream(t, js, 1)
	process.Freeze(t)
	requireSilence(t, js)
	process.Thaw(t)
	publish(t, js)
}
