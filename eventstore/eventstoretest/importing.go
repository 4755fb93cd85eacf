package eventstoretest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// RunImporter holds the stores that open returns to every promise of
// [eventstore.Importer]; a store that is none fails. [Run] has those of the
// store itself.
func RunImporter(t *testing.T, open Factory, options ...Option) {
	t.Helper()
	s := newSuite(options...)
	run, err := s.without(importing())
	require.NoError(t, err)
	promisetest.Run(t, run, func(t *testing.T) subject { t.Helper(); return s.subject(t, open) })
}

func importing() []promise {
	return []promise{
		{Words: "1 As they are", Clauses: []clause{
			{Name: "every field but the position comes back", Check: importedAsTheyAre},
			{Name: "an event without a recorded-at time is recorded now", Check: importedNow},
		}},
		{Words: "2 In the order given", Clauses: []clause{
			{Name: "positions rise in the order given, above all that are stored", Check: importedInOrder},
		}},
		{Words: "3 Streams without holes", Clauses: []clause{
			{Name: "a stream that was imported is appended to", Check: importedAndAppendedTo},
			{Name: "an event that leaves a hole is refused", Check: holesRefused},
			{Name: "a place that is taken is refused", Check: takenPlaceRefused},
		}},
		{Words: "4 Again", Clauses: []clause{
			{Name: "what is stored already is passed over", Check: importedAgain},
			{Name: "an event that comes twice is stored once", Check: importedTwice},
			{Name: "an imported id that is stored at another place is refused", Check: importedElsewhere},
		}},
		{Words: "5 A beginning", Clauses: []clause{
			{Name: "an import that fails leaves a beginning, and is run again", Check: importFails},
			{Name: "an import whose context ends leaves a beginning, and is run again", Check: importCancelled},
		}},
		{Words: "6 Streaming", Clauses: []clause{
			{Name: "events are stored while the sequence goes on", Check: importStreams},
		}},
		{Words: "7 Beside others", Clauses: []clause{
			{Name: "the sequence may read the store and append to it", Check: importFromInside},
			{Name: "appends, imports and readers beside an import", Check: importBesideOthers},
		}},
		{Words: "8 Bad input", Clauses: []clause{
			{Name: "what an append would refuse an import refuses", Check: badImportsRefused},
		}},
		{Words: "9 Use after close is ErrClosed", Clauses: []clause{
			{Name: "an import after close says that the store is closed", Check: importAfterClose},
		}},
	}
}

// imports stores events as they are, which must succeed.
func (s subject) imports(t T, events []event.Event) (stored int) {
	t.Helper()
	stored, err := s.tryImport(t, t.Context(), each(events))
	require.NoError(t, err)
	return stored
}

func (s subject) tryImport(t T, ctx context.Context, events iter.Seq2[event.Event, error]) (int, error) { //nolint:revive // t comes first here.
	t.Helper()
	importer, ok := s.Store.(eventstore.Importer)
	require.True(t, ok, "%T is no eventstore.Importer", s.Store)
	return importer.Import(ctx, events)
}

// each is the sequence of events.
func each(events []event.Event) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// past returns events of some streams, in turn, as another store has them.
func (s subject) past(streams, versions int) []event.Event {
	all := make([]event.Event, 0, streams*versions)
	of := make([]eventstore.Stream, streams)
	for i := range of {
		of[i] = s.stream()
	}
	for version := range versions {
		for i, stream := range of {
			recordedAt := time.Date(2011, 1, 1, 0, 0, version, 0, time.UTC).Add(-time.Duration(i) * time.Microsecond)
			all = append(all, eventstore.Place(draft(), stream, uint64(version)+1, uint64(len(all))+1000, recordedAt))
		}
	}
	return all
}

// requireImported requires that got are the events want, wherever they stand.
func requireImported(t T, want, got []event.Event) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, e := range want {
		e.Position = got[i].Position
		require.Equal(t, e, got[i])
	}
}

func importedAsTheyAre(t T, s subject) {
	events := s.past(2, 6)
	events[0].Metadata = event.Metadata{"whole float": 3.0, "int": int64(3), "object": map[string]any{"list": []any{nil, "a"}}}
	events[1].ActorID, events[1].CorrelationID, events[1].CausationID = "", uuid.Nil, uuid.Nil
	events[2].CausationID, events[2].SchemaVersion = events[0].ID, 7
	events[3].OccurredAt = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	events[3].RecordedAt = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	events[4].RecordedAt = time.Unix(0, 0).UTC()
	events[5].Data = []byte(` { "b" : 1.10 ,` + "\n" + `"a" : "\u00e9" } `)
	for i := range events {
		if !s.bound && i%2 == 0 {
			events[i].TenantID = "" // a stream of its own
		}
	}
	require.Equal(t, len(events), s.imports(t, events))
	requireImported(t, events, s.readAll(t, eventstore.Query{}))
	stream := eventstore.StreamOf(events[1])
	requireImported(t, []event.Event{events[1], events[3], events[5]}, s.read(t, stream)[:3])
}

