package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// clock moves a minute with each look at it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Minute)
	return c.now
}

func newStore(tb testing.TB) *memory.Store {
	tb.Helper()
	store, err := memory.Open(tb.Context(), memory.Config{Now: (&clock{now: start}).Now})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// payloads are such as a careless archive would change.
func payloads() [][]byte {
	return [][]byte{
		[]byte(`{"a":1}`), []byte(`{ "a" : 1 }`), []byte("{\"a\":\n1}"), []byte(`{"a":1} `), []byte(`{"a":1}` + "\n"),
		[]byte(`"<b>&amp;</b>"`), []byte("\"\u2028\""), []byte(`"\u003c"`), []byte(`null`), []byte(`0.10e+02`), []byte(`12345678901234567890`),
		nil,
		{},
		{0},
		[]byte("\xff\xfe"), []byte("\"\xff\""), []byte("not json"), []byte(`{"a":1,"a":2}`), []byte(`"` + string(make([]byte, 300)) + `"`),
	}
}

// fill appends n events to streams of their own, one after the other.
func fill(tb testing.TB, store eventstore.Store, n int) {
	tb.Helper()
	all := payloads()
	for i := range n {
		tenant := event.TenantID([]string{"", "acme"}[i%2])
		e := event.Event{
			ID: event.NewID(), Type: []string{"Opened", "Closed"}[i%2], SchemaVersion: 1 + i%3, ActorID: event.User(strconv.Itoa(i % 4)),
			CorrelationID: uuid.New(), OccurredAt: start.Add(-time.Duration(i) * time.Hour), Data: all[i%len(all)],
		}
		if i%3 == 0 {
			e.ActorID, e.CausationID = "", uuid.New()
			e.Metadata = event.Metadata{"n": int64(i), "f": 1.0, "s": "<ü>\u2028", "l": []any{int64(1), nil, "x"}, "u": ^uint64(0)}
		}
		stream := eventstore.Stream{TenantID: tenant, AggregateType: []string{"Account", "Order"}[i%2], AggregateID: uuid.NewSHA1(uuid.Nil, []byte{byte(i % 5)})}
		_, err := store.Append(tb.Context(), eventstore.Append{Stream: stream, Events: []event.Event{e}})
		require.NoError(tb, err)
	}
}

func collect(tb testing.TB, events iter.Seq2[event.Event, error]) (all []event.Event) {
	tb.Helper()
	for e, err := range events {
		require.NoError(tb, err)
		if len(e.Data) == 0 {
			e.Data = nil
		}
		all = append(all, e)
	}
	return all
}

func lastError[T any](items iter.Seq2[T, error]) (last error) {
	for _, err := range items {
		last = err
	}
	return last
}

// bucket is a target in memory.
type bucket struct {
	fstest.MapFS

	puts  int
	crash int  // the number of the Put that fails
	after bool // that Put stores the file and fails then
}

func newBucket() *bucket { return &bucket{MapFS: fstest.MapFS{}, crash: -1} }

var errCrash = errors.New("the power went")

func (b *bucket) Put(ctx context.Context, name string, content []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	crash := b.puts == b.crash
	b.puts++
	if !crash || b.after {
		b.MapFS[name] = &fstest.MapFile{Data: append([]byte(nil), content...)}
	}
	if crash {
		return errCrash
	}
	return nil
}

func (b *bucket) copied() fstest.MapFS {
	files := fstest.MapFS{}
	for name, file := range maps.All(b.MapFS) {
		files[name] = &fstest.MapFile{Data: append([]byte(nil), file.Data...)}
	}
	return files
}

func write(tb testing.TB, store eventstore.Store, target archive.Target, config archive.Config) archive.Result {
	tb.Helper()
	result, err := archive.Write(tb.Context(), store, target, config)
	require.NoError(tb, err)
	return result
}

func openArchive(tb testing.TB, files fs.FS) *archive.Reader {
	tb.Helper()
	r, err := archive.Open(tb.Context(), files)
	require.NoError(tb, err)
	return r
}
