package postgres_test

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// sharedDatabase is a database for the clauses of a suite. Each gets a schema
// of its own in it, which costs a tenth of what a database does.
type sharedDatabase struct {
	url     string
	schemas atomic.Int64
}

func newSharedDatabase(tb testing.TB) *sharedDatabase {
	tb.Helper()
	return &sharedDatabase{url: pgtest.URL(tb)}
}

// config returns the configuration of a store whose tables are made. Tables
// that projections make for themselves have a schema of their own, too, and the
// store does not wait for the disk.
func (d *sharedDatabase) config(tb testing.TB) postgres.Config {
	tb.Helper()
	n := d.schemas.Add(1)
	own, err := url.Parse(d.url)
	require.NoError(tb, err)
	query := own.Query()
	query.Set("search_path", fmt.Sprintf("tables_%d", n))
	query.Set("synchronous_commit", "off")
	own.RawQuery = query.Encode()
	config := postgres.Config{URL: own.String(), Schema: fmt.Sprintf("store_%d", n), Relaxed: true}
	require.NoError(tb, postgres.Migrate(tb.Context(), config))
	return config
}

// home is a store and where it is.
type home struct {
	*postgres.Store

	config postgres.Config
}

// home opens an empty store.
func (d *sharedDatabase) home(tb testing.TB) *home {
	tb.Helper()
	config := d.config(tb)
	h := &home{Store: open(tb, config), config: config}
	h.run(tb, "CREATE SCHEMA "+h.Pool().Config().ConnConfig.RuntimeParams["search_path"])
	return h
}

// newHome opens an empty store in a database of its own.
func newHome(tb testing.TB) *home {
	tb.Helper()
	return newSharedDatabase(tb).home(tb)
}

// again opens the store once more, as another process would.
func (h *home) again(tb testing.TB) *postgres.Store {
	tb.Helper()
	return open(tb, h.config)
}

// run runs a statement. The store's schema stands in it as "evident.".
func (h *home) run(tb testing.TB, statement string) {
	tb.Helper()
	_, err := h.Pool().Exec(tb.Context(), h.sql(statement))
	require.NoError(tb, err, statement)
}

func (h *home) count(tb testing.TB, query string) (n int) {
	tb.Helper()
	require.NoError(tb, h.Pool().QueryRow(tb.Context(), h.sql(query)).Scan(&n), query)
	return n
}

func (h *home) sql(statement string) string {
	return strings.ReplaceAll(statement, "evident.", h.config.Schema+".")
}

// begin starts a transaction, which the test's end ends.
func begin(tb testing.TB, store projection.Progress) *postgres.Tx {
	tb.Helper()
	tx, err := store.Begin(tb.Context())
	require.NoError(tb, err)
	own, ok := tx.(*postgres.Tx)
	require.True(tb, ok)
	tb.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(tb.Context())) }) // whatever has become of it
	return own
}

func newRunner(tb testing.TB, store projection.Store, projections ...projection.Projection) *projection.Runner {
	tb.Helper()
	runner, err := projection.NewRunner(store, projection.Config{Projections: projections})
	require.NoError(tb, err)
	return runner
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

// add appends n events to a new stream.
func add(tb testing.TB, store eventstore.Store, n int) eventstore.Result {
	tb.Helper()
	result, err := store.Append(tb.Context(), eventstore.Append{Stream: newStream(), Events: newEvents(n)})
	require.NoError(tb, err)
	return result
}

// read reads a sequence to its end.
func read(tb testing.TB, events iter.Seq2[event.Event, error]) (all []event.Event) {
	tb.Helper()
	for e, err := range events {
		require.NoError(tb, err)
		all = append(all, e)
	}
	return all
}

// readAll returns what a query yields.
func readAll(tb testing.TB, store eventstore.Store, query eventstore.Query) []event.Event {
	tb.Helper()
	return read(tb, store.ReadAll(tb.Context(), query))
}

// readStream returns all events of a stream.
func readStream(tb testing.TB, store eventstore.Store, stream eventstore.Stream) []event.Event {
	tb.Helper()
	return read(tb, store.ReadStream(tb.Context(), stream, eventstore.StreamQuery{}))
}

// appendTo appends n events to a stream.
func appendTo(tb testing.TB, store eventstore.Store, stream eventstore.Stream, n int) eventstore.Result {
	tb.Helper()
	result, err := store.Append(tb.Context(), eventstore.Append{Stream: stream, Events: newOrders(n)})
	require.NoError(tb, err)
	return result
}

// execIn runs a statement past the store.
func execIn(tb testing.TB, store *postgres.Store, statement string, args ...any) {
	tb.Helper()
	_, err := store.Pool().Exec(tb.Context(), statement, args...)
	require.NoError(tb, err)
}

// value returns the one value of a query.
func value[T any](tb testing.TB, store *postgres.Store, query string, args ...any) (v T) {
	tb.Helper()
	require.NoError(tb, store.Pool().QueryRow(tb.Context(), query, args...).Scan(&v))
	return v
}

// dial connects without a store.
func dial(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context()) // clean-ups dial, too
	conn, err := pgx.Connect(ctx, url)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close(ctx) })
	return conn
}

// execute runs statements without a store, each by itself.
func execute(tb testing.TB, url string, statements ...string) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	conn, err := pgx.Connect(ctx, url)
	require.NoError(tb, err)
	for _, statement := range statements {
		_, err := conn.Exec(ctx, statement)
		require.NoError(tb, err, statement)
	}
	require.NoError(tb, conn.Close(ctx))
}
