package postgres_test

import (
	"context"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/postgres"
)

// newWall returns how the owner opens a store with row-level security.
func newWall(tb testing.TB) postgres.Config {
	tb.Helper()
	config := newDatabase(tb)
	config.RowSecurity = true
	require.NoError(tb, postgres.Migrate(tb.Context(), config))
	return config
}

// failure returns the error of a sequence that yields nothing else.
func failure(tb testing.TB, events iter.Seq2[event.Event, error]) error {
	tb.Helper()
	for _, err := range events {
		return err
	}
	return nil
}

// boundStores makes stores of tenant acme, and knows how to open them once more.
type boundStores struct {
	bind func(s *postgres.Store) eventstore.Store

	mu  sync.Mutex
	how map[eventstore.Store]postgres.Config
}

func (b *boundStores) open(t *testing.T, config postgres.Config) eventstore.Store {
	t.Helper()
	store := b.bind(open(t, config))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.how[store] = config
	return store
}

func (b *boundStores) again(t *testing.T, store eventstore.Store) eventstore.Store {
	t.Helper()
	b.mu.Lock()
	config := b.how[store]
	b.mu.Unlock()
	return b.open(t, config)
}

func TestConformanceBoundStoreBehindTheWall(t *testing.T) {
	t.Parallel()
	for name, rights := range map[string][]postgres.Right{
		"a role of tenants":            {postgres.CanAppend},
		"a role that sees all tenants": {postgres.CanAppend, postgres.CanSeeAllTenants},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores := &boundStores{
				bind: func(s *postgres.Store) eventstore.Store { return s.BindTenant("acme") },
				how:  make(map[eventstore.Store]postgres.Config),
			}
			eventstoretest.Run(t, func(t *testing.T) eventstore.Store {
				t.Helper()
				return stores.open(t, granted(t, newWall(t), rights...))
			}, eventstoretest.Bound("acme"), eventstoretest.Second(stores.again))
		})
	}
}

func TestConformanceUnboundStoreBehindTheWall(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store {
		t.Helper()
		return open(t, granted(t, newWall(t), postgres.CanAppend, postgres.CanSeeAllTenants))
	})
}

// The first wall stands without the second.
func TestABoundStoreRefusesOthers(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	acme := store.BindTenant("acme")
	_, err := acme.Append(t.Context(), order("umbrella", 1))
	require.ErrorIs(t, err, eventstore.ErrTenant)
	require.ErrorIs(t, failure(t, acme.ReadStream(t.Context(), order("", 0).Stream, eventstore.StreamQuery{})), eventstore.ErrTenant)
	require.ErrorIs(t, failure(t, acme.ReadAll(t.Context(), eventstore.Query{TenantID: "umbrella"})), eventstore.ErrTenant)
	_, err = store.BindTenant("").Append(t.Context(), order("", 1))
	require.ErrorIs(t, err, eventstore.ErrTenant)

	bound, ok := acme.(interface {
		Tenant(ctx context.Context) event.TenantID
	})
	require.True(t, ok, "a repository asks for it")
	assert.Equal(t, event.TenantID("acme"), bound.Tenant(t.Context()))
}

func TestAStoreThatRequiresATenantTakesThatOfTheContext(t *testing.T) {
	t.Parallel()
	store := open(t, granted(t, newWall(t), postgres.CanAppend)).RequireTenant()
	acme, umbrella := event.WithTenant(t.Context(), "acme"), event.WithTenant(t.Context(), "umbrella")
	a := order("acme", 1)
	_, err := store.Append(acme, a)
	require.NoError(t, err)
	assert.Len(t, read(t, store.ReadAll(acme, eventstore.Query{})), 1)
	assert.Len(t, read(t, store.ReadStream(acme, a.Stream, eventstore.StreamQuery{})), 1)
	assert.Empty(t, read(t, store.ReadAll(umbrella, eventstore.Query{})))
	require.ErrorIs(t, failure(t, store.ReadStream(umbrella, a.Stream, eventstore.StreamQuery{})), eventstore.ErrTenant)
	_, err = store.Append(t.Context(), order("acme", 1))
	require.ErrorIs(t, err, eventstore.ErrTenant)
}

