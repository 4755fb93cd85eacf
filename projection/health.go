package projection

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// Verdict says how well a projection is, or several are. A larger one is worse.
type Verdict uint8

const (
	// Unknown says that there is nothing to judge by.
	Unknown Verdict = iota
	// Healthy needs nobody's attention.
	Healthy
	// Degraded needs somebody's attention, but the read model can be used: taking
	// a process out of service would help nobody.
	Degraded
	// Unhealthy has a read model that is not as fresh as was asked for, or a loop
	// that does not go round.
	Unhealthy
)

// String returns "healthy", "degraded", "unhealthy" or "unknown".
func (v Verdict) String() string {
	switch v {
	case Healthy:
		return "healthy"
	case Degraded:
		return "degraded"
	case Unhealthy:
		return "unhealthy"
	default:
		return "unknown"
	}
}

// Health is what is tolerated of projections. The zero value has the defaults.
//
// Unhealthy are a loop that does not go round, has stopped for good or was never
// started, and a read model that is further behind than MaxBehind. Degraded are
// parked letters, a projection that waits for something to come back, one that
// somebody has paused, and an order that was refused or takes long. One that waits for
// its lease is run by another process and is judged by how far it is behind.
// Versions that have been replaced or retired do not run and are always healthy.
type Health struct {
	// MaxBehind is how old the oldest event may be that is not done. It also
	// tells a read model that has not caught up yet. Default 1 min.
	MaxBehind time.Duration
	// MaxSilence is how long ago a loop may have gone round for the last time;
	// after it the loop is dead. It must be longer than the longest call of a
	// handler or of a [Batcher], than what a [Finisher] takes, and than
	// [Config.Pause] waits. While an order is open it is ten times as long.
	// Default 2 min.
	MaxSilence time.Duration
	// MaxParked is how many sequences may be parked. Default 0: the first one is
	// reported.
	MaxParked int
	// MaxLetterAge is how long a letter may wait, however few there are. Default 1 h.
	MaxLetterAge time.Duration
	// Building holds versions that are built beside the live one to the same as
	// the live one. By default they are degraded at worst, and may be behind as
	// far as they like: nobody reads them.
	Building bool
	// Optional projections are degraded at worst, for those that a service can do
	// without.
	Optional bool
	// Elsewhere is for projections that other processes run: they are judged by
	// what the store knows of them. That they do not run here says nothing.
	Elsewhere bool
	// Except is what is tolerated of some projections instead of all the above,
	// by name.
	Except map[string]Health
}

// Validate refuses negative tolerances, and exceptions from exceptions. The
// error, an [*event.InvalidError], names the field.
func (h Health) Validate() error {
	for _, n := range []struct {
		field string
		value int64
	}{
		{"max_behind", int64(h.MaxBehind)},
		{"max_silence", int64(h.MaxSilence)},
		{"max_parked", int64(h.MaxParked)},
		{"max_letter_age", int64(h.MaxLetterAge)},
	} {
		if n.value < 0 {
			return &event.InvalidError{Field: n.field, Reason: "must not be negative; 0 means the default"}
		}
	}
	for name, own := range h.Except {
		if len(own.Except) > 0 {
			return &event.InvalidError{Field: "except", Value: name, Reason: "must not have exceptions of its own"}
		}
		if err := own.Validate(); err != nil {
			return fmt.Errorf("projection %q: %w", name, err)
		}
	}
	return nil
}

// of returns what is tolerated of one projection.
func (h Health) of(projection string) Health {
	if own, ok := h.Except[projection]; ok {
		h = own
	}
	setDefault(&h.MaxBehind, time.Minute)
	setDefault(&h.MaxSilence, 2*time.Minute)
	setDefault(&h.MaxLetterAge, time.Hour)
	return h
}

// Report is what a [Health] says of projections.
type Report struct {
	At          time.Time
	Verdict     Verdict     // the worst of all; Unknown if there is no projection
	Projections []Diagnosis // in the order of the statuses
}

// Ready reports whether readers can rely on the read models: all are healthy or
// degraded.
func (r Report) Ready() bool { return r.Verdict == Healthy || r.Verdict == Degraded }

// Alive reports whether all loops go round that should. Where it is false,
// starting the process anew can help; that a projection has failed, is paused or
// is behind is no reason to.
func (r Report) Alive() bool {
	return !slices.ContainsFunc(r.Projections, func(d Diagnosis) bool { return d.Dead != "" })
}

// Diagnosis is what is said of one projection.
type Diagnosis struct {
	Status  Status
	Verdict Verdict
	// Dead says which loop does not go round, and for how long; "" if all do.
	Dead string
	// Reasons say in words why it is not healthy, without texts of errors and of
	// operators, which stand in Status. Nil if it is healthy.
	Reasons []string
}

// Check judges statuses as they are at a moment. It is a pure function.
func (h Health) Check(now time.Time, statuses []Status) Report {
	r := Report{At: now, Projections: make([]Diagnosis, 0, len(statuses))}
	for _, s := range statuses {
		e := examination{Health: h.of(s.Projection), now: now, diagnosis: Diagnosis{Status: s, Verdict: Healthy}}
		e.examine(s)
		r.Verdict = max(r.Verdict, e.diagnosis.Verdict)
		r.Projections = append(r.Projections, e.diagnosis)
	}
	return r
}

