package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

// deadLetters implements [dlq.Store].
type deadLetters struct{ session session }

// Parked implements [dlq.Store].
func (d deadLetters) Parked(ctx context.Context, projection string, version int, keys []string) (map[string]bool, error) {
	parked := make(map[string]bool)
	err := d.session.read(ctx, func(v *view) error {
		for _, key := range keys {
			if _, found := v.letters.get(dlq.Sequence{Projection: projection, Version: version, Key: key}); found {
				parked[key] = true
			}
		}
		return nil
	})
	return parked, err
}

// Park implements [dlq.Store].
func (d deadLetters) Park(ctx context.Context, letters ...dlq.Letter) error {
	for i := range letters {
		if err := dlq.CheckLetter(&letters[i]); err != nil {
			return err
		}
	}
	return d.session.write(ctx, func(v *view) error {
		for _, l := range letters {
			q, _ := v.letters.get(l.Sequence)
			if i, found := q.find(l.Position); !found {
				v.letters.put(l.Sequence, q.with(i, dlq.Stored(l)))
			}
		}
		return nil
	})
}

// Failed implements [dlq.Store].
func (d deadLetters) Failed(ctx context.Context, l dlq.Letter, cause string, triedAt, nextRetry time.Time) error {
	return d.change(ctx, l, func(v *view, q *queue, i int) {
		failed := *q.letters[i]
		failed.Attempts++
		failed.Redrives++
		failed.Cause, failed.TriedAt = cause, triedAt
		v.letters.put(l.Sequence, q.replaced(i, dlq.Stored(failed), event.Time(nextRetry)))
	})
}

// Schedule implements [dlq.Store].
func (d deadLetters) Schedule(ctx context.Context, s dlq.Sequence, nextRetry time.Time) error {
	return d.ScheduleUntil(ctx, s, nextRetry, 0)
}

// ScheduleUntil implements [dlq.Store].
func (d deadLetters) ScheduleUntil(ctx context.Context, s dlq.Sequence, nextRetry time.Time, until uint64) error {
	return d.session.write(ctx, func(v *view) error {
		q, found := v.letters.get(s)
		if !found {
			return dlq.ErrNotFound
		}
		v.letters.put(s, &queue{letters: q.letters, nextRetry: event.Time(nextRetry), until: until})
		return nil
	})
}

// Remove implements [dlq.Store].
func (d deadLetters) Remove(ctx context.Context, l dlq.Letter) error {
	return d.change(ctx, l, func(v *view, q *queue, i int) { takeOut(v, l.Sequence, q, i) })
}

// Discard implements [dlq.Store].
func (d deadLetters) Discard(ctx context.Context, l dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	if err := dlq.CheckDiscard(reason, by, at); err != nil {
		return err
	}
	return d.change(ctx, l, func(v *view, q *queue, i int) {
		of := version{l.Sequence.Projection, l.Sequence.Version}
		kept, _ := v.discarded.get(of)
		v.discarded.put(of, append(kept, dlq.Discarded{Letter: *q.letters[i], Reason: reason, By: by, DiscardedAt: event.Time(at)}))
		takeOut(v, l.Sequence, q, i)
	})
}

// Letters implements [dlq.Store].
func (d deadLetters) Letters(ctx context.Context, s dlq.Sequence, limit int) ([]dlq.Letter, error) {
	var letters []dlq.Letter
	err := d.session.read(ctx, func(v *view) error {
		if q, found := v.letters.get(s); found {
			letters = make([]dlq.Letter, bounded(len(q.letters), limit))
			for i := range letters {
				letters[i] = *q.letters[i]
			}
		}
		return nil
	})
	return letters, err
}

// Sequences implements [dlq.Store].
func (d deadLetters) Sequences(ctx context.Context, f dlq.Filter) ([]dlq.Parked, error) {
	var parked []dlq.Parked
	err := d.session.read(ctx, func(v *view) error {
		for s, q := range v.letters.all() {
			if selects(f, s, q.nextRetry) {
				parked = append(parked, q.state(s))
			}
		}
		return nil
	})
	slices.SortFunc(parked, func(a, b dlq.Parked) int {
		return cmp.Or(a.First.ParkedAt.Compare(b.First.ParkedAt), cmp.Compare(a.First.Position, b.First.Position), cmp.Compare(a.Sequence.Key, b.Sequence.Key))
	})
	return parked[:bounded(len(parked), f.Limit)], err
}

// Discarded implements [dlq.Store].
func (d deadLetters) Discarded(ctx context.Context, projection string, of int) ([]dlq.Discarded, error) {
	var discarded []dlq.Discarded
	err := d.session.read(ctx, func(v *view) error {
		kept, _ := v.discarded.get(version{projection, of})
		discarded = slices.Clone(kept)
		return nil
	})
	slices.SortStableFunc(discarded, func(a, b dlq.Discarded) int { return a.DiscardedAt.Compare(b.DiscardedAt) })
	return discarded, err
}

// Stats implements [dlq.Store].
func (d deadLetters) Stats(ctx context.Context, projection string, version int) (dlq.Stats, error) {
	var stats dlq.Stats
	err := d.session.read(ctx, func(v *view) error {
		for s, q := range v.letters.all() {
			if s.Projection == projection && s.Version == version {
				add(&stats, q)
			}
		}
		return nil
	})
	return stats, err
}

// Clear implements [dlq.Store].
func (d deadLetters) Clear(ctx context.Context, projection string, version int) error {
	return d.session.write(ctx, func(v *view) error {
		var cleared []dlq.Sequence
		for s := range v.letters.all() {
			if s.Projection == projection && s.Version == version {
				cleared = append(cleared, s)
			}
		}
		for _, s := range cleared {
			v.letters.remove(s)
		}
		return nil
	})
}

// change calls f with the queue of letter l and its place there.
func (d deadLetters) change(ctx context.Context, l dlq.Letter, f func(v *view, q *queue, i int)) error {
	return d.session.write(ctx, func(v *view) error {
		q, _ := v.letters.get(l.Sequence)
		i, found := q.find(l.Position)
		if !found {
			return dlq.ErrNotFound
		}
		f(v, q, i)
		return nil
	})
}

// takeOut removes letter i; a sequence without letters is no longer parked.
func takeOut(v *view, s dlq.Sequence, q *queue, i int) {
	if rest := q.without(i); rest != nil {
		v.letters.put(s, rest)
	} else {
		v.letters.remove(s)
	}
}

func selects(f dlq.Filter, s dlq.Sequence, nextRetry time.Time) bool {
	return (f.Projection == "" || f.Projection == s.Projection) &&
		(f.Version == 0 || f.Version == s.Version) &&
		(f.Key == "" || f.Key == s.Key) &&
		(f.DueBy.IsZero() || (!nextRetry.IsZero() && !nextRetry.After(f.DueBy)))
}

func add(stats *dlq.Stats, q *queue) {
	stats.Sequences++
	stats.Letters += len(q.letters)
	if oldest := q.oldest(); stats.Oldest.IsZero() || oldest.Before(stats.Oldest) {
		stats.Oldest = oldest
	}
}

// bounded returns how many of n are wanted; a limit of 0 wants all.
func bounded(n, limit int) int {
	if limit <= 0 {
		return n
	}
	return min(n, limit)
}
