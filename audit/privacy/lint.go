package privacy

import (
	"cmp"
	"context"
	"slices"

	"github.com/evident-go/evident/audit"
)

// MaxFindings is how many ids [Lint] lists; it counts all.
const MaxFindings = 1000

// Finding is an id in the log that tells who somebody is.
type Finding struct {
	Field   string // "actor_id", "on_behalf_of", "owner_id" or "entity.id"
	ID      string // as the log has it
	Like    Likeness
	Records uint64 // that have it
	First   uint64 // position of the first of them
	Last    uint64
}

// LintReport is what [Lint] found.
type LintReport struct {
	Records  uint64 // looked at
	Affected uint64 // how many of them have such an id
	Findings []Finding
	Unlisted uint64 // ids in records beyond the first [MaxFindings] ids
}

// IsClean reports whether every id looks opaque.
func (r LintReport) IsClean() bool { return r.Affected == 0 }

// Lint looks through all records for ids that tell who somebody is: see
// [LooksLike]. Findings come in the order of their first records.
func Lint(ctx context.Context, records audit.Finder) (LintReport, error) {
	l := linting{found: make(map[identifier]*Finding)}
	for record, err := range records.Find(ctx, audit.Query{Page: audit.Page{OldestFirst: true}}) {
		if err != nil {
			return LintReport{}, err
		}
		l.look(record)
	}
	for _, f := range l.found {
		l.report.Findings = append(l.report.Findings, *f)
	}
	slices.SortFunc(l.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Field, b.Field))
	})
	return l.report, nil
}

type linting struct {
	report LintReport
	found  map[identifier]*Finding
}

func (l *linting) look(r audit.ActivityRecord) {
	l.report.Records++
	before := l.report.Affected
	whole := []string{string(r.ActorID()), string(r.OnBehalfOf()), r.OwnerID(), r.Entity().ID}
	for i, id := range identifiers(r.ActorID(), r.OnBehalfOf(), r.OwnerID(), r.Entity().ID) {
		if like := id.like(); like != "" {
			l.report.Affected = before + 1
			l.add(id, whole[i], like, r.Position())
		}
	}
}

func (l *linting) add(id identifier, whole string, like Likeness, position uint64) {
	f, known := l.found[id]
	if !known {
		if len(l.found) == MaxFindings {
			l.report.Unlisted++
			return
		}
		f = &Finding{Field: id.field, ID: whole, Like: like, First: position}
		l.found[id] = f
	}
	f.Records++
	f.Last = position
}
