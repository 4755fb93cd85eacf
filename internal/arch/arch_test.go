package arch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/arch"
)

// TestHouse is the rule itself: the module's packages against the table.
func TestHouse(t *testing.T) {
	t.Parallel()
	graph, err := arch.Load(t.Context(), "../..")
	require.NoError(t, err)

	assert.Empty(t, arch.Missing(graph, arch.House()), "rooms of the table without a package")
	assert.Empty(t, arch.Unlisted(graph, arch.House(), "internal", "examples", "docs", "cmd"),
		"folders without a row: add one to House, with the reason for what it may import")
	for _, v := range arch.Check(graph, arch.House(), arch.Bans()) {
		t.Error(v)
	}
}

// TestFloors keeps the table honest: a room imports only what stands below it.
func TestFloors(t *testing.T) {
	t.Parallel()
	floors := make(map[string]int)
	for _, room := range arch.House() {
		floors[room.Name] = room.Floor
	}
	for _, room := range arch.House() {
		assert.NotEmpty(t, room.Why, room.Name)
		for _, below := range room.Below {
			floor, ok := floors[below]
			assert.True(t, ok, "%s may import %s, which is no room", room.Name, below)
			assert.Less(t, floor, room.Floor, "%s may import %s, which does not stand below it", room.Name, below)
		}
	}
	for _, ban := range arch.Bans() {
		assert.NotEmpty(t, ban.Why, ban.Path)
	}
}

func TestLoadReportsTheGoCommandsComplaint(t *testing.T) {
	t.Parallel()
	_, err := arch.Load(t.Context(), t.TempDir())
	require.ErrorContains(t, err, "go list -deps")
	require.ErrorContains(t, err, "main module")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		imports map[string][]string // short paths for the module's own packages, marked by "./"
		want    []string            // package, import and chain of each violation
	}{
		"a tidy house": {
			imports: map[string][]string{
				"./event":                     {"time", "github.com/google/uuid"},
				"./eventstore":                {"./event"},
				"./eventstore/eventstoretest": {"./eventstore", "./event", "testing", "github.com/stretchr/testify/require"},
				"./projection":                {"./eventstore", "go.uber.org/zap"},
				"./sqlite":                    {"./projection", "database/sql", "modernc.org/sqlite"},
				"go.uber.org/zap":             {"net/http"},
			},
		},
		"a room above": {
			imports: map[string][]string{"./aggregate": {"./projection"}},
			want:    []string{"aggregate -> projection"},
		},
		"a library that is not listed": {
			imports: map[string][]string{"./event": {"github.com/cenkalti/backoff/v5"}},
			want:    []string{"event -> github.com/cenkalti/backoff/v5"},
		},
		"a library whose name begins alike": {
			imports: map[string][]string{"./event": {"github.com/google/uuidx"}},
			want:    []string{"event -> github.com/google/uuidx"},
		},
		"a ban reached through a library": {
			imports: map[string][]string{
				"./memory":               {"./event"},
				"./event":                {"github.com/google/uuid"},
				"github.com/google/uuid": {"database/sql"},
			},
			want: []string{
				"event -> github.com/google/uuid -> database/sql",
				"memory -> event -> github.com/google/uuid -> database/sql",
			},
		},
		"HTTP by itself, zap or not": {
			imports: map[string][]string{
				"./projection":    {"go.uber.org/zap", "net/http"},
				"go.uber.org/zap": {"net/http"},
			},
			want: []string{"projection -> net/http"},
		},
		"test tools in production code": {
			imports: map[string][]string{"./memory": {"testing", "github.com/stretchr/testify/assert"}},
			want:    []string{"memory -> testing", "memory -> github.com/stretchr/testify/assert"},
		},
		"a test package and the reference store": {
			imports: map[string][]string{
				"./aggregate/aggregatetest": {"./memory", "testing"},
				"./dlq/dlqtest":             {"./sqlite"},
			},
			want: []string{"dlq/dlqtest -> sqlite"},
		},
		"adapters that know each other": {
			imports: map[string][]string{"./sqlite": {"./memory"}},
			want:    []string{"sqlite -> memory"},
		},
		"something that stands on an example": {
			imports: map[string][]string{
				"./sqlite":         {"./examples/documents"},
				"./internal/check": {"./examples/documents"},
				"./examples/more":  {"./examples/documents"},
			},
			want: []string{"internal/check -> examples/documents", "sqlite -> examples/documents"},
		},
		"a room inside a room": {
			imports: map[string][]string{
				"./projection":             {"./projection/progressbar"},
				"./projection/progressbar": {"./projection", "./event", "github.com/schollz/progressbar/v3"},
			},
			want: []string{"projection -> projection/progressbar", "projection/progressbar -> event"},
		},
		"tools of the suites": {
			imports: map[string][]string{
				"./dlq/dlqtest":          {"./internal/promisetest"},
				"./internal/promisetest": {"testing"},
				"./internal/golden":      {"github.com/google/go-cmp/cmp"},
				"./examples/one":         {"./event", "./internal/golden", "testing"},
				"./dlq":                  {"./internal/promisetest"},
			},
			want: []string{"dlq -> internal/promisetest", "examples/one -> testing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house := arch.House()
			slices.Reverse(house) // the order of rows does not matter
			var got []string
			for _, v := range arch.Check(graphOf(c.imports), house, arch.Bans()) {
				text := v.String()
				assert.Contains(t, text, v.Why)
				got = append(got, chainIn(t, text))
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestMissingAndUnlisted(t *testing.T) {
	t.Parallel()
	graph := graphOf(map[string][]string{"./event": nil, "./extra": nil, "./internal/arch": nil})
	house := []arch.Room{{Name: "event"}, {Name: "dlq"}}

	assert.Equal(t, []string{"dlq"}, arch.Missing(graph, house))
	assert.Equal(t, []string{"extra"}, arch.Unlisted(graph, house, "internal"))
}

// graphOf makes a graph in which everything without a dot is standard.
func graphOf(imports map[string][]string) arch.Graph {
	graph := make(arch.Graph)
	add := func(path string) string {
		standard := !strings.Contains(path, ".")
		if path[0] == '.' {
			path = arch.Module + path[1:]
		}
		if _, ok := graph[path]; !ok {
			graph[path] = arch.Package{ImportPath: path, Standard: standard}
		}
		return path
	}
	for path, list := range imports {
		full := add(path)
		p := graph[full]
		for _, imported := range list {
			p.Imports = append(p.Imports, add(imported))
		}
		graph[full] = p
	}
	return graph
}

func chainIn(t *testing.T, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "chain: ")
	require.True(t, ok, text)
	chain, _, ok := strings.Cut(rest, "\n")
	require.True(t, ok, text)
	return chain
}
