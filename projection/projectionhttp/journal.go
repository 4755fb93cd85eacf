package projectionhttp

import (
	"sync"

	"go.uber.org/zap"

	"github.com/evident-go/evident/projection"
)

// journal writes into a log what has changed since it was last asked. Probes come
// every few seconds; what they see is news only once.
type journal struct {
	log *zap.Logger

	mu       sync.Mutex
	verdicts map[name]projection.Verdict
	dead     map[name]bool
	mute     bool
}

// name names a version of a projection.
type name struct {
	projection string
	version    int
}

func nameOf(s projection.Status) name { return name{projection: s.Projection, version: s.Version} }

// report notes verdicts that are others than before. To begin with, all are taken
// for healthy.
func (j *journal) report(r projection.Report) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mute = false
	if j.verdicts == nil {
		j.verdicts = make(map[name]projection.Verdict)
	}
	for _, d := range r.Projections {
		n := nameOf(d.Status)
		before, known := j.verdicts[n]
		if j.verdicts[n] = d.Verdict; before == d.Verdict || !known && d.Verdict == projection.Healthy {
			continue
		}
		switch d.Verdict {
		case projection.Healthy:
			j.log.Info("projection is healthy again", fields(d)...)
		case projection.Degraded:
			j.log.Warn("projection is degraded", fields(d)...)
		default:
			j.log.Error("projection is unhealthy", fields(d)...)
		}
	}
}

// pulse notes loops that are found dead.
func (j *journal) pulse(r projection.Report) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dead == nil {
		j.dead = make(map[name]bool)
	}
	for _, d := range r.Projections {
		n := nameOf(d.Status)
		if d.Dead != "" && !j.dead[n] {
			j.log.Error("loop of projection is dead", fields(d)...)
		}
		j.dead[n] = d.Dead != ""
	}
}

// unanswered notes that nothing can be said.
func (j *journal) unanswered(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.mute {
		j.log.Error("status of projections cannot be told", zap.Error(err))
	}
	j.mute = true
}
