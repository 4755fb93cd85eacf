package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// Each benchmark runs a limit beside evident, on the same server, in turns
// within one run: what pgx and PostgreSQL do with the same rows when nobody
// asks for order, expected versions or idempotency. "ratio" is evident's rate
// as a share of the limit's, "bar" what it must not fall below.

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
func newOrder() event.Event {
	data, _ := json.Marshal(orderPlaced{
		Customer: "0190f0f0-1111-7222-8333-444455556666",
		Lines:    []orderLine{{SKU: "A-1", Quantity: 2, Price: 1250}, {SKU: "B-7", Quantity: 1, Price: 990}},
		Currency: "EUR", Note: "please deliver to the back door",
	})
	id := event.NewID()
	return event.Event{ID: id, Type: "OrderPlaced", SchemaVersion: 1, ActorID: "user:550e8400", CorrelationID: id, OccurredAt: time.Now(), Data: data}
}

func newOrders(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = newOrder()
	}
	return events
}

func orders() eventstore.Stream {
	return eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
}

// bare is the limit.
type bare struct{ pool *pgxpool.Pool }

// bareTables is a table with the keys that an event store cannot do without,
// one with evident's indexes, and functions that insert without a question.
const bareTables = `
	CREATE SEQUENCE bare_position;
	CREATE TABLE bare (
		position bigint PRIMARY KEY DEFAULT nextval('bare_position'), aggregate_version bigint NOT NULL, occurred_at timestamptz NOT NULL,
		recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(), schema_version bigint NOT NULL, event_id uuid NOT NULL, aggregate_id uuid NOT NULL,
		correlation_id uuid, causation_id uuid, event_type text NOT NULL, aggregate_type text NOT NULL, tenant_id text NOT NULL, actor_id text NOT NULL,
		metadata json, payload bytea NOT NULL, UNIQUE (aggregate_id, aggregate_version));
	CREATE TABLE indexed (LIKE bare INCLUDING DEFAULTS, PRIMARY KEY (position), UNIQUE (aggregate_id, aggregate_type, tenant_id, aggregate_version), UNIQUE (event_id));
	CREATE INDEX ON indexed (correlation_id);
	CREATE FUNCTION bare_one(v bigint, at timestamptz, s bigint, e uuid, a uuid, c uuid, t text, y text, x text, u text, p bytea) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE r bigint; BEGIN
		INSERT INTO bare (aggregate_version, occurred_at, schema_version, event_id, aggregate_id, correlation_id, event_type, aggregate_type, tenant_id, actor_id, payload)
		VALUES (v, at, s, e, a, c, t, y, x, u, p) RETURNING position INTO r; RETURN r;
	END $$;
	CREATE FUNCTION bare_many(v bigint, at timestamptz, s bigint, e uuid[], a uuid, c uuid, t text[], y text, x text, u text, p bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO bare (aggregate_version, occurred_at, schema_version, event_id, aggregate_id, correlation_id, event_type, aggregate_type, tenant_id, actor_id, payload)
		SELECT v + n - 1, at, s, i, a, c, k, y, x, u, d FROM unnest(e, t, p) WITH ORDINALITY AS r (i, k, d, n); RETURN cardinality(e);
	END $$;
	CREATE FUNCTION indexed_many(v bigint, at timestamptz, s bigint, e uuid[], a uuid, c uuid, t text[], y text, x text, u text, p bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO indexed (aggregate_version, occurred_at, schema_version, event_id, aggregate_id, correlation_id, event_type, aggregate_type, tenant_id, actor_id, payload)
		SELECT v + n - 1, at, s, i, a, c, k, y, x, u, d FROM unnest(e, t, p) WITH ORDINALITY AS r (i, k, d, n); RETURN cardinality(e);
	END $$;`

func newBare(tb testing.TB, conns int32) *bare {
	tb.Helper()
	config, err := pgxpool.ParseConfig(pgtest.URL(tb))
	require.NoError(tb, err)
	config.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	_, err = pool.Exec(tb.Context(), bareTables)
	require.NoError(tb, err)
	return &bare{pool: pool}
}

// one is a call of a function with a row, scalar by scalar.
func (b *bare) one(ctx context.Context, s eventstore.Stream, e event.Event) error {
	_, err := b.pool.Exec(ctx, "SELECT bare_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", int64(1), e.OccurredAt, int64(1), [16]byte(e.ID), [16]byte(s.AggregateID),
		[16]byte(e.CorrelationID), e.Type, s.AggregateType, "", string(e.ActorID), e.Data)
	return err
}