// examination is how one projection is judged.
type examination struct {
	Health

	now       time.Time
	diagnosis Diagnosis
}

func (e *examination) examine(s Status) {
	if s.Stage == registry.Replaced || s.Stage == registry.Retired {
		return
	}
	if !e.Elsewhere {
		e.loops(s)
	}
	if s.Pause.At.IsZero() {
		e.lag(s)
	} else {
		e.findf(Degraded, "paused by an operator for %s", brief(e.now.Sub(s.Pause.At)))
	}
	e.order(s)
	e.letters(s)
}

// findf notes a reason. One that nobody needs is no reason to take a process out
// of service.
func (e *examination) findf(v Verdict, format string, args ...any) {
	if e.Optional || beside(e.diagnosis.Status.Stage) && !e.Building {
		v = min(v, Degraded)
	}
	e.diagnosis.Verdict = max(e.diagnosis.Verdict, v)
	e.diagnosis.Reasons = append(e.diagnosis.Reasons, fmt.Sprintf(format, args...))
}

// beside reports whether a version runs beside the one that readers see.
func beside(stage registry.State) bool {
	return stage == registry.Building || stage == registry.CaughtUp
}

// orderPatience is by how much a loop may be silent for longer while an order is
// open.
const orderPatience = 10

// loops looks at the one loop of a projection, or at those of its lanes.
func (e *examination) loops(s Status) {
	lanes := s.Lanes
	if len(lanes) == 0 {
		lanes = []Status{s}
	}
	stopped := !s.Pause.At.IsZero() // then it need not go round
	tolerated := e.MaxSilence
	if s.Order.Kind != "" && s.Order.Problem == "" { // while it is carried out, lanes rest
		tolerated *= orderPatience
	}
	var failed, idle, unstarted, waiting, silent []int
	var silence time.Duration
	for _, lane := range lanes {
		quiet := e.now.Sub(lane.Heartbeat)
		switch {
		case lane.State == Failed:
			failed = append(failed, lane.Lane)
		case stopped:
		case lane.State == Idle:
			idle = append(idle, lane.Lane)
		case lane.Heartbeat.IsZero() && lane.State != Waiting:
			unstarted = append(unstarted, lane.Lane)
		case !lane.Heartbeat.IsZero() && quiet > tolerated:
			silent, silence = append(silent, lane.Lane), max(silence, quiet)
		case lane.State == Paused:
			waiting = append(waiting, lane.Lane)
		}
	}
	all := len(s.Lanes)
	if len(silent) > 0 {
		e.diagnosis.Dead = fmt.Sprintf("has not gone round for %s, %s is tolerated%s", brief(silence), brief(tolerated), whichLanes(silent, all))
		e.findf(Unhealthy, "dead: %s", e.diagnosis.Dead)
	}
	for _, group := range []struct {
		lanes   []int
		verdict Verdict
		reason  string
	}{
		{failed, Unhealthy, "stopped for good"},
		{idle, Unhealthy, "not running"},
		{unstarted, Unhealthy, "started, and has not gone round yet"},
		{waiting, Degraded, "waits for something to come back"},
	} {
		if len(group.lanes) > 0 {
			e.findf(group.verdict, "%s%s", group.reason, whichLanes(group.lanes, all))
		}
	}
}

// lag looks at how fresh the read model is.
func (e *examination) lag(s Status) {
	if beside(s.Stage) && !e.Building {
		return
	}
	if s.Behind > e.MaxBehind {
		e.findf(Unhealthy, "%s behind, at position %d of %d, %s is tolerated", brief(s.Behind), s.Position, s.Head, brief(e.MaxBehind))
	}
}

// order looks at what somebody has asked for.
func (e *examination) order(s Status) {
	switch age := e.now.Sub(s.Order.At); {
	case s.Order.Kind == "":
	case s.Order.Problem != "":
		e.findf(Degraded, "an order to %s was refused, and is not tried again", s.Order.Kind)
	case age > e.MaxSilence:
		e.findf(Degraded, "an order to %s is not done after %s", s.Order.Kind, brief(age))
	}
}

// letters looks at what is parked.
func (e *examination) letters(s Status) {
	d := s.DeadLetters
	if d.Letters == 0 {
		return
	}
	if age := e.now.Sub(d.Oldest); d.Sequences > e.MaxParked || age > e.MaxLetterAge {
		e.findf(Degraded, "sequences parked: %d, with letters: %d, the oldest for %s", d.Sequences, d.Letters, brief(age))
	}
}

// brief leaves out of a duration what nobody reads.
func brief(d time.Duration) time.Duration {
	if d >= time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// whichLanes names lanes, unless there are none to tell apart.
func whichLanes(lanes []int, all int) string {
	const named = 8
	if all == 0 {
		return ""
	}
	texts := make([]string, 0, named+1)
	for _, lane := range lanes[:min(named, len(lanes))] {
		texts = append(texts, strconv.Itoa(lane))
	}
	if len(lanes) > named {
		texts = append(texts, "…")
	}
	return fmt.Sprintf(" (%d of %d lanes: %s)", len(lanes), all, strings.Join(texts, ", "))
}
