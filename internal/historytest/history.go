// Package historytest judges what a store has answered to several clients at
// once: there must be an order of all calls, in which each lies between its
// beginning and its end, and in which every answer is right.
package historytest

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/evident-go/evident/eventstore"
)

// Call is an append of Count events, or a read of the whole stream if Count is 0.
type Call struct {
	Stream   int // its number
	Expected eventstore.Expectation
	Tag      string // what each event of the append carries; no other append has it
	Count    int
}

// Answer is what the store said to a call.
type Answer struct {
	Version  uint64 // after an append, or found by a conflict
	Conflict bool
	Unknown  bool
	Tags     string // what a read saw, each followed by a blank
	Old      bool   // a read may lack the newest events, and a conflict name an earlier version
}

// History is what clients have asked and were answered. It is safe for
// concurrent use.
type History struct {
	clock atomic.Int64
	mu    sync.Mutex
	calls []porcupine.Operation
}

// Begin returns the time at which a call begins.
func (h *History) Begin() int64 { return h.clock.Add(1) }

// End adds a call that ends now. One that has not ended, and may still take
// effect at any time, is open.
func (h *History) End(client int, began int64, c Call, a Answer, open bool) {
	operation := porcupine.Operation{ClientId: client, Input: c, Call: began, Output: a, Return: h.clock.Add(1)}
	if open {
		operation.Return = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, operation)
}

// Len returns how many calls there are.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.calls)
}

// Check returns an error unless the history is linearizable, or if that cannot be
// said within patience.
func (h *History) Check(patience time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, calls := range byStream(h.calls) {
		result, info := porcupine.CheckOperationsVerbose(model(), calls, patience)
		if result != porcupine.Ok {
			return fmt.Errorf("the history of stream %d: %s; the calls are %s; the longest part that is linearizable: %v",
				n, result, describe(calls), info.PartialLinearizations())
		}
	}
	return nil
}

func describe(calls []porcupine.Operation) string {
	var b strings.Builder
	for i, o := range calls {
		fmt.Fprintf(&b, "\n%d: client %d, %d to %d: %+v → %+v", i, o.ClientId, o.Call, o.Return, o.Input, o.Output)
	}
	return b.String()
}

func byStream(history []porcupine.Operation) [][]porcupine.Operation {
	var streams [][]porcupine.Operation
	for _, operation := range history {
		c, _ := operation.Input.(Call)
		for len(streams) <= c.Stream {
			streams = append(streams, nil)
		}
		streams[c.Stream] = append(streams[c.Stream], operation)
	}
	return streams
}

// contents is the state of one stream.
type contents struct {
	version uint64
	tags    string
}

// model says which answers a stream may give, one call after the other.
func model() porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{contents{}} },
		Step: func(state, input, output any) []any {
			now, _ := state.(contents)
			c, _ := input.(Call)
			a, _ := output.(Answer)
			return step(now, c, a)
		},
	}).ToModel()
}

func step(now contents, c Call, a Answer) []any {
	then := contents{version: now.version + uint64(c.Count), tags: now.tags + c.written()}
	holds := c.Expected.Holds(now.version)
	switch {
	case c.Count == 0:
		return states(now, a.Tags == now.tags || a.Old && strings.HasPrefix(now.tags, a.Tags))
	case a.Unknown:
		return append(states(now, true), states(then, holds)...)
	case a.Conflict:
		return states(now, !holds && (a.Version == now.version || a.Old && a.Version < now.version))
	default:
		return states(then, holds && a.Version == then.version)
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
func (c Call) written() string { return strings.Repeat(c.Tag+" ", c.Count) }
