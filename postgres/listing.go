package postgres

import (
	"context"
	"errors"
	"iter"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// listing is a table whose rows are kept once and for all, by position.
type listing[T any] struct {
	table    string // without the schema
	columns  []string
	encode   func(t *tuples, item T) error
	decode   func(d *decoder, row [][]byte) (T, error)
	position func(item T) uint64
}

func (l *listing[T]) in(s *Store) string { return s.sql(defaultSchema + "." + l.table) }

// add adds rows, several of them by COPY. It reports false if there is one row
// and another stands in its place; of several, one is then an error.
func (l *listing[T]) add(ctx context.Context, s *Store, tx pgx.Tx, items []T) (bool, error) {
	const usual = 512
	rows := &tuples{values: make(values, 0, usual*len(items))}
	for _, item := range items {
		rows.begin(len(l.columns))
		if err := l.encode(rows, item); err != nil {
			return false, err
		}
	}
	switch {
	case len(items) == 1:
		added, err := rows.insertInto(ctx, tx, l.in(s), l.columns, orPassOver)
		return added == 1, err
	case s.walled:
		_, err := rows.insertInto(ctx, tx, l.in(s), l.columns, orFail)
		return err == nil, err
	default:
		err := rows.copyInto(ctx, tx, l.in(s), l.columns)
		return err == nil, err
	}
}

// empty removes all rows. They are guarded against everybody, so the schema has
// a function for it.
func (l *listing[T]) empty(ctx context.Context, s *Store, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, s.sql("SELECT evident.empty_records($1)"), l.table)
	return err
}

// lookUp returns the row that meets a condition, within a transaction.
func (l *listing[T]) lookUp(ctx context.Context, s *Store, tx pgx.Tx, condition string, arg any) (item T, found bool, err error) {
	rows, err := tx.Query(ctx, "SELECT "+strings.Join(l.columns, ", ")+" FROM "+l.in(s)+" WHERE "+condition, arg)
	if err != nil {
		return item, false, err
	}
	item, err = pgx.CollectExactlyOneRow(rows, l.scan(newDecoder()))
	if errors.Is(err, pgx.ErrNoRows) {
		return item, false, nil
	}
	return item, err == nil, err
}

func (l *listing[T]) scan(d *decoder) func(row pgx.CollectableRow) (T, error) {
	return func(row pgx.CollectableRow) (T, error) { return l.decode(d, row.RawValues()) }
}

// find yields the rows of a page that meet the conditions, up to where the
// table ended when ranging began. No connection is held while the caller works
// on what was yielded. A query for one tenant tells the database so, if there is
// a wall between tenants.
func (l *listing[T]) find(ctx context.Context, s *Store, page audit.Page, tenant event.TenantID, by search) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		b := &browse[T]{listing: l, store: s, tenant: tenant, forward: page.OldestFirst, limit: limitOf(page.Limit), low: signed(page.After), high: lastOf(page)}
		if err := b.run(ctx, by, yield); err != nil {
			yield(*new(T), err)
		}
	}
}

// lastOf returns the last position that a page may have.
func lastOf(page audit.Page) int64 {
	if page.Before > 0 {
		return signed(page.Before - 1)
	}
	return math.MaxInt64
}

// grouped yields what the database has to find as a whole before it knows the
// first.
func grouped[T any](find func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		found, err := find()
		if err != nil {
			yield(*new(T), err)
			return
		}
		for _, item := range found {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// pageRecords bounds what a listing holds in memory.
const pageRecords = 512

// browse goes through the rows above low up to high, page by page.
type browse[T any] struct {
	listing   *listing[T]
	store     *Store
	tenant    event.TenantID // whose rows are wanted; "" for those of all
	forward   bool
	low, high int64
	limit     int // how many rows are still wanted
	items     []T
}

func (b *browse[T]) run(ctx context.Context, by search, yield func(T, error) bool) error {
	if b.forward {
		if err := b.end(ctx); err != nil {
			return err
		}
	}
	query := by.sql(strings.Join(b.listing.columns, ", "), b.listing.in(b.store), !b.forward)
	for b.low < b.high && b.limit > 0 {
		size := min(b.limit, pageRecords)
		if err := b.fetch(ctx, query, by.where.within(b.low, b.high, size)); err != nil {
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
		if len(b.items) < size {
			break
		}
		b.advance()
	}
	return b.store.usable(ctx)
}

// end ends what will be read where the table ends now. Whoever begins there
// and goes back does not see what comes later, either.
func (b *browse[T]) end(ctx context.Context) error {
	return b.store.ofTenant(ctx, "find in "+b.listing.table, b.tenant, func(ctx context.Context, c conn) error {
		var last int64
		err := c.QueryRow(ctx, "SELECT coalesce(max(position), 0) FROM "+b.listing.in(b.store)).Scan(&last)
		b.high = min(b.high, last)
		return err
	})
}

func (b *browse[T]) fetch(ctx context.Context, query string, args []any) error {
	return b.store.ofTenant(ctx, "find in "+b.listing.table, b.tenant, func(ctx context.Context, c conn) error {
		rows, err := c.Query(ctx, query, append([]any{planned}, args...)...)
		if err != nil {
			return err
		}
		b.items, err = pgx.AppendRows(b.items[:0], rows, b.listing.scan(newDecoder()))
		return err
	})
}

// advance takes from what is left what the page has covered.
func (b *browse[T]) advance() {
	b.limit -= len(b.items)
	last := signed(b.listing.position(b.items[len(b.items)-1]))
	if b.forward {
		b.low = last
	} else {
		b.high = last - 1
	}
}
