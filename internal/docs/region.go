package docs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var marker = regexp.MustCompile(`^\s*(?://|#|--)\s?docs:(begin|end) (\S+)\s*$`)

// Region returns the lines of source between the markers of the region named,
// without the indentation that they have in common and without the markers of
// other regions. The name "" is the whole of source.
func Region(source, name string) (string, error) {
	lines, err := cut(strings.Split(source, "\n"), name)
	if err != nil {
		return "", err
	}
	lines = slices.DeleteFunc(lines, marker.MatchString)
	return strings.Join(dedent(trim(lines)), "\n"), nil
}

// cut returns the lines between the markers of one region.
func cut(lines []string, name string) ([]string, error) {
	if name == "" {
		return lines, nil
	}
	begin, err := find(lines, "begin", name)
	if err != nil {
		return nil, err
	}
	end, err := find(lines, "end", name)
	if err != nil {
		return nil, err
	}
	if end < begin {
		return nil, fmt.Errorf("region %q ends before it begins", name)
	}
	return slices.Clone(lines[begin+1 : end]), nil
}

// find returns the one line that has the marker.
func find(lines []string, kind, name string) (int, error) {
	at := -1
	for i, line := range lines {
		if m := marker.FindStringSubmatch(line); len(m) == 0 || m[1] != kind || m[2] != name {
			continue
		}
		if at >= 0 {
			return 0, fmt.Errorf("docs:%s %s stands twice, in lines %d and %d", kind, name, at+1, i+1)
		}
		at = i
	}
	if at < 0 {
		return 0, errors.New("no line says docs:" + kind + " " + name)
	}
	return at, nil
}

// trim removes blank lines at both ends.
func trim(lines []string) []string {
	blank := func(s string) bool { return strings.TrimSpace(s) == "" }
	for len(lines) > 0 && blank(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && blank(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// dedent removes the indentation that all lines have in common.
func dedent(lines []string) []string {
	common, first := "", true
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if first {
			common, first = indent, false
		}
		for !strings.HasPrefix(indent, common) {
			common = common[:len(common)-1]
		}
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimPrefix(line, common)
		if strings.TrimSpace(line) == "" {
			out[i] = ""
		}
	}
	return out
}
