package memory_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func TestConformanceActivityLog(t *testing.T) {
	t.Parallel()
	audittest.RunAppend(t, func(t *testing.T) audittest.AppendHarness {
		t.Helper()
		log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
		require.NoError(t, err)
		return audittest.AppendHarness{Store: log.Store(), Records: log}
	})
}

func TestConformanceActivityLogFed(t *testing.T) {
	t.Parallel()
	audittest.RunAppend(t, func(t *testing.T) audittest.AppendHarness {
		t.Helper()
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		return audittest.Fed(t, store, memory.NewAuditLog(audit.Config{}))
	})
}

func TestActivityLogSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{HookTimeout: -1})
	require.ErrorIs(t, err, audit.ErrInvalid)

	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
	require.NoError(t, err)
	require.NoError(t, log.Store().Close())
	_, err = log.Records(t.Context())
	assert.Error(t, err)
}

// A test looks at what an application recorded.
func ExampleOpenActivityLog() {
	ctx := event.WithActor(context.Background(), event.User("alice"))
	log, err := memory.OpenActivityLog(ctx, audit.LogConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = log.Append(ctx, audit.Draft{Action: "create_task", Entity: audit.EntityRef{Type: "Task", ID: "7"}})
	if err != nil {
		fmt.Println(err)
		return
	}

	records, err := log.Records(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(records), records[0].Action(), records[0].Entity(), "by", records[0].ActorID())
	// Output: 1 create_task Task/7 by user:alice
}
