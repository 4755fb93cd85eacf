package jetstream

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/evident-go/evident/dlq"
)

// Letters implements [dlq.Store].
func (s deadLetters) Letters(ctx context.Context, sequence dlq.Sequence, limit int) (letters []dlq.Letter, err error) {
	release, err := s.session.hold(ctx, sequence.Projection, sequence.Version, toRead)
	if err != nil {
		return nil, err
	}
	defer release()
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		d.show(sequenceKey(sequence))
		list, err := listOf(ctx, d, sequence)
		if err != nil {
			return err
		}
		letters, err = list.letters(ctx, d, limit)
		return err
	})
	return letters, err
}

// letters reads up to limit letters of a list, from the first; 0 for all.
func (v *sequenceValue) letters(ctx context.Context, d *draft, limit int) ([]dlq.Letter, error) {
	wanted := len(v.Positions)
	if limit > 0 {
		wanted = min(limit, wanted)
	}
	var keys []string
	for at := 1; at < wanted; at++ { // the first is in the list
		keys = append(keys, letterKey(v.sequence(), v.Positions[at]))
	}
	if err := d.fetch(ctx, keys...); err != nil {
		return nil, err
	}
	var letters []dlq.Letter
	for at := range wanted {
		value, err := v.read(ctx, d, at)
		if err != nil {
			return nil, err
		}
		letters = append(letters, value.letter(v.sequence()))
	}
	return letters, nil
}

// lists returns the lists of all parked sequences of a projection, or of all if
// projection is "", and of a version, unless that is 0.
func lists(ctx context.Context, d *draft, projection string, version int) ([]sequenceValue, error) {
	marks, sequences := below(clearedKeys), below(sequenceKeys)
	switch {
	case projection != "" && version != 0:
		marks, sequences = clearedKey(projection, version), below(versionKey(sequenceKeys, projection, version))
	case projection != "":
		marks, sequences = below(progressKey(clearedKeys, keyPart(projection))), below(progressKey(sequenceKeys, keyPart(projection)))
	}
	all, err := d.list(ctx, marks, sequences)
	if err != nil {
		return nil, err
	}
	cleared := make(map[string]uint64)
	var found []sequenceValue
	for key, data := range all {
		if strings.HasPrefix(key, clearedKeys) {
			mark, err := decodeValue[clearedValue](key, data)
			if err != nil {
				return nil, err
			}
			cleared[key] = mark.Times
			continue
		}
		list, err := decodeValue[sequenceValue](key, data)
		if err != nil {
			return nil, err
		}
		found = append(found, list)
	}
	return slices.DeleteFunc(found, func(v sequenceValue) bool {
		return v.Cleared != cleared[clearedKey(v.Projection, v.Version)] || version != 0 && v.Version != version
	}), nil
}

// Sequences implements [dlq.Store].
func (s deadLetters) Sequences(ctx context.Context, f dlq.Filter) (parked []dlq.Parked, err error) {
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		found, err := lists(ctx, d, f.Projection, f.Version)
		parked = nil
		for i := range found {
			if selected(&f, &found[i]) {
				parked = append(parked, found[i].parked())
			}
		}
		return err
	})
	slices.SortFunc(parked, func(a, b dlq.Parked) int {
		return cmp.Or(a.First.ParkedAt.Compare(b.First.ParkedAt), cmp.Compare(a.First.Position, b.First.Position), cmp.Compare(a.Sequence.Key, b.Sequence.Key))
	})
	if f.Limit > 0 {
		parked = parked[:min(f.Limit, len(parked))]
	}
	return parked, err
}

func (v *sequenceValue) parked() dlq.Parked {
	s := v.sequence()
	return dlq.Parked{Sequence: s, Letters: len(v.Positions), First: v.First.letter(s), NextRetry: v.NextRetry, Until: v.Until}
}

// selected reports whether a filter selects a list, apart from its projection
// and version.
func selected(f *dlq.Filter, v *sequenceValue) bool {
	if f.Key != "" && f.Key != v.Key {
		return false
	}
	return f.DueBy.IsZero() || !v.NextRetry.IsZero() && !v.NextRetry.After(f.DueBy)
}

// Discarded implements [dlq.Store].
func (s deadLetters) Discarded(ctx context.Context, projection string, version int) (discarded []dlq.Discarded, err error) {
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		values, err := listValues[discardedValue](ctx, d, below(versionKey(discardedKeys, projection, version)))
		slices.SortFunc(values, func(a, b discardedValue) int {
			return cmp.Or(a.DiscardedAt.Compare(b.DiscardedAt), slices.Compare(a.ID[:], b.ID[:]))
		})
		discarded = nil
		for _, v := range values {
			of := dlq.Sequence{Projection: v.Projection, Version: v.Version, Key: v.Key}
			discarded = append(discarded, dlq.Discarded{Letter: v.Letter.letter(of), Reason: v.Reason, By: v.By, DiscardedAt: v.DiscardedAt})
		}
		return err
	})
	return discarded, err
}

// Stats implements [dlq.Store].
func (s deadLetters) Stats(ctx context.Context, projection string, version int) (stats dlq.Stats, err error) {
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		found, err := lists(ctx, d, projection, version)
		stats = dlq.Stats{Sequences: len(found)}
		for i := range found {
			stats.Letters += len(found[i].Positions)
			oldest := time.UnixMicro(slices.Min(found[i].Parked)).UTC()
			if stats.Oldest.IsZero() || oldest.Before(stats.Oldest) {
				stats.Oldest = oldest
			}
		}
		return err
	})
	return stats, err
}
