package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
)

// Checkpoints returns the store's checkpoints. A move is one round trip and a
// transaction of its own.
func (s *Store) Checkpoints() checkpoint.Store { return checkpoints{session: s} }

// DeadLetters returns the store's dead letters. A change is a transaction of
// its own; it waits for transactions that hold the same sequence.
func (s *Store) DeadLetters() dlq.Store { return deadLetters{session: s} }

// Leases returns the store's leases, for all processes that open the schema.
// Their time is the database's clock, unless [Config.Now] is set.
func (s *Store) Leases() lease.Store { return leases{store: s} }

// Snapshots returns the store's snapshots.
func (s *Store) Snapshots() aggregate.SnapshotStore { return snapshots{store: s} }

// session is where checkpoints and dead letters are read and written: the store
// itself, each call by itself, or one of its transactions.
type session interface {
	// call calls f with what to send one statement or one batch to. Outside of a
	// transaction each is one of its own.
	call(ctx context.Context, op string, f func(ctx context.Context, c conn) error) error
	// sql returns a statement for the store's schema.
	sql(statement string) string
	// clock returns the time that SQL is given as now: nil for the database's own.
	clock() *time.Time
	// holding returns what is put behind a SELECT so that the rows stay as they
	// are until the end of the transaction; nothing if there is none.
	holding() string
}

func (s *Store) call(ctx context.Context, op string, f func(ctx context.Context, c conn) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	scope, free := s.scope(ctx)
	defer free()
	return s.failure(op, f(scope, s.pool))
}

func (s *Store) sql(statement string) string { return s.schema.sql(statement) }

func (s *Store) clock() *time.Time {
	if s.config.Now == nil {
		return nil
	}
	now := event.Time(s.config.Now())
	return &now
}

func (s *Store) holding() string { return "" }

func (t *Tx) call(ctx context.Context, op string, f func(ctx context.Context, c conn) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.failure(op, f(ctx, t.inner))
}

func (t *Tx) sql(statement string) string { return t.store.sql(statement) }

func (t *Tx) clock() *time.Time { return t.store.clock() }

func (t *Tx) holding() string { return " FOR UPDATE" }

// changes sends statements together, in one round trip, and returns how many
// rows each has changed or selected. They are kept all or none.
func changes(ctx context.Context, c conn, statements *pgx.Batch) ([]int64, error) {
	results := c.SendBatch(ctx, statements)
	rows := make([]int64, statements.Len())
	for i := range rows {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close() // says the same
			return nil, err
		}
		rows[i] = tag.RowsAffected()
	}
	return rows, results.Close() // which waits for the commit
}

// collect returns what scan makes of each row of a query.
func collect[T any](ctx context.Context, c conn, scan func(row pgx.Row) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) { return scan(row) })
	if len(all) == 0 {
		return nil, err
	}
	return all, err
}

// stored returns a time as it is kept: NULL for the zero time.
func stored(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = event.Time(t)
	return &t
}

// restored returns a time as it was kept.
func restored(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return event.Time(*t)
}

// idOrNull returns an id as an argument, nil for none.
func idOrNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return [16]byte(id)
}
