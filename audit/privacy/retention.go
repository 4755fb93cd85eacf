package privacy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Retention is what [Officer.Plan] would do and [Officer.Run] did.
type Retention struct {
	RunID uuid.UUID // of a run; [uuid.Nil] of a plan
	At    time.Time // the time that age was counted to
	AsOf  uint64    // position of the last event then
	Rules []RuleResult
}

// RuleResult is what one rule does.
type RuleResult struct {
	Rule   string
	Then   Then
	Before time.Time // what was recorded before this is old

	// Of a rule that archives: how many events it copies, and which.
	Events        uint64
	After, Until  uint64 // it looks at positions above After up to Until
	First, Last   uint64 // of the first and the last event; 0 if there are none
	RecordedFrom  time.Time
	RecordedUntil time.Time

	// Of a rule that cuts: how many people whom it keeps longest are cut, and how
	// many are not, because of a hold.
	Persons uint64
	Held    uint64
}

// Expired is a person whom a policy would cut.
type Expired struct {
	Pseudonym Pseudonym
	Rule      string // that kept them longest
	Hold      *Hold  // that forbids it; nil if none does
}

// Plan says what [Officer.Run] would do now, and does nothing.
func (o *Officer) Plan(ctx context.Context, policy Policy) (Retention, error) {
	r, err := o.prepare(ctx, policy)
	if err == nil {
		err = r.apply(ctx, true)
	}
	if err != nil {
		return Retention{}, fmt.Errorf("plan retention: %w", err)
	}
	return r.result, nil
}

// Run applies a policy in the name of ctx's actor. It records that it starts,
// each cut, and that it has finished, with what was done. It can be ended or
// killed at any point and run again: archives are extended, who was cut is cut.
// What a hold forbids is left, counted, and done by a run after its release.
//
// Whoever becomes active while they are looked at may be cut all the same, and
// goes on with a new token.
//
// Errors: [*event.InvalidError] for a bad policy, [*BehindError], and those of
// stores and archives. The result is what was done until then.
func (o *Officer) Run(ctx context.Context, policy Policy) (Retention, error) {
	if _, err := actorOf(ctx); err != nil {
		return Retention{}, fmt.Errorf("apply retention: %w", err)
	}
	r, err := o.prepare(ctx, policy)
	if err != nil {
		return Retention{}, fmt.Errorf("apply retention: %w", err)
	}
	r.result.RunID = event.NewIDAt(r.result.At)
	err = o.record(ctx, r.draft(RetentionStartedAction))
	if err == nil {
		err = r.apply(ctx, false)
	}
	if err == nil {
		err = o.record(ctx, r.draft(RetentionFinishedAction))
	}
	if err != nil {
		return r.result, fmt.Errorf("apply retention: %w", err)
	}
	return r.result, nil
}

// Expired yields the people whom a policy would cut now, in the order of their
// tokens.
func (o *Officer) Expired(ctx context.Context, policy Policy) iter.Seq2[Expired, error] {
	return func(yield func(Expired, error) bool) {
		r, err := o.prepare(ctx, policy)
		if err != nil {
			yield(Expired{}, fmt.Errorf("list expired: %w", err))
			return
		}
		for e, err := range r.expired(ctx) {
			if err != nil {
				err = fmt.Errorf("list expired: %w", err)
			}
			e.Pseudonym.Person = "" // the token is enough
			if !yield(e.Expired, err) || err != nil {
				return
			}
		}
	}
}

// retention is one plan or run.
type retention struct {
	*Officer

	policy Policy
	result Retention
}

func (o *Officer) prepare(ctx context.Context, policy Policy) (*retention, error) {
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	r := &retention{Officer: o, policy: policy, result: Retention{At: event.Time(o.config.Now())}}
	for _, rule := range policy.Rules {
		r.result.Rules = append(r.result.Rules, RuleResult{Rule: rule.Name, Then: rule.Then, Before: r.result.At.Add(-rule.Keep)})
	}
	var err error
	if r.result.AsOf, err = o.seen(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// seen returns the position of the last event. It refuses to call somebody
// inactive because the log has not seen yet what they did.
func (o *Officer) seen(ctx context.Context) (end uint64, err error) {
	for e, err := range o.config.Events.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward, Limit: 1}) {
		if err != nil {
			return 0, err
		}
		end = e.Position
	}
	last := uint64(0)
	for record, err := range o.config.Records.Find(ctx, audit.Query{Page: audit.Page{Limit: 1}}) {
		if err != nil {
			return 0, err
		}
		last = record.Position()
	}
	if last < end {
		return 0, &BehindError{Log: last, Events: end}
	}
	return end, nil
}

// caughtUp is seen for those who do not ask how far.
func (o *Officer) caughtUp(ctx context.Context) error {
	_, err := o.seen(ctx)
	return err
}

// sawAsOf has nothing to find out: the log had seen all when the run began.
func sawAsOf(context.Context) error { return nil }

func (r *retention) apply(ctx context.Context, dry bool) error {
	cuts := false
	for i, rule := range r.policy.Rules {
		if rule.Then == ThenCut {
			cuts = true
			continue
		}
		if err := r.archive(ctx, rule, &r.result.Rules[i], dry); err != nil {
			return fmt.Errorf("rule %s: %w", rule.Name, err)
		}
	}
	if !cuts {
		return nil
	}
	for e, err := range r.expired(ctx) {
		if err != nil {
			return err
		}
		if err := r.cutExpired(ctx, e, dry); err != nil {
			return fmt.Errorf("rule %s: %w", e.Rule, err)
		}
	}
	return nil
}

