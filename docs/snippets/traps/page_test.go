// Package traps_test checks docs/traps.md: the tests that it names are there,
// and none of the traps that the runner was designed by is missing.
package traps_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const pageName = "docs/traps.md"

func TestPage(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../../..")
	page, err := fs.ReadFile(root, pageName)
	require.NoError(t, err)
	list, err := os.ReadFile("testdata/design.txt")
	require.NoError(t, err)
	for _, problem := range check(root, string(page), string(list)) {
		t.Error(problem)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"a/b_test.go":        {Data: []byte("package a\n\nfunc TestTrapX(t *testing.T) {}\n\nfunc TestY(t *testing.T) {}\n\nfunc (s suite) TestTrapZ() {}\n")},
		"a/atest/clauses.go": {Data: []byte("package atest\n\nvar c = []clause{{Name: \"it goes on\", Check: f}}\n\nvar d = \"it stops\"\n")},
	}
	const (
		list = "# comment\na first\n"
		x    = "[`TestTrapX`](../a/b_test.go)"
		y    = "[`TestY`](../a/b_test.go)"
		good = "## One\n| 1 | a first | [somebody](https://example.org) | " + x + " | `a` |\n## Two\n"
	)
	row := func(cells ...string) string { return good + "| 1 | " + strings.Join(cells, " | ") + " |\n" }
	const who = "the same"
	for _, right := range []string{
		good,
		row("b", who, y, "`a`"),
		row("b", who, "[`it goes on`](../a/atest/clauses.go)", "`a`"),
	} {
		assert.Empty(t, check(root, right, list), right)
	}
	for problem, page := range map[string]string{
		`there is no row for "a first"`:                            "## One\n",
		`there is no row for "a second"`:                           good,
		`"b" has 4 cells, not 5`:                                   row("b", who, y),
		`"b" does not say who it hit`:                              row("b", "", y, "`a`"),
		`"b" names no test`:                                        row("b", who, "", "`a`"),
		`"b": there is no TestTrapQ in a/b_test.go`:                row("b", who, "[`TestTrapQ`](../a/b_test.go)", "`a`"),
		`"b": there is no TestTrapZ in a/b_test.go`:                row("b", who, "[`TestTrapZ`](../a/b_test.go)", "`a`"),
		`"b": there is no it stops in a/atest/clauses.go`:          row("b", who, "[`it stops`](../a/atest/clauses.go)", "`a`"),
		`"b": open a/c_test.go: file does not exist`:               row("b", who, "[`TestY`](../a/c_test.go)", "`a`"),
		`"b" says it is in "` + "`c`" + `", and is in "` + "`a`\"": row("b", who, y, "`c`"),
		`"a first" has no test whose name begins with TestTrap`:    strings.Replace(good, x, y, 1),
	} {
		wanted := list
		if strings.Contains(problem, "second") {
			wanted += "a second\n"
		}
		assert.Contains(t, check(root, page, wanted), problem)
	}
}

var (
	numbered = regexp.MustCompile(`^\| \d+ \|`)
	linked   = regexp.MustCompile("\\[`([^`]*)`\\]\\(([^)]*)\\)")
)

// row is one line of a table: a trap, who it hit, tests and rooms.
type row struct{ trap, who, tests, rooms string }

// check returns what is wrong with a page, given the traps of the design.
func check(root fs.FS, page, list string) []string {
	var problems, traps []string
	designed := lines(list)
	for _, line := range lines(page) {
		if !numbered.MatchString(line) {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 5 {
			problems = append(problems, fmt.Sprintf("%q has %d cells, not 5", cells[1], len(cells)))
			continue
		}
		r := row{trap: cells[1], who: cells[2], tests: cells[3], rooms: cells[4]}
		traps = append(traps, r.trap)
		problems = append(problems, r.check(root)...)
		if slices.Contains(designed, r.trap) && !strings.Contains(r.tests, "[`TestTrap") {
			problems = append(problems, fmt.Sprintf("%q has no test whose name begins with TestTrap", r.trap))
		}
	}
	for _, trap := range designed {
		if !slices.Contains(traps, trap) {
			problems = append(problems, fmt.Sprintf("there is no row for %q", trap))
		}
	}
	return problems
}

// lines returns the lines of a text that are neither empty nor comments.
func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

func (r row) check(root fs.FS) []string {
	var problems, rooms []string
	if r.who == "" {
		problems = append(problems, fmt.Sprintf("%q does not say who it hit", r.trap))
	}
	links := linked.FindAllStringSubmatch(r.tests, -1)
	if len(links) == 0 {
		return append(problems, fmt.Sprintf("%q names no test", r.trap))
	}
	for _, link := range links {
		file := path.Join(path.Dir(pageName), link[2])
		if err := find(root, file, link[1]); err != nil {
			problems = append(problems, fmt.Sprintf("%q: %v", r.trap, err))
		}
		room, _, _ := strings.Cut(file, "/")
		if room = "`" + room + "`"; !slices.Contains(rooms, room) {
			rooms = append(rooms, room)
		}
	}
	if where := strings.Join(rooms, ", "); r.rooms != where {
		problems = append(problems, fmt.Sprintf("%q says it is in %q, and is in %q", r.trap, r.rooms, where))
	}
	return problems
}

// find looks for a test or, if its name is a sentence, for a suite's clause.
func find(root fs.FS, name, test string) error {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			found = found || n.Recv == nil && n.Name.Name == test && strings.HasPrefix(test, "Test") && strings.HasSuffix(name, "_test.go")
		case *ast.KeyValueExpr:
			found = found || isName(n, test)
		}
		return !found
	})
	if !found {
		return fmt.Errorf("there is no %s in %s", test, name)
	}
	return nil
}

// isName reports whether n is a field Name with a text in it.
func isName(n *ast.KeyValueExpr, text string) bool {
	key, isKey := n.Key.(*ast.Ident)
	value, isValue := n.Value.(*ast.BasicLit)
	return isKey && isValue && key.Name == "Name" && value.Value == strconv.Quote(text)
}