func TestTheWallStopsPlainSQL(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	as := granted(t, config, postgres.CanAppend)
	store := open(t, as)
	for _, tenant := range []event.TenantID{"acme", "umbrella", ""} {
		_, err := open(t, config0(config)).Append(t.Context(), order(tenant, 2))
		require.NoError(t, err)
	}
	conn := dial(t, as.URL)
	seen := func() (tenants string) {
		t.Helper()
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT coalesce(string_agg(DISTINCT tenant_id || '!', ','), 'nobody') FROM evident.events").Scan(&tenants))
		return tenants
	}
	assert.Equal(t, "nobody", seen(), "without the setting")
	set := func(tenant string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), "SELECT set_config('evident.tenant', $1, false)", tenant)
		require.NoError(t, err)
	}
	set("")
	assert.Equal(t, "nobody", seen(), "a tenant that is none is not that of events without one")
	set("acme")
	assert.Equal(t, "acme!", seen())

	_, err := conn.Exec(t.Context(), `
		INSERT INTO evident.events (position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id,
		       event_type, aggregate_type, tenant_id, actor_id, payload)
		SELECT nextval('evident.position'), 1, now(), clock_timestamp(), 1, gen_random_uuid(), '0198c0de-0000-7000-8000-000000000001', 'OrderPlaced', 'Order', 'umbrella', '', ''`)
	require.Error(t, err)
	requireCode(t, "42501", err)

	// Its own store, not bound to a tenant, is stopped as well.
	_, err = store.Append(t.Context(), order("umbrella", 1))
	require.ErrorIs(t, err, postgres.ErrPermission)
	assert.Empty(t, read(t, store.ReadAll(t.Context(), eventstore.Query{})))
	_, err = conn.Exec(t.Context(), `
		SELECT evident.append('', NULL, true, ARRAY[0], ARRAY['umbrella'], ARRAY['Order'], ARRAY[gen_random_uuid()], '{-1}', '{1}', ARRAY[1],
		       ARRAY[gen_random_uuid()], ARRAY['OrderPlaced'], '{1}', ARRAY[''], ARRAY[NULL]::uuid[], '{NULL}', ARRAY[now()],
		       '{NULL}', ARRAY['{}'::bytea])`)
	require.Error(t, err)
	requireCode(t, "42501", err)
}

// config0 is config for its owner, whom no policy stops.
func config0(config postgres.Config) postgres.Config {
	config.RowSecurity = false
	return config
}

func TestTheWallStandsBehindAllTables(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	execute(t, config.URL, `
		INSERT INTO evident.user_activity SELECT 1, gen_random_uuid(), '', '', '', '', 0, 'umbrella', '', NULL, now(), now();
		INSERT INTO evident.pseudonyms (token, tenant_id, person, created_at) SELECT gen_random_uuid(), 'umbrella', 'jane', now();
		INSERT INTO evident.legal_holds (id, tenant_id, entity_type, entity_id, reason, placed_by, placed_at)
		SELECT gen_random_uuid(), 'umbrella', '', '', 'case 4', 'user:law', now();
		INSERT INTO evident.snapshots SELECT gen_random_uuid(), '', 'umbrella', gen_random_uuid(), 1, 1, '', now()`)
	conn := dial(t, granted(t, config, postgres.CanProject, postgres.CanErase).URL)
	all := dial(t, granted(t, config, postgres.CanProject, postgres.CanErase, postgres.CanSeeAllTenants).URL)
	for _, table := range []string{"evident.user_activity", "evident.snapshots", "evident.pseudonyms", "evident.legal_holds"} {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		assert.Zero(t, n, table)
		require.NoError(t, all.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		assert.Equal(t, 1, n, table)
	}
}

func TestARoleThatSeesAllTenants(t *testing.T) {
	t.Parallel()
	store := open(t, granted(t, newWall(t), postgres.CanAppend, postgres.CanSeeAllTenants))
	for _, tenant := range []event.TenantID{"acme", "umbrella", ""} {
		_, err := store.Append(t.Context(), order(tenant, 1))
		require.NoError(t, err)
	}
	assert.Len(t, read(t, store.ReadAll(t.Context(), eventstore.Query{})), 3)

	// With a tenant set it is like any other.
	conn := dial(t, store.Pool().Config().ConnString())
	_, err := conn.Exec(t.Context(), "SET evident.tenant = 'acme'")
	require.NoError(t, err)
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM evident.events").Scan(&n))
	assert.Equal(t, 1, n)
}

// Nothing of a bound call is left on its connection.
func TestATenantIsForgottenAfterEachCall(t *testing.T) {
	t.Parallel()
	as := granted(t, newWall(t), postgres.CanAppend)
	as.URL += "&pool_max_conns=1"
	store := open(t, as)
	acme := store.BindTenant("acme")
	for range 3 {
		_, err := acme.Append(t.Context(), order("acme", 1))
		require.NoError(t, err)
		assert.Empty(t, read(t, store.ReadAll(t.Context(), eventstore.Query{})))
	}
	for _, err := range acme.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		break
	}
	assert.Empty(t, read(t, store.ReadAll(t.Context(), eventstore.Query{})))
	assert.Len(t, read(t, acme.ReadAll(t.Context(), eventstore.Query{})), 3)
}

