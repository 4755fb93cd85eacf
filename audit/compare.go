package audit

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// Comparison is what [Compare] found.
type Comparison struct {
	Compared    uint64       // positions looked at, on either side or both
	Differing   uint64       // how many of them differ
	Differences []Difference // the first of those, by position
}

// Equal reports whether nothing differs.
func (c Comparison) Equal() bool { return c.Differing == 0 }

// String returns "24542 compared, all equal", or how many differ with the
// first of them, one a line.
func (c Comparison) String() string {
	if c.Equal() {
		return fmt.Sprintf("%d compared, all equal", c.Compared)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d compared, %d differ", c.Compared, c.Differing)
	for _, d := range c.Differences {
		b.WriteString("\n" + d.String())
	}
	if more := c.Differing - uint64(len(c.Differences)); more > 0 {
		fmt.Fprintf(&b, "\nand %d more", more)
	}
	return b.String()
}

// Difference is a position at which two logs do not say the same.
type Difference struct {
	Position uint64
	Missing  Side     // who has nothing there; 0 if both have something
	Changes  []Change // the fields that differ, if both have something
}

// Side is one of two logs that are compared.
type Side uint8

// The sides, in the order of [Compare]'s arguments.
const (
	A Side = iota + 1
	B
)

// String returns "position 17: only in the first" and the like.
func (d Difference) String() string {
	switch d.Missing {
	case A:
		return fmt.Sprintf("position %d: only in the second", d.Position)
	case B:
		return fmt.Sprintf("position %d: only in the first", d.Position)
	default:
		fields := make([]string, len(d.Changes))
		for i, change := range d.Changes {
			fields[i] = change.String()
		}
		return fmt.Sprintf("position %d: %s", d.Position, strings.Join(fields, "; "))
	}
}

// Compare reads two logs side by side and says where they differ, field by
// field; it lists the first most differences and counts all. It holds one
// record of each at a time. To prove a stored log equal to its replay:
//
//	comparison, err := audit.Compare(ctx, auditLog, audit.Replay(store, config), 10)
//
// Logs that grow meanwhile are compared as of one position, see [Reader.AsOf].
func Compare(ctx context.Context, a, b Finder, most int) (Comparison, error) {
	all := Query{Page: Page{OldestFirst: true}}
	return merge(a.Find(ctx, all), b.Find(ctx, all), most, ActivityRecord.Position, ActivityRecord.Changes)
}

// CompareActivities is [Compare] for the feeds of actors.
func CompareActivities(ctx context.Context, a, b ActivityFinder, most int) (Comparison, error) {
	all := ActivityQuery{Page: Page{OldestFirst: true}}
	position := func(a Activity) uint64 { return a.Position }
	return merge(a.FindActivities(ctx, all), b.FindActivities(ctx, all), most, position, Activity.Changes)
}

// merge walks two sequences in the order of their positions.
func merge[T any](a, b iter.Seq2[T, error], most int, position func(T) uint64, changes func(T, T) []Change) (Comparison, error) {
	left, right := startWalk(a), startWalk(b)
	defer left.stop()
	defer right.stop()
	var found Comparison
	for left.ok || right.ok {
		if left.err != nil {
			return found, fmt.Errorf("compare: first log: %w", left.err)
		}
		if right.err != nil {
			return found, fmt.Errorf("compare: second log: %w", right.err)
		}
		var d Difference
		switch {
		case !right.ok || left.ok && position(left.item) < position(right.item):
			d = Difference{Position: position(left.item), Missing: B}
			left.advance()
		case !left.ok || position(right.item) < position(left.item):
			d = Difference{Position: position(right.item), Missing: A}
			right.advance()
		default:
			d = Difference{Position: position(left.item), Changes: changes(left.item, right.item)}
			left.advance()
			right.advance()
		}
		found = found.and(d, most)
	}
	return found, nil
}

// and returns what was found with one more position.
func (c Comparison) and(d Difference, most int) Comparison {
	c.Compared++
	if d.Missing == 0 && len(d.Changes) == 0 {
		return c
	}
	c.Differing++
	if len(c.Differences) < most {
		c.Differences = append(c.Differences, d)
	}
	return c
}

// walk goes through a sequence step by step.
type walk[T any] struct {
	item T
	err  error
	ok   bool // there is an item, or an error
	next func() (T, error, bool)
	stop func()
}

func startWalk[T any](seq iter.Seq2[T, error]) *walk[T] {
	next, stop := iter.Pull2(seq)
	w := &walk[T]{next: next, stop: stop}
	w.advance()
	return w
}

func (w *walk[T]) advance() { w.item, w.err, w.ok = w.next() }
