package postgres

import "github.com/jackc/pgx/v5"

// planned has PostgreSQL plan a query for the values that it is asked with.
// What it plans for any values, and remembers, is far slower for the rare ones.
const planned = pgx.QueryExecModeCacheDescribe

// search is how the rows of a page are found.
type search struct {
	where *conditions // behind the bounds and the limit of a page
	// days, if it is not nil, are the conditions for days to look at, one after
	// the other, for rows that meet where.
	days *conditions
}

// sql returns the statement for a page. Where there are conditions it finds the
// positions first: that takes an index alone, which PostgreSQL would not use
// if it had to fetch each row that it finds there.
func (s search) sql(columns, table string, backward bool) string {
	if s.where.sql.Len() == 0 {
		return s.where.page(columns, table, "position", "position", backward)
	}
	positions := s.where.page("position", table, "position", "position", backward)
	if s.days != nil {
		positions = s.byDay(table, backward)
	}
	return "SELECT " + columns + " FROM (" + positions + ") AS found JOIN " + table + " USING (position) ORDER BY position" + direction(backward)
}

// byDay finds as many positions on each day as the page may have, and takes the
// first of them all.
func (s search) byDay(table string, backward bool) string {
	on := s.where.page("position", table, "occurred_on = days.day AND position", "position", backward)
	first := "SELECT occurred_on FROM " + table + " WHERE true" + s.days.sql.String()
	return `
		WITH RECURSIVE days (day) AS (
			(` + first + ` ORDER BY occurred_on LIMIT 1)
			 UNION ALL
			SELECT (` + first + ` AND occurred_on > days.day ORDER BY occurred_on LIMIT 1) FROM days WHERE days.day IS NOT NULL)
		SELECT on_day.position FROM days CROSS JOIN LATERAL (` + on + `) AS on_day
		 ORDER BY on_day.position` + direction(backward) + ` LIMIT $3`
}
