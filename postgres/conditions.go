package postgres

import (
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

// storable reports whether the database can hold a text at all. One that it
// cannot is nowhere to be found.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
