package report_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/report"
)

// events makes test2json events from "action package test output" lines.
func events(lines ...[4]string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(`{"Action":"` + l[0] + `","Package":"` + l[1] + `","Test":"` + l[2] + `","Output":"` + l[3] + `"}` + "\n")
	}
	return b.String()
}

func TestTests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, out, err string }{
		"passed": {
			in: events(
				[4]string{"start", "p", "", ""},
				[4]string{"output", "p", "", `-test.shuffle 7\n`},
				[4]string{"run", "p", "TestA", ""},
				[4]string{"output", "p", "TestA", `=== RUN   TestA\n`},
				[4]string{"output", "p", "TestA", `    a_test.go:1: chatter\n`},
				[4]string{"output", "p", "TestA", `--- PASS: TestA (0.00s)\n`},
				[4]string{"pass", "p", "TestA", ""},
				[4]string{"output", "p", "", `PASS\n`},
				[4]string{"output", "p", "", `ok  \tp\t0.1s\n`},
				[4]string{"pass", "p", "", ""},
				[4]string{"output", "q", "", `?   \tq\t[no test files]\n`},
				[4]string{"skip", "q", "", ""},
			),
			out: "ok  \tp\t0.1s\n?   \tq\t[no test files]\n1 tests passed in 2 packages, none skipped\n",
		},
		"failed": {
			in: events(
				[4]string{"output", "p", "", `-test.shuffle 7\n`},
				[4]string{"output", "p", "TestA", `--- FAIL: TestA (0.00s)\n`},
				[4]string{"output", "p", "TestA/sub", `    a_test.go:1: why\n`},
				[4]string{"fail", "p", "TestA/sub", ""},
				[4]string{"fail", "p", "TestA", ""},
				[4]string{"output", "p", "TestB", `--- PASS: TestB (0.00s)\n`},
				[4]string{"pass", "p", "TestB", ""},
				[4]string{"output", "p", "", `FAIL\n`},
				[4]string{"fail", "p", "", ""},
			),
			out: "-test.shuffle 7\n--- FAIL: TestA (0.00s)\n    a_test.go:1: why\nFAIL\n",
			err: "1 packages or builds failed",
		},
		"panicked": {
			in: events(
				[4]string{"run", "p", "TestA", ""},
				[4]string{"output", "p", "TestA", `panic: oh\n`},
				[4]string{"output", "p", "", `FAIL\tp\t0.1s\n`},
				[4]string{"fail", "p", "", ""},
			),
			out: "panic: oh\nFAIL\tp\t0.1s\n",
			err: "1 packages or builds failed",
		},
		"not built": {
			in:  `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: syntax error\n"}` + "\n" + `{"ImportPath":"p","Action":"build-fail"}` + "\n",
			out: "p.go:1: syntax error\n",
			err: "1 packages or builds failed",
		},
		"skipped": {
			in: events(
				[4]string{"output", "p", "TestA", `--- SKIP: TestA (0.00s)\n`},
				[4]string{"skip", "p", "TestA", ""},
				[4]string{"output", "p", "", `ok  \tp\t0.1s\n`},
				[4]string{"pass", "p", "", ""},
			),
			out: "ok  \tp\t0.1s\n",
			err: "1 tests were skipped; make them fail with instructions instead:\n  p: TestA",
		},
		"cut off": {
			in:  events([4]string{"run", "p", "TestA", ""}),
			err: "1 packages did not finish",
		},
		"nothing":           {err: "no test ran"},
		"the go command's":  {in: "go: no such thing\n", out: "go: no such thing\n", err: "no test ran"},
		"without a newline": {in: strings.TrimSuffix(events([4]string{"pass", "p", "TestA", ""}, [4]string{"pass", "p", "", ""}), "\n"), out: "1 tests passed in 1 packages, none skipped\n"},
		"no test matches":   {in: events([4]string{"output", "p", "", `ok  \tp\t0.1s [no tests to run]\n`}, [4]string{"pass", "p", "", ""}), out: "ok  \tp\t0.1s [no tests to run]\n", err: "no test ran"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			check(t, c.err, report.Tests(strings.NewReader(c.in), &out))
			assert.Equal(t, c.out, out.String())
		})
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	const profile = `mode: atomic
example.org/m/event/event.go:1.1,2.2 9 0
example.org/m/event/event.go:3.1,4.2 1 0
example.org/m/event/event.go:1.1,2.2 9 4
example.org/m/event/eventtest/suite.go:1.1,2.2 100 0
example.org/m/dlq/sub/dlq.go:1.1,2.2 3 1
example.org/m/dlq/dlq.go:1.1,2.2 1 0
`
	for name, c := range map[string]struct {
		profile string
		rooms   []string
		out     string
		err     string
	}{
		"enough": {profile, []string{"event"}, "event          90.0 %      9 of    10 statements\n", ""},
		"below":  {profile, []string{"dlq"}, "dlq            75.0 %      3 of     4 statements  below\n", "covered less than 90 %: dlq"},
		"absent": {profile, []string{"lease"}, "lease           0.0 %      0 of     0 statements  below\n", "covered less than 90 %: lease"},
		"broken": {"mode: set\nx:1.1,2.2 many 1\n", nil, "", `line "x:1.1,2.2 many 1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			check(t, c.err, report.Coverage(strings.NewReader(c.profile), &out, "example.org/m", 90, c.rooms))
			assert.Equal(t, c.out, out.String())
		})
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	const output = `goos: linux
pkg: example.org/m/memory
BenchmarkSave/limit/goroutines=8-2    100   90 ns/op   8 B/op
BenchmarkSave/limit/goroutines=8-2    100   80 ns/op   8 B/op
BenchmarkSave/limit/goroutines=8-2    100   300 ns/op  8 B/op
BenchmarkSave/memory/goroutines=8-2   100   100 ns/op  0.85 bar  8 B/op
BenchmarkSave/memory/goroutines=1-2   100   100 ns/op
BenchmarkLoad/limit-2                 100   100 ns/op
BenchmarkLoad/memory-2                100   150 ns/op
BenchmarkLoad/memory-2                100   250 ns/op
pkg: example.org/m/other
BenchmarkLoad/other-2                 100   1 ns/op
BenchmarkLoad/paired-2                100   5000 ns/op  0.70 ratio  0.65 bar
PASS
`
	var out strings.Builder
	require.NoError(t, report.Ratios(strings.NewReader(output), &out))
	copied, table, ok := strings.Cut(out.String(), "\n\n")
	require.True(t, ok)
	assert.Equal(t, output, copied+"\n")

	var rows []string
	for line := range strings.Lines(table) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	assert.Equal(t, []string{
		"benchmark ns/op limit ns/op ratio bar",
		"BenchmarkSave/memory/goroutines=8 100 90 0.90 0.85",
		"BenchmarkLoad/memory 200 100 0.50",
		"BenchmarkLoad/paired 5000 0.70 0.65",
	}, rows)

	out.Reset()
	slower := strings.ReplaceAll(output, "0.85 bar", "0.95 bar")
	require.ErrorContains(t, report.Ratios(strings.NewReader(slower), &out), "1 benchmarks stay below their bar")
	assert.Contains(t, out.String(), "0.95  below\n")
}

func TestReadersThatFail(t *testing.T) {
	t.Parallel()
	broken := iotest.ErrReader(errors.New("torn pipe"))
	var out strings.Builder
	require.ErrorContains(t, report.Tests(broken, &out), "torn pipe")
	require.ErrorContains(t, report.Ratios(broken, &out), "torn pipe")
	require.ErrorContains(t, report.Coverage(broken, &out, "m", 90, nil), "torn pipe")
}

// check compares an error's text; "" wants none.
func check(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, want)
}

func TestRatiosOfABenchmarkThatReportsNoTime(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := report.Ratios(strings.NewReader("BenchmarkW1-2 10 4027 evident/s 4133 limit/s 0.97 ratio 0.98 bar\n"), &out)
	require.Error(t, err)
	assert.Contains(t, out.String(), "below")
}

func TestATestThatPassedOnceAndThenNeverEndedIsShown(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := report.Tests(strings.NewReader(events(
		[4]string{"output", "p", "TestA", "first run"},
		[4]string{"pass", "p", "TestA", ""},
		[4]string{"output", "p", "TestA", "goroutine 7 [select, 3 minutes]"},
		[4]string{"fail", "p", "", ""},
	)), &out)
	require.Error(t, err)
	assert.Contains(t, out.String(), "goroutine 7")
	assert.NotContains(t, out.String(), "first run")
}

func TestATestThatFailedOnceAndThenPassedIsShown(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := report.Tests(strings.NewReader(events(
		[4]string{"output", "p", "TestA", "wrong in the first run"},
		[4]string{"fail", "p", "TestA", ""},
		[4]string{"output", "p", "TestA", "right in the second"},
		[4]string{"pass", "p", "TestA", ""},
		[4]string{"fail", "p", "", ""},
	)), &out)
	require.Error(t, err)
	assert.Contains(t, out.String(), "wrong in the first run")
	assert.NotContains(t, out.String(), "right in the second")
}
