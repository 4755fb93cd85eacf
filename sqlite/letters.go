package sqlite

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

const letterColumns = "projection, version, sequence_key, position, event_id, event_type, cause, attempts, redrives, parked_at, tried_at"

// scanLetter reads letterColumns, and what follows them into more.
func scanLetter(row scanner, more ...any) (dlq.Letter, error) {
	var (
		l             dlq.Letter
		position      int64
		id            stored
		parked, tried moment
	)
	dest := []any{&l.Sequence.Projection, &l.Sequence.Version, &l.Sequence.Key, &position, &id, &l.EventType, &l.Cause, &l.Attempts, &l.Redrives, &parked, &tried}
	err := row.Scan(append(dest, more...)...)
	l.Position, l.EventID, l.ParkedAt, l.TriedAt = fromInteger(position), uuid.UUID(id), time.Time(parked), time.Time(tried)
	return l, err
}

// Letters implements [dlq.Store].
func (d deadLetters) Letters(ctx context.Context, s dlq.Sequence, limit int) (letters []dlq.Letter, err error) {
	err = d.session.read(ctx, "read letters", func(q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT "+letterColumns+" FROM dead_letters"+thisSequence+" ORDER BY position LIMIT ?", append(keysOf(s), bound(limit))...)
		letters, err = collect(rows, err, func(row scanner) (dlq.Letter, error) { return scanLetter(row) })
		return err
	})
	return letters, err
}

// Sequences implements [dlq.Store].
func (d deadLetters) Sequences(ctx context.Context, f dlq.Filter) (parked []dlq.Parked, err error) {
	err = d.session.read(ctx, "list parked sequences", func(q querier) error {
		rows, err := q.QueryContext(ctx, `
			WITH chosen AS (
				SELECT *,
					(SELECT count(*) FROM dead_letters WHERE (projection, version, sequence_key) = (s.projection, s.version, s.sequence_key)) AS letters,
					(SELECT min(position) FROM dead_letters WHERE (projection, version, sequence_key) = (s.projection, s.version, s.sequence_key)) AS position
				FROM dead_letter_sequences AS s
				WHERE (?1 = '' OR projection = ?1) AND (?2 = 0 OR version = ?2) AND (?3 = '' OR sequence_key = ?3) AND (?4 IS NULL OR next_retry <= ?4)
			)
			SELECT `+letterColumns+`, letters, next_retry, until_position
			FROM chosen JOIN dead_letters USING (projection, version, sequence_key, position)
			ORDER BY parked_at, position, sequence_key LIMIT ?5`,
			f.Projection, f.Version, f.Key, storedTime(f.DueBy), bound(f.Limit))
		parked, err = collect(rows, err, scanParked)
		return err
	})
	return parked, err
}

func scanParked(row scanner) (dlq.Parked, error) {
	var p dlq.Parked
	var next moment
	var until int64
	first, err := scanLetter(row, &p.Letters, &next, &until)
	p.Sequence, p.First, p.NextRetry, p.Until = first.Sequence, first, time.Time(next), fromInteger(until)
	return p, err
}

// Discarded implements [dlq.Store].
func (d deadLetters) Discarded(ctx context.Context, projection string, version int) (discarded []dlq.Discarded, err error) {
	err = d.session.read(ctx, "list discarded letters", func(q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT "+letterColumns+", reason, discarded_by, discarded_at FROM discarded_letters"+
			" WHERE projection = ? AND version = ? ORDER BY discarded_at, id", projection, version)
		discarded, err = collect(rows, err, scanDiscarded)
		return err
	})
	return discarded, err
}

func scanDiscarded(row scanner) (dlq.Discarded, error) {
	var (
		d  dlq.Discarded
		by string
		at moment
	)
	letter, err := scanLetter(row, &d.Reason, &by, &at)
	d.Letter, d.By, d.DiscardedAt = letter, event.ActorID(by), time.Time(at)
	return d, err
}

// Stats implements [dlq.Store].
func (d deadLetters) Stats(ctx context.Context, projection string, version int) (stats dlq.Stats, err error) {
	err = d.session.read(ctx, "count letters", func(q querier) error {
		var oldest moment
		err := q.QueryRowContext(ctx, "SELECT count(DISTINCT sequence_key), count(*), min(parked_at) FROM dead_letters WHERE projection = ? AND version = ?",
			projection, version).Scan(&stats.Sequences, &stats.Letters, &oldest)
		stats.Oldest = time.Time(oldest)
		return err
	})
	return stats, err
}

// bound returns a limit as SQL has it: negative for none.
func bound(limit int) int {
	if limit <= 0 {
		return -1
	}
	return limit
}

// chunks divides keys, which a batch may have thousands of, into lists that a
// statement can take.
func chunks(keys []string) iter.Seq[[]string] {
	const most = 200
	return slices.Chunk(keys, most)
}
