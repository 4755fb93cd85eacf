package audit

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/evident-go/evident/event"
)

// ActionUse is an action that is in use.
type ActionUse struct {
	Action string
	Last   uint64    // position of the last record of it
	LastAt time.Time // when that one occurred, by the clock of whoever acted
}

// ActionQuery selects actions in use. The zero value is all of them, whatever
// was used last first.
//
// Bounds are those of records: an action is found if a record of it lies within
// them, and its last use is the last one there. The limit is that of actions.
// There are few, so they are not meant to be paged through.
type ActionQuery struct {
	Page

	TenantID event.TenantID // "" for those of all tenants together
}

// Validate refuses what no record can match. The error names the field.
func (q ActionQuery) Validate() error { return validateView(q.Page, q.TenantID) }

// GroupActions finds the actions of records, in whatever order they come, as
// [Finder.FindActions] does: for homes that cannot group. Of page it looks at
// the limit and the direction. It holds one entry for each action.
func GroupActions(records iter.Seq2[ActivityRecord, error], page Page) iter.Seq2[ActionUse, error] {
	return func(yield func(ActionUse, error) bool) {
		uses, err := groupActions(records)
		if err != nil {
			yield(ActionUse{}, err)
			return
		}
		list(uses, page, yield)
	}
}

func groupActions(records iter.Seq2[ActivityRecord, error]) ([]ActionUse, error) {
	var uses []ActionUse
	place := make(map[string]int)
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		i, known := place[r.d.Action]
		if !known {
			i = len(uses)
			place[r.d.Action] = i
			uses = append(uses, ActionUse{Action: r.d.Action})
		}
		if r.d.Position > uses[i].Last {
			uses[i].Last, uses[i].LastAt = r.d.Position, r.d.OccurredAt
		}
	}
	slices.SortFunc(uses, func(a, b ActionUse) int { return cmp.Compare(b.Last, a.Last) })
	return uses, nil
}

// list yields as many items, which come most recent first, as the page may
// have, in its direction.
func list[T any](items []T, page Page, yield func(T, error) bool) {
	if page.OldestFirst {
		slices.Reverse(items)
	}
	if page.Limit > 0 {
		items = items[:min(page.Limit, len(items))]
	}
	for _, item := range items {
		if !yield(item, nil) {
			return
		}
	}
}
