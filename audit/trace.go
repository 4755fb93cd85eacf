package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// MaxTraceRecords bounds the records of one [Trace].
const MaxTraceRecords = 10_000

// Tree is everything that followed from one action, each record under the one
// that caused it. [Tree.String] draws it.
type Tree struct {
	CorrelationID uuid.UUID
	Roots         []*Node // by position
	Records       int     // in the whole tree
	// Label is what is drawn for a record. Default [Label].
	Label func(r ActivityRecord) string
}

// Node is one record of a [Tree].
type Node struct {
	Record   ActivityRecord
	Children []*Node // what it caused, by position
	Link     Link    // why a root is one
}

// Link says how a node hangs together with its cause.
type Link uint8

const (
	// Caused hangs under its cause, or has none.
	Caused Link = iota
	// Orphan names a cause that is not among the records of the trace: of
	// another chain, not yet recorded, or never there. It is a root.
	Orphan
	// Cycle follows, through others, from itself. Of the records of a cycle
	// the one that stands first in the log is a root.
	Cycle
)

// Trace returns the causal tree of a correlation. No record is lost: those
// whose cause is not there, and those whose causes run in a circle, are roots
// of their own, and marked. A correlation without records is an empty tree.
//
// The log may be a stored one or a [Replay]. More than [MaxTraceRecords] are an
// [*event.TooLargeError].
func Trace(ctx context.Context, log Finder, correlation uuid.UUID) (*Tree, error) {
	if err := requiredID("correlation_id", correlation); err != nil {
		return nil, err
	}
	query := Query{Page: Page{OldestFirst: true, Limit: MaxTraceRecords + 1}, CorrelationID: correlation}
	var nodes []*Node
	for record, err := range log.Find(ctx, query) {
		if err != nil {
			return nil, fmt.Errorf("trace %s: %w", correlation, err)
		}
		nodes = append(nodes, &Node{Record: record})
	}
	if len(nodes) > MaxTraceRecords {
		return nil, &event.TooLargeError{Field: "trace", Size: len(nodes), Limit: MaxTraceRecords, Unit: "records or more"}
	}
	return &Tree{CorrelationID: correlation, Roots: link(nodes), Records: len(nodes)}, nil
}

// link hangs each node under its cause and returns the roots. The nodes come
// by position, so children do, too.
func link(nodes []*Node) []*Node {
	byID := make(map[uuid.UUID]*Node, len(nodes))
	for _, n := range nodes {
		byID[n.Record.ID()] = n
	}
	var roots []*Node
	for _, n := range nodes {
		cause := n.Record.CausationID()
		parent, found := byID[cause]
		switch {
		case found:
			parent.Children = append(parent.Children, n)
		case cause != uuid.Nil:
			n.Link = Orphan
			fallthrough
		default:
			roots = append(roots, n)
		}
	}
	return append(roots, cutCycles(nodes, roots, byID)...)
}

// cutCycles finds what no root leads to: cycles with what hangs on them. It
// cuts each cycle in front of its first node and returns those.
func cutCycles(nodes, roots []*Node, byID map[uuid.UUID]*Node) []*Node {
	reached := make(map[*Node]bool, len(nodes))
	for _, root := range roots {
		reach(root, reached)
	}
	var cut []*Node
	for _, n := range nodes {
		if reached[n] {
			continue
		}
		first := firstOfCycle(n, byID)
		parent := byID[first.Record.CausationID()]
		parent.Children = slices.DeleteFunc(parent.Children, func(c *Node) bool { return c == first })
		first.Link = Cycle
		cut = append(cut, first)
		reach(first, reached)
	}
	return cut
}

// reach marks n and everything below it.
func reach(n *Node, reached map[*Node]bool) {
	for open := []*Node{n}; len(open) > 0; {
		last := open[len(open)-1]
		open = append(open[:len(open)-1], last.Children...)
		reached[last] = true
	}
}

// firstOfCycle follows the causes of n into the cycle that they end in, and
// returns the node of the cycle that stands first in the log.
func firstOfCycle(n *Node, byID map[uuid.UUID]*Node) *Node {
	cause := func(n *Node) *Node { return byID[n.Record.CausationID()] }
	seen := make(map[*Node]bool)
	for ; !seen[n]; n = cause(n) {
		seen[n] = true
	}
	cycle := []*Node{n}
	for next := cause(n); next != n; next = cause(next) {
		cycle = append(cycle, next)
	}
	return slices.MinFunc(cycle, func(a, b *Node) int { return cmp.Compare(a.Record.Position(), b.Record.Position()) })
}
