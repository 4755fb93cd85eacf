//go:build unix

package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/historytest"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// fate is what became of an append, as its writer was told.
type fate int

const (
	isStored fate = iota
	isRefused
	isUnknown
)

// deed is one append and its fate.
type deed struct {
	appends []eventstore.Append
	result  eventstore.Result
	fate    fate
	astray  bool // whether a leader that was astray may have been asked
}

// book is what all writers did, and were told.
type book struct {
	history historytest.History
	events  atomic.Int64 // that were acknowledged

	mu    sync.Mutex
	deeds []*deed
	fates [3]int
	again int // appends that were sent again
	reads int // of whole streams
	old   int // answers that may have been out of date

	behind string        // where a server is whose answers may be; "" for none
	mixed  time.Time     // until then it may answer whoever is connected to another
	last   time.Time     // when something was acknowledged
	pause  time.Duration // the longest without
}

// astray names a server whose answers may be out of date from now on, nil for
// none.
func (b *book) astray(server *natstest.Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behind = ""
	if server != nil {
		b.behind = server.URL()
	}
}

// reached says that the others can reach that server now. It needs a moment to hear
// from them that it leads no more: a connection, and a message of their leader, of
// which one comes each second.
func (b *book) reached() { b.mixes(time.Now().Add(3 * time.Second)) }

// mixes says until when that server may answer whoever is connected to another.
func (b *book) mixes(until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mixed = until
}

// isAstray reports whether that server may answer a store.
func (b *book) isAstray(store *jetstream.Store) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.behind != "" && jetstream.ConnectedTo(store) == b.behind || time.Now().Before(b.mixed)
}

func (b *book) note(d *deed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deeds = append(b.deeds, d)
	b.fates[d.fate]++
	if d.fate != isStored {
		return
	}
	for _, a := range d.appends {
		b.events.Add(int64(len(a.Events)))
	}
	b.pause, b.last = max(b.pause, time.Since(b.last)), time.Now()
}

func (b *book) count(n *int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*n++
}

// String gives the figures of a run.
func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%d events acknowledged in %d appends, %d refused, %d unknown, %d sent again, %d reads; longest pause %.1f s; %d answers of a leader that was astray",
		b.events.Load(), b.fates[isStored], b.fates[isRefused], b.fates[isUnknown], b.again, b.reads, b.pause.Seconds(), b.old)
}

// How writers go about it.
const (
	own        = 8  // streams of a generation that one writer has to himself
	shared     = 3  // and that all share
	generation = 40 // calls, after which there are new streams
	pacing     = 8 * time.Millisecond
	patient    = 15 * time.Second       // for one try
	hasty      = 300 * time.Millisecond // for an append that is never tried again
	tries      = 6
)

// writer appends to streams over a store, and what is unknown again over others.
type writer struct {
	index   int
	book    *book
	stores  []*jetstream.Store
	random  *rand.Rand
	known   map[int]uint64 // the version of each stream, as far as it was told
	calls   int
	stored  atomic.Int64
	stopped <-chan struct{}
}

func (w *writer) write(ctx context.Context) error {
	pace := time.NewTicker(pacing)
	defer pace.Stop()
	for {
		select {
		case <-w.stopped:
			return nil
		case <-pace.C:
		}
		if err := w.call(ctx); err != nil {
			return err
		}
	}
}

// call appends to one or two streams, or reads one.
func (w *writer) call(ctx context.Context) error {
	first := w.calls / generation * (own + shared)
	mine, ours := first+w.index, first+own+w.random.IntN(shared)
	w.calls++
	switch w.random.IntN(8) {
	case 0:
		return w.read(ctx, mine)
	case 1:
		return w.read(ctx, ours)
	case 2, 3:
		return w.append(ctx, w.toShared(ours), w.toOwn(mine))
	case 4, 5:
		return w.append(ctx, w.toShared(ours))
	default:
		return w.append(ctx, w.toOwn(mine))
	}
}

func (w *writer) toOwn(stream int) historytest.Call {
	return w.events(stream, eventstore.Exact(w.known[stream]))
}

// toShared expects what was so when the writer last looked, or something that is
// not so, or nothing.
func (w *writer) toShared(stream int) historytest.Call {
	expected := []eventstore.Expectation{eventstore.Any(), eventstore.Exact(w.known[stream]), eventstore.Exact(w.known[stream]), eventstore.Exact(w.known[stream] + 1)}
	return w.events(stream, expected[w.random.IntN(len(expected))])
}

func (w *writer) events(stream int, expected eventstore.Expectation) historytest.Call {
	return historytest.Call{Stream: stream, Expected: expected, Tag: fmt.Sprintf(`"%d.%d"`, w.index, w.calls), Count: 1 + w.random.IntN(8)}
}

