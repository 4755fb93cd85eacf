package postgres_test

import (
	"context"
	"io"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// auditQuery is a question that people ask.
type auditQuery struct {
	name  string
	query audit.Query
}

// auditQueries are the questions about so many records: each filter alone, for
// values that are frequent, rare, and occur nowhere; the same within a tenant;
// and the pairs that people put together.
func auditQueries(records uint64) []auditQuery {
	made := newAuditEvents()
	entity := made.idOf(0xa0, 7).String()
	at := func(share float64) time.Time {
		return auditStart.Add(time.Duration(share * float64(records) * float64(auditStep)))
	}
	alone := []auditQuery{
		{"actor/frequent", audit.Query{ActorID: busyService}},
		{"actor/anonymous", audit.Query{ActorID: event.Anonymous}},
		{"actor/person", audit.Query{ActorID: person}},
		{"actor/rare", audit.Query{ActorID: rareActor}},
		{"actor/nowhere", audit.Query{ActorID: "user:nobody"}},
		{"on_behalf_of/rare", audit.Query{OnBehalfOf: "user:acme-0007"}},
		{"on_behalf_of/nowhere", audit.Query{OnBehalfOf: "user:nobody"}},
		{"owner/rare", audit.Query{OwnerID: "user:acme-0007"}},
		{"owner/nowhere", audit.Query{OwnerID: "user:nobody"}},
		{"action/frequent", audit.Query{Action: "document.viewed"}},
		{"action/rare", audit.Query{Action: "key.rotated"}},
		{"action/nowhere", audit.Query{Action: "document.burnt"}},
		{"entity type/frequent", audit.Query{EntityType: "Document"}},
		{"entity type/rare", audit.Query{EntityType: "Key"}},
		{"entity type/nowhere", audit.Query{EntityType: "Nothing"}},
		{"entity/rare", audit.Query{EntityType: "Document", EntityID: entity}},
		{"entity/any type", audit.Query{EntityID: entity}},
		{"entity/nowhere", audit.Query{EntityType: "Document", EntityID: "nothing"}},
		{"outcome/success", audit.Query{Outcome: audit.Success}},
		{"outcome/denied", audit.Query{Outcome: audit.Denied}},
		{"outcome/failure", audit.Query{Outcome: audit.Failure}},
		{"event type/frequent", audit.Query{EventType: "DocumentViewed"}},
		{"event type/rare", audit.Query{EventType: "KeyRotated"}},
		{"event type/nowhere", audit.Query{EventType: "DocumentBurnt"}},
		{"correlation/rare", audit.Query{CorrelationID: made.idOf(0xc0, int(records/10))}},
		{"correlation/nowhere", audit.Query{CorrelationID: made.idOf(0xff, 1)}},
		{"time/last hour", audit.Query{OccurredFrom: at(1).Add(-time.Hour)}},
		{"time/old hour", audit.Query{OccurredFrom: at(0.1), OccurredUntil: at(0.1).Add(time.Hour)}},
		{"time/old day", audit.Query{OccurredFrom: at(0.2), OccurredUntil: at(0.2).Add(24 * time.Hour)}},
		{"time/second fifth", audit.Query{OccurredFrom: at(0.2), OccurredUntil: at(0.4)}},
		{"time/first half", audit.Query{OccurredUntil: at(0.5)}},
		{"time/second half", audit.Query{OccurredFrom: at(0.5)}},
		{"time/nowhere", audit.Query{OccurredFrom: at(2)}},
	}
	all := []auditQuery{{"everything", audit.Query{}}}
	for _, tenant := range []struct {
		name string
		id   event.TenantID
	}{{"", ""}, {"large tenant ", largeTenant}, {"middle tenant ", middleTenant}, {"small tenant ", smallTenant}, {"no such tenant ", "nobody"}} {
		for _, q := range alone {
			q.name, q.query.TenantID = tenant.name+q.name, tenant.id
			all = append(all, q)
		}
		all = append(all,
			auditQuery{tenant.name + "alone", audit.Query{TenantID: tenant.id}},
			auditQuery{tenant.name + "pair/actor, action", audit.Query{TenantID: tenant.id, ActorID: busyService, Action: "document.viewed"}},
			auditQuery{tenant.name + "pair/actor, rare action", audit.Query{TenantID: tenant.id, ActorID: busyService, Action: "key.rotated"}},
			auditQuery{tenant.name + "pair/actor, old day", audit.Query{TenantID: tenant.id, ActorID: busyService, OccurredFrom: at(0.2), OccurredUntil: at(0.2).Add(24 * time.Hour)}},
			auditQuery{tenant.name + "pair/person, old day", audit.Query{TenantID: tenant.id, ActorID: person, OccurredFrom: at(0.2), OccurredUntil: at(0.2).Add(24 * time.Hour)}},
			auditQuery{tenant.name + "pair/actor, denied", audit.Query{TenantID: tenant.id, ActorID: busyService, Outcome: audit.Denied}},
			auditQuery{tenant.name + "pair/action, old day", audit.Query{TenantID: tenant.id, Action: "invoice.renamed", OccurredFrom: at(0.2), OccurredUntil: at(0.2).Add(24 * time.Hour)}},
			auditQuery{tenant.name + "pair/entity type, denied", audit.Query{TenantID: tenant.id, EntityType: "Report", Outcome: audit.Denied}},
			auditQuery{tenant.name + "pair/entity type, old day", audit.Query{TenantID: tenant.id, EntityType: "Invoice", OccurredFrom: at(0.2), OccurredUntil: at(0.2).Add(24 * time.Hour)}},
			auditQuery{tenant.name + "pair/denied, old week", audit.Query{TenantID: tenant.id, Outcome: audit.Denied, OccurredFrom: at(0.2), OccurredUntil: at(0.2).Add(7 * 24 * time.Hour)}},
		)
	}
	return all
}

// BenchmarkLargeAudit asks an audit log of a million records all that people
// ask, for the first page in both orders, and exports it as NDJSON. It prints
// how PostgreSQL went about each question.
func BenchmarkLargeAudit(b *testing.B) {
	records := uint64(benchtest.Large(b, "bench-audit", 1_000_000))
	config := newDatabase(b)
	store := &home{Store: open(b, config), config: config}
	store.config.Schema = "evident"
	auditLog := postgres.NewAuditLog(store.Store, audit.Config{})
	begun := time.Now()
	fillAudit(b, store, auditLog, 1, records)
	filled := float64(records) / time.Since(begun).Seconds()
	store.run(b, "VACUUM ANALYZE evident.audit_log")
	b.Run("pages", func(b *testing.B) { benchmarkPages(b, store.Store, auditLog, records) })
	b.Run("export", func(b *testing.B) {
		benchmarkExport(b, auditLog, records)
		b.ReportMetric(filled, "filled/s")
	})
}

// slowest is what the 95th percentile of each question must stay below.
const slowest = 10 * time.Millisecond

func benchmarkPages(b *testing.B, store *postgres.Store, auditLog *postgres.AuditLog, records uint64) {
	b.Helper()
	var worst, all time.Duration
	questions := 0
	for _, q := range auditQueries(records) {
		for _, oldest := range []bool{false, true} {
			q.query.Page = audit.Page{Limit: 50, OldestFirst: oldest}
			median, p95, found := measurePage(b, auditLog, q.query)
			b.Logf("p50 %6.2f p95 %6.2f ms, %2d found: %s, oldest first %t: %s",
				milliseconds(median), milliseconds(p95), found, q.name, oldest, postgres.IndexesOf(b, store, q.query))
			if p95 >= slowest {
				b.Errorf("%s, oldest first %t: p95 is %s", q.name, oldest, p95)
			}
			worst, all, questions = max(worst, p95), all+p95, questions+1
		}
	}
	b.ReportMetric(milliseconds(worst), "worst-p95-ms")
	b.ReportMetric(milliseconds(all)/float64(questions), "mean-p95-ms")
	b.ReportMetric(0, "ns/op")
}

// measurePage returns the median and the 95th percentile of the time that a
// page takes, and how many records it has.
func measurePage(b *testing.B, auditLog *postgres.AuditLog, query audit.Query) (median, p95 time.Duration, found int) {
	b.Helper()
	const warm, runs = 3, 40
	var times []time.Duration
	for run := range warm + runs {
		found = 0
		begun := time.Now()
		for _, err := range auditLog.Find(b.Context(), query) {
			require.NoError(b, err)
			found++
		}
		if run >= warm {
			times = append(times, time.Since(begun))
		}
	}
	slices.Sort(times)
	return times[runs/2], times[runs*95/100-1], found
}

// benchmarkExport writes all records as NDJSON, at least 50,000 a second.
func benchmarkExport(b *testing.B, auditLog *postgres.AuditLog, records uint64) {
	b.Helper()
	seen, peak := uint64(0), uint64(0)
	debug.FreeOSMemory()
	before := taken()
	begun := time.Now()
	var line []byte
	for record, err := range auditLog.Find(b.Context(), audit.Query{Page: audit.Page{OldestFirst: true}}) {
		if err != nil {
			b.Fatal(err)
		}
		if line, err = record.AppendJSON(line[:0]); err != nil {
			b.Fatal(err)
		}
		_, _ = io.Discard.Write(append(line, '\n'))
		if seen++; seen%1000 == 0 {
			peak = max(peak, taken())
		}
	}
	lasted := time.Since(begun)
	require.Equal(b, records, seen)
	growth := float64(peak-min(peak, before)) / (1 << 20)
	b.ReportMetric(growth, "MiB-growth")
	b.ReportMetric(float64(seen)/lasted.Seconds()/50_000, "ratio")
	b.ReportMetric(1, "bar")
	b.ReportMetric(float64(seen)/lasted.Seconds(), "records/s")
	b.ReportMetric(0, "ns/op")
	require.Less(b, growth, 64.0, "MiB")
}

// BenchmarkAuditBeside has 8 goroutines save new aggregates while a runner in
// the same process fills the audit log and the feeds of actors from them, half
// a second's events at a time, and compares that with the same saves alone. The
// audit may take 15 % at the most; "behind" is how many records it lacks when
// the saves of a turn have ended, which it adds in the next one.
func BenchmarkAuditBeside(b *testing.B) {
	const goroutines, saves, turn = 8, 64_000, 16_000
	beside, alone := newStore(b), newStore(b)
	runner, err := projection.NewRunner(beside, projection.Config{
		Projections: []projection.Projection{postgres.NewAuditLog(beside, audit.Config{}), postgres.NewUserActivity(beside)},
		BatchSize:   5000, Gather: 500 * time.Millisecond,
	})
	require.NoError(b, err)
	save := func(store *postgres.Store) func() error {
		return func() error {
			_, err := store.Append(b.Context(), eventstore.Append{Stream: orders(), Expected: eventstore.NoStream(), Events: newOrders(1)})
			return err
		}
	}
	var ours, theirs time.Duration
	behind := uint64(0)
	for range saves / turn {
		stop := inBackground(b, runner)
		begun := time.Now()
		benchtest.Together(b, goroutines, turn, save(beside))
		ours += time.Since(begun)
		behind = max(behind, lackOf(b, runner))
		stop()
		begun = time.Now()
		benchtest.Together(b, goroutines, turn, save(alone))
		theirs += time.Since(begun)
	}
	benchtest.Report(b, saves, 0.85, ours, theirs)
	b.ReportMetric(float64(behind), "behind")
	require.NoError(b, runner.RunUntilCaughtUp(b.Context()))
	found, err := audit.Verify(b.Context(), postgres.NewAuditLog(beside, audit.Config{}), beside, audit.Config{}, 0, 3)
	require.NoError(b, err)
	require.True(b, found.Equal(), found.String())
}

// inBackground runs a runner until it is stopped. What it has not done by then
// it does in the next turn.
func inBackground(b *testing.B, runner *projection.Runner) (stop func()) {
	b.Helper()
	ctx, end := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- runner.Run(ctx) }()
	return func() {
		end()
		require.NoError(b, <-ended)
	}
}

// lackOf returns how many positions the slowest projection of a runner is behind.
func lackOf(b *testing.B, runner *projection.Runner) (positions uint64) {
	b.Helper()
	statuses, err := runner.Status(b.Context())
	require.NoError(b, err)
	for _, s := range statuses {
		positions = max(positions, s.Head-min(s.Head, s.Position))
	}
	return positions
}
