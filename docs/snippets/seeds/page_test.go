package seeds_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const pageName = "docs/seeds.md"

// TestPage checks docs/seeds.md against the list of blocks and the code that it
// names.
func TestPage(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../../..")
	page, err := fs.ReadFile(root, pageName)
	require.NoError(t, err)
	blocks, err := os.ReadFile("testdata/seed_blocks.txt")
	require.NoError(t, err)
	for _, problem := range check(root, string(page), string(blocks)) {
		t.Error(problem)
	}
}

// TestEveryCounterpartIsOnThePage finds examples and tests of this package that
// no row names.
func TestEveryCounterpartIsOnThePage(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../../..")
	page, err := fs.ReadFile(root, pageName)
	require.NoError(t, err)
	files, err := fs.Glob(root, "docs/snippets/seeds/*_test.go")
	require.NoError(t, err)
	for _, name := range files {
		if path.Base(name) == "page_test.go" {
			continue
		}
		source, err := load(root, name)
		require.NoError(t, err)
		for run := range source.runs {
			assert.Contains(t, string(page), "[`"+run+"`]("+strings.TrimPrefix(name, "docs/")+")")
		}
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"a_test.go":   {Data: []byte("package a\n\nfunc Example_one() {\n\t// Output: 1\n}\n\nfunc Example_silent() {}\n")},
		"a.go":        {Data: []byte("package a\n\ntype T struct{}\n\nfunc (*T) Do() {}\n\nfunc F() {}\n")},
		"docs/two.md": {},
	}
	const (
		blocks = "# comment\nA: first\nA: second\n"
		good   = "### A\n| 1 | first | [`Example_one`](../a_test.go), [`T.Do`](../a.go), [two](two.md#x) | no |\n"
		second = "| 2 | second | [`Example_one`](../a_test.go) | no |\n"
	)
	assert.Empty(t, check(root, good+second, blocks))
	for problem, page := range map[string]string{
		"no row for \"A: second\"":                                good,
		"row 3 is \"A: third\", which is no block":                good + second + "| 3 | third | [`Example_one`](../a_test.go) | no |\n",
		"row 2 is \"A: other\", and the block \"A: second\"":      good + "| 2 | other | [`Example_one`](../a_test.go) | no |\n",
		"row 2 \"A: second\" is numbered 3":                       good + strings.Replace(second, "2", "3", 1),
		"row 2 \"A: second\" does not say what differs":           good + "| 2 | second | [`Example_one`](../a_test.go) | |\n",
		"row 2 \"A: second\" names nothing that is run":           good + "| 2 | second | [`F`](../a.go) | no |\n",
		"row 2 \"A: second\": Example_silent is not run":          good + "| 2 | second | [`Example_silent`](../a_test.go) | no |\n",
		"row 2 \"A: second\": there is no G in a.go":              good + "| 2 | second | [`Example_one`](../a_test.go), [`G`](../a.go) | no |\n",
		"row 2 \"A: second\": open b.go: file does not exist":     good + "| 2 | second | [`Example_one`](../a_test.go), [`F`](../b.go) | no |\n",
		"row 2 \"A: second\": open docs/b: file does not exist":   good + "| 2 | second | [`Example_one`](../a_test.go), [b](b) | no |\n",
		"row 2 \"A: second\" has 3 cells, not 4":                  good + "| 2 | second | [`Example_one`](../a_test.go) |\n",
		"row 2 \"A: second\": a link to a.go must name something": good + "| 2 | second | [`Example_one`](../a_test.go), [](../a.go) | no |\n",
	} {
		assert.Contains(t, check(root, page, blocks), problem)
	}
}

// row is one line of a table.
type row struct {
	title string // with its heading: "Code of the card: …"
	cells []string
}

var (
	numbered = regexp.MustCompile(`^\| \d+ \|`)
	linked   = regexp.MustCompile("\\[`?([^\\]`]*)`?\\]\\(([^)]*)\\)")
)

func rowsOf(page string) []row {
	var rows []row
	heading := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "### "); ok {
			heading = title
		}
		if !numbered.MatchString(line) {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, row{title: heading + ": " + cells[1], cells: cells})
	}
	return rows
}

