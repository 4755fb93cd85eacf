package postgres

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// conditions are what a query asks for, behind its WHERE.
type conditions struct {
	sql  strings.Builder
	args []any
}

// arg adds an argument and returns its place.
func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

// and adds a condition that ends with the place of its argument.
func (c *conditions) and(condition string, value any) {
	c.sql.WriteString(" AND " + condition + c.arg(value))
}

// anyOf adds a list of values, any of which will do; none is no condition.
func (c *conditions) anyOf(column string, values []string) {
	if len(values) > 0 {
		c.sql.WriteString(" AND " + column + " = ANY (" + c.arg(values) + ")")
	}
}

// occurred adds a range of times, its start inclusive and its end exclusive.
// Stored times are whole microseconds, so a bound between two of them means
// the later.
func (c *conditions) occurred(from, until time.Time) {
	if !from.IsZero() {
		c.and("occurred_at >= ", ceilMicros(from))
	}
	if !until.IsZero() {
		c.and("occurred_at < ", ceilMicros(until))
	}
}

// bounds are the arguments of a page that change from page to page.
const bounds = 3

// bounded returns conditions behind those: above which place, up to which, and
// how many rows.
func bounded() *conditions { return &conditions{args: make([]any, bounds)} }

// page returns the statement for a page, whose bounds are about place.
func (c *conditions) page(columns, table, place, order string, backward bool) string {
	return "SELECT " + columns + " FROM " + table + " WHERE " + place + " > $1 AND " + place + " <= $2" + c.sql.String() +
		" ORDER BY " + order + direction(backward) + " LIMIT $3"
}

// direction returns the SQL for it.
func direction(backward bool) string {
	if backward {
		return " DESC"
	}
	return ""
}

// within returns the arguments for one page.
func (c *conditions) within(low, high int64, limit int) []any {
	args := slices.Clone(c.args)
	args[0], args[1], args[2] = low, high, limit
	return args
}

// storable reports whether the database can hold a text at all. One that it
// cannot is nowhere to be found.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
