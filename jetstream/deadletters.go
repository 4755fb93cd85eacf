package jetstream

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// deadLetters implements [dlq.Store]. What changes letters is in this file, what
// lists them in letters.go.
//
// Each parked sequence has a key that lists its letters; each letter has one of
// its own. Whoever changes letters of a sequence writes its list, so that the
// list's revision tells whether somebody else has. A letter that no list names
// is not there.
//
// To clear a version, only a number is written: lists from before have another,
// and are taken for empty, however many they are. The server takes them away
// afterwards.
type deadLetters struct{ session session }

// sequenceValue is a sequence that is parked, or was.
type sequenceValue struct {
	Projection string      `json:"projection"`
	Version    int         `json:"version"`
	Key        string      `json:"key"`
	Cleared    uint64      `json:"cleared,omitempty"` // how often the version had been cleared when it was parked
	Positions  []uint64    `json:"positions"`         // of the letters, in order
	Parked     []int64     `json:"parked"`            // when each was parked, in microseconds
	First      letterValue `json:"first"`
	NextRetry  time.Time   `json:"next_retry,omitzero"`
	Until      uint64      `json:"until,omitempty"`
}

// letterValue is a letter as it is stored, without its sequence.
type letterValue struct {
	Position  uint64    `json:"position"`
	EventID   uuid.UUID `json:"event_id"`
	EventType string    `json:"event_type"`
	Cause     string    `json:"cause,omitempty"`
	Attempts  int       `json:"attempts,omitempty"`
	Redrives  int       `json:"redrives,omitempty"`
	ParkedAt  time.Time `json:"parked_at"`
	TriedAt   time.Time `json:"tried_at,omitzero"`
}

func valueOfLetter(l dlq.Letter) letterValue {
	return letterValue{
		Position: l.Position, EventID: l.EventID, EventType: l.EventType, Cause: l.Cause,
		Attempts: l.Attempts, Redrives: l.Redrives, ParkedAt: l.ParkedAt, TriedAt: l.TriedAt,
	}
}

func (v letterValue) letter(s dlq.Sequence) dlq.Letter {
	return dlq.Letter{
		Sequence: s, Position: v.Position, EventID: v.EventID, EventType: v.EventType, Cause: v.Cause,
		Attempts: v.Attempts, Redrives: v.Redrives, ParkedAt: v.ParkedAt, TriedAt: v.TriedAt,
	}
}

func (v *sequenceValue) sequence() dlq.Sequence {
	return dlq.Sequence{Projection: v.Projection, Version: v.Version, Key: v.Key}
}

// clearedValue says how often the letters of a version were cleared.
type clearedValue struct {
	Projection string `json:"projection"`
	Version    int    `json:"version"`
	Times      uint64 `json:"times"`
}

func clearedKey(projection string, version int) string {
	return versionKey(clearedKeys, projection, version)
}

func sequenceKey(s dlq.Sequence) string {
	return versionKey(sequenceKeys, s.Projection, s.Version) + "." + keyPart(s.Key)
}

func letterKey(s dlq.Sequence, position uint64) string {
	return versionKey(letterKeys, s.Projection, s.Version) + "." + keyPart(s.Key) + "." + strconv.FormatUint(position, 10)
}

// alter has f change letters of a version, of which it holds the turn.
func (s deadLetters) alter(ctx context.Context, projection string, version int, f operation) error {
	release, err := s.session.hold(ctx, projection, version, toChange)
	if err != nil {
		return err
	}
	defer release()
	return s.session.change(ctx, f)
}

// listOf returns the list of a sequence, which has no letters if it is not parked.
func listOf(ctx context.Context, d *draft, s dlq.Sequence) (sequenceValue, error) {
	key, mark := sequenceKey(s), clearedKey(s.Projection, s.Version)
	none := sequenceValue{Projection: s.Projection, Version: s.Version, Key: s.Key}
	if err := d.fetch(ctx, key, mark); err != nil {
		return none, err
	}
	cleared, _, err := load[clearedValue](ctx, d, mark)
	if err != nil {
		return none, err
	}
	none.Cleared = cleared.Times
	list, found, err := load[sequenceValue](ctx, d, key)
	if err != nil || !found || list.Cleared != cleared.Times {
		return none, err
	}
	return list, nil
}

// Park implements [dlq.Store].
func (s deadLetters) Park(ctx context.Context, letters ...dlq.Letter) error {
	for i := range letters {
		if err := dlq.CheckLetter(&letters[i]); err != nil {
			return err
		}
	}
	if len(letters) == 0 {
		return nil
	}
	release, err := s.holdAll(ctx, versionsIn(letters))
	defer release()
	if err != nil {
		return err
	}
	return s.session.change(ctx, func(ctx context.Context, d *draft) error { return parkAll(ctx, d, letters) })
}

