package auth

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// others is the source that all sources beyond the limit count as.
const others = "others"

// maxReasons is how many different reasons a counted record lists.
const maxReasons = 8

// tally counts refusals by source.
type tally struct {
	config RecorderConfig

	mu      sync.Mutex
	sources map[string]*source
	sweepAt time.Time
}

// source is what one source did in its window.
type source struct {
	until  time.Time
	stored int      // one by one
	extra  *counted // nil if nothing beyond that
}

// counted is several refusals in one.
type counted struct {
	source      string
	count       int
	first, last time.Time
	reasons     map[string]int
	template    audit.Draft // of the last one
}

func newTally(config RecorderConfig) *tally {
	return &tally{config: config, sources: make(map[string]*source)}
}

// admit counts a refusal. It returns the counts that are due, and whether the
// source has a share left, so that d is to be stored itself.
func (t *tally) admit(name string, d audit.Draft) (due []*counted, share bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := d.OccurredAt
	due = t.sweep(now)
	s, known := t.sources[name]
	if !known {
		if len(t.sources) >= t.config.MaxSources {
			name = others
		}
		if s = t.sources[name]; s == nil {
			s = &source{until: now.Add(t.config.Window)}
			t.sources[name] = s
		}
	}
	if s.stored < t.config.Burst {
		s.stored++
		return due, true
	}
	s.add(one(name, d))
	return due, false
}

// sweep forgets sources whose window is over, and returns what they counted.
func (t *tally) sweep(now time.Time) []*counted {
	if now.Before(t.sweepAt) {
		return nil
	}
	var due []*counted
	for name, s := range t.sources {
		if now.Before(s.until) {
			continue
		}
		if s.extra != nil {
			due = append(due, s.extra)
		}
		delete(t.sources, name)
	}
	t.sweepAt = now.Add(t.config.Window / 10)
	return due
}

func (t *tally) due() []*counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sweep(t.config.Now())
}

// take returns everything that is counted, and counts from zero.
func (t *tally) take() []*counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*counted
	for _, s := range t.sources {
		if s.extra != nil {
			all = append(all, s.extra)
			s.extra = nil
		}
	}
	return all
}

// putBack counts again what could not be stored, and gives the source back the
// shares that it had for it.
func (t *tally) putBack(c *counted, shares int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := c.source
	if _, known := t.sources[name]; !known && len(t.sources) >= t.config.MaxSources {
		name, c.source = others, others
	}
	s, known := t.sources[name]
	if !known {
		s = &source{until: t.config.Now().Add(t.config.Window)}
		t.sources[name] = s
	}
	s.stored = max(0, s.stored-shares)
	s.add(c)
}

func (s *source) add(c *counted) {
	if s.extra == nil {
		s.extra = c
		return
	}
	s.extra.merge(c)
}

func one(name string, d audit.Draft) *counted {
	reason, _ := d.Metadata[KeyReason].(string)
	return &counted{
		source: name, count: 1, first: d.OccurredAt, last: d.OccurredAt,
		reasons: map[string]int{reason: 1}, template: d,
	}
}

func (c *counted) merge(other *counted) {
	c.count += other.count
	if other.first.Before(c.first) {
		c.first = other.first
	}
	address := common(c.template.Request.SourceAddress, other.template.Request.SourceAddress)
	if !other.last.Before(c.last) {
		c.last, c.template = other.last, other.template
	}
	c.template.Request.SourceAddress = address
	for reason, n := range other.reasons {
		if _, known := c.reasons[reason]; !known && len(c.reasons) >= maxReasons {
			reason = others
		}
		c.reasons[reason] += n
	}
}

// draft returns the one record that stands for all. If the source is all that
// are not told apart, it names neither actor nor address.
func (c *counted) draft(now time.Time) audit.Draft {
	t := c.template
	d := audit.Draft{
		ID: event.NewIDAt(now), OccurredAt: now, Action: t.Action, Outcome: t.Outcome,
		ActorID: t.ActorID, OnBehalfOf: t.OnBehalfOf, TenantID: t.TenantID,
		Entity: audit.EntityRef{Type: EntityAuthentication, ID: "several"},
		Reason: fmt.Sprintf("refused %d times", c.count),
		Metadata: event.Metadata{
			KeyCount: c.count, KeyFirstAt: c.first.UTC().Format(time.RFC3339Nano), KeyLastAt: c.last.UTC().Format(time.RFC3339Nano),
			KeyReasons: c.reasonsText(),
		},
	}
	if t.Action == ActionDenied {
		d.Entity.Type = EntityPermission
	}
	if c.source == others {
		d.ActorID, d.OnBehalfOf, d.TenantID = event.Anonymous, "", ""
		return d
	}
	d.Request.SourceAddress = t.Request.SourceAddress
	return d
}

func (c *counted) reasonsText() string {
	parts := make([]string, 0, len(c.reasons))
	for _, reason := range slices.Sorted(maps.Keys(c.reasons)) {
		parts = append(parts, fmt.Sprintf("%s: %d", written(reason, 40), c.reasons[reason]))
	}
	return written(strings.Join(parts, ", "), audit.MaxMetadataString)
}
