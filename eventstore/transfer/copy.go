package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// pieceEvents is how many events are stored before they are read back.
const pieceEvents = 10_000

// Target is a store that events can be copied into.
type Target interface {
	eventstore.Store
	eventstore.Importer
}

// Config says how far a [Copy] goes. The zero value copies what the source has
// when it begins.
type Config struct {
	// Stop, if it is not nil, lets Copy follow the source: it waits for new
	// events and copies them until Stop is closed. What was appended before that
	// is copied, too; then Copy ends.
	Stop <-chan struct{}
	// From is what an earlier Copy between the same two stores has reported, with
	// or without an error. Copy goes on behind it, and does not read again what
	// lies before. The zero value compares from the first event on.
	From Report
	// Progress is called from Copy's goroutine, now and then. Copy waits for it.
	Progress func(Progress)
}

// Progress is how far a [Copy] or a [Verify] has come.
type Progress struct {
	Events   uint64 // that were compared and are the same in both stores
	Stored   uint64 // of these, how many this Copy has stored, about
	Position uint64 // of the source, up to which they go
	Head     uint64 // of the source; it may have risen since
}

// Report says what both stores hold.
type Report struct {
	// Digest is over all events that were compared, those of earlier Copies too.
	Digest Digest
	// Stored is how many of them this Copy has stored, as far as is known.
	Stored uint64
	// SourcePosition and TargetPosition are where the last of them stands in the
	// two stores, 0 if there is none. What has handled all of them in the source
	// goes on behind TargetPosition.
	SourcePosition, TargetPosition uint64
}

// Copy stores in target all events of source that it does not have, and compares
// each event of the two, those that were there before too. Without an error
// both hold the same, which the report sums up.
//
// Nothing is kept but the events: target must be empty, or hold a beginning of
// source. So a Copy that ended early, by an error, by the end of ctx or with its
// process, is called again. It compares what was copied, then goes on; with
// [Config.From] it goes on at once. Nobody else may append to target meanwhile;
// reading from source and appending to it may go on. Two Copies at once do each
// other no harm.
//
// A view of the source that is bound to a tenant ([eventstore.BindTenant])
// copies the events of that tenant alone.
//
// Errors: a [*DifferenceError] for a target that holds something else; an
// [*event.InvalidError] for a source and a target that are one store, or a
// [Config.From] of others; [eventstore.ErrTooLarge] for an event beyond the
// target's limits, which may be raised before the next call; and those of the
// stores, for which [eventstore.IsRetryable] tells whether calling again can
// help. The report says how far it came.
func Copy(ctx context.Context, source eventstore.Store, target Target, config Config) (Report, error) {
	if err := requireTwo(source, target); err != nil {
		return config.From, fmt.Errorf("copy events: %w", err)
	}
	c := &copying{
		comparison: comparison{
			source: source, target: target, progress: config.Progress, equal: newDigester(config.From.Digest),
			at: config.From.SourcePosition, last: config.From.SourcePosition, twin: config.From.TargetPosition,
		},
		importer: target, stop: config.Stop,
	}
	err := c.requireLast(ctx)
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		return c.result(), fmt.Errorf("copy events: %w", err)
	}
	return c.result(), nil
}

// requireTwo refuses one store twice. A copy of a store's files is the same
// store, by its id.
func requireTwo(source, target eventstore.Store) error {
	switch {
	case source == nil:
		return &event.InvalidError{Field: "source", Reason: "must be a store"}
	case target == nil:
		return &event.InvalidError{Field: "target", Reason: "must be a store"}
	case source.ID() == target.ID():
		return &event.InvalidError{Field: "target", Value: target.ID().String(), Reason: "is the source itself, or was restored from a backup of it"}
	default:
		return nil
	}
}

// copying is one Copy.
type copying struct {
	comparison

	importer eventstore.Importer
	stop     <-chan struct{} // nil if it does not follow
}

