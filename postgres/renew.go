package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
)

// renewGap is how many positions [Renew] leaves out, for those that were handed
// out and are known nowhere any more.
const renewGap = 1 << 24

// Renew makes the store one of another history and returns its new id. It is
// for a database that has lost events which somebody may have seen: one that
// was restored from a backup, or promoted before it had everything. Call it
// before the first append, with all stores on the database closed: a store
// that is open keeps the old id.
//
// Whoever keeps a position under the old id is told so from then on: a
// projection whose checkpoint is elsewhere stops with [checkpoint.ErrOtherStore]
// and has to be reset. Checkpoints in the same database have lost the same
// events as the store; they get the new id and go on. One that stands above the
// last event keeps the old one.
//
// New events get positions that no event of the old history had, as far as can
// be known: beyond every position that the database knows, beyond seen, and some
// millions more. Seen is the highest position that is kept anywhere else, in
// another database or in messages that were sent; 0 if there is none.
//
// It needs the rights of [Migrate], and waits for transactions that append.
// Errors are those of Migrate; a schema that was not migrated is
// [eventstore.ErrSchema], a standby [eventstore.ErrReadOnly].
func Renew(ctx context.Context, config Config, seen uint64) (uuid.UUID, error) {
	if err := config.Validate(); err != nil {
		return uuid.Nil, fmt.Errorf("renew: %w", err)
	}
	if seen > 1<<62 {
		return uuid.Nil, fmt.Errorf("renew: %w", &event.InvalidError{Field: "seen", Value: strconv.FormatUint(seen, 10), Reason: "is no position that an event can have"})
	}
	config = config.withDefaults()
	pool, release, err := config.connect(ctx)
	if err != nil {
		return uuid.Nil, translate("renew", config.Schema, err)
	}
	defer release()
	r := renewal{schema: schema(config.Schema), seen: signed(seen)}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return r.run(ctx, tx) })
	if err != nil {
		return uuid.Nil, translate("renew", config.Schema, err)
	}
	return r.id, nil
}

// renewal is one run of Renew.
type renewal struct {
	schema schema
	seen   int64
	old    uuid.UUID
	id     uuid.UUID
	last   int64 // position of the last event that there is
}

func (r *renewal) run(ctx context.Context, tx pgx.Tx) error {
	for _, step := range []func(context.Context, pgx.Tx) error{r.lock, r.rename, r.takeCheckpoints, r.skip, r.lowerMark} {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// lock keeps writers out until the end.
func (r *renewal) lock(ctx context.Context, tx pgx.Tx) error {
	if err := requireVersion(ctx, tx, r.schema); err != nil {
		return err
	}
	if standby, err := first[bool](ctx, tx, "SELECT pg_is_in_recovery()"); err != nil {
		return err
	} else if standby {
		return &Error{Op: "renew", Schema: string(r.schema), Code: codeReadOnly, Err: errStandby}
	}
	if _, err := tx.Exec(ctx, r.schema.sql("LOCK TABLE evident.events, evident.store IN SHARE ROW EXCLUSIVE MODE")); err != nil {
		return err
	}
	return tx.QueryRow(ctx, r.schema.sql("SELECT coalesce(max(position), 0) FROM evident.events")).Scan(&r.last)
}

// rename gives the store its new id.
func (r *renewal) rename(ctx context.Context, tx pgx.Tx) (err error) {
	if r.old, err = storeID(ctx, tx, r.schema); err != nil {
		return err
	}
	r.id, err = first[uuid.UUID](ctx, tx, r.schema.sql("UPDATE evident.store SET store_id = gen_random_uuid() RETURNING store_id"))
	return err
}

// takeCheckpoints gives the new id to checkpoints of the old one.
func (r *renewal) takeCheckpoints(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, r.schema.sql("UPDATE evident.checkpoints SET store_id = $1 WHERE store_id = $2 AND position <= $3"), r.id, r.old, r.last)
	return err
}

// lowerMark takes the mark back to the last event, should it stand above.
func (r *renewal) lowerMark(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, r.schema.sql("UPDATE evident.mark SET position = $1 WHERE position > $1"), r.last)
	return err
}

// skip moves the sequence beyond every position that may have been handed out,
// while nobody takes one: evident.take moves it in two steps.
func (r *renewal) skip(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, r.schema.sql("SELECT pg_advisory_xact_lock('evident.store'::regclass::oid::int, 1)")); err != nil {
		return err
	}
	known, err := first[int64](ctx, tx, r.schema.sql(`
		SELECT greatest(s.last_value, m.position, (SELECT max(position) FROM evident.checkpoints))
		  FROM evident.position AS s, evident.mark AS m`))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, r.schema.sql("SELECT setval('evident.position', $1)"), max(known, r.last, r.seen)+renewGap)
	return err
}
