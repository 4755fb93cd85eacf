package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/historytest"
	"github.com/evident-go/evident/internal/promisetest"
)

// recording is a history in the making.
type recording struct {
	subject

	streams []eventstore.Stream
	history historytest.History
}

func linearizable(t T, s subject) {
	const clients, calls = 6, 25
	ctx, cancel := s.patiently(t)
	defer cancel()
	faults := NewFaults(s.Store)
	faults.OnAppend(loseSomeAnswers())
	s.Store = faults
	r := &recording{subject: s, streams: []eventstore.Stream{s.stream(), s.stream(), s.stream()}}
	requireNone(t, promisetest.Race(clients, func(i int) error {
		random := seeded(uint64(i))
		var version uint64
		for n := range calls {
			c := historytest.Call{Stream: random.IntN(len(r.streams)), Tag: strconv.Itoa(i*calls + n), Count: random.IntN(3)}
			c.Expected = pick(random, []eventstore.Expectation{eventstore.Any(), eventstore.Exact(version), eventstore.Exact(version + 1)})
			a, err := r.do(ctx, i, c)
			if err != nil {
				return err
			}
			version = a.Version
		}
		return nil
	}))
	require.NoError(t, r.history.Check(s.patience))
}

// errLost is an answer that the suite itself has lost.
var errLost = errors.New("the answer was lost")

// loseSomeAnswers lets some appends end in the unknown, half of them stored.
func loseSomeAnswers() AppendHook {
	var n atomic.Int64
	return func(_ context.Context, appends []eventstore.Append) (before, after error) {
		lost := &eventstore.OutcomeUnknownError{Stream: appends[0].Stream, Err: errLost}
		switch n.Add(1) % 6 {
		case 0:
			return lost, nil
		case 3:
			return nil, lost
		default:
			return nil, nil
		}
	}
}

// do makes a call and adds it to the history.
func (r *recording) do(ctx context.Context, client int, c historytest.Call) (historytest.Answer, error) {
	began := r.history.Begin()
	a, err := r.ask(ctx, c)
	open := false
	if errors.Is(err, eventstore.ErrOutcomeUnknown) {
		open = !errors.Is(err, errLost)
		a, err = historytest.Answer{Unknown: true}, nil
	}
	r.history.End(client, began, c, a, open)
	return a, err
}

func (r *recording) ask(ctx context.Context, c historytest.Call) (historytest.Answer, error) {
	if c.Count == 0 {
		return r.look(ctx, c)
	}
	events := drafts(c.Count)
	for i := range events {
		events[i].Data = []byte(c.Tag)
	}
	result, err := r.Append(ctx, to(r.streams[c.Stream], c.Expected, events...))
	if conflict, ok := errors.AsType[*eventstore.ConflictError](err); ok {
		return historytest.Answer{Conflict: true, Version: conflict.Actual}, nil
	}
	if err != nil {
		return historytest.Answer{}, err
	}
	if len(result.Versions) != 1 {
		return historytest.Answer{}, fmt.Errorf("an append to one stream was answered with the versions %v", result.Versions)
	}
	return historytest.Answer{Version: result.Versions[0]}, nil
}

func (r *recording) look(ctx context.Context, c historytest.Call) (historytest.Answer, error) {
	var (
		a    historytest.Answer
		tags strings.Builder
	)
	for e, err := range r.ReadStream(ctx, r.streams[c.Stream], eventstore.StreamQuery{}) {
		if err != nil {
			return historytest.Answer{}, err
		}
		tags.Write(e.Data)
		tags.WriteByte(' ')
		a.Version = e.AggregateVersion
	}
	a.Tags = tags.String()
	return a, nil
}
