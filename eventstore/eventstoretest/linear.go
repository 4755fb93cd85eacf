package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// call is an append of count events, or a read if count is 0.
type call struct {
	stream   int
	expected eventstore.Expectation
	tag      string // what each event of the append carries
	count    int
}

// answer is what the store said to a call.
type answer struct {
	version  uint64 // after an append, or found by a conflict
	conflict bool
	unknown  bool
	tags     string // what a read saw
}

// contents is the state of one stream.
type contents struct {
	version uint64
	tags    string
}

// streamModel says which answers a stream may give, one call after the other.
func streamModel() porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Partition: byStream,
		Init:      func() []any { return []any{contents{}} },
		Step: func(state, input, output any) []any {
			now, _ := state.(contents)
			c, _ := input.(call)
			a, _ := output.(answer)
			return step(now, c, a)
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}).ToModel()
}

func step(now contents, c call, a answer) []any {
	then := contents{version: now.version + uint64(c.count), tags: now.tags + c.written()}
	holds := c.expected.Holds(now.version)
	switch {
	case c.count == 0:
		return states(now, a.tags == now.tags)
	case a.unknown:
		return append(states(now, true), states(then, holds)...)
	case a.conflict:
		return states(now, !holds && a.version == now.version)
	default:
		return states(then, holds && a.version == then.version)
	}
}

// states is one state if it is possible, and none otherwise.
func states(state contents, possible bool) []any {
	if !possible {
		return nil
	}
	return []any{state}
}

// written is what the call adds to a stream's tags.
func (c call) written() string {
	return strings.Repeat(c.tag+" ", c.count)
}

func byStream(history []porcupine.Operation) [][]porcupine.Operation {
	var streams [][]porcupine.Operation
	for _, operation := range history {
		c, _ := operation.Input.(call)
		for len(streams) <= c.stream {
			streams = append(streams, nil)
		}
		streams[c.stream] = append(streams[c.stream], operation)
	}
	return streams
}

// recording is a history in the making.
type recording struct {
	subject

	streams []eventstore.Stream
	clock   atomic.Int64
	mu      sync.Mutex
	history []porcupine.Operation
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
			c := call{stream: random.IntN(len(r.streams)), tag: strconv.Itoa(i*calls + n), count: random.IntN(3)}
			c.expected = pick(random, []eventstore.Expectation{eventstore.Any(), eventstore.Exact(version), eventstore.Exact(version + 1)})
			a, err := r.do(ctx, i, c)
			if err != nil {
				return err
			}
			version = a.version
		}
		return nil
	}))
	result, info := porcupine.CheckOperationsVerbose(streamModel(), r.history, s.patience)
	require.Equal(t, porcupine.Ok, result, "the longest part that is linearizable: %v", info.PartialLinearizations())
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
func (r *recording) do(ctx context.Context, client int, c call) (answer, error) {
	operation := porcupine.Operation{ClientId: client, Input: c, Call: r.clock.Add(1)}
	a, err := r.ask(ctx, c)
	operation.Return = r.clock.Add(1)
	if errors.Is(err, eventstore.ErrOutcomeUnknown) {
		if !errors.Is(err, errLost) {
			operation.Return = math.MaxInt64 // it may still happen, at any time
		}
		a, err = answer{unknown: true}, nil
	}
	operation.Output = a
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, operation)
	return a, err
}

func (r *recording) ask(ctx context.Context, c call) (answer, error) {
	if c.count == 0 {
		return r.look(ctx, c)
	}
	events := drafts(c.count)
	for i := range events {
		events[i].Data = []byte(c.tag)
	}
	result, err := r.Append(ctx, to(r.streams[c.stream], c.expected, events...))
	if conflict, ok := errors.AsType[*eventstore.ConflictError](err); ok {
		return answer{conflict: true, version: conflict.Actual}, nil
	}
	if err != nil {
		return answer{}, err
	}
	if len(result.Versions) != 1 {
		return answer{}, fmt.Errorf("an append to one stream was answered with the versions %v", result.Versions)
	}
	return answer{version: result.Versions[0]}, nil
}

func (r *recording) look(ctx context.Context, c call) (answer, error) {
	var (
		a    answer
		tags strings.Builder
	)
	for e, err := range r.ReadStream(ctx, r.streams[c.stream], eventstore.StreamQuery{}) {
		if err != nil {
			return answer{}, err
		}
		tags.Write(e.Data)
		tags.WriteByte(' ')
		a.version = e.AggregateVersion
	}
	a.tags = tags.String()
	return a, nil
}
