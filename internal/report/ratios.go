package report

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Ratios copies the output of `go test -bench` and writes a table behind it:
// how near each benchmark comes to the limit that ran beside it.
//
// The limit is a sub-benchmark that is named "limit" where the others have
// names of their own: BenchmarkSave/limit/goroutines=8 is the limit of
// BenchmarkSave/memory/goroutines=8. The ratio is the limit's time per
// operation divided by the contestant's: 1 is level, 0.5 is half as fast. Of
// repeated runs (-count) the medians are compared. A benchmark that runs both
// in turns reports the ratio itself, b.ReportMetric(r, "ratio"), which is
// fairer on a machine that others use too.
//
// A benchmark that must reach a ratio says so with
// b.ReportMetric(0.85, "bar"); Ratios returns an error if one stays below.
func Ratios(benchmarks io.Reader, out io.Writer) error {
	var all results
	lines := bufio.NewScanner(benchmarks)
	for lines.Scan() {
		fmt.Fprintln(out, lines.Text())
		all.add(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read benchmark output: %w", err)
	}
	return all.table(out)
}

var (
	benchmarkLine = regexp.MustCompile(`^(Benchmark\S*?)(?:-\d+)?\s+\d+\s+(.*)$`)
	measurement   = regexp.MustCompile(`(\S+) (\S+)`)
	packageLine   = regexp.MustCompile(`^pkg: (\S+)$`)
)

// result is one benchmark's measurements, over all its runs.
type result struct {
	pkg   string
	name  string
	times []float64 // nanoseconds per operation
	own   []float64 // ratios that it reported itself
	bar   float64   // 0 if it has none
}

type results struct {
	pkg  string
	list []result
}

func (rs *results) add(line string) {
	if m := packageLine.FindStringSubmatch(line); len(m) > 0 {
		rs.pkg = m[1]
	}
	m := benchmarkLine.FindStringSubmatch(line)
	if len(m) == 0 {
		return
	}
	i := slices.IndexFunc(rs.list, func(r result) bool { return r.pkg == rs.pkg && r.name == m[1] })
	if i < 0 {
		i = len(rs.list)
		rs.list = append(rs.list, result{pkg: rs.pkg, name: m[1]})
	}
	rs.list[i].measured(m[2])
}

func (r *result) measured(text string) {
	for _, m := range measurement.FindAllStringSubmatch(strings.Join(strings.Fields(text), " "), -1) {
		value, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		switch m[2] {
		case "ns/op":
			r.times = append(r.times, value)
		case "ratio":
			r.own = append(r.own, value)
		case "bar":
			r.bar = value
		}
	}
}

// table writes the contestants that have a limit.
func (rs *results) table(out io.Writer) error {
	fmt.Fprintf(out, "\n%-60s %12s %12s %7s %6s\n", "benchmark", "ns/op", "limit ns/op", "ratio", "bar")
	below := 0
	for _, r := range rs.list {
		ratio, limit := rs.ratio(r)
		if ratio == 0 {
			continue
		}
		fmt.Fprintf(out, "%-60s %12s %12s %7.2f %6s", r.name, text(median(r.times), 0), text(limit, 0), ratio, text(r.bar, 2))
		if ratio < r.bar {
			below++
			fmt.Fprint(out, "  below")
		}
		fmt.Fprintln(out)
	}
	if below > 0 {
		return fmt.Errorf("%d benchmarks stay below their bar", below)
	}
	return nil
}

// ratio returns how near r comes to its limit, and the limit's time if that
// ran as a benchmark of its own; 0 where there is none.
func (rs *results) ratio(r result) (ratio, limit float64) {
	if len(r.own) > 0 {
		return median(r.own), 0
	}
	if l, ok := rs.limitOf(r); ok {
		limit = median(l.times)
		return limit / median(r.times), limit
	}
	return 0, 0
}

// text formats a figure; none is the empty string.
func text(value float64, decimals int) string {
	if value == 0 {
		return ""
	}
	return strconv.FormatFloat(value, 'f', decimals, 64)
}

// limitOf finds the benchmark that differs from r in one element only, which is "limit".
func (rs *results) limitOf(r result) (result, bool) {
	elements := strings.Split(r.name, "/")
	for i := 1; i < len(elements); i++ {
		other := slices.Clone(elements)
		other[i] = "limit"
		name := strings.Join(other, "/")
		for _, l := range rs.list {
			if l.pkg == r.pkg && l.name == name && name != r.name && len(l.times) > 0 && len(r.times) > 0 {
				return l, true
			}
		}
	}
	return result{}, false
}

// median returns the middle of values, or 0 if there are none: a benchmark may
// report its ratio and no time.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
