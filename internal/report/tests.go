package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Tests reads the output of `go test -json` and writes what `go test` would
// have printed without -v. It returns an error if a test or a build failed, if
// nothing ran, or if a test was skipped: a missing service is a failure with
// instructions, never a skip.
func Tests(events io.Reader, out io.Writer) error {
	run := testRun{out: out, packages: make(map[string]*testedPackage)}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			run.line(line)
		}
		if errors.Is(err, io.EOF) {
			return run.verdict()
		}
		if err != nil {
			return fmt.Errorf("read test output: %w", err)
		}
	}
}

// testEvent is what test2json documents, as far as it is needed.
type testEvent struct {
	Action  string
	Package string
	Test    string
	Output  string

	kept bool // of a run that failed
}

type testRun struct {
	out      io.Writer
	packages map[string]*testedPackage
	passed   int // tests
	failed   int // packages and builds
	finished int // packages
	skipped  []string
}

// testedPackage keeps a package's output until it is known which tests failed.
// What a test printed is forgotten as soon as it passes, and not before: with
// -count a test that passed once may fail, or never end, the next time.
type testedPackage struct {
	lines []testEvent
}

// forget drops what one test printed since it last failed.
func (p *testedPackage) forget(test string) {
	p.lines = slices.DeleteFunc(p.lines, func(line testEvent) bool { return line.Test == test && !line.kept })
}

// keep makes sure that what one test printed is shown in the end.
func (p *testedPackage) keep(test string) {
	for i := range p.lines {
		p.lines[i].kept = p.lines[i].kept || p.lines[i].Test == test
	}
}

func (r *testRun) line(line string) {
	var e testEvent
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		fmt.Fprint(r.out, line) // the go command's own words
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &testedPackage{}
		r.packages[e.Package] = p
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed++
	case "output":
		p.lines = append(p.lines, e)
	case "pass", "fail", "skip":
		r.end(p, e)
	}
}

// end notes the end of a test, or of a package when no test is named.
func (r *testRun) end(p *testedPackage, e testEvent) {
	switch {
	case e.Test == "":
		r.finished++
		if e.Action == "fail" {
			r.failed++
		}
		p.print(r.out, e.Action == "fail")
		delete(r.packages, e.Package)
	case e.Action == "skip":
		r.skipped = append(r.skipped, e.Package+": "+e.Test)
		p.forget(e.Test)
	case e.Action == "pass":
		r.passed++
		p.forget(e.Test)
	case e.Action == "fail":
		p.keep(e.Test)
	}
}

// print writes the package's own lines and, if it failed, those of the tests
// that did not pass.
func (p *testedPackage) print(out io.Writer, failed bool) {
	for _, line := range p.lines {
		switch {
		case strings.HasPrefix(line.Output, "=== "):
		case failed, isResult(line):
			fmt.Fprint(out, line.Output)
		}
	}
}

// isResult reports whether a line is the one that `go test` prints of a
// package that passed.
func isResult(line testEvent) bool {
	if line.Test != "" {
		return false
	}
	for _, start := range []string{"ok  \t", "?   \t", "\t"} { // the last: no tests, with coverage
		if strings.HasPrefix(line.Output, start) {
			return true
		}
	}
	return false
}

func (r *testRun) verdict() error {
	switch {
	case r.failed > 0:
		return fmt.Errorf("%d packages or builds failed", r.failed)
	case len(r.packages) > 0:
		return fmt.Errorf("%d packages did not finish", len(r.packages))
	case len(r.skipped) > 0:
		return fmt.Errorf("%d tests were skipped; make them fail with instructions instead:\n  %s",
			len(r.skipped), strings.Join(r.skipped, "\n  "))
	case r.passed == 0:
		return errors.New("no test ran")
	}
	fmt.Fprintf(r.out, "%d tests passed in %d packages, none skipped\n", r.passed, r.finished)
	return nil
}
