package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/docs"
)

// TestDocumentation checks the repository's own pages.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	problems, err := docs.Check(os.DirFS("../.."))
	require.NoError(t, err)
	for _, p := range problems {
		t.Error(p)
	}
}

const source = `package main

//docs:begin all
func main() {
	//docs:begin loop
	for range 3 {
		println("hello")

		println("again")
	}
	//docs:end loop
}
//docs:end all
`

const loop = `for range 3 {
	println("hello")

	println("again")
}`

func TestRegion(t *testing.T) {
	t.Parallel()

	got, err := docs.Region(source, "loop")
	require.NoError(t, err)
	assert.Equal(t, loop, got)

	got, err = docs.Region(source, "all")
	require.NoError(t, err)
	assert.NotContains(t, got, "docs:", "markers of other regions are not part of the text")
	assert.Contains(t, got, "func main() {\n\tfor range 3 {\n")

	got, err = docs.Region("one\ntwo\n", "")
	require.NoError(t, err)
	assert.Equal(t, "one\ntwo", got)

	got, err = docs.Region("-- docs:begin q\n  SELECT 1;\n# docs:end q\n", "q")
	require.NoError(t, err)
	assert.Equal(t, "SELECT 1;", got)
}

func TestRegionSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  "no line says docs:begin r",
		"//docs:begin r\n":                  "no line says docs:end r",
		"//docs:end r\n//docs:begin r":      "ends before it begins",
		"//docs:begin r\n//docs:begin r\n":  "stands twice, in lines 1 and 2",
		"//docs:begin rr\n//docs:end rr\n ": "no line says docs:begin r",
	} {
		_, err := docs.Region(text, "r")
		assert.ErrorContains(t, err, want, text)
	}
}

func TestCheckBlocks(t *testing.T) {
	t.Parallel()
	fenced := func(above, language, body string) string {
		return "# Page\n\n" + above + "\n```" + language + "\n" + body + "\n```\n"
	}
	for name, c := range map[string]struct{ page, want string }{
		"true":                   {fenced("<!-- from: main.go#loop -->", "go", loop), ""},
		"no source":              {fenced("", "go", loop), "docs/page.md:4: a go block must say where it comes from"},
		"a comment too far away": {fenced("<!-- from: output.txt -->\n", "text", "3 events"), "docs/page.md:3: there is no code block below this line"},
		"no block":               {"# Page\n\n<!-- from: main.go#loop -->\n\nText.\n", "docs/page.md:3: there is no code block below this line"},
		"no block at the end":    {"# Page\n\n<!-- from: main.go#loop -->", "docs/page.md:3: there is no code block below this line"},
		"other languages":        {fenced("", "console", "$ make test"), ""},
		"stale":                  {fenced("<!-- from: main.go#loop -->", "go", "for {\n}"), "differs from main.go#loop; run `make docs`"},
		"names the difference":   {fenced("<!-- from: main.go#loop -->", "go", loop+"\n// more"), "line 6 of the block: \"// more\"\n  line 6 of the source: (nothing)"},
		"no such file":           {fenced("<!-- from: gone.go#loop -->", "go", loop), "gone.go"},
		"no such region":         {fenced("<!-- from: main.go#gone -->", "go", loop), "main.go: no line says docs:begin gone"},
		"not compiled":           {fenced("<!-- from: testdata/x.go -->", "go", "x"), "not from testdata/x.go"},
		"not Go":                 {fenced("<!-- from: output.txt -->", "go", "x"), "not from output.txt"},
		"quoted output":          {fenced("<!-- from: output.txt -->", "text", "3 events"), ""},
		"quoted output, stale":   {fenced("<!-- from: output.txt -->", "text", "4 events"), "differs from output.txt"},
		"a block in a block":     {"````markdown\n```text\nx\n```\n\n```go\ny\n```\n````\n", ""},
		"in a list":              {"- a\n  <!-- from: output.txt -->\n  ```text\n  3 events\n  ```\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, c.page, c.want)
		})
	}
}

func TestCheckLinks(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"[a](../README.md)":                    "",
		"[a](../main.go)":                      "",
		"[a](adr)":                             "",
		"[a](other.md#two-words-the-2nd)":      "",
		"[a](other.md#again-1)":                "",
		"[a](#page)":                           "",
		"[a](https://example.org/x) `[b](no)`": "",
		"[a](mailto:a@example.org)":            "",
		"![picture](gone.png)":                 "there is no docs/gone.png",
		"[a](gone.md \"title\")":               "docs/page.md:3: the link \"gone.md\" leads nowhere",
		"[a]: gone.md":                         "there is no docs/gone.md",
		"[a](other.md#nowhere)":                "docs/other.md has no such heading",
		"[a](#nowhere)":                        "docs/page.md has no such heading",
		"[a](../../elsewhere.md)":              "leaves the repository",
	} {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			expect(t, "# Page\n\n"+link+"\n\n```text\n[not](a-link.md)\n```\n", want)
		})
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	before := "Text.\n<!-- from: main.go#loop -->\n```go\nold\n```\nMore.\n\n- item\n  <!-- from: output.txt -->\n  ```text\n  ```\n\n<!-- from: gone.txt -->\n```text\nkept\n```\n"
	after := "Text.\n<!-- from: main.go#loop -->\n```go\n" + loop + "\n```\nMore.\n\n- item\n  <!-- from: output.txt -->\n  ```text\n  3 events\n  ```\n\n<!-- from: gone.txt -->\n```text\nkept\n```\n"

	changed, err := docs.Sync(repository(before))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"docs/page.md": after}, changed)

	changed, err = docs.Sync(repository(after))
	require.NoError(t, err)
	assert.Empty(t, changed, "a second run has nothing to do")
}

func TestFill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, repository("<!-- from: main.go#loop -->\n```go\n```\n[a](gone.md)\n")))

	var out strings.Builder
	require.ErrorContains(t, docs.Fill(dir, &out), "1 problems are left")
	assert.Equal(t, "filled docs/page.md\ndocs/page.md:9: the link \"gone.md\" leads nowhere: there is no docs/gone.md\n", out.String())

	text, err := os.ReadFile(filepath.Join(dir, "docs", "page.md"))
	require.NoError(t, err)
	assert.Equal(t, "<!-- from: main.go#loop -->\n```go\n"+loop+"\n```\n[a](gone.md)\n", string(text))

	require.ErrorContains(t, docs.Fill(filepath.Join(dir, "gone"), &out), "open the repository")
}

func TestWithoutADocsFolder(t *testing.T) {
	t.Parallel()
	_, err := docs.Check(fstest.MapFS{})
	require.ErrorContains(t, err, "list pages")
	_, err = docs.Sync(fstest.MapFS{})
	require.ErrorContains(t, err, "list pages")
}

func repository(page string) fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"README.md":        file("# Read me\n"),
		"main.go":          file(source),
		"output.txt":       file("3 events\n"),
		"testdata/x.go":    file("x\n"),
		"docs/page.md":     file(page),
		"docs/other.md":    file("# Two words: the `2nd`\n## Again\n## Again\n"),
		"docs/adr/0001.md": file("# A decision\n"),
	}
}

// expect checks that a page has the one problem, or none.
func expect(t *testing.T, page, want string) {
	t.Helper()
	problems, err := docs.Check(repository(page))
	require.NoError(t, err)
	if want == "" {
		assert.Empty(t, problems)
		return
	}
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].String(), want)
}
