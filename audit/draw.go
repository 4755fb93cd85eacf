package audit

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaxDrawnDepth is how deep a drawn tree is indented: a chain of thousands would
// be more space than text.
const MaxDrawnDepth = 64

// Label is what a [Tree] draws for a record by default: "OrderCreated by
// user:123 on Order/0190…". For a record that is not derived from an event the
// action stands in the type's place.
func Label(r ActivityRecord) string {
	return fmt.Sprintf("%s by %s on %s", cmp.Or(r.EventType(), r.Action()), r.ActorID(), r.Entity())
}

// TimedLabel is [Label] with the time in front, in UTC.
func TimedLabel(r ActivityRecord) string {
	return r.OccurredAt().UTC().Format(time.DateTime) + " " + Label(r)
}

// String draws the tree:
//
//	correlation 0190…: 3 records
//	└── OrderCreated by user:123 on Order/0190…
//	    ├── PaymentRequested by system:payment-service on Payment/0190…
//	    └── MailSent by service:mailer on Mail/0190…
//
// Equal trees are drawn equal. What lies deeper than [MaxDrawnDepth] is not
// indented further; its depth stands in front of it.
func (t *Tree) String() string {
	var b strings.Builder
	_, _ = t.WriteTo(&b) // a Builder does not fail
	return b.String()
}

// WriteTo draws the tree to w as [Tree.String] does. It implements [io.WriterTo].
func (t *Tree) WriteTo(w io.Writer) (int64, error) {
	p := pen{w: w, label: t.Label}
	if p.label == nil {
		p.label = Label
	}
	records := "records"
	if t.Records == 1 {
		records = "record"
	}
	p.line(fmt.Sprintf("correlation %s: %d %s", t.CorrelationID, t.Records, records))
	p.nodes("", 1, t.Roots)
	return p.written, p.err
}

// pen writes line by line until an error.
type pen struct {
	w       io.Writer
	label   func(ActivityRecord) string
	written int64
	err     error
}

func (p *pen) nodes(indent string, depth int, nodes []*Node) {
	for i, n := range nodes {
		if p.err != nil {
			return
		}
		branch, below := "├── ", "│   "
		if i == len(nodes)-1 {
			branch, below = "└── ", "    "
		}
		if depth > MaxDrawnDepth {
			branch, below = fmt.Sprintf("… %d: ", depth), ""
		}
		p.line(indent + branch + strings.ReplaceAll(p.label(n.Record), "\n", " ") + n.remark())
		p.nodes(indent+below, depth+1, n.Children)
	}
}

func (p *pen) line(text string) {
	n, err := io.WriteString(p.w, text+"\n")
	p.written += int64(n)
	p.err = err
}

func (n *Node) remark() string {
	switch n.Link {
	case Orphan:
		return fmt.Sprintf(" (orphan: its cause %s is not in this trace)", n.Record.CausationID())
	case Cycle:
		return fmt.Sprintf(" (cycle: its cause %s follows from it)", n.Record.CausationID())
	default:
		return ""
	}
}
