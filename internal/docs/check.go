package docs

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Problem is something in a page that is not true.
type Problem struct {
	Page string
	Line int // from 1
	Text string
}

// String returns "docs/replay.md:12: …".
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.Page, p.Line, p.Text) }

// Check reads every page below root and returns what is wrong with its blocks
// and links, in the order of pages and lines.
func Check(root fs.FS) ([]Problem, error) {
	names, err := Pages(root)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, name := range names {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, fmt.Errorf("read page: %w", err)
		}
		p := parse(string(text))
		found := append(checkBlocks(root, name, &p), checkLinks(root, name, &p)...)
		slices.SortStableFunc(found, func(a, b Problem) int { return a.Line - b.Line })
		problems = append(problems, found...)
	}
	return problems, nil
}

// Sync returns the pages whose blocks differ from their sources, with the
// blocks filled in, by name. What cannot be filled in is left for [Check].
func Sync(root fs.FS) (map[string]string, error) {
	names, err := Pages(root)
	if err != nil {
		return nil, err
	}
	changed := make(map[string]string)
	for _, name := range names {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, fmt.Errorf("read page: %w", err)
		}
		p := parse(string(text))
		if filled := p.replace(stale(root, &p)); filled != string(text) {
			changed[name] = filled
		}
	}
	return changed, nil
}

// Pages returns the Markdown files in the top folder and in docs.
func Pages(root fs.FS) ([]string, error) {
	pages, err := fs.Glob(root, "*.md")
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	err = fs.WalkDir(root, "docs", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && path.Ext(name) == ".md" {
			pages = append(pages, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	return pages, nil
}

func checkBlocks(root fs.FS, name string, p *page) []Problem {
	var problems []Problem
	for _, b := range p.blocks {
		if text := b.problem(root); text != "" {
			problems = append(problems, Problem{Page: name, Line: b.Line, Text: text})
		}
	}
	return append(problems, checkOrigins(name, p)...)
}

// checkOrigins finds what is said to come from a file and has no block below it.
func checkOrigins(name string, p *page) []Problem {
	var problems []Problem
	for line, text := range p.prose {
		_, nothing := p.prose[line+1]
		if origin.MatchString(text) && (nothing || line == len(p.lines)) {
			problems = append(problems, Problem{Page: name, Line: line, Text: "there is no code block below this line"})
		}
	}
	return problems
}

// problem says what is wrong with a block, "" if nothing is.
func (b *Block) problem(root fs.FS) string {
	if b.Source == "" {
		if b.isGo() {
			return "a go block must say where it comes from: <!-- from: path/file.go#region --> in the line above"
		}
		return ""
	}
	if b.isGo() && !compiled(b.Source) {
		return "a go block must come from a Go file that is compiled, not from " + b.Source
	}
	want, err := b.want(root)
	if err != nil {
		return err.Error()
	}
	if want != b.Body {
		return fmt.Sprintf("the block differs from %s; run `make docs`\n%s", b.from(), firstDifference(b.Body, want))
	}
	return ""
}

// stale returns what should stand in the blocks that differ, by line.
func stale(root fs.FS, p *page) map[int]string {
	bodies := make(map[int]string)
	for _, b := range p.blocks {
		if b.Source == "" {
			continue
		}
		if want, err := b.want(root); err == nil && want != b.Body {
			bodies[b.Line] = want
		}
	}
	return bodies
}

// want returns what the block's source says.
func (b *Block) want(root fs.FS) (string, error) {
	source, err := fs.ReadFile(root, b.Source)
	if err != nil {
		return "", fmt.Errorf("source of the block: %w", err)
	}
	text, err := Region(string(source), b.Region)
	if err != nil {
		return "", fmt.Errorf("%s: %w", b.Source, err)
	}
	return text, nil
}

func (b *Block) isGo() bool { return b.Language == "go" || b.Language == "golang" }

func (b *Block) from() string {
	if b.Region == "" {
		return b.Source
	}
	return b.Source + "#" + b.Region
}

// compiled reports whether the go command builds or vets a file of that name.
func compiled(name string) bool {
	if path.Ext(name) != ".go" {
		return false
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "testdata" || element == "vendor" || strings.HasPrefix(element, "_") || strings.HasPrefix(element, ".") {
			return false
		}
	}
	return true
}

func firstDifference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range max(len(h), len(w)) {
		if a, b := lineAt(h, i), lineAt(w, i); a != b {
			return fmt.Sprintf("  line %d of the block: %s\n  line %d of the source: %s", i+1, a, i+1, b)
		}
	}
	return ""
}

func lineAt(lines []string, i int) string {
	if i >= len(lines) {
		return "(nothing)"
	}
	return fmt.Sprintf("%q", lines[i])
}
