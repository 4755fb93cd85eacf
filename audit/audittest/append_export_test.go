package audittest

import (
	"testing"

	"github.com/evident-go/evident/internal/promisetest"
)

// FailingAppend names the clauses that logs on what open returns fail.
func FailingAppend(t *testing.T, open AppendFactory) []string {
	t.Helper()
	return promisetest.Failing(t, appendPromises(), open)
}

// RequireSameAppendWords requires that the suite says what the doc comment says.
func RequireSameAppendWords(t *testing.T, file string) {
	t.Helper()
	promisetest.RequireSameWords(t, promisetest.Stated(t, file, "Log"), appendPromises())
}