func (w *writer) read(ctx context.Context, stream int) error {
	began, astray := w.book.history.Begin(), w.book.isAstray(w.stores[0])
	limited, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	a, err := look(limited, w.stores[0], stream)
	if err != nil {
		return acceptable(err)
	}
	w.known[stream] = max(w.known[stream], a.Version)
	w.book.count(&w.book.reads)
	if a.Old = astray || w.book.isAstray(w.stores[0]); a.Old {
		w.book.count(&w.book.old)
	}
	w.book.history.End(w.index, began, historytest.Call{Stream: stream}, a, false)
	return nil
}

// look reads a stream.
func look(ctx context.Context, store *jetstream.Store, stream int) (a historytest.Answer, err error) {
	var tags strings.Builder
	for e, err := range store.ReadStream(ctx, numbered(stream), eventstore.StreamQuery{}) {
		if err != nil {
			return a, err
		}
		tags.Write(e.Data)
		tags.WriteByte(' ')
		a.Version = e.AggregateVersion
	}
	a.Tags = tags.String()
	return a, nil
}

func numbered(stream int) eventstore.Stream { return place(uint64(stream) + 1) }

// acceptable returns an error unless it says that the servers did not answer in time.
func acceptable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || jetstream.IsRetryable(err) {
		return nil
	}
	return err
}

func (w *writer) append(ctx context.Context, calls ...historytest.Call) error {
	d := &deed{}
	for _, c := range calls {
		events := notes(c.Count)
		for i := range events {
			events[i].Data = []byte(c.Tag)
		}
		d.appends = append(d.appends, eventstore.Append{Stream: numbered(c.Stream), Expected: c.Expected, Events: events})
	}
	began := w.book.history.Begin()
	var err error
	d.result, d.astray, err = w.send(ctx, d.appends)
	conflict, _ := errors.AsType[*eventstore.ConflictError](err)
	switch {
	case err == nil:
		w.stored.Add(1)
	case conflict != nil:
		d.fate = isRefused
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
		d.fate = isUnknown
	default:
		d.fate, err = isRefused, acceptable(err)
		w.book.note(d)
		return err
	}
	w.book.note(d)
	for i, c := range calls {
		w.end(began, c, d, i, conflict)
	}
	return nil
}

// end adds what an append says of one stream to the history.
func (w *writer) end(began int64, c historytest.Call, d *deed, i int, conflict *eventstore.ConflictError) {
	var a historytest.Answer
	switch {
	case d.fate == isUnknown:
		a.Unknown = true
	case conflict == nil:
		a.Version = d.result.Versions[i]
	case conflict.Stream != d.appends[i].Stream:
		return // it says nothing of this one
	default:
		a.Conflict, a.Version, a.Old = true, conflict.Actual, d.astray
	}
	if a.Old {
		w.book.count(&w.book.old)
	}
	if !a.Unknown {
		w.known[c.Stream] = a.Version
	}
	w.book.history.End(w.index, began, c, a, a.Unknown)
}

// send appends until it is known what became of it, each time over another store.
// Some appends are not sent again.
func (w *writer) send(ctx context.Context, appends []eventstore.Append) (result eventstore.Result, astray bool, err error) {
	limit, left := patient, tries
	if w.random.IntN(20) == 0 {
		limit, left = hasty, 1
	}
	var unknown error
	for try := 0; ; try++ {
		store := w.stores[try%len(w.stores)]
		astray = astray || w.book.isAstray(store)
		limited, cancel := context.WithTimeout(ctx, limit)
		result, err = store.Append(limited, appends...)
		cancel()
		astray = astray || w.book.isAstray(store)
		if errors.Is(err, eventstore.ErrOutcomeUnknown) {
			unknown = err
		}
		if err == nil || errors.Is(err, eventstore.ErrConflict) || acceptable(err) != nil && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			return result, astray, err
		}
		if try+1 == left {
			return result, astray, errors.Join(unknown, err)
		}
		w.book.count(&w.book.again)
	}
}

// subscriber follows the log, now over one store, now over another.
type subscriber struct {
	stores []*jetstream.Store
	at     atomic.Uint64
	seen   []sighting
}

type sighting struct {
	position uint64
	id       uuid.UUID
}

// follow reads what is new until ctx ends.
func (s *subscriber) follow(ctx context.Context) error {
	for round := 0; ctx.Err() == nil; round++ {
		store := s.stores[round/50%len(s.stores)]
		if _, err := store.Wait(ctx, s.at.Load()); err != nil {
			if ctx.Err() == nil && acceptable(err) != nil {
				return err
			}
			continue
		}
		if err := s.catchUp(ctx, store); err != nil && ctx.Err() == nil && acceptable(err) != nil {
			return err
		}
	}
	return nil
}

func (s *subscriber) catchUp(ctx context.Context, store *jetstream.Store) error {
	for e, err := range store.ReadAll(ctx, eventstore.Query{After: s.at.Load()}) {
		if err != nil {
			return err
		}
		s.seen = append(s.seen, sighting{e.Position, e.ID})
		s.at.Store(e.Position)
	}
	return nil
}
