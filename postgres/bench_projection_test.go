package postgres_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// projected is how many events the audit log goes through, and handled a
// handler with a statement for each.
const (
	projected = 200_000
	handled   = 50_000
)

// newProjectionHome returns a durable store with so many events.
func newProjectionHome(b *testing.B, events int) *home {
	b.Helper()
	config := newDatabase(b)
	store := &home{Store: open(b, config), config: config}
	store.config.Schema = "evident"
	const chunk = 1000
	for range events / chunk {
		var appends []eventstore.Append
		for range chunk / 10 {
			appends = append(appends, eventstore.Append{Stream: newStream(), Events: newEvents(10)})
		}
		_, err := store.Append(b.Context(), appends...)
		require.NoError(b, err)
	}
	store.run(b, "ANALYZE")
	return store
}

// BenchmarkAuditLog fills the audit log, exactly once, and compares that with a
// bare COPY of the same rows into a table of the same shape. At least 0.4 is
// wanted.
func BenchmarkAuditLog(b *testing.B) {
	store := newProjectionHome(b, projected)
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{auditLog}, BatchSize: 2000})
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, runner.Reset(b.Context(), audit.LogName))
		store.run(b, "CHECKPOINT")
		started := time.Now()
		require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
		projection := time.Since(started)
		require.Equal(b, projected, store.count(b, "SELECT count(*) FROM evident.audit_log"))

		store.run(b, "DROP TABLE IF EXISTS bare")
		store.run(b, "CREATE TABLE bare (LIKE evident.audit_log INCLUDING ALL)")
		rows := copyOut(b, store, "evident.audit_log")
		store.run(b, "CHECKPOINT")
		started = time.Now()
		copyIn(b, store, "bare", rows)
		bare := time.Since(started)
		b.ReportMetric(bare.Seconds()/projection.Seconds(), "ratio")
		b.ReportMetric(0.4, "bar")
		b.ReportMetric(projected/projection.Seconds(), "events/s")
		b.ReportMetric(projected/bare.Seconds(), "copied/s")
	}
}

func copyOut(b *testing.B, store *home, table string) []byte {
	b.Helper()
	var rows bytes.Buffer
	onConn(b, store, func(conn *pgx.Conn) error {
		_, err := conn.PgConn().CopyTo(b.Context(), &rows, "COPY "+table+" TO STDOUT (FORMAT binary)")
		return err
	})
	return rows.Bytes()
}

func copyIn(b *testing.B, store *home, table string, rows []byte) {
	b.Helper()
	onConn(b, store, func(conn *pgx.Conn) error {
		_, err := conn.PgConn().CopyFrom(b.Context(), io.Reader(bytes.NewReader(rows)), "COPY "+table+" FROM STDIN (FORMAT binary)")
		return err
	})
}

func onConn(b *testing.B, store *home, f func(conn *pgx.Conn) error) {
	b.Helper()
	conn, err := store.Pool().Acquire(b.Context())
	require.NoError(b, err)
	defer conn.Release()
	require.NoError(b, f(conn.Conn()))
}

// BenchmarkHandler has a handler write a row for each event, and compares that
// with the same statements, bare, in one transaction. At least 0.8 is wanted.
func BenchmarkHandler(b *testing.B) {
	store := newProjectionHome(b, handled)
	const insert = "INSERT INTO titles (id, title) VALUES ($1, $2)"
	p := postgres.NewProjection("titles", 1, postgres.Table("titles", "id uuid PRIMARY KEY, title text NOT NULL"),
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
			_, err := tx.Exec(ctx, insert, e.ID, e.Payload.Title)
			return err
		}))
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}, BatchSize: 2000})
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, runner.Reset(b.Context(), "titles"))
		store.run(b, "CHECKPOINT")
		started := time.Now()
		require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
		ours := time.Since(started)

		rows, err := store.Pool().Query(b.Context(), "SELECT id, title FROM titles")
		require.NoError(b, err)
		titles, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			ID    uuid.UUID
			Title string
		}])
		require.NoError(b, err)
		require.Len(b, titles, handled)
		store.run(b, "TRUNCATE titles")
		store.run(b, "CHECKPOINT")
		started = time.Now()
		require.NoError(b, pgx.BeginFunc(b.Context(), store.Pool(), func(tx pgx.Tx) error {
			for _, title := range titles {
				if _, err := tx.Exec(b.Context(), insert, title.ID, title.Title); err != nil {
					return err
				}
			}
			return nil
		}))
		bare := time.Since(started)
		b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
		b.ReportMetric(0.8, "bar")
		b.ReportMetric(handled/ours.Seconds(), "events/s")
	}
}
