package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

const letterColumns = "projection, version, sequence_key, position, event_id, event_type, cause, attempts, redrives, parked_at, tried_at"

// scanLetter reads letterColumns, and what follows them into more.
func scanLetter(row pgx.Row, more ...any) (dlq.Letter, error) {
	var (
		l     dlq.Letter
		tried *time.Time
	)
	dest := []any{&l.Sequence.Projection, &l.Sequence.Version, &l.Sequence.Key, &l.Position, &l.EventID, &l.EventType, &l.Cause, &l.Attempts, &l.Redrives, &l.ParkedAt, &tried}
	err := row.Scan(append(dest, more...)...)
	l.ParkedAt, l.TriedAt = event.Time(l.ParkedAt), restored(tried)
	return l, err
}

// Letters implements [dlq.Store]. In a transaction it holds the sequence, so
// that no two go through it at a time.
func (d deadLetters) Letters(ctx context.Context, s dlq.Sequence, limit int) (letters []dlq.Letter, err error) {
	err = d.session.call(ctx, "read letters", func(ctx context.Context, c conn) error {
		if held, err := d.hold(ctx, c, s); err != nil || !held {
			return err
		}
		letters, err = collect(ctx, c, func(row pgx.Row) (dlq.Letter, error) { return scanLetter(row) },
			d.session.sql("SELECT "+letterColumns+" FROM evident.dead_letters"+thisSequence+" ORDER BY position LIMIT $4"),
			s.Projection, s.Version, s.Key, limitOf(max(limit, 0)))
		return err
	})
	return letters, err
}

// hold locks a sequence, if there is a transaction to hold it. It reports false
// if nothing is parked, which may be so because somebody has just been through.
func (d deadLetters) hold(ctx context.Context, c conn, s dlq.Sequence) (bool, error) {
	if d.session.holding() == "" {
		return true, nil
	}
	found, err := c.Exec(ctx, d.session.sql("SELECT true FROM evident.dead_letter_sequences"+thisSequence+d.session.holding()), s.Projection, s.Version, s.Key)
	return found.RowsAffected() == 1, err
}

// Sequences implements [dlq.Store].
func (d deadLetters) Sequences(ctx context.Context, f dlq.Filter) (parked []dlq.Parked, err error) {
	where := &conditions{}
	if f.Projection != "" {
		where.and("s.projection = ", f.Projection)
	}
	if f.Version != 0 {
		where.and("s.version = ", f.Version)
	}
	if f.Key != "" {
		where.and("s.sequence_key = ", f.Key)
	}
	if !f.DueBy.IsZero() {
		where.and("s.next_retry <= ", event.Time(f.DueBy))
	}
	where.sql.WriteString(" ORDER BY l.parked_at, l.position, l.sequence_key LIMIT " + where.arg(limitOf(max(f.Limit, 0))))
	//nolint:unqueryvet // l has just letterColumns.
	const query = `
		SELECT l.*, n.letters, s.next_retry, s.until_position
		  FROM evident.dead_letter_sequences AS s
		 CROSS JOIN LATERAL (
		       SELECT ` + letterColumns + ` FROM evident.dead_letters
		        WHERE (projection, version, sequence_key) = (s.projection, s.version, s.sequence_key) ORDER BY position LIMIT 1) AS l
		 CROSS JOIN LATERAL (
		       SELECT count(*) AS letters FROM evident.dead_letters
		        WHERE (projection, version, sequence_key) = (s.projection, s.version, s.sequence_key)) AS n
		 WHERE true`
	err = d.session.call(ctx, "list parked sequences", func(ctx context.Context, c conn) error {
		parked, err = collect(ctx, c, scanParked, d.session.sql(query)+where.sql.String(), where.args...)
		return err
	})
	return parked, err
}

func scanParked(row pgx.Row) (dlq.Parked, error) {
	var (
		p    dlq.Parked
		next *time.Time
	)
	first, err := scanLetter(row, &p.Letters, &next, &p.Until)
	p.Sequence, p.First, p.NextRetry = first.Sequence, first, restored(next)
	return p, err
}

// Discarded implements [dlq.Store].
func (d deadLetters) Discarded(ctx context.Context, projection string, version int) (discarded []dlq.Discarded, err error) {
	err = d.session.call(ctx, "list discarded letters", func(ctx context.Context, c conn) error {
		discarded, err = collect(ctx, c, scanDiscarded, d.session.sql("SELECT "+letterColumns+", reason, discarded_by, discarded_at"+
			" FROM evident.discarded_letters WHERE projection = $1 AND version = $2 ORDER BY discarded_at, id"), projection, version)
		return err
	})
	return discarded, err
}

func scanDiscarded(row pgx.Row) (dlq.Discarded, error) {
	var (
		d  dlq.Discarded
		by string
	)
	letter, err := scanLetter(row, &d.Reason, &by, &d.DiscardedAt)
	d.Letter, d.By, d.DiscardedAt = letter, event.ActorID(by), event.Time(d.DiscardedAt)
	return d, err
}

// Stats implements [dlq.Store].
func (d deadLetters) Stats(ctx context.Context, projection string, version int) (stats dlq.Stats, err error) {
	err = d.session.call(ctx, "count letters", func(ctx context.Context, c conn) error {
		var oldest *time.Time
		err := c.QueryRow(ctx, d.session.sql("SELECT count(DISTINCT sequence_key), count(*), min(parked_at) FROM evident.dead_letters WHERE projection = $1 AND version = $2"),
			projection, version).Scan(&stats.Sequences, &stats.Letters, &oldest)
		stats.Oldest = restored(oldest)
		return err
	})
	return stats, err
}
