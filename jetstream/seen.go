package jetstream

import (
	"context"
	"sync"

	"github.com/evident-go/evident/event"
)

// Key identifies a message among all that a reader may ever get.
type Key struct{ Source, ID string }

// Seen remembers which messages took effect, so that one that comes again does
// not take effect again. [NewWindow] returns one in memory.
//
// Whoever keeps effects in a database keeps this there, too: Once begins a
// transaction, inserts the key into a table where it is unique, returns without
// calling f if it is there already, else calls f with a context that carries
// the transaction, and commits. Then each message takes effect exactly once,
// however often it is delivered and whatever crashes.
type Seen interface {
	// Once calls f unless the key was seen, and remembers the key if f returns
	// nil. It returns f's error, or its own. Two calls with one key must not
	// both call f and succeed.
	Once(ctx context.Context, key Key, f func(ctx context.Context) error) error
}

// Window is a [Seen] in memory that knows the last so many keys. After a
// restart of the process it knows none, and it does not know those of another
// process that shares the durable: a message whose acknowledgement was lost
// then takes effect again. It is safe for concurrent use; calls wait for
// each other.
type Window struct {
	mu   sync.Mutex
	keys map[Key]struct{}
	ring []Key // in the order in which they came
	next int
}

// NewWindow returns a window of so many keys, at least one. A key takes about
// 200 bytes.
func NewWindow(size int) (*Window, error) {
	if size < 1 {
		return nil, &event.InvalidError{Field: "size", Reason: "must be at least 1"}
	}
	return &Window{keys: make(map[Key]struct{}), ring: make([]Key, 0, min(size, 1024)), next: -size}, nil
}

// Once implements [Seen].
func (w *Window) Once(ctx context.Context, key Key, f func(ctx context.Context) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, seen := w.keys[key]; seen {
		return nil
	}
	if err := f(ctx); err != nil {
		return err
	}
	w.remember(key)
	return nil
}

// remember adds a key, in the place of the oldest if the window is full. While
// it fills, next counts up from minus its size.
func (w *Window) remember(key Key) {
	w.keys[key] = struct{}{}
	if w.next < 0 {
		w.ring = append(w.ring, key)
		w.next++
		return
	}
	delete(w.keys, w.ring[w.next])
	w.ring[w.next] = key
	w.next = (w.next + 1) % len(w.ring)
}
