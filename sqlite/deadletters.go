package sqlite

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

// deadLetters implements [dlq.Store]. What changes letters is in this file,
// what lists them in letters.go.
type deadLetters struct{ session session }

const (
	thisSequence = " WHERE projection = ? AND version = ? AND sequence_key = ?"
	thisLetter   = thisSequence + " AND position = ?"
)

func keysOf(s dlq.Sequence) []any { return []any{s.Projection, s.Version, s.Key} }

func placeOf(l dlq.Letter) []any { return append(keysOf(l.Sequence), toInteger(l.Position)) }

// Park implements [dlq.Store].
func (d deadLetters) Park(ctx context.Context, letters ...dlq.Letter) error {
	for i := range letters {
		if err := dlq.CheckLetter(&letters[i]); err != nil {
			return err
		}
	}
	if len(letters) == 0 {
		return nil
	}
	return d.session.write(ctx, "park letters", func(q querier) error {
		for _, l := range letters {
			if err := park(ctx, q, dlq.Stored(l)); err != nil {
				return err
			}
		}
		return nil
	})
}

func park(ctx context.Context, q querier, l dlq.Letter) error {
	if _, err := q.ExecContext(ctx, "INSERT INTO dead_letter_sequences (projection, version, sequence_key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", keysOf(l.Sequence)...); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, "INSERT INTO dead_letters ("+letterColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		append(placeOf(l), l.EventID[:], l.EventType, l.Cause, l.Attempts, l.Redrives, storedTime(l.ParkedAt), storedTime(l.TriedAt))...)
	return err
}

// Failed implements [dlq.Store].
func (d deadLetters) Failed(ctx context.Context, l dlq.Letter, cause string, triedAt, nextRetry time.Time) error {
	return d.session.write(ctx, "record failure of letter", func(q querier) error {
		args := append([]any{dlq.CutCause(cause), storedTime(triedAt)}, placeOf(l)...)
		if err := one(q.ExecContext(ctx, "UPDATE dead_letters SET attempts = attempts + 1, redrives = redrives + 1, cause = ?, tried_at = ?"+thisLetter, args...)); err != nil {
			return err
		}
		return schedule(ctx, q, l.Sequence, nextRetry, 0)
	})
}

// Schedule implements [dlq.Store].
func (d deadLetters) Schedule(ctx context.Context, s dlq.Sequence, nextRetry time.Time) error {
	return d.ScheduleUntil(ctx, s, nextRetry, 0)
}

// ScheduleUntil implements [dlq.Store].
func (d deadLetters) ScheduleUntil(ctx context.Context, s dlq.Sequence, nextRetry time.Time, until uint64) error {
	return d.session.write(ctx, "schedule sequence", func(q querier) error { return schedule(ctx, q, s, nextRetry, until) })
}

func schedule(ctx context.Context, q querier, s dlq.Sequence, nextRetry time.Time, until uint64) error {
	args := append([]any{storedTime(nextRetry), toInteger(until)}, keysOf(s)...)
	return one(q.ExecContext(ctx, "UPDATE dead_letter_sequences SET next_retry = ?, until_position = ?"+thisSequence, args...))
}

// Remove implements [dlq.Store].
func (d deadLetters) Remove(ctx context.Context, l dlq.Letter) error {
	return d.session.write(ctx, "remove letter", func(q querier) error { return takeOut(ctx, q, l) })
}

// takeOut removes a letter; a sequence without letters is no longer parked.
func takeOut(ctx context.Context, q querier, l dlq.Letter) error {
	if err := one(q.ExecContext(ctx, "DELETE FROM dead_letters"+thisLetter, placeOf(l)...)); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, "DELETE FROM dead_letter_sequences WHERE projection = ?1 AND version = ?2 AND sequence_key = ?3 AND NOT EXISTS "+
		"(SELECT 1 FROM dead_letters WHERE projection = ?1 AND version = ?2 AND sequence_key = ?3)", keysOf(l.Sequence)...)
	return err
}

// Discard implements [dlq.Store].
func (d deadLetters) Discard(ctx context.Context, l dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	if err := dlq.CheckDiscard(reason, by, at); err != nil {
		return err
	}
	return d.session.write(ctx, "discard letter", func(q querier) error {
		args := append([]any{reason, string(by), storedTime(at)}, placeOf(l)...)
		if err := one(q.ExecContext(ctx, "INSERT INTO discarded_letters ("+letterColumns+", reason, discarded_by, discarded_at)"+
			" SELECT "+letterColumns+", ?, ?, ? FROM dead_letters"+thisLetter, args...)); err != nil {
			return err
		}
		return takeOut(ctx, q, l)
	})
}

// Clear implements [dlq.Store].
func (d deadLetters) Clear(ctx context.Context, projection string, version int) error {
	return d.session.write(ctx, "clear letters", func(q querier) error {
		for _, table := range []string{"dead_letters", "dead_letter_sequences"} {
			if _, err := q.ExecContext(ctx, "DELETE FROM "+table+" WHERE projection = ? AND version = ?", projection, version); err != nil {
				return err
			}
		}
		return nil
	})
}

// one makes of a change that found no row [dlq.ErrNotFound].
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return dlq.ErrNotFound
}

// Parked implements [dlq.Store].
func (d deadLetters) Parked(ctx context.Context, projection string, version int, keys []string) (map[string]bool, error) {
	parked := make(map[string]bool)
	err := d.session.read(ctx, "look for parked sequences", func(q querier) error {
		// Mostly nothing is parked, and then this one question is enough.
		if yes, err := parksAnything(ctx, q, projection, version); err != nil || !yes {
			return err
		}
		for chunk := range chunks(keys) {
			if err := findParked(ctx, q, projection, version, chunk, parked); err != nil {
				return err
			}
		}
		return nil
	})
	return parked, err
}

func parksAnything(ctx context.Context, q querier, projection string, version int) (yes bool, err error) {
	err = q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM dead_letter_sequences WHERE projection = ? AND version = ?)", projection, version).Scan(&yes)
	return yes, err
}

func findParked(ctx context.Context, q querier, projection string, version int, keys []string, parked map[string]bool) error {
	args := []any{projection, version}
	for _, key := range keys {
		args = append(args, key)
	}
	rows, err := q.QueryContext(ctx, "SELECT sequence_key FROM dead_letter_sequences WHERE projection = ? AND version = ? AND sequence_key IN (?"+
		strings.Repeat(", ?", len(keys)-1)+")", args...)
	found, err := collect(rows, err, func(row scanner) (key string, err error) {
		err = row.Scan(&key)
		return key, err
	})
	for _, key := range found {
		parked[key] = true
	}
	return err
}
