package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
)

// Checkpoints returns the store's checkpoints. A write is a transaction of its
// own and waits for its turn.
func (s *Store) Checkpoints() checkpoint.Store { return checkpoints{session: s} }

// DeadLetters returns the store's dead letters. A write is a transaction of
// its own and waits for its turn.
func (s *Store) DeadLetters() dlq.Store { return deadLetters{session: s} }

// Leases returns the store's leases, for all processes that open the file.
// Their time is [Config.Now].
func (s *Store) Leases() lease.Store { return leases{session: s} }

// Snapshots returns the store's snapshots.
func (s *Store) Snapshots() aggregate.SnapshotStore { return snapshots{session: s} }

// session is where everything but events is read and written: the store
// itself, each call by itself, or one of its transactions.
type session interface {
	read(ctx context.Context, op string, f func(q querier) error) error
	// write calls f in a transaction, which is kept if f returns no error.
	write(ctx context.Context, op string, f func(q querier) error) error
	// clock returns the time now, as stores keep it.
	clock() time.Time
}

// querier is what [sql.DB] and [sql.Tx] have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read implements session: it sees what is committed.
func (s *Store) read(ctx context.Context, op string, f func(q querier) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	err := f(s.db)
	if err != nil && s.usable(context.WithoutCancel(ctx)) != nil {
		return eventstore.ErrClosed // the pool was closed in between
	}
	return translate(op, s.config.Path, err)
}

// write implements session as a transaction of its own.
func (s *Store) write(ctx context.Context, op string, f func(q querier) error) error {
	t, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if err := t.write(ctx, op, f); err != nil {
		return errors.Join(err, t.Rollback(ctx))
	}
	return t.Commit(ctx)
}

func (s *Store) clock() time.Time { return event.Time(s.config.Now()) }

// collect returns what scan makes of each row.
func collect[T any](rows *sql.Rows, err error, scan func(row scanner) (T, error)) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what went wrong, Err tells
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// scanner is what [sql.Row] and [sql.Rows] have in common.
type scanner interface {
	Scan(dest ...any) error
}

// stored is an id as it is kept: 16 bytes, or NULL for none. It is read with
// its Scan method.
type stored uuid.UUID

func storedID(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

// Scan implements [sql.Scanner].
func (s *stored) Scan(value any) error {
	*s = stored(uuid.Nil)
	if value == nil {
		return nil
	}
	b, ok := value.([]byte)
	if !ok || len(b) != len(s) {
		return fmt.Errorf("%w: an id is a %T", eventstore.ErrCorrupt, value)
	}
	copy(s[:], b)
	return nil
}

// moment is a time as it is kept: microseconds, or NULL for the zero time.
type moment time.Time

func storedTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return event.Time(t).UnixMicro()
}

// Scan implements [sql.Scanner].
func (m *moment) Scan(value any) error {
	*m = moment{}
	if value == nil {
		return nil
	}
	micros, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%w: a time is a %T", eventstore.ErrCorrupt, value)
	}
	*m = moment(fromMicros(micros))
	return nil
}
