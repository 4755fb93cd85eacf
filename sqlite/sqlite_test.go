package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

// newFile returns the configuration of a store whose file is made.
func newFile(tb testing.TB) sqlite.Config {
	tb.Helper()
	config := sqlite.Config{Path: filepath.Join(tb.TempDir(), "events.db")}
	require.NoError(tb, sqlite.Migrate(tb.Context(), config))
	return config
}

// open opens a store, which the test's end closes.
func open(tb testing.TB, config sqlite.Config) *sqlite.Store {
	tb.Helper()
	store, err := sqlite.Open(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// newStore returns an empty store.
func newStore(tb testing.TB) *sqlite.Store {
	tb.Helper()
	return open(tb, newFile(tb))
}

// raw opens the file past the store, as another program would.
func raw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

func newStream() eventstore.Stream {
	return eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}
}

// newEvents returns n valid events.
func newEvents(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			ID: event.NewID(), Type: "Created", SchemaVersion: 1, ActorID: event.User("ada"), CorrelationID: uuid.New(),
			OccurredAt: time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC), Data: fmt.Appendf(nil, `{"title":"%d"}`, i),
		}
	}
	return events
}

// add appends n events to a new stream and returns the result.
func add(tb testing.TB, store *sqlite.Store, n int) eventstore.Result {
	tb.Helper()
	result, err := store.Append(tb.Context(), eventstore.Append{Stream: newStream(), Events: newEvents(n)})
	require.NoError(tb, err)
	return result
}

// readAll returns what a query yields.
func readAll(tb testing.TB, store *sqlite.Store, query eventstore.Query) []event.Event {
	tb.Helper()
	var all []event.Event
	for e, err := range store.ReadAll(tb.Context(), query) {
		require.NoError(tb, err)
		all = append(all, e)
	}
	return all
}

// readStream returns what a query of one stream yields.
func readStream(tb testing.TB, store *sqlite.Store, stream eventstore.Stream, query eventstore.StreamQuery) []event.Event {
	tb.Helper()
	var all []event.Event
	for e, err := range store.ReadStream(tb.Context(), stream, query) {
		require.NoError(tb, err)
		all = append(all, e)
	}
	return all
}

func positions(events []event.Event) []uint64 {
	all := make([]uint64, len(events))
	for i := range events {
		all[i] = events[i].Position
	}
	return all
}
