package transfer

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// reportEvery is after how many events Progress is called.
const reportEvery = 1000

// comparison goes through two stores in step, from their first events on, as far
// as they are the same.
type comparison struct {
	source, target eventstore.Store
	progress       func(Progress)

	equal       *digester // of what was compared
	at          uint64    // the source's position up to which everything was
	last, twin  uint64    // the positions of the last event, in source and target
	stored      uint64    // events, by this Copy
	head        uint64    // of the source, as far as is known
	mine, yours encoding
}

// ending says why a walk has ended where it has.
type ending struct {
	missing event.Event // the source's, which the target does not have
	extra   event.Event // the target's, behind the last of the source
}

// walk compares events, from where the last walk has ended, until one of the
// stores has no more. The source is read up to a position.
func (c *comparison) walk(ctx context.Context, until uint64) (ending, error) {
	next, stop := iter.Pull2(c.target.ReadAll(ctx, eventstore.Query{After: c.twin}))
	defer stop()
	for e, err := range c.unread(ctx, until) {
		if err != nil {
			return ending{}, fmt.Errorf("read source: %w", err)
		}
		twin, err, there := next()
		if err != nil {
			return ending{}, fmt.Errorf("read target: %w", err)
		}
		if !there {
			return ending{missing: e}, nil
		}
		if err := c.match(&e, &twin); err != nil {
			return ending{}, err
		}
	}
	c.at = max(c.at, until)
	extra, err, _ := next()
	if err != nil {
		return ending{}, fmt.Errorf("read target: %w", err)
	}
	return ending{extra: extra}, nil
}

// unread are the source's events that were not compared yet, up to a position.
func (c *comparison) unread(ctx context.Context, until uint64) iter.Seq2[event.Event, error] {
	if until <= c.at { // a bound of 0 would be none
		return func(func(event.Event, error) bool) {}
	}
	return c.source.ReadAll(ctx, eventstore.Query{After: c.at, Until: until})
}

// match takes two events in that stand in the same place.
func (c *comparison) match(e, twin *event.Event) error {
	if err := c.mine.set(e); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if err := c.yours.set(twin); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if !bytes.Equal(c.mine.bytes, c.yours.bytes) {
		return &DifferenceError{Number: c.equal.Events + 1, Field: c.firstField(), Source: *e, Target: *twin}
	}
	c.equal.add(&c.mine)
	c.at, c.last, c.twin = e.Position, e.Position, twin.Position
	if c.equal.Events%reportEvery == 0 {
		c.report()
	}
	return nil
}

// firstField names the first field in which the two events differ.
func (c *comparison) firstField() string {
	names := fieldNames()
	for i, name := range names {
		if !bytes.Equal(c.mine.field(i), c.yours.field(i)) {
			return name
		}
	}
	return ""
}

func (c *comparison) report() {
	if c.progress != nil {
		c.progress(Progress{Events: c.equal.Events, Stored: c.stored, Position: c.last, Head: max(c.head, c.last)})
	}
}

// result says how far the two were the same.
func (c *comparison) result() Report {
	return Report{Digest: c.equal.Digest, Stored: c.stored, SourcePosition: c.last, TargetPosition: c.twin}
}
