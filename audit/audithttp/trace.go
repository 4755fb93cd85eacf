package audithttp

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

func (x *exchange) getTrace() error {
	p, err := x.parameters()
	if err != nil {
		return err
	}
	correlation, ok := parseID(x.path["correlation"])
	if !ok {
		p.faultf("correlation", codeInvalidParameter, "must be a UUID in the usual form, and not all zeros")
		return p.err()
	}
	tree, err := audit.Trace(x.r.Context(), x.records(), correlation)
	tooLarge := fieldOf(err) == "trace"
	if err != nil && !tooLarge {
		return err
	}
	details := event.Metadata{"correlation_id": correlation.String(), "format": x.format}
	if !tooLarge {
		details["count"] = tree.Records
	}
	if err := x.recordReading(x.route.action, details); err != nil {
		return err
	}
	switch {
	case tooLarge:
		return refuse(codeTraceTooLarge, "it has more than %d records; export them by correlation_id", audit.MaxTraceRecords)
	case tree.Records == 0:
		return refuse(codeNotFound, "there is no record of the correlation %s", correlation)
	case x.format == typeText:
		x.write(http.StatusOK, "text/plain; charset=utf-8", []byte(tree.String()))
		return nil
	default:
		return x.answerTree(tree)
	}
}

// traceJSON is a tree laid flat, since not every reader of JSON takes a
// chain of thousands as deep as it is.
type traceJSON struct {
	CorrelationID string     `json:"correlation_id"`
	Data          []nodeJSON `json:"data"`
}

type nodeJSON struct {
	Depth    int             `json:"depth"`
	ParentID string          `json:"parent_id,omitempty"`
	Link     string          `json:"link"`
	Record   json.RawMessage `json:"record"`
}

// hung is a node and where it hangs.
type hung struct {
	node   *audit.Node
	depth  int
	parent string
}

func (x *exchange) answerTree(tree *audit.Tree) error {
	out := traceJSON{CorrelationID: tree.CorrelationID.String(), Data: make([]nodeJSON, 0, tree.Records)}
	open := hang(nil, tree.Roots, 0, "")
	for len(open) > 0 {
		last := open[len(open)-1]
		record, err := encodeRecord(last.node.Record)
		if err != nil {
			return err
		}
		out.Data = append(out.Data, nodeJSON{Depth: last.depth, ParentID: last.parent, Link: linkName(last.node.Link), Record: record})
		open = hang(open[:len(open)-1], last.node.Children, last.depth+1, last.node.Record.ID().String())
	}
	return x.answer(http.StatusOK, out)
}

// hang puts nodes on a stack, so that the first comes off first.
func hang(open []hung, nodes []*audit.Node, depth int, parent string) []hung {
	for _, node := range slices.Backward(nodes) {
		open = append(open, hung{node: node, depth: depth, parent: parent})
	}
	return open
}

func linkName(link audit.Link) string {
	switch link {
	case audit.Orphan:
		return "orphan"
	case audit.Cycle:
		return "cycle"
	default:
		return "caused"
	}
}
