package ddl_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/internal/ddl"
)

func TestIndexes(t *testing.T) {
	t.Parallel()
	owns := func(table string) bool { return table == "titles" || table == "reporting.titles" }
	for statement, want := range map[string]ddl.Index{
		"CREATE INDEX by_title ON titles (title)":                          {Name: "by_title", Table: "titles"},
		" create unique index IF NOT EXISTS By_Id on Titles(id, lower(a))": {Name: "by_id", Table: "titles"},
		"CREATE INDEX by_text ON reporting.titles USING gin (text)":        {Name: "by_text", Table: "reporting.titles"},
	} {
		want.Statement = statement
		got := ddl.Indexes([]string{statement}, owns, func(reason string) { t.Error(reason) })
		assert.Equal(t, []ddl.Index{want}, got)
	}
	for statement, want := range map[string]string{
		"DROP TABLE titles": "must be one statement",
		"CREATE INDEX a ON titles (title); DROP TABLE titles": "must be one statement",
		"CREATE INDEX CONCURRENTLY a ON titles (title)":       "must be one statement",
		"CREATE INDEX a ON others (title)":                    `index "a" is on "others", which is no table of this projection`,
	} {
		var reasons []string
		ddl.Indexes([]string{statement}, owns, func(reason string) { reasons = append(reasons, reason) })
		assert.Len(t, reasons, 1, statement)
		assert.Contains(t, reasons[0], want)
	}
	var reasons []string
	ddl.Indexes([]string{"CREATE INDEX a ON titles (x)", "CREATE INDEX A ON titles (y)"}, owns, func(reason string) { reasons = append(reasons, reason) })
	assert.Equal(t, []string{`index "a" is declared twice`}, reasons)
}
