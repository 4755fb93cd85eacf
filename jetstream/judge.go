package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evident-go/evident/eventstore"
)

// judge asks the leader what stands in the way of an append: that it is stored
// already, a conflict, or an id that is stored elsewhere, if the server has said
// so. If nothing does any more, the append is tried again on what there is now.
//
// That something is there, no leader says wrongly. That something is not there may
// be said by one that was cut off from the others, while they have another one. So
// nothing that follows from that is said before it is sure: see isMissing.
func (d *delivery) judge(ctx context.Context, idKnown bool) (eventstore.Result, error) {
	if idKnown || !d.absent {
		if sent, err := d.sentBefore(ctx); err != nil {
			return eventstore.Result{}, err
		} else if sent {
			return d.repeat(ctx)
		}
		d.absent = true
	}
	if err := d.conflict(ctx); err != nil {
		return eventstore.Result{}, err
	}
	if idKnown {
		if err := d.elsewhere(ctx); err != nil {
			return eventstore.Result{}, err
		}
	}
	d.bases = nil
	return eventstore.Result{}, again(errOvertaken)
}

// conflict returns the first conflict, if there is one. If a stream has more than
// is expected, that may be this very append.
func (d *delivery) conflict(ctx context.Context) error {
	err := d.store.conflict(ctx, d.appends)
	found, ok := errors.AsType[*eventstore.ConflictError](err)
	if !ok || expectsMore(found) {
		return err
	}
	other, failed := d.isOfOthers(ctx, found)
	switch {
	case failed != nil:
		return failed
	case other:
		return err
	default:
		return d.denied(errors.New(found.Error()))
	}
}

// isOfOthers reports whether what a stream has more than is expected is not this
// append. At the version that the append wants stands who was first; what it does
// not write itself says nothing.
func (d *delivery) isOfOthers(ctx context.Context, c *eventstore.ConflictError) (bool, error) {
	i := slices.IndexFunc(d.appends, func(a eventstore.Append) bool { return a.Stream == c.Stream })
	a := &d.appends[i]
	if version, exact := a.Expected.Version(); exact && len(a.Events) > 0 {
		first, err := d.store.event(ctx, question{Last: versionOf(d.streams[i], version+1)})
		return first != nil && first.ID != a.Events[0].ID, err
	}
	return d.store.isMissing(ctx, d.sentBefore)
}

// denied says that the leader did not know of something that is stored. It is asked
// again.
func (d *delivery) denied(err error) error {
	d.absent = false
	return again(fmt.Errorf("the leader is behind: %w", err))
}

// conflict returns the first expectation that does not hold. That a stream is too
// short is sure; how long it is may be out of date.
func (s *Store) conflict(ctx context.Context, appends []eventstore.Append) error {
	err := s.checkExpectations(ctx, appends)
	found, ok := errors.AsType[*eventstore.ConflictError](err)
	if !ok || !expectsMore(found) {
		return err
	}
	absent, failed := s.isAbsent(ctx, s.subjects.stream(found.Stream), found.Actual+1)
	switch {
	case failed != nil:
		return failed
	case absent:
		return err
	default:
		return again(fmt.Errorf("the leader is behind: %w", errors.New(found.Error())))
	}
}

// expectsMore reports whether a conflict is that a stream is too short.
func expectsMore(c *eventstore.ConflictError) bool {
	version, exact := c.Expected.Version()
	return exact && version > c.Actual || !exact && c.Actual == 0
}

// errOvertaken says that another append came in between.
var errOvertaken = errors.New("another append came in between")
