package eventstoretest

import (
	"slices"
	"testing"
	"time"

	"github.com/evident-go/evident/internal/promisetest"
)

// Failing returns which clauses of one promise the stores that open returns
// do not pass.
func Failing(t *testing.T, number int, open Factory, options ...Option) []string {
	t.Helper()
	s := newSuite(options...)
	all, err := s.without(promises())
	if err != nil {
		t.Fatal(err)
	}
	return promisetest.Failing(t, all[number-1:number], func(t *testing.T) subject { t.Helper(); return s.subject(t, open) })
}

// Fails reports whether the stores that open returns do not pass a clause.
func Fails(t *testing.T, name string, open Factory, options ...Option) bool {
	t.Helper()
	s := newSuite(options...)
	all, err := s.without(promises())
	if err != nil {
		t.Fatal(err)
	}
	failing := promisetest.Failing(t, all, func(t *testing.T) subject { t.Helper(); return s.subject(t, open) }, name)
	return slices.Contains(failing, name)
}

// Patience bounds how long a clause waits for what has to happen by itself.
func Patience(d time.Duration) Option { return func(s *suite) { s.patience = d } }

// RequireStated requires that the suite has the promises of a doc comment.
func RequireStated(t *testing.T, stated []string) {
	t.Helper()
	promisetest.RequireSameWords(t, stated, promises())
}

// Refused returns why the options do not fit the suite.
func Refused(options ...Option) error {
	_, err := newSuite(options...).without(promises())
	return err
}

// FailsImporter is [Fails] for a clause of [RunImporter].
func FailsImporter(t *testing.T, name string, open Factory, options ...Option) bool {
	t.Helper()
	s := newSuite(options...)
	failing := promisetest.Failing(t, importing(), func(t *testing.T) subject { t.Helper(); return s.subject(t, open) }, name)
	return slices.Contains(failing, name)
}

// RequireImporterStated requires that the importers' suite has the promises of a
// doc comment.
func RequireImporterStated(t *testing.T, stated []string) {
	t.Helper()
	promisetest.RequireSameWords(t, stated, importing())
}
