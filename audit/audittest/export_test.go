package audittest

import (
	"testing"

	"github.com/evident-go/evident/internal/promisetest"
)

// FailingLog names the clauses that the logs of open fail.
func FailingLog(t *testing.T, open LogFactory) []string {
	t.Helper()
	return promisetest.Failing(t, logPromises(), open)
}

// FailingActivity names the clauses that the feeds of open fail.
func FailingActivity(t *testing.T, open ActivityFactory) []string {
	t.Helper()
	return promisetest.Failing(t, activityPromises(), open)
}

// LogFails reports whether the logs of open fail a clause.
func LogFails(t *testing.T, clause string, open LogFactory) bool {
	t.Helper()
	return len(promisetest.Failing(t, only(t, clause, logPromises()), open)) > 0
}

// ActivityFails reports whether the feeds of open fail a clause.
func ActivityFails(t *testing.T, clause string, open ActivityFactory) bool {
	t.Helper()
	return len(promisetest.Failing(t, only(t, clause, activityPromises()), open)) > 0
}

func only[H any](t *testing.T, name string, promises []promisetest.Promise[H]) []promisetest.Promise[H] {
	t.Helper()
	for _, promise := range promises {
		for _, clause := range promise.Clauses {
			if clause.Name == name {
				return []promisetest.Promise[H]{{Words: promise.Words, Clauses: []promisetest.Clause[H]{clause}}}
			}
		}
	}
	t.Fatalf("the suite has no clause %q", name)
	return nil
}

// RequireSameWords requires that the suites say what the doc comments say.
func RequireSameWords(t *testing.T, logFile, activityFile string) {
	t.Helper()
	promisetest.RequireSameWords(t, promisetest.Stated(t, logFile, "LogHome"), logPromises())
	promisetest.RequireSameWords(t, promisetest.Stated(t, activityFile, "ActivityHome"), activityPromises())
}
