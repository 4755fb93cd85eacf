package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Violation is an import that the house does not allow.
type Violation struct {
	Package string   // who
	Import  string   // what
	Chain   []string // how it gets there, from the package to the import
	Why     string   // why not
}

// String names the package, the import, the way to it and the reason.
func (v Violation) String() string {
	return fmt.Sprintf("%s must not import %s\n  chain: %s\n  why:   %s",
		short(v.Package), short(v.Import), strings.Join(shortAll(v.Chain), " -> "), v.Why)
}

// Check returns everything in graph that house, bans and test tools do not
// allow, ordered by package.
func Check(graph Graph, house []Room, bans []Ban) []Violation {
	c := checker{graph: graph, house: house}
	var found []Violation
	for _, path := range slices.Sorted(maps.Keys(graph)) {
		if folder(path) == "" {
			continue
		}
		found = append(found, c.direct(path)...)
		for _, ban := range bans {
			found = append(found, c.banned(path, ban)...)
		}
	}
	return found
}

// Missing returns the rooms of house that have no package in graph.
func Missing(graph Graph, house []Room) []string {
	var missing []string
	for _, room := range house {
		if _, ok := graph[Module+"/"+room.Name]; !ok {
			missing = append(missing, room.Name)
		}
	}
	return missing
}

// Unlisted returns the top folders of the module that are neither a room of
// house nor one of others.
func Unlisted(graph Graph, house []Room, others ...string) []string {
	known := slices.Clone(others)
	for _, room := range house {
		known = append(known, room.Name)
	}
	var unlisted []string
	for path := range graph {
		if name := folder(path); name != "" && !slices.Contains(known, name) && !slices.Contains(unlisted, name) {
			unlisted = append(unlisted, name)
		}
	}
	slices.Sort(unlisted)
	return unlisted
}

type checker struct {
	graph Graph
	house []Room
}

// direct checks what one package imports itself.
func (c checker) direct(path string) []Violation {
	var found []Violation
	for _, imported := range c.graph[path].Imports {
		if why := c.whyNot(path, imported); why != "" {
			found = append(found, Violation{Package: path, Import: imported, Chain: []string{path, imported}, Why: why})
		}
	}
	return found
}

// whyNot says why a package must not import something; "" if it may.
func (c checker) whyNot(path, imported string) string {
	switch {
	case isTestTool(imported):
		return unless(isTestPackage(path) || folder(path) == "internal",
			"only _test.go files, packages named <something>test and internal/ may import test tools")
	case c.graph[imported].Standard:
		return ""
	case folder(imported) == "examples":
		return unless(folder(path) == "examples", "examples are wiring at the top of the house; nothing stands on them")
	}
	room, ok := c.roomOf(path)
	if !ok {
		return "" // programs, checks and examples may use everything else
	}
	if folder(imported) == "" {
		uses := slices.ContainsFunc(room.Libraries, func(library string) bool { return within(imported, library) })
		return unless(uses, fmt.Sprintf("%s may use %s: %s", room.Name, list(room.Libraries), room.Why))
	}
	return unless(c.mayEnter(path, room, imported),
		fmt.Sprintf("%s, on floor %d, may import %s: %s", room.Name, room.Floor, list(room.Below), room.Why))
}

// mayEnter reports whether a package in room may import another of the module.
// What is shipped for tests may use the reference store, which stands in for a
// real one, and the suites' own tools.
func (c checker) mayEnter(path string, room Room, imported string) bool {
	if isTestPackage(path) && (folder(imported) == "memory" || folder(imported) == "internal") {
		return true
	}
	other, ok := c.roomOf(imported)
	return ok && (other.Name == room.Name || slices.Contains(room.Below, other.Name))
}

// banned checks what one package of a room reaches through all that it imports.
func (c checker) banned(path string, ban Ban) []Violation {
	room, ok := c.roomOf(path)
	if !ok || slices.Contains(ban.Except, room.Name) {
		return nil
	}
	wanted := func(p string) bool { return matches(p, ban.Path) }
	closed := func(p string) bool { // what test tools drag in stays in test packages
		return isTestTool(p) || slices.ContainsFunc(ban.Through, func(library string) bool { return within(p, library) })
	}
	chain := c.graph.chain(path, wanted, closed)
	if chain == nil {
		return nil
	}
	return []Violation{{Package: path, Import: chain[len(chain)-1], Chain: chain, Why: ban.Why}}
}

// roomOf returns the room that a package is in. A folder inside a room may be
// a room of its own; the longest name counts.
func (c checker) roomOf(path string) (Room, bool) {
	var found Room
	for _, room := range c.house {
		if within(path, Module+"/"+room.Name) && len(room.Name) > len(found.Name) {
			found = room
		}
	}
	return found, found.Name != ""
}

// folder returns the top folder of a package of the module, "" for others.
func folder(path string) string {
	rest, ok := strings.CutPrefix(path, Module+"/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// unless returns why, or "" if a condition holds.
func unless(holds bool, why string) string {
	if holds {
		return ""
	}
	return why
}

func isTestPackage(path string) bool {
	return folder(path) != "" && strings.HasSuffix(path, "test")
}

func isTestTool(path string) bool {
	return slices.ContainsFunc(TestTools(), func(tool string) bool { return within(path, tool) })
}

func within(path, module string) bool {
	return path == module || strings.HasPrefix(path, module+"/")
}

// matches compares a path with a ban's: exactly, or below a trailing slash.
func matches(path, pattern string) bool {
	if parent, ok := strings.CutSuffix(pattern, "/"); ok {
		return within(path, parent)
	}
	return path == pattern
}

func list(names []string) string {
	if len(names) == 0 {
		return "the standard library only"
	}
	return strings.Join(names, ", ")
}

func short(path string) string { return strings.TrimPrefix(path, Module+"/") }

func shortAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = short(p)
	}
	return out
}
