package audit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// caused returns an event of the chain 500 with a cause; 0 is none.
func caused(position, cause uint64, eventType string, actor event.ActorID) event.Event {
	return created(position, func(e *event.Event) {
		e.Type, e.ActorID, e.AggregateType = eventType, actor, strings.TrimSuffix(eventType, "ed")
		if cause > 0 {
			e.CausationID = id(cause)
		}
	})
}

func trace(t *testing.T, events ...event.Event) *audit.Tree {
	t.Helper()
	tree, err := audit.Trace(t.Context(), logOf(t, events...), id(500))
	require.NoError(t, err)
	return tree
}

func TestTraceDrawsWhatFollowedFromWhat(t *testing.T) {
	t.Parallel()
	tree := trace(t,
		caused(1, 0, "Ordered", "user:123"),
		caused(2, 1, "PaymentRequested", "system:payment-service"),
		caused(3, 1, "Mailed", ""),
		caused(4, 2, "PaymentProcessed", "webhook:stripe"),
		caused(5, 4, "Reserved", "service:inventory"),
		created(6, func(e *event.Event) { e.CorrelationID = id(501) }))
	assert.Equal(t, 5, tree.Records)
	assert.Equal(t, `correlation 01900000-0000-7000-8000-0000000001f4: 5 records
└── Ordered by user:123 on Order/01900000-0000-7000-8000-0000000003e9
    ├── PaymentRequested by system:payment-service on PaymentRequest/01900000-0000-7000-8000-0000000003ea
    │   └── PaymentProcessed by webhook:stripe on PaymentProcess/01900000-0000-7000-8000-0000000003ec
    │       └── Reserved by service:inventory on Reserv/01900000-0000-7000-8000-0000000003ed
    └── Mailed by anonymous on Mail/01900000-0000-7000-8000-0000000003eb
`, tree.String())
}

// labels makes drawings short: the position alone.
func labels(tree *audit.Tree) string {
	tree.Label = func(r audit.ActivityRecord) string { return strings.Fields(r.String())[0] + "\nx" }
	_, drawn, _ := strings.Cut(tree.String(), "\n")
	return drawn
}

func TestTraceLosesNoOrphan(t *testing.T) {
	t.Parallel()
	tree := trace(t, caused(1, 0, "A", "user:a"), caused(2, 99, "B", "user:b"), caused(3, 2, "C", "user:c"))
	assert.Equal(t, []audit.Link{audit.Caused, audit.Orphan}, []audit.Link{tree.Roots[0].Link, tree.Roots[1].Link})
	assert.Equal(t, `├── #1 x
└── #2 x (orphan: its cause 01900000-0000-7000-8000-000000000063 is not in this trace)
    └── #3 x
`, labels(tree))
}

func TestTraceCutsCyclesInFrontOfTheirFirstRecord(t *testing.T) {
	t.Parallel()
	tree := trace(t,
		caused(1, 4, "A", "user:a"), // hangs on the cycle 2 → 3 → 4
		caused(2, 4, "B", "user:b"),
		caused(3, 2, "C", "user:c"),
		caused(4, 3, "D", "user:d"),
		caused(5, 5, "E", "user:e"), // its own cause
		caused(6, 5, "F", "user:f"))
	assert.Equal(t, audit.Cycle, tree.Roots[0].Link)
	assert.Equal(t, `├── #2 x (cycle: its cause 01900000-0000-7000-8000-000000000004 follows from it)
│   └── #3 x
│       └── #4 x
│           └── #1 x
└── #5 x (cycle: its cause 01900000-0000-7000-8000-000000000005 follows from it)
    └── #6 x
`, labels(tree))
}

func TestTraceOfNothing(t *testing.T) {
	t.Parallel()
	tree := trace(t)
	assert.Empty(t, tree.Roots)
	assert.Equal(t, "correlation 01900000-0000-7000-8000-0000000001f4: 0 records\n", tree.String())
	_, err := audit.Trace(t.Context(), logOf(t), uuid.Nil)
	requireInvalid(t, err, "correlation_id")
}

func TestATraceIsBounded(t *testing.T) {
	t.Parallel()
	endless := finder(func(yield func(audit.ActivityRecord, error) bool) {
		d := fullDraft()
		for n := range uint64(audit.MaxTraceRecords + 1) {
			if d.ID, d.Position = id(n+1), n+1; !yield(audit.Restore(d), nil) {
				return
			}
		}
	})
	_, err := audit.Trace(t.Context(), endless, id(500))
	require.ErrorIs(t, err, audit.ErrTooLarge)
}

func TestLabels(t *testing.T) {
	t.Parallel()
	tree := trace(t, caused(1, 0, "Ordered", "user:123"))
	tree.Label = audit.TimedLabel
	assert.Equal(t, `correlation 01900000-0000-7000-8000-0000000001f4: 1 record
└── 2024-01-15 10:31:00 Ordered by user:123 on Order/01900000-0000-7000-8000-0000000003e9
`, tree.String())
	explicit, err := audit.NewRecord(createTask())
	require.NoError(t, err)
	assert.Equal(t, "create_task by user:alice on Task/01900000-0000-7000-8000-00000000000a", audit.Label(explicit))
}

// full is a disk that takes n writes.
type full struct{ n int }

var errFull = errors.New("disk full")

func (f *full) Write(p []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestDrawingStopsAtAnError(t *testing.T) {
	t.Parallel()
	tree := trace(t, caused(1, 0, "A", "user:a"), caused(2, 1, "B", "user:b"), caused(3, 0, "C", "user:c"))
	text := tree.String()
	for n, line := range strings.SplitAfter(text, "\n")[:4] {
		written, err := tree.WriteTo(&full{n: n})
		require.ErrorIs(t, err, errFull, line)
		assert.Less(t, written, int64(len(text)))
	}
	written, err := tree.WriteTo(&full{n: 4})
	require.NoError(t, err)
	assert.EqualValues(t, len(text), written)
}

// TestNoRecordIsLost hangs records on each other at random, cycles included.
func TestNoRecordIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		causes := rapid.SliceOfN(rapid.Uint64Range(0, 12), 1, 10).Draw(rt, "causes")
		log := memory.NewAuditLog(audit.Config{})
		for i, cause := range causes {
			if err := log.Apply(t.Context(), nil, caused(uint64(i+1), cause, "A", "user:a")); err != nil {
				rt.Fatal(err)
			}
		}
		tree, err := audit.Trace(t.Context(), log, id(500))
		if err != nil {
			rt.Fatal(err)
		}
		seen := make(map[uint64]int)
		var walk func(nodes []*audit.Node)
		walk = func(nodes []*audit.Node) {
			for _, n := range nodes {
				seen[n.Record.Position()]++
				walk(n.Children)
			}
		}
		walk(tree.Roots)
		for i := range causes {
			if seen[uint64(i+1)] != 1 {
				rt.Fatalf("record %d is there %d times", i+1, seen[uint64(i+1)])
			}
		}
	})
}

func TestDrawnDepthIsBounded(t *testing.T) {
	t.Parallel()
	root := &audit.Node{Record: derive(t, created(1), audit.Config{})}
	last := root
	for i := range audit.MaxDrawnDepth + 2 {
		child := &audit.Node{Record: derive(t, created(uint64(i+2)), audit.Config{})}
		last.Children, last = []*audit.Node{child}, child
	}
	drawn := (&audit.Tree{Roots: []*audit.Node{root}}).String()
	assert.Contains(t, drawn, "└── ")
	assert.Contains(t, drawn, "… 65: ")
	assert.Contains(t, drawn, "… 67: ")
	assert.NotContains(t, drawn, "… 64: ")
}
