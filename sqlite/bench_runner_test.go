package sqlite_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// BenchmarkBatching compares many events in a transaction with a transaction for
// each, which waits for the disk. It has to be ten times as fast.
func BenchmarkBatching(b *testing.B) {
	const many, few = 20_000, 1000
	store, short := newStore(b), newStore(b)
	seed(b, store, many)
	seed(b, short, few)
	p := sqlite.NewProjection("customers", 1, sqlite.Table("customers", "id BLOB PRIMARY KEY, name TEXT NOT NULL"),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[orderPlaced]) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO customers VALUES (?, ?)", e.ID[:], e.Payload.Customer)
			return err
		}))
	replay := func(store *sqlite.Store, batchSize int) time.Duration {
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}, BatchSize: batchSize})
		require.NoError(b, err)
		require.NoError(b, runner.Reset(b.Context(), "customers"))
		started := time.Now()
		require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
		return time.Since(started)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		ours += replay(store, 0)
		theirs += replay(short, 1)
	}
	perEvent, alone := ours.Seconds()/many, theirs.Seconds()/few
	b.ReportMetric(alone/perEvent, "ratio")
	b.ReportMetric(10, "bar")
	b.ReportMetric(float64(b.N)/perEvent, "events/s")
	b.ReportMetric(float64(b.N)/alone, "alone/s")
}
