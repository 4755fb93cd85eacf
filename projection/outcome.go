package projection

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

// outcome is what comes of a batch: how far it went, and which letters have to
// be written with the checkpoint.
type outcome struct {
	worker   *worker
	batch    []event.Event
	parked   map[string]bool
	counts   map[string]int // letters by sequence, those of this batch included
	letters  []dlq.Letter
	retries  map[dlq.Sequence]time.Time // of sequences that were parked by this batch
	discards []discard
	applied  uint64
	inARow   int          // events that parked since one was applied
	to       uint64       // where the checkpoint goes
	ending   func() error // why the run is about to end; nil while it goes on
	stopped  error        // why the batch could not go on to its end
}

type discard struct {
	letter dlq.Letter
	reason string
}

func (w *worker) newOutcome(batch []event.Event, ending func() error) *outcome {
	return &outcome{worker: w, batch: batch, ending: ending, inARow: w.inARow}
}

// succeeded notes that so many events were applied.
func (o *outcome) succeeded(events int) {
	o.applied += uint64(events) //nolint:gosec // a count.
	o.inARow = 0
}

// findParked asks which sequences of the batch are parked. Usually none is,
// and then no event's sequence need be worked out.
func (o *outcome) findParked(ctx context.Context, letters dlq.Store) error {
	if len(o.batch) == 0 || !o.worker.letters.any() {
		return nil
	}
	key := o.worker.key
	keys, err := o.keys()
	if err != nil {
		return err
	}
	o.parked, err = letters.Parked(ctx, key.Projection, key.Version, keys)
	return wrap("look up parked sequences", err)
}

// wrap says what was being done when err came up; nil stays nil.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// keys returns the keys of the batch's sequences, each once.
func (o *outcome) keys() ([]string, error) {
	seen := make(map[string]struct{}, len(o.batch))
	for i := range o.batch {
		s, err := o.sequence(i)
		if err != nil {
			return nil, err
		}
		seen[s.Key] = struct{}{}
	}
	return slices.Collect(maps.Keys(seen)), nil
}

func (o *outcome) isParked(i int) (bool, error) {
	if len(o.parked) == 0 {
		return false, nil
	}
	s, err := o.sequence(i)
	return o.parked[s.Key], err
}

func (o *outcome) sequence(i int) (dlq.Sequence, error) { return o.worker.sequence(o.batch[i]) }

// setAside queues the events of parked sequences behind their letters, and
// returns the others.
func (o *outcome) setAside(ctx context.Context, letters dlq.Store) ([]event.Event, error) {
	if len(o.parked) == 0 {
		return o.batch, nil
	}
	free := make([]event.Event, 0, len(o.batch))
	for i, e := range o.batch {
		parked, err := o.isParked(i)
		if err != nil {
			return nil, err
		}
		if !parked {
			free = append(free, e)
			continue
		}
		if err := o.wait(ctx, letters, i); err != nil {
			return nil, err
		}
	}
	return free, nil
}

// wait queues event i behind the letters of its sequence.
func (o *outcome) wait(ctx context.Context, letters dlq.Store, i int) error {
	s, err := o.sequence(i)
	if err != nil {
		return err
	}
	if err := o.makeRoom(ctx, letters, s); err != nil {
		return err
	}
	o.letters = append(o.letters, o.letter(s, i, "", 0))
	return nil
}

// park starts a sequence with event i, which failed.
func (o *outcome) park(ctx context.Context, letters dlq.Store, i int, cause error, attempts int) error {
	s, err := o.sequence(i)
	if err != nil {
		return err
	}
	if err := o.makeRoom(ctx, letters, s); err != nil {
		return err
	}
	o.letters = append(o.letters, o.letter(s, i, causeOf(cause), attempts))
	if o.parked == nil {
		o.parked = make(map[string]bool)
	}
	o.parked[s.Key] = true
	if o.retries == nil {
		o.retries = make(map[dlq.Sequence]time.Time)
	}
	o.retries[s] = o.worker.nextRedrive(1)
	o.inARow++
	return nil
}

// skip records event i as discarded, because the configuration says so.
func (o *outcome) skip(i int, cause error, attempts int) error {
	s, err := o.sequence(i)
	if err != nil {
		return err
	}
	l := o.letter(s, i, causeOf(cause), attempts)
	o.discards = append(o.discards, discard{letter: l, reason: "skipped by configuration"})
	return nil
}

