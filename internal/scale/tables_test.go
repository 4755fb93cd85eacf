package scale_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/internal/scale"
)

// TestTables holds the files that docs/scale.md quotes to the program, and the
// page to the files. That its blocks are what the files say is looked at by
// internal/docs.
func TestTables(t *testing.T) {
	t.Parallel()
	scalePage := page(t, "scale.md")
	for _, name := range scale.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			require.NoError(t, scale.Print(&text, name))
			file := "testdata/" + name + ".txt"
			golden.Compare(t, []byte(text.String()), file)
			assert.True(t, scalePage.says("<!-- from: internal/scale/"+file+" -->"), "the page leaves this table out")
		})
	}
}

// TestFigures looks for each figure in the page that it is said to come from.
func TestFigures(t *testing.T) {
	t.Parallel()
	for _, f := range scale.Figures() {
		if f.Quote != "" {
			number := strings.TrimRight(f.Value, "/s Bevnt")
			assert.Contains(t, f.Quote, number, "%s: another figure is assumed than quoted", f.Name)
			assert.True(t, page(t, f.Source).says(f.Quote), "%s: %s does not say %q any more", f.Name, f.Source, f.Quote)
		}
	}
}

// text is a page of docs.
type text string

func (p text) says(quote string) bool { return strings.Contains(string(p), quote) }

func page(t *testing.T, name string) text {
	t.Helper()
	found, err := os.ReadFile("../../docs/" + name)
	require.NoError(t, err)
	return text(found)
}

func TestPrint(t *testing.T) {
	t.Parallel()
	var two, none strings.Builder
	require.NoError(t, scale.Print(&two, "growth", "machines"))
	growth, machines, apart := strings.Cut(two.String(), "\n\nJetStream, 128 partitions")
	assert.True(t, apart)
	assert.Contains(t, growth, "10^12 after")
	assert.Contains(t, machines, "192")

	require.ErrorContains(t, scale.Print(&none, "sixes"), `no table is named "sixes"; there are figures, waiting, growth`)
}

func TestTableAlignsFiguresToTheRight(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	require.NoError(t, scale.Table{
		Title: "Two", Header: []string{"name", "rate"}, Rows: [][]string{{"a", "1/s"}, {"été", "-"}, {"b", "1,000/s"}},
	}.Write(&printed))
	assert.Equal(t, "Two\n\nname     rate\na         1/s\nété         -\nb     1,000/s\n", printed.String())
}
