package memory

import (
	"context"
	"iter"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

var _ audit.ActivityHome = (*UserActivity)(nil)

// UserActivity keeps the feeds of all actors in the process's memory. As to
// progress, guarantee and concurrency it is like [AuditLog]. It answers the
// questions of [audit.ActivityReader].
type UserActivity struct {
	audit.ActivityReader

	entries *activities
}

// NewUserActivity returns empty feeds.
func NewUserActivity() *UserActivity {
	a := &activities{shelf[audit.Activity]{position: func(a audit.Activity) uint64 { return a.Position }}}
	return &UserActivity{ActivityReader: audit.NewActivityReader(a), entries: a}
}

// Name implements [projection.Projection]: [audit.ActivityName].
func (u *UserActivity) Name() string { return audit.ActivityName }

// Version implements [projection.Projection].
func (u *UserActivity) Version() int { return 1 }

// EventTypes implements [projection.Projection]: all of them.
func (u *UserActivity) EventTypes() []string { return nil }

// Guarantee implements [projection.Projection].
func (u *UserActivity) Guarantee() projection.Guarantee { return projection.AtLeastOnce }

// Apply implements [projection.Projection].
func (u *UserActivity) Apply(ctx context.Context, _ projection.Tx, e event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	activity := audit.ActivityOf(e)
	stored, taken := u.entries.put(activity)
	if changes := stored.Changes(activity); taken && changes != nil {
		return &audit.ImmutableError{ID: e.ID, Position: e.Position, Changes: changes}
	}
	return nil
}

// Reset implements [projection.Projection].
func (u *UserActivity) Reset(context.Context, projection.Tx) error {
	u.entries.clear()
	return nil
}

// activities implements [audit.ActivityFinder].
type activities struct{ shelf[audit.Activity] }

// FindActivities implements [audit.ActivityFinder].
func (a *activities) FindActivities(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
	return a.find(ctx, query.Page, query.Matches)
}

// FindActors implements [audit.ActivityFinder].
func (a *activities) FindActors(ctx context.Context, query audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
	page := query.Page
	query.Limit = 0
	return audit.CountActors(a.FindActivities(ctx, query), page)
}