func (o *outcome) letter(s dlq.Sequence, i int, cause string, attempts int) dlq.Letter {
	e, now := o.batch[i], o.worker.config.Now()
	l := dlq.Letter{
		Sequence: s, Position: e.Position, EventID: e.ID, EventType: e.Type,
		Cause: cause, Attempts: attempts, ParkedAt: event.Time(now),
	}
	if attempts > 0 {
		l.TriedAt = l.ParkedAt
	}
	return l
}

// causeOf is what a letter says of why it failed. It must not be empty: that
// is how a letter that waits behind another is told from one that failed.
func causeOf(err error) string {
	if s := dlq.CutCause(err.Error()); s != "" {
		return s
	}
	return "failed without a message"
}

// makeRoom counts a letter and refuses it at the limit.
func (o *outcome) makeRoom(ctx context.Context, letters dlq.Store, s dlq.Sequence) error {
	if o.counts == nil {
		o.counts = make(map[string]int)
	}
	if _, known := o.counts[s.Key]; !known {
		n, err := o.lettersOf(ctx, letters, s)
		if err != nil {
			return err
		}
		o.counts[s.Key] = n
	}
	if limit := o.worker.config.MaxLetters; o.counts[s.Key] >= limit {
		return &dlq.FullError{Sequence: s, What: "letters in the sequence", Limit: limit}
	}
	o.counts[s.Key]++
	return nil
}

// lettersOf returns how many letters a sequence has; for a new one it checks
// that there is room for one more sequence.
func (o *outcome) lettersOf(ctx context.Context, letters dlq.Store, s dlq.Sequence) (int, error) {
	found, err := letters.Sequences(ctx, dlq.Filter{Projection: s.Projection, Version: s.Version, Key: s.Key, Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("count letters: %w", err)
	}
	if len(found) > 0 {
		return found[0].Letters, nil
	}
	stats, err := letters.Stats(ctx, s.Projection, s.Version)
	if err != nil {
		return 0, fmt.Errorf("count parked sequences: %w", err)
	}
	if limit := o.worker.config.MaxSequences; stats.Sequences+len(o.retries) >= limit {
		return 0, &dlq.FullError{Sequence: s, What: "parked sequences", Limit: limit}
	}
	return 0, nil
}

// firstRetry returns when the first of the sequences that the batch has parked is
// tried again by itself; zero for none.
func (o *outcome) firstRetry() (first time.Time) {
	for _, next := range o.retries {
		if !next.IsZero() && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	return first
}

// post writes the letters of the batch.
func (o *outcome) post(ctx context.Context, letters dlq.Store) error {
	if err := o.scheduleLeftAlone(ctx, letters); err != nil {
		return err
	}
	if len(o.letters) > 0 {
		if err := letters.Park(ctx, o.letters...); err != nil {
			return err // the caller says what was done.
		}
	}
	for s, next := range o.retries {
		if err := letters.Schedule(ctx, s, next); err != nil {
			return err // the caller says what was done.
		}
	}
	for _, d := range o.discards {
		if err := letters.Park(ctx, d.letter); err != nil {
			return err // the caller says what was done.
		}
		if err := letters.Discard(ctx, d.letter, d.reason, runnerActor, o.worker.config.Now()); err != nil {
			return err // the caller says what was done.
		}
	}
	return nil
}

// scheduleLeftAlone has the sequences tried whose letters were all taken out by
// another process since they were found parked: what waited behind is now first.
func (o *outcome) scheduleLeftAlone(ctx context.Context, letters dlq.Store) error {
	behind := make(map[string]dlq.Sequence)
	for _, l := range o.letters {
		if _, started := o.retries[l.Sequence]; !started {
			behind[l.Sequence.Key] = l.Sequence
		}
	}
	if len(behind) == 0 {
		return nil
	}
	key := o.worker.key
	parked, err := letters.Parked(ctx, key.Projection, key.Version, slices.Collect(maps.Keys(behind)))
	if err != nil {
		return err // the caller says what was done.
	}
	if o.retries == nil {
		o.retries = make(map[dlq.Sequence]time.Time)
	}
	for k, s := range behind {
		if !parked[k] {
			o.retries[s] = event.Time(o.worker.config.Now())
		}
	}
	return nil
}

// runnerActor is who discards letters when the configuration says so.
const runnerActor event.ActorID = "system:projection-runner"
