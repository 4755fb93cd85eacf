package projectionhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evident-go/evident/projection"
)

// page is an answer: it is written as JSON as it is, or as plain text.
type page interface {
	text() string
}

// write answers in one piece. A client that has gone away is nobody's fault.
func write(w http.ResponseWriter, r *http.Request, code int, p page) {
	contentType, body := typeText+"; charset=utf-8", []byte(p.text())
	if prefersJSON(r) {
		if encoded, err := json.Marshal(p); err == nil { // a number that JSON cannot write is no reason not to answer
			contentType, body = typeJSON, encoded
		}
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Content-Type", contentType)
	header.Set("Vary", "Accept")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// probe is the answer to a probe. It says nothing that not everybody may know but
// the names of projections.
type probe struct {
	OK          bool       `json:"ok"`
	Verdict     string     `json:"verdict"`
	CheckedAt   time.Time  `json:"checked_at,omitzero"`
	Projections []judgment `json:"projections,omitempty"`
}

// judgment is what is said of one projection.
type judgment struct {
	Projection string   `json:"projection"`
	Version    int      `json:"version"`
	Verdict    string   `json:"verdict"`
	Reasons    []string `json:"reasons,omitempty"`
}

func liveness(r projection.Report) *probe {
	word := func(dead bool) string {
		if dead {
			return "dead"
		}
		return "alive"
	}
	p := &probe{OK: r.Alive(), Verdict: word(!r.Alive()), CheckedAt: r.At}
	for _, d := range r.Projections {
		j := judgment{Projection: d.Status.Projection, Version: d.Status.Version, Verdict: word(d.Dead != "")}
		if d.Dead != "" {
			j.Reasons = []string{d.Dead}
		}
		p.Projections = append(p.Projections, j)
	}
	return p
}

func readiness(r projection.Report) *probe {
	p := &probe{OK: r.Ready(), Verdict: r.Verdict.String(), CheckedAt: r.At}
	for _, d := range r.Projections {
		p.Projections = append(p.Projections, judgmentOf(d))
	}
	return p
}

func judgmentOf(d projection.Diagnosis) judgment {
	return judgment{Projection: d.Status.Projection, Version: d.Status.Version, Verdict: d.Verdict.String(), Reasons: d.Reasons}
}

func (p *probe) text() string {
	var b strings.Builder
	fmt.Fprintln(&b, p.Verdict)
	for _, j := range p.Projections {
		fmt.Fprintln(&b, j)
	}
	return b.String()
}

// String returns "titles v1: unhealthy: stopped for good".
func (j judgment) String() string {
	s := fmt.Sprintf("%s v%d: %s", j.Projection, j.Version, j.Verdict)
	if len(j.Reasons) > 0 {
		s += ": " + strings.Join(j.Reasons, "; ")
	}
	return s
}
