package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

// deadLetters implements [dlq.Store]. What changes letters is in this file,
// what lists them in letters.go.
//
// Whatever changes the letters of a sequence holds the sequence's row, and so
// does, in a transaction, whoever asks what is parked. A sequence may go, and
// come again, while somebody waits for its row: then there is nothing to be
// held, and nothing must be changed. And whoever has waited sees what the other
// has left only with his next statement.
type deadLetters struct{ session session }

const (
	thisSequence = " WHERE projection = $1 AND version = $2 AND sequence_key = $3"
	thisLetter   = thisSequence + " AND position = $4"
	// holding goes before a statement on letters that joins with held.
	withHeld = "WITH held AS (SELECT true FROM evident.dead_letter_sequences" + thisSequence + " FOR UPDATE)"
)

// letterBatch is statements about letters that are sent together.
type letterBatch struct {
	pgx.Batch

	session session
}

func (d deadLetters) batch() *letterBatch { return &letterBatch{session: d.session} }

// about adds a statement on a sequence, or, if it has four places for it, on
// a letter; args come behind.
func (b *letterBatch) about(statement string, l dlq.Letter, args ...any) {
	b.Queue(b.session.sql(statement), append([]any{l.Sequence.Projection, l.Sequence.Version, l.Sequence.Key, signed(l.Position)}, args...)...)
}

func (b *letterBatch) ofSequence(statement string, s dlq.Sequence, args ...any) {
	b.Queue(b.session.sql(statement), append([]any{s.Projection, s.Version, s.Key}, args...)...)
}

// unparkEmpty ends the parking of a sequence that has no letters.
func (b *letterBatch) unparkEmpty(s dlq.Sequence) {
	b.ofSequence("DELETE FROM evident.dead_letter_sequences"+thisSequence+
		" AND NOT EXISTS (SELECT FROM evident.dead_letters"+thisSequence+")", s)
}

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
	b := d.batch()
	b.park(letters)
	return d.session.call(ctx, "park letters", func(ctx context.Context, c conn) error {
		_, err := changes(ctx, c, &b.Batch)
		return err
	})
}

// park makes or locks the sequences, in one order, so that no two parkings wait
// for each other, and then adds the letters.
func (b *letterBatch) park(letters []dlq.Letter) {
	c := columnsOf(letters)
	b.Queue(b.session.sql(`
		INSERT INTO evident.dead_letter_sequences AS s (projection, version, sequence_key)
		SELECT DISTINCT p, v, k FROM unnest($1::text[], $2::bigint[], $3::text[]) AS given (p, v, k) ORDER BY 1, 2, 3
		ON CONFLICT (projection, version, sequence_key) DO UPDATE SET next_retry = s.next_retry`),
		c.projections, c.versions, c.keys)
	b.Queue(b.session.sql(`
		INSERT INTO evident.dead_letters (`+letterColumns+`)
		SELECT p, v, k, position, id, type, cause, attempts, redrives, parked, tried
		  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::timestamptz[], $11::timestamptz[])
		       AS given (p, v, k, position, id, type, cause, attempts, redrives, parked, tried)
		ON CONFLICT DO NOTHING`),
		c.projections, c.versions, c.keys, c.positions, c.events, c.types, c.causes, c.attempts, c.redrives, c.parked, c.tried)
}

// letterArrays is letters as a statement takes them: an array for each column.
type letterArrays struct {
	projections, keys, types, causes []string
	versions, positions              []int64
	attempts, redrives               []int64
	events                           []uuid.UUID
	parked, tried                    []*time.Time
}

func columnsOf(letters []dlq.Letter) letterArrays {
	var c letterArrays
	for _, l := range letters {
		l = dlq.Stored(l)
		c.projections, c.versions, c.keys = append(c.projections, l.Sequence.Projection), append(c.versions, int64(l.Sequence.Version)), append(c.keys, l.Sequence.Key)
		c.positions, c.events, c.types = append(c.positions, signed(l.Position)), append(c.events, l.EventID), append(c.types, l.EventType)
		c.causes = append(c.causes, l.Cause)
		c.attempts, c.redrives = append(c.attempts, int64(l.Attempts)), append(c.redrives, int64(l.Redrives))
		c.parked, c.tried = append(c.parked, stored(l.ParkedAt)), append(c.tried, stored(l.TriedAt))
	}
	return c
}