func blocksOf(list string) []string {
	var blocks []string
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			blocks = append(blocks, line)
		}
	}
	return blocks
}

// check returns what is wrong with a page: rows and blocks must be the same, in
// the same order, and every row must name something that is there and is run.
func check(root fs.FS, page, list string) []string {
	var problems []string
	rows, blocks := rowsOf(page), blocksOf(list)
	for i, r := range rows {
		switch {
		case i >= len(blocks):
			problems = append(problems, fmt.Sprintf("row %d is %q, which is no block", i+1, r.title))
		case r.title != blocks[i]:
			problems = append(problems, fmt.Sprintf("row %d is %q, and the block %q", i+1, r.title, blocks[i]))
		}
		for _, problem := range r.check(root) {
			problems = append(problems, fmt.Sprintf("row %d %q%s", i+1, r.title, problem))
		}
	}
	for _, block := range blocks[min(len(rows), len(blocks)):] {
		problems = append(problems, fmt.Sprintf("no row for %q", block))
	}
	return append(problems, checkNumbers(rows)...)
}

// checkNumbers wants the rows of each table numbered from 1.
func checkNumbers(rows []row) []string {
	var problems []string
	count := make(map[string]int)
	for i, r := range rows {
		heading, _, _ := strings.Cut(r.title, ":")
		count[heading]++
		if r.cells[0] != strconv.Itoa(count[heading]) {
			problems = append(problems, fmt.Sprintf("row %d %q is numbered %s", i+1, r.title, r.cells[0]))
		}
	}
	return problems
}

func (r row) check(root fs.FS) []string {
	if len(r.cells) != 4 {
		return []string{fmt.Sprintf(" has %d cells, not 4", len(r.cells))}
	}
	var problems []string
	if r.cells[3] == "" {
		problems = append(problems, " does not say what differs")
	}
	run := false
	for _, link := range linked.FindAllStringSubmatch(r.cells[2], -1) {
		runs, err := follow(root, link[1], link[2])
		if err != nil {
			problems = append(problems, ": "+err.Error())
		}
		run = run || runs
	}
	if !run {
		problems = append(problems, " names nothing that is run")
	}
	return problems
}

// follow reports whether a link names something that the go command runs. It is
// an error if it leads nowhere.
func follow(root fs.FS, name, target string) (runs bool, err error) {
	target, _, _ = strings.Cut(target, "#")
	file := path.Join(path.Dir(pageName), target)
	if path.Ext(file) != ".go" {
		_, err := fs.Stat(root, file)
		return false, err
	}
	if name == "" {
		return false, fmt.Errorf("a link to %s must name something", file)
	}
	source, err := load(root, file)
	switch {
	case err != nil:
		return false, err
	case !source.names[name]:
		return false, fmt.Errorf("there is no %s in %s", name, file)
	case strings.HasPrefix(name, "Example") && !source.runs[name]:
		return false, fmt.Errorf("%s is not run", name)
	}
	return source.runs[name], nil
}

// source is what a Go file declares, and what of that is run: tests, and
// examples whose output is compared.
type source struct{ names, runs map[string]bool }

func load(root fs.FS, name string) (source, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return source{}, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	s := source{names: make(map[string]bool), runs: make(map[string]bool)}
	for _, d := range file.Decls {
		for _, declared := range namesOf(d) {
			s.names[declared] = true
			if strings.HasPrefix(declared, "Test") && strings.HasSuffix(name, "_test.go") {
				s.runs[declared] = true
			}
		}
	}
	for _, example := range doc.Examples(file) {
		if example.Output != "" || example.EmptyOutput {
			s.runs["Example"+example.Name] = true
		}
	}
	return s, nil
}

// namesOf returns the names that a declaration makes, methods as "T.Do".
func namesOf(d ast.Decl) []string {
	if f, ok := d.(*ast.FuncDecl); ok {
		return []string{receiver(f) + f.Name.Name}
	}
	var names []string
	if g, ok := d.(*ast.GenDecl); ok {
		for _, spec := range g.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok {
				names = append(names, t.Name.Name)
			}
		}
	}
	return names
}

// receiver returns "T." for a method of T, "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}