func importedNow(t T, s subject) {
	before := s.append(t, s.stream(), eventstore.NoStream(), draft())
	events := s.past(1, 1)
	events[0].RecordedAt = time.Time{}
	s.imports(t, events)
	after := s.append(t, s.stream(), eventstore.NoStream(), draft())
	at := s.readN(t, eventstore.StreamOf(events[0]), 1)[0].RecordedAt
	require.False(t, at.Before(before.RecordedAt), "recorded at %s, an append before it at %s", at, before.RecordedAt)
	require.False(t, at.After(after.RecordedAt), "recorded at %s, an append after it at %s", at, after.RecordedAt)
}

func importedInOrder(t T, s subject) {
	s.seed(t, 3)
	head := s.head(t)
	events := s.past(7, 9)
	events[5].Position, events[6].Position = 1, 0
	require.Equal(t, len(events), s.imports(t, events))
	got := s.readAll(t, eventstore.Query{After: head})
	require.Equal(t, idsOf(events), idsOf(got))
	for i := range got {
		require.Greater(t, got[i].Position, head)
		head = got[i].Position
	}
	require.Equal(t, head, s.head(t))
}

func importedAndAppendedTo(t T, s subject) {
	events := s.past(2, 3)
	s.imports(t, events)
	stream := eventstore.StreamOf(events[0])
	_, err := s.Append(t.Context(), to(stream, eventstore.Exact(2), draft()))
	require.ErrorIs(t, err, eventstore.ErrConflict)
	result := s.append(t, stream, eventstore.Exact(3), draft())
	require.Equal(t, []uint64{4}, result.Versions)
	more := s.past(1, 5)
	for i := range more {
		more[i].AggregateID, more[i].TenantID = stream.AggregateID, stream.TenantID
	}
	require.Equal(t, 1, s.imports(t, more[4:]))
	require.Equal(t, oneTo(5), versionsOf(s.read(t, stream)))
}

func holesRefused(t T, s subject) {
	events := s.past(1, 5)
	s.imports(t, events[:2])
	stream := eventstore.StreamOf(events[0])
	s.requireUnchanged(t, func() {
		_, err := s.tryImport(t, t.Context(), each(events[3:]))
		requireImportConflict(t, err, stream, 3, 2)
		_, err = s.tryImport(t, t.Context(), each(s.past(1, 2)[1:]))
		require.ErrorIs(t, err, eventstore.ErrConflict, "a stream that does not begin with version 1")
	})
}

func takenPlaceRefused(t T, s subject) {
	stream := s.seed(t, 3)
	other := s.past(1, 2)
	for i := range other {
		other[i].AggregateID, other[i].TenantID = stream.AggregateID, stream.TenantID
	}
	s.requireUnchanged(t, func() {
		_, err := s.tryImport(t, t.Context(), each(other[1:]))
		requireImportConflict(t, err, stream, 1, 3)
		_, err = s.tryImport(t, t.Context(), each(other[:1]))
		requireImportConflict(t, err, stream, 0, 3)
	})
}

func requireImportConflict(t T, err error, stream eventstore.Stream, expected, actual uint64) {
	t.Helper()
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, &eventstore.ConflictError{Stream: stream, Expected: eventstore.Exact(expected), Actual: actual}, conflict)
	require.False(t, eventstore.IsRetryable(err))
}

func importedAgain(t T, s subject) {
	events := s.past(3, 6)
	require.Equal(t, 10, s.imports(t, events[:10]))
	require.Equal(t, 0, s.imports(t, events[:10]), "all of it")
	require.Equal(t, 0, s.imports(t, events[4:7]), "from the middle")
	require.Equal(t, 8, s.imports(t, events[6:]), "some of it")
	require.Equal(t, 0, s.imports(t, nil), "nothing")
	requireImported(t, events, s.readAll(t, eventstore.Query{}))
	stream := s.seed(t, 2)
	s.requireUnchanged(t, func() { require.Zero(t, s.imports(t, s.read(t, stream)), "what was appended") })
}

