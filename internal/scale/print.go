package scale

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table is one answer.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
}

// answer is a table that is worked out when somebody asks.
type answer struct {
	name string
	work func() Table
}

// Names returns the names of all tables, in the order of the page.
func Names() []string {
	var names []string
	for _, a := range answers() {
		names = append(names, a.name)
	}
	return names
}

// Print writes the tables of these names, with an empty line between two; all if
// there are no names.
func Print(w io.Writer, names ...string) error {
	if len(names) == 0 {
		names = Names()
	}
	for i, name := range names {
		at := slices.IndexFunc(answers(), func(a answer) bool { return a.name == name })
		if at < 0 {
			return fmt.Errorf("no table is named %q; there are %s", name, strings.Join(Names(), ", "))
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := answers()[at].work().Write(w); err != nil {
			return fmt.Errorf("print %s: %w", name, err)
		}
	}
	return nil
}

// Write prints the table with its title. Columns of figures are flush right.
func (t Table) Write(w io.Writer) error {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	text.WriteString(t.Title + "\n\n")
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		text.WriteString(t.line(row, widths) + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (t Table) line(row []string, widths []int) string {
	var line strings.Builder
	for i, cell := range row {
		blank := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i > 0 {
			line.WriteString("  ")
		}
		if t.figures(i) {
			line.WriteString(blank + cell)
		} else {
			line.WriteString(cell + blank)
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// figures reports whether every cell of a column begins with a digit, or says
// that there is no figure.
func (t Table) figures(column int) bool {
	for _, row := range t.Rows {
		if c := row[column]; c != none && (c == "" || c[0] < '0' || c[0] > '9') {
			return false
		}
	}
	return true
}

// none stands where there is no figure.
const none = "-"

// digits rounds to so many significant digits: what is left of a figure after
// so many assumptions.
func digits(v float64, n int) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, float64(n-1)-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*unit) / unit
}

// count prints a number in thousands, "12,300", in three digits.
func count(v float64) string { return grouped(digits(v, 3)) }

// grouped prints a number in thousands as it is.
func grouped(v float64) string {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

func persecond(v float64) string { return count(v) + "/s" }

func percent(share float64) string { return count(digits(share*100, 2)) + " %" }

// bytes prints a size in the unit that suits it; units are powers of a thousand.
func bytes(v float64) string {
	if v < 10_000 {
		return grouped(math.Round(v)) + " B"
	}
	units := []string{"kB", "MB", "GB", "TB", "PB"}
	unit := 0
	for v /= 1000; digits(v, 3) >= 1000 && unit < len(units)-1; v /= 1000 {
		unit++
	}
	return count(v) + " " + units[unit]
}

// seconds prints a time in the unit that suits it, in two digits.
func seconds(v float64) string {
	for _, unit := range []struct {
		name  string
		worth float64
	}{{"years", 365 * 86400}, {"days", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}} {
		if v >= unit.worth*0.995 && (unit.worth < 60 || v >= 1.5*unit.worth) {
			return count(digits(v/unit.worth, 2)) + " " + unit.name
		}
	}
	if v >= 0.1 {
		return count(digits(v, 2)) + " s"
	}
	return count(digits(v*1e3, 2)) + " ms"
}