// The answer to a bound call comes before its commit, which can fail.
func TestABoundAppendIsStoredWhenItSaysSo(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	execute(t, config.URL, `
		CREATE FUNCTION evident.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'at commit' USING ERRCODE = '53100'; END $$;
		CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON evident.events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evident.fail()`)
	acme := open(t, granted(t, config, postgres.CanAppend)).BindTenant("acme")
	_, err := acme.Append(t.Context(), order("acme", 1))
	require.ErrorIs(t, err, eventstore.ErrFull)
	assert.Empty(t, read(t, acme.ReadAll(t.Context(), eventstore.Query{})))
}

func TestABoundCallWithoutARightToIt(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	name, as := newRole(t, config)
	require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanAppend))
	acme := open(t, as).BindTenant("acme")
	execute(t, config.URL, "REVOKE SELECT ON evident.events FROM "+name)
	require.ErrorIs(t, failure(t, acme.ReadStream(t.Context(), order("acme", 0).Stream, eventstore.StreamQuery{})), postgres.ErrPermission)
	_, err := acme.Append(t.Context(), order("acme", 1))
	require.ErrorIs(t, err, postgres.ErrPermission)
	ended, end := context.WithCancel(t.Context())
	end()
	_, err = acme.Append(ended, order("acme", 1))
	require.ErrorIs(t, err, context.Canceled)
}

// Ids are those of all tenants; that is all that can be found out.
func TestAnEventIDThatAnotherTenantHas(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	theirs := order("umbrella", 1)
	_, err := open(t, config0(config)).Append(t.Context(), theirs)
	require.NoError(t, err)
	acme := open(t, granted(t, config, postgres.CanAppend)).BindTenant("acme")
	for _, n := range []int{1, 2} {
		mine := order("acme", n)
		mine.Events[0].ID = theirs.Events[0].ID
		_, err = acme.Append(t.Context(), order("acme", 0), mine)
		require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
	}
	assert.Empty(t, read(t, acme.ReadAll(t.Context(), eventstore.Query{})))
}

func TestOpenRefusesARoleThatNoPolicyStops(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	var invalid *event.InvalidError
	_, err := postgres.Open(t.Context(), config)
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "row_security", invalid.Field)
	assert.Contains(t, invalid.Reason, "no policy stops")

	name, as := newRole(t, config)
	require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanAppend))
	open(t, as)
	execute(t, config.URL, "ALTER ROLE "+name+" BYPASSRLS")
	_, err = postgres.Open(t.Context(), as)
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, name, invalid.Value)
}

func TestMigratePutsUpTheWallAndNeverTakesItDown(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	as := granted(t, config, postgres.CanAppend)
	_, err := open(t, as).Append(t.Context(), order("acme", 1))
	require.NoError(t, err)

	as.RowSecurity = true
	var invalid *event.InvalidError
	_, err = postgres.Open(t.Context(), as)
	require.ErrorAs(t, err, &invalid, "it is not there yet")
	assert.Contains(t, invalid.Reason, "Migrate")

	for _, wanted := range []bool{true, true, false} {
		config.RowSecurity = wanted
		require.NoError(t, postgres.Migrate(t.Context(), config))
		store := open(t, as)
		assert.Empty(t, read(t, store.ReadAll(t.Context(), eventstore.Query{})))
		assert.Len(t, read(t, store.BindTenant("acme").ReadAll(t.Context(), eventstore.Query{})), 1)
	}

	execute(t, config.URL, "SELECT evident.row_security(false)")
	as.RowSecurity = false
	assert.Len(t, read(t, open(t, as).ReadAll(t.Context(), eventstore.Query{})), 1)

	execute(t, config.URL, "SELECT evident.row_security(true)")
	assert.Empty(t, read(t, open(t, as).ReadAll(t.Context(), eventstore.Query{})))
}