func importedTwice(t T, s subject) {
	events := s.past(1, 3)
	twice := []event.Event{events[0], events[1], events[0], events[1], events[2], events[2]}
	require.Equal(t, 3, s.imports(t, twice))
	requireImported(t, events, s.readAll(t, eventstore.Query{}))
}

func importedElsewhere(t T, s subject) {
	events := s.past(1, 3)
	s.imports(t, events)
	moved := s.past(1, 1)[0]
	moved.ID = events[1].ID
	later := events[1]
	later.AggregateVersion = 4
	both := s.past(1, 2)
	both[1].ID = both[0].ID
	for name, c := range map[string][]event.Event{"in another stream": {moved}, "at another version": {later}, "in the same import": both} {
		head := s.head(t)
		_, err := s.tryImport(t, t.Context(), each(c))
		last := c[len(c)-1]
		var duplicate *eventstore.DuplicateEventError
		require.ErrorAs(t, err, &duplicate, name)
		require.Equal(t, &eventstore.DuplicateEventError{EventID: last.ID, Stream: eventstore.StreamOf(last)}, duplicate, name)
		require.LessOrEqual(t, len(s.readAll(t, eventstore.Query{After: head})), len(c)-1, name)
	}
}

// requireBeginning requires that the store has a beginning of events, of at
// least n, and returns how many there are.
func (s subject) requireBeginning(t T, events []event.Event, n int) int {
	t.Helper()
	got := s.readAll(t, eventstore.Query{})
	require.LessOrEqual(t, len(got), len(events))
	require.GreaterOrEqual(t, len(got), n)
	requireImported(t, events[:len(got)], got)
	return len(got)
}

func importFails(t T, s subject) {
	events := s.past(5, 20)
	cut := errors.New("cut")
	have := 0
	for _, at := range []int{1, 40, 70} {
		stored, err := s.tryImport(t, t.Context(), func(yield func(event.Event, error) bool) {
			for _, e := range events[:at] {
				if !yield(e, nil) {
					return
				}
			}
			yield(event.Event{}, cut)
		})
		require.ErrorIs(t, err, cut)
		have = s.requireBeginning(t, events[:at], have+stored)
	}
	bad := slices.Clone(events)
	bad[90].Type = ""
	stored, err := s.tryImport(t, t.Context(), each(bad))
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	have = s.requireBeginning(t, events[:90], have+stored)
	require.Equal(t, len(events)-have, s.imports(t, events))
	s.requireBeginning(t, events, len(events))
}

func importCancelled(t T, s subject) {
	events := s.past(5, 20)
	have := 0
	for _, at := range []int{0, 30, 99} {
		ctx, cancel := context.WithCancel(t.Context())
		stored, err := s.tryImport(t, ctx, func(yield func(event.Event, error) bool) {
			for i, e := range events {
				if i == at {
					cancel()
				}
				if !yield(e, nil) {
					return
				}
			}
		})
		cancel()
		require.Error(t, err)
		require.True(t, errors.Is(err, context.Canceled) || errors.Is(err, eventstore.ErrOutcomeUnknown), "%v", err)
		have = s.requireBeginning(t, events, have+stored)
	}
	require.Equal(t, len(events)-have, s.imports(t, events))
	s.requireBeginning(t, events, len(events))
}

func importStreams(t T, s subject) {
	const enough = 12_000 // more than anybody gathers
	events := s.past(enough/10, 10)
	stored := false
	n, err := s.tryImport(t, t.Context(), func(yield func(event.Event, error) bool) {
		for _, e := range events[:enough-1] {
			if !yield(e, nil) {
				return
			}
		}
		head, err := s.Head(t.Context())
		stored = head > 0
		yield(events[enough-1], err)
	})
	require.NoError(t, err)
	require.Equal(t, enough, n)
	require.True(t, stored, "nothing is stored before the last event was given")
}

func importFromInside(t T, s subject) {
	stream := s.seed(t, 1)
	events := s.past(2, 4)
	ctx, cancel := s.patiently(t)
	defer cancel()
	stored, err := s.tryImport(t, ctx, func(yield func(event.Event, error) bool) {
		for i, e := range events {
			_, err := s.Append(ctx, to(stream, eventstore.Exact(uint64(i)+1), draft()))
			if err == nil {
				_, err = collect(s.ReadAll(ctx, eventstore.Query{}))
			}
			if !yield(e, err) {
				return
			}
		}
	})
	require.NoError(t, err)
	require.Equal(t, len(events), stored)
	require.Len(t, s.readAll(t, eventstore.Query{}), 1+2*len(events))
}