// requireLast refuses to go on from a report of other stores: the last event
// that it is about must be there, in both.
func (c *copying) requireLast(ctx context.Context) error {
	if c.equal.Events == 0 {
		c.at, c.last, c.twin = 0, 0, 0
		return nil
	}
	e, err := at(ctx, c.source, c.last)
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	twin, err := at(ctx, c.target, c.twin)
	if err != nil {
		return fmt.Errorf("read target: %w", err)
	}
	if err := errors.Join(c.mine.set(&e), c.yours.set(&twin)); err != nil {
		return err
	}
	if e.ID == uuid.Nil || c.firstField() != "" {
		return &event.InvalidError{Field: "from", Reason: "is the report of a copy between other stores"}
	}
	return nil
}

// at returns the event that a store has at a position, the zero event if none.
func at(ctx context.Context, store eventstore.Store, position uint64) (event.Event, error) {
	for e, err := range store.ReadAll(ctx, eventstore.Query{After: position - 1, Until: position}) {
		return e, err
	}
	return event.Event{}, nil
}

// run copies what there is, again and again until it is stopped.
func (c *copying) run(ctx context.Context) error {
	for {
		last := c.stopped() // before the head: what was appended by then is below it
		head, err := c.source.Head(ctx)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		c.head = head
		if err := c.catchUp(ctx, head); err != nil {
			return err
		}
		c.report()
		if last {
			return nil
		}
		if err := c.await(ctx, head); err != nil {
			return err
		}
	}
}

// stopped reports whether nothing more is to be waited for.
func (c *copying) stopped() bool {
	if c.stop == nil {
		return true
	}
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// catchUp brings the target to the source's position until.
func (c *copying) catchUp(ctx context.Context, until uint64) error {
	if err := c.compare(ctx, until); err != nil { // what the target has already
		return err
	}
	for c.at < until {
		last, err := c.storeSome(ctx, until)
		if err != nil {
			return err
		}
		if last == 0 { // positions without events
			last = until
		}
		if err := c.readBack(ctx, last); err != nil {
			return err
		}
	}
	return nil
}

// storeSome stores the next events in the target and returns the position of
// the last of them in the source, 0 if there is none.
func (c *copying) storeSome(ctx context.Context, until uint64) (last uint64, err error) {
	some := c.source.ReadAll(ctx, eventstore.Query{After: c.at, Until: until, Limit: pieceEvents})
	stored, err := c.importer.Import(ctx, func(yield func(event.Event, error) bool) {
		for e, err := range some {
			if err != nil {
				err = fmt.Errorf("read source: %w", err)
			}
			last = e.Position
			if !yield(e, err) {
				return
			}
		}
	})
	c.stored += uint64(max(stored, 0))
	if err != nil {
		return 0, fmt.Errorf("target: %w", err)
	}
	return last, nil
}

// readBack compares what was stored, up to the source's position until. Where
// somebody holds the target's readers back it waits until they see it.
func (c *copying) readBack(ctx context.Context, until uint64) error {
	for {
		head, err := c.target.Head(ctx)
		if err != nil {
			return fmt.Errorf("target: %w", err)
		}
		if err := c.compare(ctx, until); err != nil || c.at >= until {
			return err
		}
		if _, err := c.target.Wait(ctx, head); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	}
}

// compare walks on to the source's position until, or to the target's end. A
// target that has more is compared with what the source has by now: another
// Copy may be ahead.
func (c *copying) compare(ctx context.Context, until uint64) error {
	for {
		end, err := c.walk(ctx, until)
		if err != nil || end.extra.ID == uuid.Nil {
			return err
		}
		head, err := c.source.Head(ctx)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		if head <= until {
			return &DifferenceError{Number: c.equal.Events + 1, Target: end.extra}
		}
		until, c.head = head, max(c.head, head)
	}
}

// await waits for the source to have more, or for the order to stop.
func (c *copying) await(ctx context.Context, head uint64) error {
	waiting, cancel := context.WithCancel(ctx)
	var listener sync.WaitGroup
	listener.Go(func() {
		select {
		case <-c.stop:
			cancel()
		case <-waiting.Done():
		}
	})
	_, err := c.source.Wait(waiting, head)
	cancel()
	listener.Wait()
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return nil // it is to stop
	}
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}
