package registrytest

import (
	"testing"

	"github.com/evident-go/evident/internal/promisetest"
)

// Failing names the clauses that the stores of open fail, of those named or of all.
func Failing(t *testing.T, open Factory, names ...string) []string {
	t.Helper()
	return promisetest.Failing(t, promises(), open, names...)
}

// RequireSameWords requires that the suite says what the doc comment says.
func RequireSameWords(t *testing.T, file string) {
	t.Helper()
	promisetest.RequireSameWords(t, promisetest.Stated(t, file, "Store"), promises())
}
