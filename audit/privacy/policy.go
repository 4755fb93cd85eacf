package privacy

import (
	"fmt"
	"strings"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/event"
)

// Then is what a rule does with what has become old.
type Then uint8

// What rules do. Neither takes an event out of the store.
const (
	// ThenArchive copies events to an archive.
	ThenArchive Then = iota + 1
	// ThenCut cuts the pseudonyms of people.
	ThenCut
)

// String returns "archive" or "cut".
func (t Then) String() string {
	switch t {
	case ThenArchive:
		return "archive"
	case ThenCut:
		return "cut"
	default:
		return fmt.Sprintf("Then(%d)", uint8(t))
	}
}

// Rule says how long activities are kept as they are, and what is done then.
// Conditions are combined with "and"; an empty one matches everything. Age is
// counted from when the store recorded something, never from a claimed time.
type Rule struct {
	Name       string
	TenantID   event.TenantID // "" for those of all tenants and of none
	Action     string         // "task.created", or with a star at the end "task.*"
	EntityType string
	Keep       time.Duration
	Then       Then
	// Archive is where a rule that archives puts events. Each such rule has an
	// archive of its own.
	Archive archive.Target
}

// Matches reports whether a rule is about a record.
func (r Rule) Matches(record audit.ActivityRecord) bool {
	return (r.TenantID == "" || record.TenantID() == r.TenantID) &&
		(r.EntityType == "" || record.Entity().Type == r.EntityType) &&
		matchesAction(r.Action, record.Action())
}

func matchesAction(pattern, action string) bool {
	if begin, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(action, begin)
	}
	return pattern == "" || pattern == action
}

// selection says what a rule chooses, for an archive's manifest.
func (r Rule) selection() string {
	if r.TenantID == "" && r.Action == "" && r.EntityType == "" {
		return ""
	}
	return fmt.Sprintf("tenant=%q action=%q entity_type=%q", r.TenantID, r.Action, r.EntityType)
}

// Validate refuses a rule that cannot be applied. The error names the field.
func (r Rule) Validate() error {
	if err := event.ValidateName("name", r.Name); err != nil {
		return err
	}
	if err := r.TenantID.Validate(); err != nil {
		return err
	}
	if err := event.ValidateText("entity_type", r.EntityType, event.MaxNameBytes); err != nil {
		return err
	}
	if err := validatePattern(r.Action); err != nil {
		return err
	}
	switch {
	case r.Keep <= 0:
		return &event.InvalidError{Field: "keep", Value: r.Keep.String(), Reason: "must be positive"}
	case r.Then != ThenArchive && r.Then != ThenCut:
		return &event.InvalidError{Field: "then", Value: r.Then.String(), Reason: "must be privacy.ThenArchive or privacy.ThenCut"}
	case (r.Archive == nil) == (r.Then == ThenArchive):
		return &event.InvalidError{Field: "archive", Reason: "must be given to archive, and only then"}
	default:
		return nil
	}
}

// validatePattern refuses a pattern that no action can match.
func validatePattern(pattern string) error {
	begin, star := strings.CutSuffix(pattern, "*")
	if star {
		begin = strings.TrimSuffix(begin, ".")
	}
	if star && begin == "" && pattern != ".*" || pattern == "" {
		return nil
	}
	if err := audit.ValidateAction(begin); err != nil {
		return &event.InvalidError{Field: "action", Value: pattern, Reason: `must be an action, or one with a star at its end, such as "task.*"`}
	}
	return nil
}

// Policy is the rules of retention.
//
// A rule that archives copies the events it matches. A rule that cuts is about
// people: the activities of a person, what they did and what was done for them
// and to what is theirs, each fall under the rule that matches it and keeps it
// longest, and their pseudonym is cut when all of them are older than that. What
// no rule matches is kept for ever, and keeps the person. So a strict rule for
// everything can stand beside a longer one for, say, payments.
type Policy struct{ Rules []Rule }

// Validate refuses a policy that has no rules, or one that cannot be applied.
// The error names rule and field.
func (p Policy) Validate() error {
	if len(p.Rules) == 0 {
		return &event.InvalidError{Field: "rules", Reason: "must not be empty"}
	}
	seen := make(map[string]bool)
	for i, r := range p.Rules {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("rules[%d]: %w", i, err)
		}
		if seen[r.Name] {
			return fmt.Errorf("rules[%d]: %w", i, &event.InvalidError{Field: "name", Value: r.Name, Reason: "is that of another rule, too"})
		}
		seen[r.Name] = true
	}
	return nil
}

// longest returns which rule that cuts keeps longest what matches, -1 if none does.
func (p Policy) longest(matches func(Rule) bool) int {
	longest := -1
	for i, r := range p.Rules {
		if r.Then == ThenCut && matches(r) && (longest < 0 || r.Keep > p.Rules[longest].Keep) {
			longest = i
		}
	}
	return longest
}