// holdAll takes the turns of versions. What it returns gives back those that it
// has, also after an error.
func (s deadLetters) holdAll(ctx context.Context, versions []registry.Name) (release func(), err error) {
	var held []func()
	release = func() {
		for _, one := range held {
			one()
		}
	}
	for _, of := range versions {
		one, err := s.session.hold(ctx, of.Projection, of.Version, toChange)
		if err != nil {
			return release, err
		}
		held = append(held, one)
	}
	return release, nil
}

// versionsIn returns the versions that letters are of, each once, in an order in
// which nobody waits for another the other way round.
func versionsIn(letters []dlq.Letter) []registry.Name {
	var all []registry.Name
	for i := range letters {
		all = append(all, registry.Name{Projection: letters[i].Sequence.Projection, Version: letters[i].Sequence.Version})
	}
	slices.SortFunc(all, func(a, b registry.Name) int {
		return cmp.Or(cmp.Compare(a.Projection, b.Projection), a.Version-b.Version)
	})
	return slices.Compact(all)
}

func parkAll(ctx context.Context, d *draft, letters []dlq.Letter) error {
	keys := make(map[string]struct{})
	for i := range letters {
		s := letters[i].Sequence
		keys[sequenceKey(s)], keys[clearedKey(s.Projection, s.Version)] = struct{}{}, struct{}{}
	}
	if err := d.fetch(ctx, slices.Collect(maps.Keys(keys))...); err != nil {
		return err
	}
	for _, l := range letters {
		if err := park(ctx, d, dlq.Stored(l)); err != nil {
			return err
		}
	}
	return nil
}

// park adds a letter to the list of its sequence. If it is there already the list
// is held all the same, so that the sequence stays parked.
func park(ctx context.Context, d *draft, l dlq.Letter) error {
	list, err := listOf(ctx, d, l.Sequence)
	if err != nil {
		return err
	}
	at, parked := slices.BinarySearch(list.Positions, l.Position)
	if parked {
		d.hold(sequenceKey(l.Sequence))
		return nil
	}
	value := valueOfLetter(l)
	list.Positions = slices.Insert(list.Positions, at, l.Position)
	list.Parked = slices.Insert(list.Parked, at, l.ParkedAt.UnixMicro())
	if at == 0 {
		list.First = value
	}
	if err := store(d, letterKey(l.Sequence, l.Position), value); err != nil {
		return err
	}
	d.precede(letterKey(l.Sequence, l.Position))
	return store(d, sequenceKey(l.Sequence), list)
}

// find returns the list of a letter's sequence and where the letter is in it.
// Errors: [dlq.ErrNotFound].
func find(ctx context.Context, d *draft, l dlq.Letter) (list sequenceValue, at int, err error) {
	list, err = listOf(ctx, d, l.Sequence)
	if err != nil {
		return list, 0, err
	}
	at, parked := slices.BinarySearch(list.Positions, l.Position)
	if !parked {
		return list, 0, dlq.ErrNotFound
	}
	return list, at, nil
}

// read returns the letter at a place of a list.
func (v *sequenceValue) read(ctx context.Context, d *draft, at int) (letterValue, error) {
	if at == 0 {
		return v.First, nil
	}
	value, found, err := load[letterValue](ctx, d, letterKey(v.sequence(), v.Positions[at]))
	if err == nil && !found {
		err = errTorn // it was taken out since the list was read
	}
	return value, err
}

// Failed implements [dlq.Store].
func (s deadLetters) Failed(ctx context.Context, l dlq.Letter, cause string, triedAt, nextRetry time.Time) error {
	return s.alter(ctx, l.Sequence.Projection, l.Sequence.Version, func(ctx context.Context, d *draft) error {
		list, at, err := find(ctx, d, l)
		if err != nil {
			return err
		}
		value, err := list.read(ctx, d, at)
		if err != nil {
			return err
		}
		value.Attempts++
		value.Redrives++
		value.Cause, value.TriedAt = dlq.CutCause(cause), event.Time(triedAt)
		if at == 0 {
			list.First = value
		}
		list.NextRetry, list.Until = timeOrNone(nextRetry), 0
		if err := store(d, letterKey(l.Sequence, l.Position), value); err != nil {
			return err
		}
		return store(d, sequenceKey(l.Sequence), list)
	})
}

// timeOrNone returns a time as it is stored; zero stays.
func timeOrNone(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return event.Time(t)
}

// Schedule implements [dlq.Store].
func (s deadLetters) Schedule(ctx context.Context, sequence dlq.Sequence, nextRetry time.Time) error {
	return s.ScheduleUntil(ctx, sequence, nextRetry, 0)
}

