package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
)

// subscriber follows the log with a checkpoint that it keeps in memory, as one
// outside the database would: it does not fall back when the server crashes.
type subscriber struct {
	name  string
	query eventstore.Query // what it wants of the log
	step  step

	checkpoint uint64
	seen       []entry
	failures   int
}

// step reads what is new.
type step func(ctx context.Context, s *subscriber) error

// subscribers are all kinds, on two stores and beside them.
func subscribers(first, second *postgres.Store, sql *pgxpool.Pool) []*subscriber {
	return []*subscriber{
		{name: "head", step: byHead(first)},
		{name: "wait", step: byWait(second)},
		{name: "types", step: byHead(second), query: eventstore.Query{Types: []string{"Opened", "Closed"}, AggregateTypes: []string{"Account", "Order"}}},
		{name: "tenant", step: byWait(first), query: eventstore.Query{TenantID: tenantOfChaos}},
		{name: "plain SQL", step: byMark(sql, "SELECT head FROM evident.head()")},
		{name: "mark", step: byMark(sql, "SELECT position FROM evident.mark")},
	}
}

// run reads until a whole step has gone well after the writers had ended.
func (s *subscriber) run(ctx context.Context, t *testing.T, ended *atomic.Bool) {
	t.Helper()
	for ctx.Err() == nil {
		last := ended.Load()
		err := s.step(ctx, s)
		if err == nil && last {
			return
		}
		if err != nil {
			s.failures++
			if ctx.Err() == nil && !isOutage(err) {
				t.Errorf("subscriber %s: %v", s.name, err)
				return
			}
		}
		pause(ctx, time.Duration(1+rand.IntN(8))*time.Millisecond)
	}
	t.Errorf("subscriber %s did not come to an end; it is at %d", s.name, s.checkpoint)
}

// isOutage reports whether err is what a killed backend or server may cause.
func isOutage(err error) bool {
	_, plain := errors.AsType[*postgres.Error](err)
	return !plain || eventstore.IsRetryable(err)
}

func (s *subscriber) see(e entry) {
	s.seen = append(s.seen, e)
	s.checkpoint = max(s.checkpoint, e.position)
}

// wanted returns the part of the log that the subscriber asked for. Filters
// are judged in the database's own words, by isWanted.
func (s *subscriber) wanted(log []entry, kinds map[uint64]string) []entry {
	var part []entry
	for _, e := range log {
		if s.query.Matches(&event.Event{
			Position: e.position, Type: kinds[e.position],
			AggregateType: e.stream.AggregateType, AggregateID: e.stream.AggregateID, TenantID: e.stream.TenantID,
		}) {
			part = append(part, e)
		}
	}
	return part
}

// byHead moves the checkpoint to the head, whether or not events are there.
func byHead(store *postgres.Store) step {
	return func(ctx context.Context, s *subscriber) error {
		head, err := store.Head(ctx)
		if err != nil || head <= s.checkpoint {
			return err
		}
		query := s.query
		query.After, query.Until = s.checkpoint, head
		for e, err := range store.ReadAll(ctx, query) {
			if err != nil {
				return err
			}
			s.see(entryOf(&e))
		}
		s.checkpoint = head
		return nil
	}
}

// byWait is woken up and moves the checkpoint to the last event.
func byWait(store *postgres.Store) step {
	const patience = time.Second
	return func(ctx context.Context, s *subscriber) error {
		waiting, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if _, err := store.Wait(waiting, s.checkpoint); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		query := s.query
		query.After = s.checkpoint
		for e, err := range store.ReadAll(ctx, query) {
			if err != nil {
				return err
			}
			s.see(entryOf(&e))
		}
		return nil
	}
}

const selectEntries = `SELECT position, event_id, aggregate_type, aggregate_id, tenant_id, aggregate_version FROM evident.events
	WHERE position > $1 AND position <= $2 ORDER BY position`

// byMark asks one statement how far it may read, and reads with another.
func byMark(pool *pgxpool.Pool, mark string) step {
	return func(ctx context.Context, s *subscriber) error {
		var until int64
		if err := pool.QueryRow(ctx, mark).Scan(&until); err != nil {
			return err
		}
		return s.seeRows(ctx, pool, until)
	}
}

// naively reads whatever is above the last position that was seen.
func naively(pool *pgxpool.Pool) step {
	return func(ctx context.Context, s *subscriber) error { return s.seeRows(ctx, pool, 1<<62) }
}

func (s *subscriber) seeRows(ctx context.Context, pool *pgxpool.Pool, until int64) error {
	rows, err := pool.Query(ctx, selectEntries, int64(s.checkpoint), until)
	if err != nil {
		return err
	}
	fresh, err := pgx.CollectRows(rows, scanEntry)
	if err != nil {
		return err
	}
	for _, e := range fresh {
		s.see(e)
	}
	return nil
}

func scanEntry(row pgx.CollectableRow) (e entry, err error) {
	var tenant string
	err = row.Scan(&e.position, &e.id, &e.stream.AggregateType, &e.stream.AggregateID, &tenant, &e.version)
	e.stream.TenantID = event.TenantID(tenant)
	return e, err
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
