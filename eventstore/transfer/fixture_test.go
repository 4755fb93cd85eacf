package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/sqlite"
)

// stepping is a clock that goes on by some milliseconds with each look.
func stepping() func() time.Time {
	var looks atomic.Int64
	start := time.Date(2024, 5, 1, 12, 0, 0, 123456000, time.UTC)
	return func() time.Time { return start.Add(time.Duration(looks.Add(1)) * 7 * time.Millisecond) }
}

// largeAppends let a commit be one append.
func largeAppends() eventstore.Limits {
	return eventstore.Limits{EventsPerAppend: 10_000, StreamsPerAppend: 10_000}
}

func inMemory(tb testing.TB) *memory.Store {
	tb.Helper()
	store, err := memory.Open(tb.Context(), memory.Config{Now: stepping(), Limits: largeAppends()})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

func onSQLite(tb testing.TB) *sqlite.Store {
	tb.Helper()
	return openSQLite(tb, filepath.Join(tb.TempDir(), "events.db"))
}

func openSQLite(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	config := sqlite.Config{
		Path: path, Now: stepping(), Synchronous: sqlite.SynchronousNormal,
		Limits: largeAppends(),
	}
	require.NoError(tb, sqlite.Migrate(tb.Context(), config))
	store, err := sqlite.Open(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

func onPostgreSQL(tb testing.TB) *postgres.Store {
	tb.Helper()
	config := postgres.Config{URL: pgtest.URL(tb)}
	require.NoError(tb, postgres.Migrate(tb.Context(), config))
	store, err := postgres.Open(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// onJetStream has a server of its own.
func onJetStream(tb testing.TB) *jetstream.Store {
	tb.Helper()
	return newJetStream(tb, natstest.Start(tb).URL())
}

// newJetStream opens the first store of a server.
func newJetStream(tb testing.TB, url string) *jetstream.Store {
	tb.Helper()
	js, end, err := natstest.Dial(url)
	require.NoError(tb, err)
	tb.Cleanup(end)
	require.NoError(tb, jetstream.Provision(tb.Context(), js, jetstream.Config{}))
	store, err := jetstream.Open(tb.Context(), js, jetstream.Config{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// writer appends events of all kinds to some streams.
type writer struct {
	store    eventstore.Store
	random   *rand.Rand
	streams  []eventstore.Stream
	versions map[eventstore.Stream]uint64
}

func newWriter(store eventstore.Store, random *rand.Rand) *writer {
	w := &writer{store: store, random: random, versions: make(map[eventstore.Stream]uint64)}
	for i := range 12 {
		w.streams = append(w.streams, eventstore.Stream{
			TenantID:      [...]event.TenantID{"", "acme", "Acme", "umbrella"}[i%4],
			AggregateType: [...]string{"Order", "Invoice", "Größe/7"}[i%3], AggregateID: uuid.New(),
		})
	}
	return w
}

// add makes n appends.
func (w *writer) add(ctx context.Context, n int) error {
	for range n {
		stream := w.streams[w.random.IntN(len(w.streams))]
		events := make([]event.Event, 1+w.random.IntN(3))
		for i := range events {
			events[i] = w.draft()
		}
		_, err := w.store.Append(ctx, eventstore.Append{Stream: stream, Expected: eventstore.Exact(w.versions[stream]), Events: events})
		if err != nil {
			return err
		}
		w.versions[stream] += uint64(len(events))
	}
	return nil
}

func (w *writer) draft() event.Event {
	e := event.Event{
		ID: event.NewID(), Type: "Changed", SchemaVersion: 1 + w.random.IntN(3), ActorID: event.User("ada"), CorrelationID: uuid.New(),
		OccurredAt: time.UnixMicro(w.random.Int64N(2e15)).UTC(),
		Data:       fmt.Appendf(nil, `{ "n" : %d.0,"text":"\u00e9 %x" }`, w.random.IntN(100), w.random.Uint64()),
	}
	if w.random.IntN(2) == 0 {
		e.ActorID, e.CorrelationID, e.CausationID = "", uuid.Nil, uuid.New()
	}
	if w.random.IntN(3) == 0 {
		e.Metadata = event.Metadata{"whole": 3.0, "int": int64(w.random.IntN(9)), "list": []any{nil, "a", map[string]any{"b": true}}}
	}
	return e
}

// fill makes n appends to a store.
func fill(tb testing.TB, store eventstore.Store, n int) {
	tb.Helper()
	require.NoError(tb, newWriter(store, rand.New(rand.NewPCG(uint64(n), 7))).add(tb.Context(), n))
}

// filled returns a store with n appends.
func filled(tb testing.TB, n int) *memory.Store {
	tb.Helper()
	store := inMemory(tb)
	fill(tb, store, n)
	return store
}

func all(tb testing.TB, store eventstore.Store, query eventstore.Query) []event.Event {
	tb.Helper()
	var events []event.Event
	for e, err := range store.ReadAll(tb.Context(), query) {
		require.NoError(tb, err)
		events = append(events, e)
	}
	return events
}

// requireBeginning requires that target holds a beginning of source, and returns
// how many events each has.
func requireBeginning(tb testing.TB, source, target eventstore.Store) (of, n int) {
	tb.Helper()
	want, got := all(tb, source, eventstore.Query{}), all(tb, target, eventstore.Query{})
	require.LessOrEqual(tb, len(got), len(want))
	for i := range got {
		want[i].Position = got[i].Position
		if !reflect.DeepEqual(want[i], got[i]) {
			require.Equal(tb, want[i], got[i])
		}
	}
	return len(want), len(got)
}

// requireSame requires that both stores hold the same, however one looks.
func requireSame(tb testing.TB, source, target eventstore.Store, report transfer.Report) {
	tb.Helper()
	of, n := requireBeginning(tb, source, target)
	require.Equal(tb, of, n)
	require.Equal(tb, uint64(n), report.Digest.Events)
	for _, store := range []eventstore.Store{source, target} {
		digest, err := transfer.DigestOf(tb.Context(), store, 0)
		require.NoError(tb, err)
		require.Equal(tb, report.Digest, digest)
	}
	verified, err := transfer.Verify(tb.Context(), source, target, transfer.VerifyConfig{})
	require.NoError(tb, err)
	report.Stored = 0
	require.Equal(tb, report, verified)
}

func copyAll(tb testing.TB, source eventstore.Store, target transfer.Target) transfer.Report {
	tb.Helper()
	report, err := transfer.Copy(tb.Context(), source, target, transfer.Config{})
	require.NoError(tb, err)
	return report
}

// each is the sequence of events.
func each(events []event.Event) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// errCut is what an interruption looks like.
var errCut = errors.New("cut")

// breaks says when something fails: at random, every so many events.
type breaks struct {
	random *rand.Rand
	most   int // events between two failures
	left   int // events until the next
}

func newBreaks(random *rand.Rand, most int) *breaks {
	return &breaks{random: random, most: most, left: 1 + random.IntN(most)}
}

// due reports, for each event, whether it is time to fail.
func (b *breaks) due() bool {
	if b.left--; b.left > 0 {
		return false
	}
	b.left = 1 + b.random.IntN(b.most)
	return true
}

// cut breaks a read off.
func (b *breaks) cut(read iter.Seq2[event.Event, error]) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for e, err := range read {
			if b.due() {
				yield(event.Event{}, errCut)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// flakySource is a source whose reads break off.
type flakySource struct {
	eventstore.Store
	*breaks
}

func (f *flakySource) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return f.cut(f.Store.ReadAll(ctx, query))
}

// flaky is a target whose reads and imports break off, and whose imports lose
// their answers.
type flaky struct {
	transfer.Target
	*breaks
}

func (f *flaky) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return f.cut(f.Target.ReadAll(ctx, query))
}

func (f *flaky) Import(ctx context.Context, events iter.Seq2[event.Event, error]) (int, error) {
	if f.random.IntN(2) == 0 {
		return f.Target.Import(ctx, f.cut(events))
	}
	failed := false
	stored, err := f.Target.Import(ctx, func(yield func(event.Event, error) bool) {
		for e, err := range events {
			failed = failed || f.due()
			if !yield(e, err) {
				return
			}
		}
	})
	if err == nil && failed {
		return 0, &eventstore.OutcomeUnknownError{Err: errCut}
	}
	return stored, err
}