// many is a call of a function with arrays, for as many events as there are:
// bare_many, or indexed_many, whose table has evident's indexes.
func (b *bare) many(ctx context.Context, function string, s eventstore.Stream, events []event.Event) error {
	ids, types, payloads := make([][16]byte, len(events)), make([]string, len(events)), make([][]byte, len(events))
	for i, e := range events {
		ids[i], types[i], payloads[i] = e.ID, e.Type, e.Data
	}
	_, err := b.pool.Exec(ctx, "SELECT "+function+"($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", int64(1), events[0].OccurredAt, int64(1), ids, [16]byte(s.AggregateID),
		[16]byte(events[0].CorrelationID), types, s.AggregateType, "", string(events[0].ActorID), payloads)
	return err
}

// copy stores rows with COPY, each event as version 1 of a stream.
func (b *bare) copy(ctx context.Context, table string, events []event.Event) error {
	_, err := b.pool.CopyFrom(ctx, pgx.Identifier{table}, []string{
		"aggregate_version", "occurred_at", "schema_version", "event_id", "aggregate_id", "correlation_id", "event_type", "aggregate_type", "tenant_id", "actor_id", "payload",
	}, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
		e := &events[i]
		id := [16]byte(e.ID)
		return []any{int64(1), e.OccurredAt, int64(1), id, id, id, e.Type, "Order", "", string(e.ActorID), e.Data}, nil
	}))
	return err
}

// BenchmarkW1 saves new aggregates with one event each. The limit is one call
// of a function that inserts the row, by as many goroutines: with arrays, as
// for any number of events; without; and with arrays into a table that has
// evident's indexes, which shows what those cost.
func BenchmarkW1(b *testing.B) {
	for _, w := range []struct {
		limit      string
		goroutines int
		bar        float64
	}{{"arrays", 1, 0.9}, {"scalars", 1, 0}, {"indexed", 1, 0}, {"arrays", 8, 0}, {"arrays", 64, 3}, {"scalars", 64, 0}} {
		b.Run(fmt.Sprintf("limit=%s/goroutines=%d", w.limit, w.goroutines), func(b *testing.B) {
			store, limit := newStore(b), newBare(b, int32(w.goroutines))
			save := func() error {
				_, err := store.Append(b.Context(), eventstore.Append{Stream: orders(), Expected: eventstore.NoStream(), Events: []event.Event{newOrder()}})
				return err
			}
			plain := func() error { return limit.one(b.Context(), orders(), newOrder()) }
			if function, ok := map[string]string{"arrays": "bare_many", "indexed": "indexed_many"}[w.limit]; ok {
				plain = func() error { return limit.many(b.Context(), function, orders(), []event.Event{newOrder()}) }
			}
			ours, theirs := benchtest.Medians(b.N, max(b.N/20, 100*w.goroutines), func(n int) {
				benchtest.Together(b, w.goroutines, n, save)
			}, func(n int) {
				benchtest.Together(b, w.goroutines, n, plain)
			})
			benchtest.Report(b, b.N, w.bar, ours, theirs)
		})
	}
}

// BenchmarkW2 saves new aggregates with ten events each. The limit is COPY of
// the same rows into a table with the same indexes: 2,000 rows a transaction,
// and all of a turn's rows in one. Beside it stands what a function can do that
// inserts from arrays, 640 rows a call on two connections, which is what
// evident's calls have with 64 goroutines: the difference to COPY is that of
// INSERT. There are only five turns, long ones: evident's last calls of each are
// not shared.
func BenchmarkW2(b *testing.B) {
	const each = 10
	for _, w := range []struct {
		limit            string
		goroutines, rows int
		bar              float64
	}{{"copy", 8, 2000, 0}, {"copy", 64, 2000, 0.7}, {"copy", 64, 0, 0}, {"arrays", 64, 640, 0}} {
		b.Run(fmt.Sprintf("limit=%s/rows=%d/goroutines=%d", w.limit, w.rows, w.goroutines), func(b *testing.B) {
			store, limit := newStore(b), newBare(b, 2)
			ours, theirs := benchtest.Medians(b.N, max((b.N+4)/5, 1000), func(n int) {
				benchtest.Together(b, w.goroutines, n, func() error {
					_, err := store.Append(b.Context(), eventstore.Append{Stream: orders(), Expected: eventstore.NoStream(), Events: newOrders(each)})
					return err
				})
			}, func(n int) {
				if w.limit == "arrays" {
					benchtest.Together(b, 2, max(1, n*each/w.rows), func() error {
						return limit.many(b.Context(), "indexed_many", orders(), newOrders(w.rows))
					})
					return
				}
				copyInParts(b, limit, n*each, w.rows)
			})
			benchtest.Report(b, b.N*each, w.bar, ours, theirs)
		})
	}
}

