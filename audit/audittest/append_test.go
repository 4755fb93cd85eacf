package audittest_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func TestAppendSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	audittest.RequireSameAppendWords(t, "../log.go")
}

// appends returns harnesses whose store and finder are changed by spoil.
func appends(spoil func(h *audittest.AppendHarness)) audittest.AppendFactory {
	return func(t *testing.T) audittest.AppendHarness {
		t.Helper()
		log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
		require.NoError(t, err)
		h := audittest.AppendHarness{Store: log.Store(), Records: log.Reader}
		spoil(&h)
		return h
	}
}

func TestHonestAppendsPass(t *testing.T) {
	t.Parallel()
	assert.Empty(t, audittest.FailingAppend(t, appends(func(*audittest.AppendHarness) {})))
}

func TestBrokenAppendsFail(t *testing.T) {
	t.Parallel()
	for clause, spoil := range map[string]func(h *audittest.AppendHarness){
		"several records or none":                           func(h *audittest.AppendHarness) { h.Store = piecemeal{h.Store} },
		"a record stands among the records of events":       func(h *audittest.AppendHarness) { h.Records = silent{h.Records} },
		"the same draft again":                              func(h *audittest.AppendHarness) { h.Store = forgetful{h.Store} },
		"a bound store gives the tenant and refuses others": func(h *audittest.AppendHarness) { h.Records = silent{h.Records} },
		"it joins a save":                                   func(h *audittest.AppendHarness) { h.Store = lonely{h.Store} },
	} {
		assert.Contains(t, audittest.FailingAppend(t, appends(spoil)), clause)
	}
}

// piecemeal stores one event of each stream and drops the others.
type piecemeal struct{ eventstore.Store }

func (s piecemeal) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	for i := range appends {
		appends[i].Events = appends[i].Events[:1]
	}
	return s.Store.Append(ctx, appends...)
}

// lonely stores the first stream only.
type lonely struct{ eventstore.Store }

func (s lonely) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	return s.Store.Append(ctx, appends[0])
}

// forgetful does not find what it stored.
type forgetful struct{ eventstore.Store }

func (forgetful) ReadStream(context.Context, eventstore.Stream, eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(func(event.Event, error) bool) {}
}

// silent leaves out what is explicit.
type silent struct{ audit.Finder }

func (s silent) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		for record, err := range s.Finder.Find(ctx, query) {
			if err == nil && record.Origin().IsZero() {
				continue
			}
			if !yield(record, err) {
				return
			}
		}
	}
}