// ScheduleUntil implements [dlq.Store].
func (s deadLetters) ScheduleUntil(ctx context.Context, sequence dlq.Sequence, nextRetry time.Time, until uint64) error {
	return s.alter(ctx, sequence.Projection, sequence.Version, func(ctx context.Context, d *draft) error {
		list, err := listOf(ctx, d, sequence)
		if err != nil {
			return err
		}
		if len(list.Positions) == 0 {
			return dlq.ErrNotFound
		}
		list.NextRetry, list.Until = timeOrNone(nextRetry), until
		return store(d, sequenceKey(sequence), list)
	})
}

// Remove implements [dlq.Store].
func (s deadLetters) Remove(ctx context.Context, l dlq.Letter) error {
	return s.alter(ctx, l.Sequence.Projection, l.Sequence.Version, func(ctx context.Context, d *draft) error {
		list, at, err := find(ctx, d, l)
		if err != nil {
			return err
		}
		return list.takeOut(ctx, d, at)
	})
}

// takeOut removes a letter; a sequence without letters is no longer parked.
func (v *sequenceValue) takeOut(ctx context.Context, d *draft, at int) error {
	s := v.sequence()
	d.remove(letterKey(s, v.Positions[at]))
	if len(v.Positions) == 1 {
		d.remove(sequenceKey(s))
		return nil
	}
	if at == 0 {
		second, err := v.read(ctx, d, 1)
		if err != nil {
			return err
		}
		v.First = second
	}
	v.Positions, v.Parked = slices.Delete(v.Positions, at, at+1), slices.Delete(v.Parked, at, at+1)
	return store(d, sequenceKey(s), v)
}

// discardedValue is a letter that somebody took out.
type discardedValue struct {
	Projection  string        `json:"projection"`
	Version     int           `json:"version"`
	Key         string        `json:"key"`
	Letter      letterValue   `json:"letter"`
	Reason      string        `json:"reason"`
	By          event.ActorID `json:"by,omitempty"`
	DiscardedAt time.Time     `json:"discarded_at"`
	ID          uuid.UUID     `json:"id"` // grows
}

// Discard implements [dlq.Store].
func (s deadLetters) Discard(ctx context.Context, l dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	if err := dlq.CheckDiscard(reason, by, at); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return s.alter(ctx, l.Sequence.Projection, l.Sequence.Version, func(ctx context.Context, d *draft) error {
		list, place, err := find(ctx, d, l)
		if err != nil {
			return err
		}
		value, err := list.read(ctx, d, place)
		if err != nil {
			return err
		}
		of := l.Sequence
		if err := store(d, versionKey(discardedKeys, of.Projection, of.Version)+"."+id.String(), discardedValue{
			Projection: of.Projection, Version: of.Version, Key: of.Key, Letter: value,
			Reason: reason, By: by, DiscardedAt: event.Time(at), ID: id,
		}); err != nil {
			return err
		}
		return list.takeOut(ctx, d, place)
	})
}

// Clear implements [dlq.Store].
func (s deadLetters) Clear(ctx context.Context, projection string, version int) error {
	return s.alter(ctx, projection, version, func(ctx context.Context, d *draft) error {
		key := clearedKey(projection, version)
		value, _, err := load[clearedValue](ctx, d, key)
		if err != nil {
			return err
		}
		value.Projection, value.Version = projection, version
		value.Times++
		d.then(func(ctx context.Context, written uint64) {
			d.bucket.purge(ctx, written, below(versionKey(sequenceKeys, projection, version)), below(versionKey(letterKeys, projection, version)))
		})
		return store(d, key, value)
	})
}

// Parked implements [dlq.Store].
func (s deadLetters) Parked(ctx context.Context, projection string, version int, keys []string) (map[string]bool, error) {
	release, err := s.session.hold(ctx, projection, version, toRead)
	if err != nil {
		return nil, err
	}
	defer release()
	parked := make(map[string]bool)
	err = s.session.look(ctx, func(ctx context.Context, d *draft) error {
		clear(parked)
		all := []string{clearedKey(projection, version)}
		for _, key := range keys {
			all = append(all, sequenceKey(dlq.Sequence{Projection: projection, Version: version, Key: key}))
		}
		if err := d.fetch(ctx, all...); err != nil {
			return err
		}
		for i, key := range keys {
			list, err := listOf(ctx, d, dlq.Sequence{Projection: projection, Version: version, Key: key})
			if err != nil {
				return err
			}
			if len(list.Positions) > 0 {
				parked[key] = true
				d.hold(all[i+1])
				d.show(all[i+1])
			}
		}
		return nil
	})
	return parked, err
}