// A read of a tenant finds its events by the tenant's index, with the wall too.
func TestTheWallKeepsIndexesInUse(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	as := granted(t, config, postgres.CanAppend)
	conn := dial(t, as.URL)
	_, err := conn.Exec(t.Context(), "SET evident.tenant = 'acme'; SET enable_seqscan = off; SET enable_bitmapscan = off")
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), "EXPLAIN SELECT * FROM evident.events WHERE position > 0 AND tenant_id = 'acme' AND tenant_id <> '' ORDER BY position LIMIT 10")
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, rows.Err())
	assert.Regexp(t, `events_by_(tenant|position)`, plan.String())
	assert.NotContains(t, plan.String(), "SubPlan", "the setting is read once, not for each row")
}

// Behind the wall PostgreSQL refuses COPY; imports and the audit log do without.
func TestManyRowsBehindTheWall(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	store := open(t, granted(t, config, postgres.CanProject, postgres.CanSeeAllTenants))
	events := history(4, 100)
	stored, err := store.Import(t.Context(), sequence(events))
	require.NoError(t, err)
	require.Equal(t, len(events), stored)
	got := readAll(t, store, eventstore.Query{})
	for i, e := range events {
		require.Equal(t, eventstore.Place(e, eventstore.StreamOf(e), e.AggregateVersion, got[i].Position, e.RecordedAt), got[i])
	}
	again, err := store.Import(t.Context(), sequence(events))
	require.NoError(t, err)
	require.Zero(t, again)

	log, activity := postgres.NewAuditLog(store, audit.Config{}), postgres.NewUserActivity(store)
	require.NoError(t, newRunner(t, store, log, activity).RunUntilCaughtUp(t.Context()))
	assertEqualToReplay(t, store, log, activity, uint64(len(events)))
}

// TestTheAuditLogBehindTheWall reads as a role that sees no tenant but the one
// that it names.
func TestTheAuditLogBehindTheWall(t *testing.T) {
	t.Parallel()
	config := newWall(t)
	all := open(t, granted(t, config, postgres.CanProject, postgres.CanSeeAllTenants))
	_, err := all.Import(t.Context(), sequence(history(4, 100)))
	require.NoError(t, err)
	whole, feeds := postgres.NewAuditLog(all, audit.Config{}), postgres.NewUserActivity(all)
	require.NoError(t, newRunner(t, all, whole, feeds).RunUntilCaughtUp(t.Context()))
	tenantOnly := open(t, granted(t, config, postgres.CanAppend))
	log, activity := postgres.NewAuditLog(tenantOnly, audit.Config{}), postgres.NewUserActivity(tenantOnly)

	tenants := make(map[event.TenantID]int)
	for _, record := range yielded(t, whole.Find(t.Context(), audit.Query{})) {
		tenants[record.TenantID()]++
	}
	delete(tenants, "")
	require.NotEmpty(t, tenants)
	for tenant, n := range tenants {
		for _, page := range []audit.Page{{}, {OldestFirst: true}} {
			query := audit.Query{TenantID: tenant, Page: page}
			records := yielded(t, log.ForTenant(tenant).Find(t.Context(), audit.Query{Page: page}))
			require.Len(t, records, n)
			assert.Equal(t, yielded(t, whole.Find(t.Context(), query)), records)
			actions := audit.ActionQuery{TenantID: tenant, Page: page}
			assert.Equal(t, yielded(t, whole.FindActions(t.Context(), actions)), yielded(t, log.FindActions(t.Context(), actions)))
			feed := audit.ActivityQuery{TenantID: tenant, Page: page}
			assert.Equal(t, yielded(t, feeds.FindActivities(t.Context(), feed)), yielded(t, activity.FindActivities(t.Context(), feed)))
			assert.Equal(t, yielded(t, feeds.FindActors(t.Context(), feed)), yielded(t, activity.FindActors(t.Context(), feed)))
			require.NotEmpty(t, yielded(t, activity.FindActors(t.Context(), feed)))
		}
	}
	assert.Empty(t, yielded(t, log.Find(t.Context(), audit.Query{})), "a query that forgot its tenant sees nothing")
	assert.Zero(t, tenantOnly.Pool().Stat().AcquiredConns())
}

// yielded returns what a sequence yields.
func yielded[T any](tb testing.TB, items iter.Seq2[T, error]) (all []T) {
	tb.Helper()
	for item, err := range items {
		require.NoError(tb, err)
		all = append(all, item)
	}
	return all
}
