package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/postgres"
)

// TestQueriesForRecordsUseIndexes asks PostgreSQL how it would go about every
// question of the benchmark in a table that is large enough to have a choice,
// and compares what it finds with what the records say.
func TestQueriesForRecordsUseIndexes(t *testing.T) {
	t.Parallel()
	const records = 20_000
	store := newHome(t)
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	fillAudit(t, store, auditLog, 1, records)
	store.run(t, "VACUUM ANALYZE evident.audit_log")
	all := make([]audit.ActivityRecord, 0, records)
	for record, err := range auditLog.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}}) {
		require.NoError(t, err)
		all = append(all, record)
	}
	for _, q := range auditQueries(records) {
		for _, oldest := range []bool{false, true} {
			query := q.query
			query.Page = audit.Page{Limit: 20, OldestFirst: oldest}
			plan := postgres.PlanOf(t, store.Store, query)
			assert.NotContains(t, plan, "Seq Scan", q.name)
			assert.Contains(t, plan, "audit_log_by_", q.name)
			assert.Equal(t, matching(all, query), found(t, auditLog, query), "%s, oldest first: %t", q.name, oldest)
		}
	}
}

// matching returns the positions of the records that a query means.
func matching(all []audit.ActivityRecord, query audit.Query) []uint64 {
	positions := []uint64{}
	for i, record := range all {
		if !query.OldestFirst {
			record = all[len(all)-1-i]
		}
		if query.Matches(record) && len(positions) < query.Limit {
			positions = append(positions, record.Position())
		}
	}
	return positions
}

func found(t *testing.T, log audit.Finder, query audit.Query) []uint64 {
	t.Helper()
	positions := []uint64{}
	for record, err := range log.Find(t.Context(), query) {
		require.NoError(t, err)
		positions = append(positions, record.Position())
	}
	return positions
}

// TestRangesOfTimeArePagedThrough turns the pages of a range of days, and of
// everything before and after a time, in both orders.
func TestRangesOfTimeArePagedThrough(t *testing.T) {
	t.Parallel()
	const records = 3000 // on more days than one, and more than fit into a page of the home
	store := newHome(t)
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	fillAudit(t, store, auditLog, 1, records)
	all := make([]audit.ActivityRecord, 0, records)
	for record, err := range auditLog.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}}) {
		require.NoError(t, err)
		all = append(all, record)
	}
	middle := auditStart.Add(records / 2 * auditStep)
	for _, tenant := range []event.TenantID{"", largeTenant} {
		for _, query := range []audit.Query{{OccurredFrom: middle}, {OccurredUntil: middle}, {OccurredFrom: middle, OccurredUntil: middle.AddDate(0, 0, 1), Outcome: audit.Success}} {
			for _, oldest := range []bool{false, true} {
				query.TenantID, query.Page = tenant, audit.Page{Limit: records, OldestFirst: oldest}
				want := matching(all, query)
				require.Greater(t, len(want), 300)
				query.Limit = 0
				assert.Equal(t, want, found(t, auditLog, query))
			}
		}
	}
}