// Failed implements [dlq.Store].
func (d deadLetters) Failed(ctx context.Context, l dlq.Letter, cause string, triedAt, nextRetry time.Time) error {
	b := d.batch()
	b.about(withHeld+" UPDATE evident.dead_letters SET attempts = attempts + 1, redrives = redrives + 1, cause = $5, tried_at = $6 FROM held"+thisLetter,
		l, dlq.CutCause(cause), stored(triedAt))
	b.about("UPDATE evident.dead_letter_sequences SET next_retry = $5, until_position = 0"+thisSequence+" AND EXISTS (SELECT FROM evident.dead_letters"+thisLetter+")",
		l, stored(nextRetry))
	return d.change(ctx, "record failure of letter", b)
}

// Schedule implements [dlq.Store].
func (d deadLetters) Schedule(ctx context.Context, s dlq.Sequence, nextRetry time.Time) error {
	return d.ScheduleUntil(ctx, s, nextRetry, 0)
}

// ScheduleUntil implements [dlq.Store].
func (d deadLetters) ScheduleUntil(ctx context.Context, s dlq.Sequence, nextRetry time.Time, until uint64) error {
	b := d.batch()
	b.ofSequence("UPDATE evident.dead_letter_sequences SET next_retry = $4, until_position = $5"+thisSequence, s, stored(nextRetry), signed(until))
	return d.change(ctx, "schedule sequence", b)
}

// Remove implements [dlq.Store].
func (d deadLetters) Remove(ctx context.Context, l dlq.Letter) error {
	b := d.batch()
	b.about(withHeld+" DELETE FROM evident.dead_letters USING held"+thisLetter, l)
	b.unparkEmpty(l.Sequence)
	return d.change(ctx, "remove letter", b)
}

// Discard implements [dlq.Store].
func (d deadLetters) Discard(ctx context.Context, l dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	if err := dlq.CheckDiscard(reason, by, at); err != nil {
		return err
	}
	b := d.batch()
	b.about(withHeld+", gone AS (DELETE FROM evident.dead_letters USING held"+thisLetter+" RETURNING "+letterColumns+")"+
		" INSERT INTO evident.discarded_letters ("+letterColumns+", reason, discarded_by, discarded_at)"+
		" SELECT "+letterColumns+", $5::text, $6::text, $7::timestamptz FROM gone", l, reason, string(by), stored(at))
	b.unparkEmpty(l.Sequence)
	return d.change(ctx, "discard letter", b)
}

// Clear implements [dlq.Store]. The letters go with their sequences.
func (d deadLetters) Clear(ctx context.Context, projection string, version int) error {
	return d.session.call(ctx, "clear letters", func(ctx context.Context, c conn) error {
		_, err := c.Exec(ctx, d.session.sql("DELETE FROM evident.dead_letter_sequences WHERE projection = $1 AND version = $2"), projection, version)
		return err
	})
}

// change sends b. If its first statement has found nothing to change, there is
// no such letter.
func (d deadLetters) change(ctx context.Context, op string, b *letterBatch) error {
	return d.session.call(ctx, op, func(ctx context.Context, c conn) error {
		rows, err := changes(ctx, c, &b.Batch)
		if err == nil && rows[0] == 0 {
			err = dlq.ErrNotFound
		}
		return err
	})
}

// Parked implements [dlq.Store].
func (d deadLetters) Parked(ctx context.Context, projection string, version int, keys []string) (map[string]bool, error) {
	parked := make(map[string]bool)
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !storable(key) })
	err := d.session.call(ctx, "look for parked sequences", func(ctx context.Context, c conn) error {
		rows, err := c.Query(ctx, d.session.sql("SELECT sequence_key FROM evident.dead_letter_sequences"+
			" WHERE projection = $1 AND version = $2 AND sequence_key = ANY ($3) ORDER BY sequence_key"+d.session.holding()), projection, version, keys)
		if err != nil {
			return err
		}
		var key string
		_, err = pgx.ForEachRow(rows, []any{&key}, func() error { parked[key] = true; return nil })
		return err
	})
	return parked, err
}
