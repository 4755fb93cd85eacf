package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/sqlite"
)

// Each benchmark runs the limit beside evident, in turns within one run: the
// bare driver through database/sql, doing the same with a prepared statement.
// "ratio" is evident's rate as a share of the limit's; the bars are 0.85 for
// one goroutine, 6 for 64, and 0.85 for reading.

type orderPlaced struct {
	Customer string      `json:"customer"`
	Lines    []orderLine `json:"lines"`
	Currency string      `json:"currency"`
	Note     string      `json:"note"`
}

type orderLine struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Price    int    `json:"price"`
}

func (orderPlaced) EventType() string { return "OrderPlaced" }

// newOrder returns an event of about 200 bytes of JSON.
func newOrder(tb testing.TB) event.Event {
	tb.Helper()
	data, err := json.Marshal(orderPlaced{
		Customer: "0190f0f0-1111-7222-8333-444455556666",
		Lines:    []orderLine{{SKU: "A-1", Quantity: 2, Price: 1250}, {SKU: "B-7", Quantity: 1, Price: 990}},
		Currency: "EUR", Note: "please deliver to the back door",
	})
	require.NoError(tb, err)
	id := event.NewID()
	return event.Event{ID: id, Type: "OrderPlaced", SchemaVersion: 1, ActorID: "user:550e8400", CorrelationID: id, OccurredAt: time.Now(), Data: data}
}

// bare is the limit: a table with the same columns and the keys that an event
// store cannot do without.
type bare struct {
	db     *sql.DB
	insert *sql.Stmt
}

