package postgres_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// BenchmarkSize measures what an event of 200 bytes of JSON takes on disk, with
// a tenant and all indexes, and what the audit log and the feeds add to that.
// docs/scale.md counts with it.
func BenchmarkSize(b *testing.B) {
	const events, chunk, tenants = 100_000, 1000, 40
	store := newProjectionHome(b, 0)
	for n := range events / chunk {
		var appends []eventstore.Append
		for range chunk / 10 {
			stream := orders()
			stream.TenantID = event.TenantID(fmt.Sprintf("tenant-%04d", n%tenants))
			appends = append(appends, eventstore.Append{Stream: stream, Events: newOrders(10)})
		}
		_, err := store.Append(b.Context(), appends...)
		require.NoError(b, err)
	}
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{postgres.NewAuditLog(store.Store, audit.Config{}), postgres.NewUserActivity(store.Store)},
		BatchSize:   2000,
	})
	require.NoError(b, err)
	require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
	store.run(b, "VACUUM ANALYZE")
	for b.Loop() {
		for unit, size := range map[string]string{
			"B/event":        "pg_total_relation_size('evident.events')",
			"B/event-row":    "pg_table_size('evident.events')",
			"B/event-keys":   "pg_indexes_size('evident.events')",
			"B/audit-record": "pg_total_relation_size('evident.audit_log')",
			"B/feed-entry":   "pg_total_relation_size('evident.user_activity')",
		} {
			b.ReportMetric(float64(store.count(b, "SELECT "+size))/events, unit)
		}
	}
	b.ReportMetric(0, "ns/op")
}
