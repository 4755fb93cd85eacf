package eventstoretest

import (
	"bytes"
	"context"
	"iter"
	"runtime"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// Reads hold a bounded number of events in memory; breaking out of a range
// releases everything; an error is yielded once and ends the sequence.
// Cancelled contexts end reads and appends promptly.
func streaming() []clause {
	return []clause{
		{Name: "a large stream does not come into memory as a whole", Check: boundedMemory},
		{Name: "breaking out of a range releases everything", Check: breaks},
		{Name: "a sequence may be ranged over again and reads anew", Check: rangedAgain},
		{Name: "a read ends at the head that there was when it began", Check: endsAtHead},
		{Name: "reads and appends inside of reads", Check: nested},
		{Name: "a context that has ended", Check: cancelledBefore},
		{Name: "a context that ends while reading", Check: cancelledWhileReading},
		{Name: "a stream that does not exist yields nothing", Check: nothing},
	}
}

// reads returns each way of reading everything that is in stream.
func (s subject) reads(ctx context.Context, stream eventstore.Stream) map[string]iter.Seq2[event.Event, error] {
	return map[string]iter.Seq2[event.Event, error]{
		"stream":           s.ReadStream(ctx, stream, eventstore.StreamQuery{}),
		"stream, backward": s.ReadStream(ctx, stream, eventstore.StreamQuery{Direction: eventstore.Backward}),
		"all":              s.ReadAll(ctx, eventstore.Query{}),
		"all, backward":    s.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward}),
	}
}

// payloads are events that were read, without being the reason that they stay
// in memory. Unlike the size of the heap, other tests have no part in them.
type payloads []weak.Pointer[byte]

// held returns how many of them something else holds.
func (p payloads) held() int {
	runtime.GC()
	n := 0
	for _, one := range p {
		if one.Value() != nil {
			n++
		}
	}
	return n
}

func boundedMemory(t T, s subject) {
	const appends, each, payload = 40, 50, 8 << 10
	const bound = appends * each / 2
	stream, data := s.stream(), bytes.Repeat([]byte("1"), payload)
	for range appends {
		events := drafts(each)
		for i := range events {
			events[i].Data = data
		}
		s.append(t, stream, eventstore.Any(), events...)
	}
	for name, events := range s.reads(t.Context(), stream) {
		var seen payloads
		most := 0
		for e, err := range events {
			require.NoError(t, err)
			if seen = append(seen, weak.Make(&e.Data[0])); len(seen)%500 == 0 {
				most = max(most, seen.held())
			}
		}
		require.Len(t, seen, appends*each)
		require.Less(t, most, bound, "%s: events that the read still holds", name)
	}
}

func breaks(t T, s subject) {
	stream := s.seed(t, 20)
	for range 100 {
		for name, events := range s.reads(t.Context(), stream) {
			n := 0
			for _, err := range events {
				require.NoError(t, err, name)
				if n++; n == 2 {
					break
				}
			}
			require.Equal(t, 2, n, name)
		}
	}
	s.append(t, stream, eventstore.Exact(20), draft())
	require.Len(t, s.read(t, stream), 21)
	require.NoError(t, s.Close(), "nothing is held any more")
}

func rangedAgain(t T, s subject) {
	stream := s.seed(t, 2)
	reads := s.reads(t.Context(), stream)
	for n := 2; n < 5; n++ {
		for name, events := range reads {
			got, err := collect(events)
			require.NoError(t, err, name)
			require.Len(t, got, n, name)
		}
		s.append(t, stream, eventstore.Any(), draft())
	}
}

func endsAtHead(t T, s subject) {
	for range 3 {
		s.seed(t, 5)
	}
	n := 0
	for _, err := range s.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		s.seed(t, 1)
		n++
	}
	require.Equal(t, 15, n)
	require.Len(t, s.readAll(t, eventstore.Query{}), 30)
}

func nested(t T, s subject) {
	stream := s.seed(t, 3)
	ctx, cancel := s.patiently(t)
	defer cancel()
	for outer, err := range s.ReadAll(ctx, eventstore.Query{}) {
		require.NoError(t, err)
		for middle, err := range s.ReadStream(ctx, eventstore.StreamOf(outer), eventstore.StreamQuery{Limit: 3}) {
			require.NoError(t, err)
			inner, err := collect(s.ReadAll(ctx, eventstore.Query{Until: middle.Position}))
			require.NoError(t, err)
			require.NotEmpty(t, inner)
			_, err = s.Append(ctx, to(stream, eventstore.Any(), draft()))
			require.NoError(t, err)
		}
	}
	require.Len(t, s.read(t, stream), 12)
	requireNone(t, promisetest.Race(4, func(int) error {
		for _, err := range s.ReadAll(ctx, eventstore.Query{Limit: 5}) {
			if err != nil {
				return err
			}
			if _, err := s.Append(ctx, to(stream, eventstore.Any(), draft())); err != nil {
				return err
			}
		}
		return nil
	}))
	require.Equal(t, oneTo(32), versionsOf(s.read(t, stream)))
}

func cancelledBefore(t T, s subject) {
	stream := s.seed(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, events := range s.reads(ctx, stream) {
		requireFailsOnce(t, events, context.Canceled, name)
	}
	s.requireUnchanged(t, func() {
		_, err := s.Append(ctx, to(stream, eventstore.Any(), draft()))
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, eventstore.IsRetryable(err), "nothing was sent")
	})
	_, err := s.Head(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// requireFailsOnce requires a sequence to be one error with the zero event.
func requireFailsOnce(t T, events iter.Seq2[event.Event, error], want error, name string) {
	t.Helper()
	n := 0
	for e, err := range events {
		require.ErrorIs(t, err, want, name)
		require.Equal(t, event.Event{}, e, name)
		n++
	}
	require.Equal(t, 1, n, "%s: an error is yielded once", name)
}

func cancelledWhileReading(t T, s subject) {
	const soon = 300
	stream := s.stream()
	for range 2 {
		s.append(t, stream, eventstore.Any(), drafts(500)...)
	}
	for name := range s.reads(t.Context(), stream) {
		ctx, cancel := context.WithCancel(t.Context())
		n, errs := 0, 0
		for e, err := range s.reads(ctx, stream)[name] {
			if err != nil {
				errs++
				require.ErrorIs(t, err, context.Canceled, name)
				require.Equal(t, event.Event{}, e, name)
				continue
			}
			require.Zero(t, errs, "%s: an error ends the sequence", name)
			cancel()
			n++
		}
		cancel()
		require.Equal(t, 1, errs, "%s: an error is yielded once", name)
		require.Less(t, n, soon, "%s: it ends promptly", name)
	}
}

func nothing(t T, s subject) {
	s.seed(t, 3)
	for name, query := range map[string]eventstore.StreamQuery{
		"": {}, "bounds": {From: 1, To: 3}, "backward": {Direction: eventstore.Backward}, "limit": {Limit: 1},
	} {
		events, err := collect(s.ReadStream(t.Context(), s.stream(), query))
		require.NoError(t, err, name)
		require.Empty(t, events, name)
	}
	require.Empty(t, s.readAll(t, eventstore.Query{AggregateID: event.NewID()}))
}