// copyInParts copies rows, so many a transaction, or all in one.
func copyInParts(b *testing.B, limit *bare, all, rows int) {
	b.Helper()
	if rows == 0 {
		rows = all
	}
	for left := all; left > 0; left -= rows {
		require.NoError(b, limit.copy(b.Context(), "indexed", newOrders(min(rows, left))))
	}
}

// seed fills a store with streams of one event.
func seed(tb testing.TB, store *postgres.Store, n int) {
	tb.Helper()
	_, err := store.Import(tb.Context(), func(yield func(event.Event, error) bool) {
		for range n {
			e := newOrder()
			e.AggregateType, e.AggregateID, e.AggregateVersion = "Order", event.NewID(), 1
			if !yield(e, nil) {
				return
			}
		}
	})
	require.NoError(tb, err)
}

// BenchmarkW3 loads an aggregate out of many; the limit is pgx reading the same
// rows, and encoding/json.
func BenchmarkW3(b *testing.B) {
	store := newStore(b)
	seed(b, store, 200_000)
	for _, w := range []struct {
		length int
		bar    float64
	}{{10, 0}, {100, 0}, {1000, 0.85}} {
		b.Run(fmt.Sprintf("events=%d", w.length), func(b *testing.B) {
			stream := orders()
			_, err := store.Append(b.Context(), eventstore.Append{Stream: stream, Events: newOrders(w.length)})
			require.NoError(b, err)
			ours, theirs := benchtest.Turns(b.N, max(1, b.N/20), func(n int) {
				for range n {
					count := 0
					for e, err := range store.ReadStream(b.Context(), stream, eventstore.StreamQuery{}) {
						if err != nil || !decodes(e.Data) {
							b.Fatal(err)
						}
						count++
					}
					require.Equal(b, w.length, count)
				}
			}, func(n int) {
				for range n {
					require.Equal(b, w.length, rawRead(b, store.Pool(), true, rawColumns+" WHERE aggregate_id = $1 ORDER BY aggregate_version", stream.AggregateID))
				}
			})
			benchtest.Report(b, b.N*w.length, w.bar, ours, theirs)
		})
	}
}

// BenchmarkW5 reads everything in the order of positions and decodes it; the
// limits are pgx reading the same rows, with encoding/json and without.
func BenchmarkW5(b *testing.B) {
	const events = 200_000
	store := newStore(b)
	seed(b, store, events)
	for _, w := range []struct {
		limit  string
		decode bool
		bar    float64
	}{{"read and decode", true, 0.85}, {"read", false, 0.5}} {
		b.Run(w.limit, func(b *testing.B) {
			ours, theirs := benchtest.Turns(b.N, 1, func(n int) {
				for range n {
					count := 0
					for e, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
						if err != nil || w.decode && !decodes(e.Data) {
							b.Fatal(err)
						}
						count++
					}
					require.Equal(b, events, count)
				}
			}, func(n int) {
				for range n {
					require.Equal(b, events, rawRead(b, store.Pool(), w.decode, rawColumns+" ORDER BY position"))
				}
			})
			benchtest.Report(b, b.N*events, w.bar, ours, theirs)
		})
	}
}

func decodes(data []byte) bool {
	var payload orderPlaced
	return json.Unmarshal(data, &payload) == nil
}

const rawColumns = "SELECT position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id, correlation_id, causation_id, " +
	"event_type, aggregate_type, tenant_id, actor_id, metadata, payload FROM evident.events"

// rawRead reads rows with pgx, one query for all of them, and counts them.
func rawRead(tb testing.TB, pool *pgxpool.Pool, decode bool, query string, args ...any) (n int) {
	tb.Helper()
	rows, err := pool.Query(tb.Context(), query, args...)
	require.NoError(tb, err)
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		if decode && !decodes(values[len(values)-1]) {
			tb.Fatal("payload does not decode")
		}
		n++
	}
	require.NoError(tb, rows.Err())
	return n
}
