package projectionhttp

import (
	"fmt"
	"strings"
	"time"

	"github.com/evident-go/evident/projection"
)

// overview is all that is known of projections, for people.
type overview struct {
	Verdict     string    `json:"verdict"`
	CheckedAt   time.Time `json:"checked_at"`
	Problem     string    `json:"problem,omitempty"` // why nothing can be told
	Projections []detail  `json:"projections,omitempty"`
}

// detail is all that is known of one projection.
// Durations are in seconds; what is not known is left out.
type detail struct {
	judgment

	Guarantee string `json:"guarantee"`
	Stage     string `json:"stage,omitempty"`
	progress

	DeadLetters deadLetters `json:"dead_letters"`
	Pause       *pause      `json:"pause,omitempty"`
	Order       *order      `json:"order,omitempty"`
	Lanes       []lane      `json:"lanes,omitempty"`
}

// lane is what is known of one lane.
type lane struct {
	Lane int `json:"lane"`
	progress
}

// progress is what one loop has done, or all of them.
type progress struct {
	State      string    `json:"state"`
	Position   uint64    `json:"position"`
	Head       uint64    `json:"head"`
	Lag        uint64    `json:"lag"`
	Behind     float64   `json:"behind_seconds"`
	Applied    uint64    `json:"applied"`
	Rate       float64   `json:"rate,omitempty"`
	Left       float64   `json:"left_seconds,omitempty"`
	Heartbeat  time.Time `json:"heartbeat,omitzero"`
	Progressed time.Time `json:"progressed,omitzero"`
	LastError  string    `json:"last_error,omitempty"`
	ErrorAt    uint64    `json:"error_at,omitempty"`
	Owner      string    `json:"owner,omitempty"`
	Fence      uint64    `json:"fence,omitempty"`
}

type deadLetters struct {
	Sequences int       `json:"sequences"`
	Letters   int       `json:"letters"`
	Oldest    time.Time `json:"oldest,omitzero"`
}

type pause struct {
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
}

type order struct {
	Kind     string    `json:"kind"`
	Lanes    int       `json:"lanes,omitempty"`
	Position uint64    `json:"position,omitempty"`
	Reason   string    `json:"reason"`
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at"`
	Problem  string    `json:"problem,omitempty"`
}

func newOverview(r projection.Report) *overview {
	o := &overview{Verdict: r.Verdict.String(), CheckedAt: r.At}
	for _, d := range r.Projections {
		o.Projections = append(o.Projections, detailOf(d))
	}
	return o
}

func detailOf(d projection.Diagnosis) detail {
	s := d.Status
	out := detail{
		judgment: judgmentOf(d), Guarantee: s.Guarantee.String(), Stage: string(s.Stage), progress: progressOf(s),
		DeadLetters: deadLetters{Sequences: s.DeadLetters.Sequences, Letters: s.DeadLetters.Letters, Oldest: s.DeadLetters.Oldest},
	}
	if !s.Pause.At.IsZero() {
		out.Pause = &pause{Reason: s.Pause.Reason, By: string(s.Pause.By), At: s.Pause.At}
	}
	if o := s.Order; o.Kind != "" {
		out.Order = &order{Kind: string(o.Kind), Lanes: o.Lanes, Position: o.Position, Reason: o.Reason, By: string(o.By), At: o.At, Problem: o.Problem}
	}
	for _, l := range s.Lanes {
		out.Lanes = append(out.Lanes, lane{Lane: l.Lane, progress: progressOf(l)})
	}
	return out
}

func progressOf(s projection.Status) progress {
	p := progress{
		State: s.State.String(), Position: s.Position, Head: s.Head, Lag: s.Lag(), Behind: s.Behind.Seconds(),
		Applied: s.Applied, Rate: s.Rate, Left: s.Left.Seconds(), Heartbeat: s.Heartbeat, Progressed: s.Progressed,
		Owner: s.Owner, Fence: s.Fence, ErrorAt: s.ErrorAt,
	}
	if s.LastError != nil {
		p.LastError = s.LastError.Error()
	}
	return p
}

// text tells the most important. Texts that others have written are quoted, so
// that none of them can pass for a line.
func (o *overview) text() string {
	var b strings.Builder
	fmt.Fprintln(&b, o.Verdict)
	if o.Problem != "" {
		fmt.Fprintf(&b, "  problem: %q\n", o.Problem)
	}
	for _, d := range o.Projections {
		d.write(&b)
	}
	return b.String()
}

func (d detail) write(b *strings.Builder) {
	fmt.Fprintln(b, d.judgment)
	if d.Stage != "" {
		fmt.Fprintf(b, "  stage: %s\n", d.Stage)
	}
	d.progress.write(b, "  ")
	if l := d.DeadLetters; l.Letters > 0 {
		fmt.Fprintf(b, "  parked: %d sequences, %d letters, the oldest since %s\n", l.Sequences, l.Letters, l.Oldest.Format(time.RFC3339))
	}
	if p := d.Pause; p != nil {
		fmt.Fprintf(b, "  paused: since %s by %q: %q\n", p.At.Format(time.RFC3339), p.By, p.Reason)
	}
	if o := d.Order; o != nil {
		fmt.Fprintf(b, "  ordered: %s, since %s by %q: %q\n", o.Kind, o.At.Format(time.RFC3339), o.By, o.Reason)
		if o.Problem != "" {
			fmt.Fprintf(b, "  order failed: %q\n", o.Problem)
		}
	}
	for _, l := range d.Lanes {
		fmt.Fprintf(b, "  lane %d\n", l.Lane)
		l.write(b, "    ")
	}
}

func (p progress) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%sstate: %s, position %d of %d, %s behind\n", indent, p.State, p.Position, p.Head, seconds(p.Behind))
	if p.Rate > 0 {
		fmt.Fprintf(b, "%srate: %.1f positions/s, %s left\n", indent, p.Rate, seconds(p.Left))
	}
	if !p.Heartbeat.IsZero() {
		fmt.Fprintf(b, "%sheartbeat: %s\n", indent, p.Heartbeat.Format(time.RFC3339))
	}
	if p.Owner != "" {
		fmt.Fprintf(b, "%sowner: %q, fence %d\n", indent, p.Owner, p.Fence)
	}
	if p.LastError != "" {
		fmt.Fprintf(b, "%slast error: at %d: %q\n", indent, p.ErrorAt, p.LastError)
	}
}

// seconds is a number of seconds as people read it.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}