func newBare(tb testing.TB) *bare {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(tb.Context(), `CREATE TABLE events (
			position INTEGER PRIMARY KEY AUTOINCREMENT, event_id BLOB NOT NULL, event_type TEXT NOT NULL, schema_version INTEGER NOT NULL,
			aggregate_type TEXT NOT NULL, aggregate_id BLOB NOT NULL, aggregate_version INTEGER NOT NULL, tenant_id TEXT NOT NULL, actor_id TEXT NOT NULL,
			correlation_id BLOB, causation_id BLOB, occurred_at INTEGER NOT NULL, recorded_at INTEGER NOT NULL, metadata TEXT, payload BLOB NOT NULL) STRICT;
		CREATE UNIQUE INDEX stream ON events (aggregate_id, aggregate_type, tenant_id, aggregate_version)`)
	require.NoError(tb, err)
	insert, err := db.PrepareContext(tb.Context(), `INSERT INTO events (event_id, event_type, schema_version, aggregate_type, aggregate_id, aggregate_version,
		tenant_id, actor_id, correlation_id, causation_id, occurred_at, recorded_at, metadata, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, insert.Close()) })
	return &bare{db: db, insert: insert}
}

func (b *bare) append(ctx context.Context, s eventstore.Stream, e event.Event) error {
	return b.appendTo(ctx, b.insert, s, e)
}

func (b *bare) appendTo(ctx context.Context, insert *sql.Stmt, s eventstore.Stream, e event.Event) error {
	_, err := insert.ExecContext(ctx, e.ID[:], e.Type, e.SchemaVersion, s.AggregateType, s.AggregateID[:], 1, string(s.TenantID), string(e.ActorID),
		e.CorrelationID[:], nil, e.OccurredAt.UnixMicro(), time.Now().UnixMicro(), nil, e.Data)
	return err
}

// seed fills the table without waiting for the disk each time.
func (b *bare) seed(tb testing.TB, n int) {
	tb.Helper()
	tx, err := b.db.BeginTx(tb.Context(), nil)
	require.NoError(tb, err)
	insert := tx.StmtContext(tb.Context(), b.insert)
	for range n {
		require.NoError(tb, b.appendTo(tb.Context(), insert, orders(), newOrder(tb)))
	}
	require.NoError(tb, tx.Commit())
}

func orders() eventstore.Stream {
	return eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
}

func seed(tb testing.TB, store *sqlite.Store, n int) {
	tb.Helper()
	for done := 0; done < n; {
		var appends []eventstore.Append
		for range min(100, n-done) {
			appends = append(appends, eventstore.Append{Stream: orders(), Events: []event.Event{newOrder(tb)}})
		}
		_, err := store.Append(tb.Context(), appends...)
		require.NoError(tb, err)
		done += len(appends)
	}
}

// BenchmarkW1 saves new aggregates with one event each. The limit is one
// goroutine's, also where evident has more.
func BenchmarkW1(b *testing.B) {
	bars := map[int]float64{1: 0.85, 64: 6}
	for _, goroutines := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			store, limit := newStore(b), newBare(b)
			save := func() error {
				_, err := store.Append(b.Context(), eventstore.Append{Stream: orders(), Expected: eventstore.NoStream(), Events: []event.Event{newOrder(b)}})
				return err
			}
			ours, theirs := benchtest.Turns(b.N, max(b.N/100, 20*goroutines), func(n int) {
				benchtest.Together(b, goroutines, n, save)
			}, func(n int) {
				benchtest.Together(b, 1, n, func() error { return limit.append(b.Context(), orders(), newOrder(b)) })
			})
			benchtest.Report(b, b.N, bars[goroutines], ours, theirs)
		})
	}
}

// BenchmarkW3 loads an aggregate out of many.
func BenchmarkW3(b *testing.B) {
	store := newStore(b)
	seed(b, store, 20_000)
	for _, length := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("events=%d", length), func(b *testing.B) {
			stream := orders()
			events := make([]event.Event, length)
			for i := range events {
				events[i] = newOrder(b)
			}
			_, err := store.Append(b.Context(), eventstore.Append{Stream: stream, Events: events})
			require.NoError(b, err)
			for b.Loop() {
				n := 0
				for e, err := range store.ReadStream(b.Context(), stream, eventstore.StreamQuery{}) {
					var payload orderPlaced
					if err != nil || json.Unmarshal(e.Data, &payload) != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != length {
					b.Fatal(n)
				}
			}
		})
	}
}

// BenchmarkW5 reads everything in the order of positions and decodes it.
func BenchmarkW5(b *testing.B) {
	const events = 50_000
	store, limit := newStore(b), newBare(b)
	seed(b, store, events)
	limit.seed(b, events)
	ours, theirs := benchtest.Turns(b.N, 1, func(n int) {
		for range n {
			require.Equal(b, events, replay(b, store))
		}
	}, func(n int) {
		for range n {
			require.Equal(b, events, limit.replay(b))
		}
	})
	benchtest.Report(b, b.N*events, 0.85, ours, theirs)
}

func replay(b *testing.B, store *sqlite.Store) (n int) {
	b.Helper()
	for e, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
		var payload orderPlaced
		if err != nil || json.Unmarshal(e.Data, &payload) != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func (b *bare) replay(tb testing.TB) (n int) {
	tb.Helper()
	rows, err := b.db.QueryContext(tb.Context(), `SELECT event_id, event_type, schema_version, aggregate_type, aggregate_id, aggregate_version, tenant_id, actor_id,
		correlation_id, causation_id, occurred_at, recorded_at, metadata, payload, position FROM events ORDER BY position`)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, rows.Close()) }()
	var (
		id, aggregate, correlation, causation, metadata, data []byte
		kind, aggregateType, tenant, actor                    string
		schema, version, occurred, recorded, position         int64
	)
	for rows.Next() {
		if err := rows.Scan(&id, &kind, &schema, &aggregateType, &aggregate, &version, &tenant, &actor,
			&correlation, &causation, &occurred, &recorded, &metadata, &data, &position); err != nil {
			tb.Fatal(err)
		}
		var payload orderPlaced
		if err := json.Unmarshal(data, &payload); err != nil {
			tb.Fatal(err)
		}
		n++
	}
	require.NoError(tb, rows.Err())
	return n
}
