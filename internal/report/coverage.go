package report

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Coverage reads a coverage profile and writes a table with the share of
// statements that each room covers, a room being a top folder of module. It
// returns an error if one of rooms covers less than percent, or nothing at all.
// Packages named "<something>test" hold test code and are not counted.
func Coverage(profile io.Reader, out io.Writer, module string, percent float64, rooms []string) error {
	blocks, err := readProfile(profile)
	if err != nil {
		return err
	}
	tally := sumUp(blocks, module)
	var below []string
	for _, room := range rooms {
		share := tally[room].share()
		mark := ""
		if share < percent {
			below = append(below, room)
			mark = "  below"
		}
		fmt.Fprintf(out, "%-12s %6.1f %%  %5d of %5d statements%s\n", room, share, tally[room].covered, tally[room].all, mark)
	}
	if len(below) > 0 {
		return fmt.Errorf("covered less than %.0f %%: %s", percent, strings.Join(below, ", "))
	}
	return nil
}

type statements struct{ covered, all int }

func (s statements) share() float64 {
	if s.all == 0 {
		return 0
	}
	return 100 * float64(s.covered) / float64(s.all)
}

// block is a run of statements that are executed together.
type block struct {
	statements int
	executed   bool
}

// readProfile returns the profile's blocks by "file:range". With -coverpkg a
// block occurs once for each test binary; it is covered if any executed it.
func readProfile(profile io.Reader) (map[string]block, error) {
	blocks := make(map[string]block)
	lines := bufio.NewScanner(profile)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		place, counts, _ := strings.Cut(line, " ")
		number, count, _ := strings.Cut(counts, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("coverage profile: line %q: %w", line, err)
		}
		blocks[place] = block{statements: n, executed: blocks[place].executed || count != "0"}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("coverage profile: %w", err)
	}
	return blocks, nil
}

func sumUp(blocks map[string]block, module string) map[string]statements {
	tally := make(map[string]statements)
	for _, place := range slices.Sorted(maps.Keys(blocks)) {
		file, _, _ := strings.Cut(place, ":")
		room, _, _ := strings.Cut(strings.TrimPrefix(file, module+"/"), "/")
		if strings.HasSuffix(path.Dir(file), "test") {
			continue
		}
		sum := tally[room]
		sum.all += blocks[place].statements
		if blocks[place].executed {
			sum.covered += blocks[place].statements
		}
		tally[room] = sum
	}
	return tally
}
