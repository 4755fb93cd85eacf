package eventstoretest

import (
	"context"
	"iter"
	"sync"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Moment says when a call fails.
type Moment uint8

const (
	// Before is before the store was asked: nothing has happened.
	Before Moment = iota
	// After is after the store has answered: what was asked for has happened,
	// and the caller does not learn of it.
	After
)

// Faults is a store that fails when it is told to and otherwise does what the
// store beneath it does. It is safe for concurrent use.
type Faults struct {
	eventstore.Store

	mu      sync.Mutex
	appends []fault
	reads   []readFault
	heads   []error
	waits   []error
	hook    AppendHook
}

// AppendHook is called before each append and says how it fails: with before,
// and then it does not happen; with after, once it has happened; or not at
// all. It may block, to hold an append up.
type AppendHook func(ctx context.Context, appends []eventstore.Append) (before, after error)

type fault struct {
	moment Moment
	err    error
}

type readFault struct {
	after int
	err   error
}

// NewFaults returns a view of store that does not fail yet.
func NewFaults(store eventstore.Store) *Faults { return &Faults{Store: store} }

// FailAppend lets the next append fail with err. Called several times it is
// about the appends after that, in order.
func (f *Faults) FailAppend(moment Moment, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.appends = append(f.appends, fault{moment, err})
}

// OnAppend sets the hook that is called for each append for which FailAppend
// says nothing; nil takes it away.
func (f *Faults) OnAppend(hook AppendHook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// FailRead lets the next read, of a stream or of all, fail with err when it
// has yielded so many events, or at its end if there are fewer. Called several
// times it is about the reads after that, in order.
func (f *Faults) FailRead(after int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = append(f.reads, readFault{after, err})
}

// FailHead lets the next call of Head fail with err.
func (f *Faults) FailHead(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heads = append(f.heads, err)
}

// FailWait lets the next call of Wait fail with err, at once.
func (f *Faults) FailWait(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waits = append(f.waits, err)
}

// Append implements [eventstore.Store].
func (f *Faults) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	before, after := f.appendFault(ctx, appends)
	if before != nil {
		return eventstore.Result{}, before
	}
	result, err := f.Store.Append(ctx, appends...)
	if err == nil && after != nil {
		return eventstore.Result{}, after
	}
	return result, err // it is the store's answer.
}

func (f *Faults) appendFault(ctx context.Context, appends []eventstore.Append) (before, after error) {
	f.mu.Lock()
	next, planned := shift(&f.appends)
	hook := f.hook
	f.mu.Unlock()
	switch {
	case planned && next.moment == Before:
		return next.err, nil
	case planned:
		return nil, next.err
	case hook != nil:
		return hook(ctx, appends)
	default:
		return nil, nil
	}
}

// ReadStream implements [eventstore.Store].
func (f *Faults) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return f.read(f.Store.ReadStream(ctx, stream, query))
}

// ReadAll implements [eventstore.Store].
func (f *Faults) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return f.read(f.Store.ReadAll(ctx, query))
}

func (f *Faults) read(events iter.Seq2[event.Event, error]) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		f.mu.Lock()
		next, planned := shift(&f.reads)
		f.mu.Unlock()
		if !planned {
			events(yield)
			return
		}
		n := 0
		for e, err := range events {
			if n == next.after {
				break
			}
			if !yield(e, err) || err != nil {
				return
			}
			n++
		}
		yield(event.Event{}, next.err)
	}
}

// Head implements [eventstore.Store].
func (f *Faults) Head(ctx context.Context) (uint64, error) {
	f.mu.Lock()
	err, planned := shift(&f.heads)
	f.mu.Unlock()
	if planned {
		return 0, err
	}
	return f.Store.Head(ctx) // it is the store's answer.
}

// Wait implements [eventstore.Store].
func (f *Faults) Wait(ctx context.Context, after uint64) (uint64, error) {
	f.mu.Lock()
	err, planned := shift(&f.waits)
	f.mu.Unlock()
	if planned {
		return 0, err
	}
	return f.Store.Wait(ctx, after) // it is the store's answer.
}

// shift takes the first entry off a queue.
func shift[E any](queue *[]E) (first E, ok bool) {
	if len(*queue) == 0 {
		return first, false
	}
	first, *queue = (*queue)[0], (*queue)[1:]
	return first, true
}
