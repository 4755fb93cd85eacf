package privacytest

import (
	"testing"

	"github.com/evident-go/evident/internal/promisetest"
)

// FailingPseudonyms names the clauses that the stores of open fail, of those
// named or of all.
func FailingPseudonyms(t *testing.T, open Factory, names ...string) []string {
	t.Helper()
	return promisetest.Failing(t, pseudonymPromises(), open.harness, names...)
}

// FailingHolds is FailingPseudonyms for holds.
func FailingHolds(t *testing.T, open Factory, names ...string) []string {
	t.Helper()
	return promisetest.Failing(t, holdPromises(), open.harness, names...)
}

// RequireSameWords requires that the suites say what the doc comments say.
func RequireSameWords(t *testing.T) {
	t.Helper()
	promisetest.RequireSameWords(t, promisetest.Stated(t, "../pseudonyms.go", "Pseudonyms"), pseudonymPromises())
	promisetest.RequireSameWords(t, promisetest.Stated(t, "../holds.go", "Holds"), holdPromises())
}
