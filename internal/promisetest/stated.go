package promisetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// numbered finds the beginning of a promise in a doc comment.
var numbered = regexp.MustCompile(`(?m)^ *(\d+)\. +`)

// Stated returns the numbered promises in the doc comment of a type in a Go
// file, each as "1 Words of the promise …" on one line.
func Stated(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	require.NoError(t, err)
	doc := docOf(parsed, typeName)
	var promises []string
	begins := numbered.FindAllStringSubmatchIndex(doc, -1)
	for i, begin := range begins {
		end := len(doc)
		if i+1 < len(begins) {
			end = begins[i+1][0]
		}
		paragraph, _, _ := strings.Cut(doc[begin[1]:end], "\n\n")
		promises = append(promises, doc[begin[2]:begin[3]]+" "+strings.Join(strings.Fields(paragraph), " "))
	}
	return promises
}

// RequireSameWords requires that a suite has each stated promise, in order,
// with words that the promise begins with.
func RequireSameWords[H any](t *testing.T, stated []string, promises []Promise[H]) {
	t.Helper()
	require.NotEmpty(t, stated)
	require.Len(t, promises, len(stated), "the suite has as many promises as the doc comment")
	for i, promise := range promises {
		require.True(t, strings.HasPrefix(plain(stated[i]), promise.Words), "the promise says %q, the suite %q", plain(stated[i]), promise.Words)
		require.NotEmpty(t, promise.Clauses, promise.Words)
	}
}

// plain removes the links' brackets.
func plain(s string) string { return strings.NewReplacer("[", "", "]", "", "*", "").Replace(s) }

func docOf(file *ast.File, typeName string) string {
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			if named, ok := spec.(*ast.TypeSpec); ok && named.Name.Name == typeName {
				return general.Doc.Text()
			}
		}
	}
	return ""
}
