package docs

import (
	"regexp"
	"strings"
)

var (
	fence  = regexp.MustCompile("^( {0,8})(`{3,})\\s*([A-Za-z0-9_+-]*)")
	origin = regexp.MustCompile(`^\s*<!--\s*from:\s*([^\s#]+)(?:#(\S+))?\s*-->\s*$`)
)

// Block is one fenced code block of a page.
type Block struct {
	Line     int    // of the opening fence, from 1
	Language string // "go", "text", ""
	Source   string // the file that it is said to come from, "" if nothing is said
	Region   string // "" for the whole file
	Body     string // without the indentation of the fence

	indent string
	lines  int // of the body
}

// page is a Markdown file, taken apart into code blocks and the rest.
type page struct {
	lines  []string
	blocks []Block
	prose  map[int]string // the lines outside of blocks, by number from 1
}

func parse(text string) page {
	p := page{lines: strings.Split(text, "\n"), prose: make(map[int]string)}
	for i := 0; i < len(p.lines); i++ {
		open := fence.FindStringSubmatch(p.lines[i])
		if open == nil {
			p.prose[i+1] = p.lines[i]
			continue
		}
		b := p.block(i, open)
		p.blocks = append(p.blocks, b)
		i += b.lines + 1
	}
	return p
}

// block reads the block whose fence opens in the line with index at.
func (p *page) block(at int, open []string) Block {
	b := Block{Line: at + 1, Language: open[3], indent: open[1]}
	if at > 0 {
		if m := origin.FindStringSubmatch(p.lines[at-1]); m != nil {
			b.Source, b.Region = m[1], m[2]
		}
	}
	var body []string
	for _, line := range p.lines[at+1:] {
		line = strings.TrimPrefix(line, b.indent)
		if closes(line, open[2]) {
			break
		}
		body = append(body, line)
	}
	b.lines, b.Body = len(body), strings.Join(body, "\n")
	return b
}

// closes reports whether a line is a closing fence: as many backticks as the
// opening one has, or more, and nothing else.
func closes(line, opening string) bool {
	line = strings.TrimRight(line, " \t")
	return len(line) >= len(opening) && strings.Trim(line, "`") == ""
}

// replace returns the page's text with new bodies for some blocks, by line.
func (p *page) replace(bodies map[int]string) string {
	var out []string
	next := 0
	for _, b := range p.blocks {
		body, ok := bodies[b.Line]
		if !ok {
			continue
		}
		out = append(out, p.lines[next:b.Line]...)
		for line := range strings.SplitSeq(body, "\n") {
			if line != "" {
				line = b.indent + line
			}
			out = append(out, line)
		}
		next = b.Line + b.lines
	}
	return strings.Join(append(out, p.lines[next:]...), "\n")
}
