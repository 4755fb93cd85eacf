package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/ddl"
	"github.com/evident-go/evident/projection"
)

var _ projection.Finisher = (*Projection)(nil)

// Index declares an index on a table of the projection by its statement. It is
// created when the projection has caught up for the first time, and not before:
// a replay that need not keep it up to date is faster. After a reset it is
// created again. An index that handlers or their constraints need from the first
// event on belongs behind the columns of [Table].
//
//	postgres.Index("CREATE INDEX titles_v2_by_title ON titles_v2 (title)")
//
// The statement is CREATE INDEX or CREATE UNIQUE INDEX, with names as those of
// tables and nothing behind it, and not CONCURRENTLY: it is run in a
// transaction, in which the projection waits, but nobody who reads. One of a
// unique index fails, and with it the projection, if rows are not.
func Index(statement string) Part {
	return func(d *declaration) { d.indexes = append(d.indexes, statement) }
}

// index is an index that a projection makes last.
type index struct{ ddl.Index }

// declareIndexes reads the statements.
func (d *declaration) declareIndexes() (indexes []index) {
	owns := func(name string) bool {
		return slices.ContainsFunc(d.tables, func(t table) bool { return t.name == name })
	}
	for _, i := range ddl.Indexes(d.indexes, owns, d.Refuse) {
		indexes = append(indexes, index{i})
	}
	return indexes
}

// create creates the index unless the table has it.
func (i index) create(ctx context.Context, tx *Tx, projection string) error {
	var own bool
	err := tx.inner.QueryRow(ctx, `
		SELECT coalesce(x.indrelid = t.oid, false) FROM pg_class AS t JOIN pg_class AS c ON c.relnamespace = t.relnamespace AND c.relname = $2
		  LEFT JOIN pg_index AS x ON x.indexrelid = c.oid WHERE t.oid = to_regclass($1)`, i.Table, i.Name).Scan(&own)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		_, err = tx.inner.Exec(ctx, i.Statement)
	case err == nil && !own:
		err = &event.DefinitionError{Subject: projection, Reason: fmt.Sprintf("index %q exists, and is not on %q", i.Name, i.Table)}
	}
	if err != nil {
		return fmt.Errorf("create index %s: %w", i.Name, err)
	}
	return nil
}

// Finish implements [projection.Finisher]: it creates what [Index] declares,
// unless it is there.
func (p *Projection) Finish(ctx context.Context, tx projection.Tx) error {
	if err := p.Validate(); err != nil {
		return err
	}
	t, err := own(ctx, p.Name(), tx)
	if err != nil {
		return err
	}
	for _, i := range p.indexes {
		if err := i.create(ctx, t, p.Name()); err != nil {
			return err
		}
	}
	return nil
}
