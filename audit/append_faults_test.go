package audit_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func viewed() audit.Draft {
	return audit.Draft{Action: "document.viewed", Entity: audit.EntityRef{Type: "Document", ID: "d1"}}
}

// vanishing is a store whose caller goes away when its append is stored.
type vanishing struct {
	eventstore.Store

	leave context.CancelFunc
}

func (s vanishing) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	result, err := s.Store.Append(ctx, appends...)
	s.leave()
	return result, err
}

func (s vanishing) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	if err := ctx.Err(); err != nil {
		return func(yield func(event.Event, error) bool) { yield(event.Event{}, err) }
	}
	return s.Store.ReadStream(ctx, stream, query)
}

// What is stored is answered as stored, and hooks are told, though the caller
// goes away at that moment.
func TestACallerThatGoesAwayLosesNoHook(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	ctx, leave := context.WithCancel(t.Context())
	told := 0
	log, err := audit.NewLog(vanishing{store, leave}, audit.Replay(store, audit.Config{}), audit.LogConfig{
		After:  []audit.AfterAppend{func(context.Context, audit.ActivityRecord) error { told++; return nil }},
		Report: func(context.Context, error) {},
	})
	require.NoError(t, err)
	draft := viewed()
	draft.ID = event.NewID()
	receipt, err := log.Append(ctx, draft)
	require.NoError(t, err)
	assert.False(t, receipt.Replayed)
	assert.Equal(t, 1, told)
}

// blind is a store that cannot be read after an append.
type blind struct {
	eventstore.Store

	stored *bool
}

func (s blind) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	*s.stored = true
	return s.Store.Append(ctx, appends...)
}

func (s blind) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	if *s.stored {
		return func(yield func(event.Event, error) bool) { yield(event.Event{}, eventstore.ErrUnavailable) }
	}
	return s.Store.ReadStream(ctx, stream, query)
}

// An append that was stored is not said to have failed.
func TestWhatCannotBeReadBackIsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	log, err := audit.NewLog(blind{store, new(bool)}, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	require.NoError(t, err)
	draft := viewed()
	draft.ID = event.NewID()
	_, err = log.Append(t.Context(), draft)
	require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
}

// No hook has refused anything when the caller goes away while one is asked.
func TestACallerThatGoesAwayIsNoVeto(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{Before: []audit.BeforeAppend{
		func(ctx context.Context, _ *audit.Draft) error {
			leave()
			<-ctx.Done()
			<-t.Context().Done() // it takes no notice.
			return nil
		},
	}})
	require.NoError(t, err)
	_, err = log.Append(ctx, viewed())
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, audit.ErrVetoed)
}

// A report that panics leaves the answer as it is.
func TestAReportThatPanicsUndoesNothing(t *testing.T) {
	t.Parallel()
	told := 0
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{
		After: []audit.AfterAppend{
			func(context.Context, audit.ActivityRecord) error { panic("hook") },
			func(context.Context, audit.ActivityRecord) error { told++; return nil },
		},
		Report: func(context.Context, error) { panic("report") },
	})
	require.NoError(t, err)
	require.NotPanics(t, func() { _, err = log.Append(t.Context(), viewed()) })
	require.NoError(t, err)
	assert.Equal(t, 1, told)
}
