package arch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
)

// Package is what the go command says of one package, tests apart.
type Package struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// Graph is a module's packages and all that they need, by import path.
type Graph map[string]Package

// Load lists the packages of the module in dir and their dependencies.
func Load(ctx context.Context, dir string) (Graph, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -deps: %w\n%s", err, stderr.Bytes())
	}
	return decode(bytes.NewReader(out))
}

func decode(r io.Reader) (Graph, error) {
	graph := make(Graph)
	dec := json.NewDecoder(r)
	for {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return graph, nil
		} else if err != nil {
			return nil, fmt.Errorf("output of go list: %w", err)
		}
		graph[p.ImportPath] = p
	}
}

// chain returns a shortest way from one package to the first that is wanted,
// without passing through those that are closed; nil if there is none.
func (g Graph) chain(from string, wanted, closed func(path string) bool) []string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]].Imports {
			if _, seen := cameFrom[next]; seen {
				continue
			}
			cameFrom[next] = queue[0]
			if wanted(next) {
				return walkBack(cameFrom, next)
			}
			if !closed(next) {
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func walkBack(cameFrom map[string]string, last string) []string {
	var way []string
	for at := last; at != ""; at = cameFrom[at] {
		way = append(way, at)
	}
	slices.Reverse(way)
	return way
}
