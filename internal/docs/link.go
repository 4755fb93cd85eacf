package docs

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	inlineLink    = regexp.MustCompile(`\]\(<?([^()\s>]+)>?(?:\s+"[^"]*")?\)`)
	referenceLink = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?`)
	codeSpan      = regexp.MustCompile("`+[^`]*`+")
	scheme        = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	heading       = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	linkText      = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// checkLinks reports relative links that lead nowhere: to a file that is not
// there, out of the repository, or to a heading that a page does not have.
func checkLinks(root fs.FS, name string, p *page) []Problem {
	var problems []Problem
	for _, line := range slices.Sorted(maps.Keys(p.prose)) {
		for _, target := range linksIn(p.prose[line]) {
			if text := checkLink(root, name, target); text != "" {
				problems = append(problems, Problem{Page: name, Line: line, Text: text})
			}
		}
	}
	return problems
}

// linksIn returns the targets in a line that are relative.
func linksIn(line string) []string {
	line = codeSpan.ReplaceAllString(line, "code")
	matches := append(inlineLink.FindAllStringSubmatch(line, -1), referenceLink.FindAllStringSubmatch(line, -1)...)
	var targets []string
	for _, m := range matches {
		if !scheme.MatchString(m[1]) {
			targets = append(targets, m[1])
		}
	}
	return targets
}

func checkLink(root fs.FS, name, target string) string {
	file, anchor, _ := strings.Cut(target, "#")
	at := name
	if file != "" {
		at = path.Join(path.Dir(name), file)
	}
	if !fs.ValidPath(at) {
		return fmt.Sprintf("the link %q leaves the repository", target)
	}
	info, err := fs.Stat(root, at)
	if err != nil {
		return fmt.Sprintf("the link %q leads nowhere: there is no %s", target, at)
	}
	if anchor == "" || info.IsDir() || path.Ext(at) != ".md" {
		return ""
	}
	text, err := fs.ReadFile(root, at)
	if err != nil {
		return fmt.Sprintf("the link %q: %v", target, err)
	}
	if other := parse(string(text)); !slices.Contains(anchors(&other), anchor) {
		return fmt.Sprintf("the link %q leads nowhere: %s has no such heading", target, at)
	}
	return ""
}

// anchors returns the names under which a page's headings can be linked to, as
// code hosts make them: lower case, spaces as hyphens, punctuation dropped,
// numbered when one repeats.
func anchors(p *page) []string {
	var names []string
	seen := make(map[string]int)
	for _, line := range slices.Sorted(maps.Keys(p.prose)) {
		m := heading.FindStringSubmatch(p.prose[line])
		if m == nil {
			continue
		}
		name := slug(m[1])
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n-1)
		}
		names = append(names, name)
	}
	return names
}

func slug(title string) string {
	title = linkText.ReplaceAllString(title, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		default:
			return -1
		}
	}, title)
}
