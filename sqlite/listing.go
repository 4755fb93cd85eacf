package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"sync"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/eventstore"
)

// listing is a table whose rows are kept once and for all, by position.
type listing[T any] struct {
	table    string
	columns  []string // what decode gets
	decode   func(row []driver.Value) (T, error)
	position func(item T) uint64

	mu     sync.Mutex // for what is below
	tx     *sql.Tx    // for which insert was prepared; it is closed with it
	insert *sql.Stmt
}

// add inserts a row. Within a transaction the statement is prepared once:
// measured, that is most of what an insert of so many columns costs.
func (l *listing[T]) add(ctx context.Context, tx *sql.Tx, row []any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tx != tx {
		//nolint:gosec // names are this package's own.
		text := fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s)", l.table, strings.Join(l.columns, ", "), strings.Repeat(", ?", len(l.columns)-1))
		insert, err := tx.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		l.tx, l.insert = tx, insert
	}
	_, err := l.insert.ExecContext(ctx, row...)
	return err
}

// find yields the rows of a page that meet the conditions, up to where the
// table ended when ranging began. No connection is held while the caller works
// on what was yielded.
func (l *listing[T]) find(ctx context.Context, s *Store, page audit.Page, where *conditions) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := &browse[T]{listing: l, store: s, limit: limitOf(page.Limit), low: toInteger(page.After), high: lastOf(page)}
		r.direction = eventstore.Backward
		if page.OldestFirst {
			r.direction = eventstore.Forward
		}
		if !where.indexed {
			r.window = window
		}
		if err := r.run(ctx, where, yield); err != nil {
			yield(*new(T), translate("find in "+l.table, s.config.Path, err))
		}
	}
}

// lastOf returns the last position that a page may have.
func lastOf(page audit.Page) int64 {
	if page.Before > 0 {
		return toInteger(page.Before - 1)
	}
	return math.MaxInt64
}

// orderOf returns the SQL for the direction of a page.
func orderOf(page audit.Page) string {
	if page.OldestFirst {
		return order(eventstore.Forward)
	}
	return order(eventstore.Backward)
}

// browse goes through the rows above low up to high, page by page.
type browse[T any] struct {
	listing   *listing[T]
	store     *Store
	direction eventstore.Direction
	low, high int64
	window    int64 // how many positions a page looks at; 0 for all. It grows while nothing is found
	limit     int   // how many rows are still wanted
	items     []T
	full      bool // there may be more within the bounds that were asked for
}

func (b *browse[T]) run(ctx context.Context, where *conditions, yield func(T, error) bool) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE position > ? AND position <= ?%s ORDER BY position%s LIMIT ?",
		strings.Join(b.listing.columns, ", "), b.listing.table, where.sql.String(), order(b.direction))
	for b.low < b.high && b.limit > 0 {
		low, high := b.next()
		args := append(append(where.bounds(low, high), where.args...), int64(min(b.limit, pageEvents)))
		if err := b.store.readers.use(ctx, func(c *connection) error { return b.fetch(ctx, c, query, args) }); err != nil {
			return err
		}
		for _, item := range b.items {
			if err := b.store.usable(ctx); err != nil {
				return err
			}
			if !yield(item, nil) {
				return nil
			}
		}
		b.limit -= len(b.items)
		b.advance(low, high)
		if len(b.items) == 0 && b.window < math.MaxInt64/2 {
			b.window *= 2
		}
	}
	return b.store.usable(ctx)
}

// start ends what will be read where the table ends now.
func (b *browse[T]) start(ctx context.Context) error {
	if err := b.store.usable(ctx); err != nil {
		return err
	}
	return b.store.readers.use(ctx, func(c *connection) error {
		last, err := c.number(ctx, "SELECT max(position) FROM "+b.listing.table)
		b.high = min(b.high, last)
		return err
	})
}

// next returns the bounds of the next page.
func (b *browse[T]) next() (low, high int64) {
	switch {
	case b.window == 0 || b.high-b.low <= b.window:
		return b.low, b.high
	case b.direction == eventstore.Backward:
		return b.high - b.window, b.high
	default:
		return b.low, b.low + b.window
	}
}

// advance takes from what is left what the page between low and high covered.
func (b *browse[T]) advance(low, high int64) {
	if b.full {
		last := toInteger(b.listing.position(b.items[len(b.items)-1]))
		low, high = last-1, last
	}
	if b.direction == eventstore.Backward {
		b.high = low
	} else {
		b.low = high
	}
}

func (b *browse[T]) fetch(ctx context.Context, c *connection, query string, args []driver.Value) (err error) {
	b.items = b.items[:0]
	s, err := c.statement(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.query(ctx, s.bind(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(b.listing.columns))
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			b.full = len(b.items) == min(b.limit, pageEvents)
			return nil
		}
		if err != nil {
			return err
		}
		item, err := b.listing.decode(row)
		if err != nil {
			return err
		}
		b.items = append(b.items, item)
	}
}

// lookUp returns the row that meets a condition, within a transaction.
func (l *listing[T]) lookUp(ctx context.Context, tx *sql.Tx, condition string, arg any) (item T, found bool, err error) {
	row := make([]driver.Value, len(l.columns))
	dest := make([]any, len(row))
	for i := range row {
		dest[i] = (*any)(&row[i])
	}
	//nolint:gosec // names and conditions are this package's own.
	query := fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(l.columns, ", "), l.table, condition)
	err = tx.QueryRowContext(ctx, query, arg).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return item, false, nil
	}
	if err != nil {
		return item, false, err
	}
	item, err = l.decode(row)
	return item, err == nil, err
}

// empty removes all rows. The triggers that refuse it are taken off and put
// back in the same transaction. Without triggers SQLite frees whole pages
// instead of visiting each row.
func (l *listing[T]) empty(ctx context.Context, tx *sql.Tx) error {
	type guard struct{ name, definition string }
	rows, err := tx.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? ORDER BY rowid", l.table)
	guards, err := collect(rows, err, func(row scanner) (g guard, err error) {
		err = row.Scan(&g.name, &g.definition)
		return g, err
	})
	if err != nil {
		return err
	}
	statements := make([]string, 0, 2*len(guards)+1)
	for _, g := range guards {
		statements = append(statements, fmt.Sprintf("DROP TRIGGER %q", g.name))
	}
	statements = append(statements, "DELETE FROM "+l.table)
	for _, g := range guards {
		statements = append(statements, g.definition)
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("empty %s: %w", l.table, err)
		}
	}
	return nil
}

// grouped yields what SQLite has to find as a whole before it knows the first.
func grouped[T any](s *Store, op string, find func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		found, err := find()
		if err != nil {
			yield(*new(T), translate(op, s.config.Path, err))
			return
		}
		for _, item := range found {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// rowsOf returns all rows, of so many columns, that a statement finds.
func rowsOf[T any](ctx context.Context, s *Store, text string, args []driver.Value, columns int, decode func(d *decoder) T) (found []T, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	err = s.readers.use(ctx, func(c *connection) (err error) {
		found = found[:0]
		statement, err := c.statement(ctx, text)
		if err != nil {
			return err
		}
		rows, err := statement.query(ctx, statement.bind(args))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		d := decoder{row: make([]driver.Value, columns)}
		for {
			if err := rows.Next(d.row); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if found = append(found, decode(&d)); d.err != nil {
				return d.err
			}
		}
	})
	return found, err
}
