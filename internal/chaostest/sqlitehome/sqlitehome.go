// Package sqlitehome is the home of the chaos for projections that keep what they
// do in a SQLite file, whichever store the events come from.
package sqlitehome

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// laned is a projection that begins in several lanes.
type laned struct {
	*sqlite.Projection

	lanes int
}

// Lanes implements [projection.Laned].
func (l laned) Lanes() int { return l.lanes }

// Projections are the projections of the chaos whose rows are in the file that
// has their progress, too.
func Projections(j chaostest.Job, check func(events ...event.Event) error) []projection.Projection {
	effects := sqlite.NewProjection(chaostest.Effects, 1,
		sqlite.Table("effects", "line INTEGER PRIMARY KEY AUTOINCREMENT, position INTEGER NOT NULL, stream BLOB NOT NULL, owner TEXT NOT NULL, at INTEGER NOT NULL"),
		sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO effects (position, stream, owner, at) VALUES (?, ?, ?, ?)", e.Position, e.AggregateID[:], j.Owner, time.Now().UnixMicro()); err != nil {
				return err
			}
			return check(e)
		}))
	tallies := sqlite.NewProjection(chaostest.Tallies, 1,
		sqlite.Table("tallies", "stream BLOB PRIMARY KEY, events INTEGER NOT NULL, sum INTEGER NOT NULL, last INTEGER NOT NULL"),
		sqlite.OnBatch(func(ctx context.Context, tx *sql.Tx, events []event.Event) error {
			for _, e := range events {
				value, err := chaostest.Value(e)
				if err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, `INSERT INTO tallies VALUES (?, 1, ?, ?)
					ON CONFLICT DO UPDATE SET events = events + 1, sum = sum + excluded.sum, last = excluded.last`, e.AggregateID[:], value, e.Position); err != nil {
					return err
				}
			}
			return check(events...)
		}))
	return []projection.Projection{laned{effects, j.Lanes}, laned{tallies, j.Lanes}}
}

// Look reads all that is in a file besides events, in one transaction: of the
// effects those of one owner, or all if owner is "".
func Look(ctx context.Context, db *sql.DB, owner string) (s chaostest.State, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s, err
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	s = chaostest.State{Tallies: make(map[uuid.UUID]chaostest.Tally), Checkpoints: make(map[string]map[int]chaostest.Checkpoint), Letters: make(map[string]map[uint64]bool)}
	for _, part := range []func() error{
		func() error {
			return eachRow(ctx, tx, "SELECT name, owner, fence, expires_at FROM leases", func(scan func(...any) error) error {
				var l lease.Lease
				var expires int64
				err := scan(&l.Name, &l.Owner, &l.Fence, &expires)
				l.ExpiresAt = time.UnixMicro(expires)
				s.Leases = append(s.Leases, l)
				return err
			})
		},
		func() error {
			return eachRow(ctx, tx, "SELECT projection, lane, position, fence FROM checkpoints", func(scan func(...any) error) error {
				var name string
				var lane int
				var c chaostest.Checkpoint
				err := scan(&name, &lane, &c.Position, &c.Fence)
				if s.Checkpoints[name] == nil {
					s.Checkpoints[name] = make(map[int]chaostest.Checkpoint)
				}
				s.Checkpoints[name][lane] = c
				return err
			})
		},
		func() error {
			return eachRow(ctx, tx, "SELECT projection, position FROM dead_letters", func(scan func(...any) error) error {
				var name string
				var position uint64
				err := scan(&name, &position)
				if s.Letters[name] == nil {
					s.Letters[name] = make(map[uint64]bool)
				}
				s.Letters[name][position] = true
				return err
			})
		},
		func() error { return lookAtTables(ctx, tx, owner, &s) },
	} {
		if err := part(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// lookAtTables reads what the projections have made; before their first run
// there is nothing.
func lookAtTables(ctx context.Context, tx *sql.Tx, owner string, s *chaostest.State) error {
	var tables int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name IN ('effects', 'tallies')").Scan(&tables); err != nil || tables < 2 {
		return err
	}
	err := eachRow(ctx, tx, "SELECT position, stream, owner, at FROM effects WHERE ?1 IN ('', owner) ORDER BY line", func(scan func(...any) error) error {
		var e chaostest.Effect
		var at int64
		err := scan(&e.Position, &e.Stream, &e.Owner, &at)
		e.At = time.UnixMicro(at)
		s.Effects = append(s.Effects, e)
		return err
	}, owner)
	if err != nil {
		return err
	}
	return eachRow(ctx, tx, "SELECT stream, events, sum, last FROM tallies", func(scan func(...any) error) error {
		var stream uuid.UUID
		var tally chaostest.Tally
		err := scan(&stream, &tally.Events, &tally.Sum, &tally.Last)
		s.Tallies[stream] = tally
		return err
	})
}

func eachRow(ctx context.Context, tx *sql.Tx, query string, f func(scan func(...any) error) error, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err says what was wrong
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