func (r *retention) archive(ctx context.Context, rule Rule, result *RuleResult, dry bool) error {
	config := archive.Config{RecordedBefore: result.Before, Selection: rule.selection(), Now: r.config.Now}
	if config.Selection != "" {
		config.Select = func(e event.Event) bool {
			record, err := audit.FromEvent(e, r.config.Audit)
			return err != nil || rule.Matches(record) // what cannot be told is kept
		}
	}
	var copied archive.Result
	var err error
	if dry {
		copied, err = archive.Plan(ctx, r.config.Events, rule.Archive, config)
	} else {
		copied, err = archive.Write(ctx, r.config.Events, rule.Archive, config)
	}
	result.Events, result.After, result.Until = copied.Events, copied.After, copied.Until
	result.First, result.Last = copied.First, copied.Last
	result.RecordedFrom, result.RecordedUntil = copied.RecordedFrom, copied.RecordedUntil
	return err
}

// expiry is an expired person and the index of the rule.
type expiry struct {
	Expired

	rule int
}

// reason names the rule, unless the rule has the person's name.
func (e expiry) reason() string {
	for _, reason := range []string{"retention rule " + e.Rule, "retention"} {
		if CheckCut(e.Pseudonym.TenantID, e.Pseudonym.Person, reason) == nil {
			return reason
		}
	}
	return "expired"
}

func (r *retention) cutExpired(ctx context.Context, e expiry, dry bool) error {
	result := &r.result.Rules[e.rule]
	if e.Hold != nil {
		result.Held++
		return nil
	}
	if !dry {
		gone, err := r.isGone(ctx, e.Pseudonym)
		if err != nil || gone {
			return err
		}
		err = r.cut(ctx, e.Pseudonym, event.ActorFrom(ctx), e.reason(), sawAsOf)
		if errors.Is(err, ErrHeld) {
			result.Held++
			return nil
		}
		if err != nil {
			return err
		}
	}
	result.Persons++
	return nil
}

// isGone reports whether a person was cut since they were listed. They may have
// come again, with another token, whom the policy does not concern.
func (r *retention) isGone(ctx context.Context, p Pseudonym) (bool, error) {
	token, err := r.config.Pseudonyms.TokenOf(ctx, p.TenantID, p.Person)
	if errors.Is(err, ErrUnknown) {
		return true, nil
	}
	return token != p.Token, err
}

// expired yields those whom nothing keeps any more.
func (r *retention) expired(ctx context.Context) iter.Seq2[expiry, error] {
	return func(yield func(expiry, error) bool) {
		for p, err := range r.config.Pseudonyms.List(ctx, PseudonymQuery{State: Whole}) {
			if err != nil {
				yield(expiry{}, err)
				return
			}
			e, is, err := r.expiry(ctx, p)
			if err != nil {
				yield(expiry{}, err)
				return
			}
			if is && !yield(e, nil) {
				return
			}
		}
	}
}

// expiry reports whether everything about a person is old enough. A person
// about whom there is nothing is as old as their pseudonym.
func (r *retention) expiry(ctx context.Context, p Pseudonym) (e expiry, is bool, err error) {
	e = expiry{Expired: Expired{Pseudonym: p}, rule: r.policy.longest(func(rule Rule) bool {
		return rule.Action == "" && rule.EntityType == "" && (rule.TenantID == "" || rule.TenantID == p.TenantID)
	})}
	if old, known := r.isOld(e.rule, p.CreatedAt), e.rule >= 0; known && !old {
		return e, false, nil
	}
	subject, seen := r.config.Subject(p.TenantID, p.Token), false
	for _, query := range subject.queries() {
		for record, err := range r.config.Records.Find(ctx, query) {
			if err != nil {
				return e, false, err
			}
			if !isActivity(subject, record) {
				continue
			}
			rule := r.policy.longest(func(rule Rule) bool { return rule.Matches(record) })
			if !r.isOld(rule, record.RecordedAt()) {
				return e, false, nil
			}
			if !seen || r.policy.Rules[rule].Keep > r.policy.Rules[e.rule].Keep {
				e.rule, seen = rule, true
			}
		}
	}
	if e.rule < 0 {
		return e, false, nil
	}
	e.Rule = r.policy.Rules[e.rule].Name
	e.Hold, err = r.holdOn(ctx, p.TenantID, p.Token, sawAsOf)
	return e, err == nil, err
}

// isActivity reports whether a record is about a person and keeps them. What
// was done for the sake of privacy does not, such as a cut that was tried: else
// it would put off itself.
func isActivity(s Subject, record audit.ActivityRecord) bool {
	sections := s.sectionsOf(record)
	switch record.Action() {
	case HoldPlacedAction, HoldReleasedAction, PseudonymCutAction, ExportedAction:
		return slices.Contains(sections, Acted)
	default:
		return len(sections) > 0
	}
}

// isOld reports whether a rule keeps something no longer. What no rule is about
// is kept.
func (r *retention) isOld(rule int, recorded time.Time) bool {
	return rule >= 0 && recorded.Before(r.result.Rules[rule].Before)
}

func (r *retention) draft(action string) audit.Draft {
	d := audit.Draft{
		Action: action, Entity: audit.EntityRef{Type: RetentionEntity, ID: r.result.RunID.String()},
		CorrelationID: r.result.RunID,
		Metadata:      event.Metadata{"as_of": r.result.AsOf, "rules": len(r.policy.Rules)},
	}
	if action == RetentionFinishedAction {
		var events, persons, held uint64
		for _, rule := range r.result.Rules {
			events, persons, held = events+rule.Events, persons+rule.Persons, held+rule.Held
		}
		d.Metadata["archived"], d.Metadata["cut"], d.Metadata["held"] = events, persons, held
	}
	return d
}