func importBesideOthers(t T, s subject) {
	const streams, versions, appends = 20, 15, 30
	mine, yours := s.past(streams, versions), s.past(streams, versions)
	busy, total := s.stream(), 2*streams*versions+appends
	ctx, cancel := s.patiently(t)
	defer cancel()
	var seen []uuid.UUID
	requireNone(t, promisetest.Race(5, func(i int) error {
		switch i {
		case 0, 1: // both import the same
			return s.importPieces(t, ctx, mine)
		case 2:
			_, err := s.tryImport(t, ctx, each(yours))
			return err
		case 3:
			return s.appendTimes(ctx, busy, appends)
		default:
			var err error
			seen, err = s.follow(ctx, total)
			return err
		}
	}))
	all := s.readAll(t, eventstore.Query{})
	require.Len(t, all, total)
	require.Equal(t, idsOf(all), seen, "who followed saw everything, in order")
	byID := make(map[uuid.UUID]event.Event, total)
	last := make(map[eventstore.Stream]uint64)
	for _, e := range all {
		last[eventstore.StreamOf(e)]++
		require.Equal(t, last[eventstore.StreamOf(e)], e.AggregateVersion)
		byID[e.ID] = e
	}
	for _, e := range append(mine, yours...) {
		requireImported(t, []event.Event{e}, []event.Event{byID[e.ID]})
	}
}

// importPieces imports a few events at a time.
func (s subject) importPieces(t T, ctx context.Context, events []event.Event) error { //nolint:revive // t comes first here.
	for some := range slices.Chunk(events, 17) {
		if _, err := s.tryImport(t, ctx, each(some)); err != nil {
			return err
		}
	}
	return nil
}

func (s subject) appendTimes(ctx context.Context, stream eventstore.Stream, n int) error {
	for version := range n {
		if _, err := s.Append(ctx, to(stream, eventstore.Exact(uint64(version)), []event.Event{draft()}...)); err != nil {
			return err
		}
	}
	return nil
}

// follow reads the log as it grows, until it has seen n events.
func (s subject) follow(ctx context.Context, n int) (seen []uuid.UUID, err error) {
	var at uint64
	for len(seen) < n {
		if _, err := s.Wait(ctx, at); err != nil {
			return seen, err
		}
		for e, err := range s.ReadAll(ctx, eventstore.Query{After: at}) {
			if err != nil {
				return seen, err
			}
			seen, at = append(seen, e.ID), e.Position
		}
	}
	return seen, nil
}

func badImportsRefused(t T, s subject) {
	for name, c := range map[string]struct {
		spoil func(e *event.Event)
		want  error
	}{
		"no version":            {func(e *event.Event) { e.AggregateVersion = 0 }, eventstore.ErrInvalid},
		"no event id":           {func(e *event.Event) { e.ID = uuid.Nil }, eventstore.ErrInvalid},
		"no aggregate id":       {func(e *event.Event) { e.AggregateID = uuid.Nil }, eventstore.ErrInvalid},
		"no aggregate type":     {func(e *event.Event) { e.AggregateType = "" }, eventstore.ErrInvalid},
		"no schema version":     {func(e *event.Event) { e.SchemaVersion = 0 }, eventstore.ErrInvalid},
		"a type with NUL":       {func(e *event.Event) { e.Type = "a\x00b" }, eventstore.ErrInvalid},
		"a tenant with NUL":     {func(e *event.Event) { e.TenantID = "a\x00b" }, eventstore.ErrInvalid},
		"no occurred-at time":   {func(e *event.Event) { e.OccurredAt = time.Time{} }, eventstore.ErrInvalid},
		"recorded too late":     {func(e *event.Event) { e.RecordedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, eventstore.ErrInvalid},
		"recorded too early":    {func(e *event.Event) { e.RecordedAt = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }, eventstore.ErrInvalid},
		"metadata without JSON": {func(e *event.Event) { e.Metadata = event.Metadata{"f": func() {}} }, eventstore.ErrInvalid},
		"a large payload":       {func(e *event.Event) { e.Data = make([]byte, s.Limits().PayloadBytes+1) }, eventstore.ErrTooLarge},
	} {
		events := s.past(1, 1)
		c.spoil(&events[0])
		s.requireUnchanged(t, func() {
			_, err := s.tryImport(t, t.Context(), each(events))
			require.ErrorIs(t, err, c.want, name)
			require.False(t, eventstore.IsRetryable(err), name)
		})
	}
}

func importAfterClose(t T, s subject) {
	events := s.past(1, 2)
	require.NoError(t, s.Close())
	stored, err := s.tryImport(t, t.Context(), each(events))
	require.ErrorIs(t, err, eventstore.ErrClosed)
	require.Zero(t, stored)
}
