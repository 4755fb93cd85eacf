package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func noon() time.Time { return time.Date(2026, time.May, 1, 12, 0, 0, 123456789, time.UTC) }

func placed(id uuid.UUID) event.Event {
	return event.Event{
		ID: id, Type: "OrderPlaced", SchemaVersion: 1, ActorID: event.User(id.String()),
		OccurredAt: event.Time(noon()), Data: []byte(`{"id":"` + id.String() + `"}`),
	}
}

func orderOf(id uuid.UUID) eventstore.Stream {
	return eventstore.Stream{AggregateType: "Order", AggregateID: id}
}

// idOf returns the n-th id of a kind that sorts by time, or does not.
var kindsOfID = map[string]func(n int) uuid.UUID{
	"rising": func(n int) uuid.UUID { return event.NewIDAt(noon().Add(time.Duration(n) * 50 * time.Microsecond)) },
	"of one millisecond": func(int) uuid.UUID {
		return event.NewIDAt(noon())
	},
	"falling": func(n int) uuid.UUID { return event.NewIDAt(noon().Add(-time.Duration(n) * time.Millisecond)) },
	"random":  func(int) uuid.UUID { return uuid.New() },
	"alike": func(n int) uuid.UUID {
		return uuid.UUID{15: byte(n), 14: byte(n >> 8), 13: byte(n >> 16)}
	},
}

// Every event and every stream is found again, whatever its id looks like and
// however old it is.
func TestEverythingIsFoundAgain(t *testing.T) {
	t.Parallel()
	const n = 25_000 // four eras of an index
	for kind, idOf := range kindsOfID {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			ids := make([]uuid.UUID, n)
			for i := range ids {
				ids[i] = idOf(i + 1)
				appendOne(t, store, ids[i], uint64(i)+1)
			}
			for range 500 {
				i := rand.IntN(n)
				appendOne(t, store, ids[i], uint64(i)+1) // sent again
				events := collect(t, store, orderOf(ids[i]))
				require.Len(t, events, 1)
				require.Equal(t, ids[i], events[0].ID)
				require.Equal(t, placed(ids[i]).Data, events[0].Data)
				_, err := store.Append(t.Context(), eventstore.Append{Stream: orderOf(uuid.New()), Events: []event.Event{placed(ids[i])}})
				require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
			}
			head, err := store.Head(t.Context())
			require.NoError(t, err)
			assert.Equal(t, uint64(n), head)
		})
	}
}

func appendOne(t *testing.T, store eventstore.Store, id uuid.UUID, position uint64) {
	t.Helper()
	result, err := store.Append(t.Context(), eventstore.Append{
		Stream: orderOf(id), Expected: eventstore.NoStream(), Events: []event.Event{placed(id)},
	})
	if err != nil || result.Position != position {
		t.Fatalf("stored at %d, not at %d: %v", result.Position, position, err)
	}
}

func collect(t *testing.T, store eventstore.Store, stream eventstore.Stream) []event.Event {
	t.Helper()
	var events []event.Event
	for e, err := range store.ReadStream(t.Context(), stream, eventstore.StreamQuery{}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// Payloads of any size, empty ones too, lie beside each other undisturbed.
func TestPayloadsOfAnySize(t *testing.T) {
	t.Parallel()
	store := open(t)
	stream := orderOf(uuid.New())
	sizes := []int{0, 1, 200, 16 << 10, 16<<10 + 1, 0, 64 << 10, 100, 1 << 20, 3, 40 << 10}
	for round := range 3 {
		for i, size := range sizes {
			e := placed(uuid.New())
			e.Data = []byte(strings.Repeat(string(rune('a'+i)), size))
			e.Metadata = event.Metadata{"round": round}
			_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{e}})
			require.NoError(t, err)
		}
	}
	for n, e := range collect(t, store, stream) {
		i := n % len(sizes)
		require.Equal(t, strings.Repeat(string(rune('a'+i)), sizes[i]), string(e.Data))
		require.Equal(t, event.Metadata{"round": int64(n / len(sizes))}, e.Metadata)
	}
}

// A reader goes on with what it found when the stream grows out of its place.
func TestAStreamThatGrowsWhileItIsRead(t *testing.T) {
	t.Parallel()
	store := open(t)
	stream := orderOf(uuid.New())
	add := func() {
		_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{placed(uuid.New())}})
		require.NoError(t, err)
	}
	for range 100 {
		add()
	}
	var version uint64
	for e, err := range store.ReadStream(t.Context(), stream, eventstore.StreamQuery{}) {
		require.NoError(t, err)
		version++
		require.Equal(t, version, e.AggregateVersion)
		for range 30 {
			add()
		}
	}
	assert.Equal(t, uint64(100), version)
	assert.Len(t, collect(t, store, stream), 3100)
}

func TestRecordedAtIsTheClockOfTheStoreAndDoesNotGoBack(t *testing.T) {
	t.Parallel()
	now := noon()
	store, err := memory.Open(t.Context(), memory.Config{Now: func() time.Time { return now }})
	require.NoError(t, err)
	for _, c := range []struct{ clock, want time.Time }{
		{noon().In(time.FixedZone("east", 3600)), event.Time(noon())},
		{noon().Add(-time.Hour), event.Time(noon())},
		{noon().Add(time.Hour), event.Time(noon()).Add(time.Hour)},
	} {
		now = c.clock
		result, err := store.Append(t.Context(), eventstore.Append{Stream: orderOf(uuid.New()), Events: []event.Event{placed(uuid.New())}})
		require.NoError(t, err)
		assert.Equal(t, c.want, result.RecordedAt)
	}
}

// The answers of appends share memory; what a caller does to one must not
// reach another.
func TestResultsAreIndependent(t *testing.T) {
	t.Parallel()
	store := open(t)
	one, err := store.Append(t.Context(), eventstore.Append{Stream: orderOf(uuid.New()), Events: []event.Event{placed(uuid.New())}})
	require.NoError(t, err)
	other, err := store.Append(t.Context(), eventstore.Append{Stream: orderOf(uuid.New()), Events: []event.Event{placed(uuid.New())}})
	require.NoError(t, err)
	_ = append(one.Versions, 99)
	one.Versions[0] = 98
	assert.Equal(t, []uint64{1}, other.Versions)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for field, limits := range map[string]eventstore.Limits{
		"limits.events_per_append": {EventsPerAppend: -1},
		"limits.payload_bytes":     {PayloadBytes: 1<<30 + 1},
	} {
		_, err := memory.Open(t.Context(), memory.Config{Limits: limits})
		var invalid *event.InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, field, invalid.Field)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := memory.Open(ctx, memory.Config{})
	require.ErrorIs(t, err, context.Canceled)

	store, err := memory.Open(t.Context(), memory.Config{Limits: eventstore.Limits{PayloadBytes: 2}})
	require.NoError(t, err)
	want := eventstore.DefaultLimits()
	want.PayloadBytes = 2
	assert.Equal(t, want, store.Limits())
	_, err = store.Append(t.Context(), eventstore.Append{Stream: orderOf(uuid.New()), Events: []event.Event{placed(uuid.New())}})
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
}

func TestEachStoreHasItsOwnID(t *testing.T) {
	t.Parallel()
	a, b := open(t), open(t)
	assert.NotEqual(t, uuid.Nil, a.ID())
	assert.NotEqual(t, a.ID(), b.ID())
}

func TestReadingAnInvalidStream(t *testing.T) {
	t.Parallel()
	n := 0
	for _, err := range open(t).ReadStream(t.Context(), orderOf(uuid.Nil), eventstore.StreamQuery{}) {
		require.ErrorIs(t, err, eventstore.ErrInvalid)
		n++
	}
	assert.Equal(t, 1, n)
}

// Waiting costs no polling: time stands still while somebody waits, and the
// waiter is awake when the append has returned and everybody else sleeps.
func TestWaitWakesWithoutPolling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		begun := time.Now()
		woken := make(chan uint64, 1)
		go func() {
			head, err := store.Wait(t.Context(), 1)
			assert.NoError(t, err)
			woken <- head
		}()
		for want := range uint64(2) {
			synctest.Wait()
			assert.Empty(t, woken)
			result, err := store.Append(t.Context(), eventstore.Append{Stream: orderOf(uuid.New()), Events: []event.Event{placed(uuid.New())}})
			require.NoError(t, err)
			assert.Equal(t, want+1, result.Position)
		}
		synctest.Wait()
		assert.Equal(t, uint64(2), <-woken)
		assert.Zero(t, time.Since(begun))
	})
}

func TestCloseEndsWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.Open(t.Context(), memory.Config{})
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() {
			_, err := store.Wait(t.Context(), 0)
			ended <- err
		}()
		synctest.Wait()
		require.NoError(t, store.Close())
		synctest.Wait()
		assert.ErrorIs(t, <-ended, eventstore.ErrClosed)
	})
}

func Example() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { fmt.Println(store.Close()) }()
	order := eventstore.Stream{AggregateType: "Order", AggregateID: uuid.New()}
	result, err := store.Append(ctx, eventstore.Append{
		Stream: order, Expected: eventstore.NoStream(),
		Events: []event.Event{{ID: event.NewID(), Type: "OrderPlaced", SchemaVersion: 1, OccurredAt: noon(), Data: []byte(`{"amount":42}`)}},
	})
	fmt.Println(result.Position, result.Versions, err)
	for e, err := range store.ReadStream(ctx, order, eventstore.StreamQuery{}) {
		fmt.Println(e.Type, string(e.Data), e.OccurredAt.Format(time.RFC3339Nano), err)
	}
	// Output:
	// 1 [1] <nil>
	// OrderPlaced {"amount":42} 2026-05-01T12:00:00.123456Z <nil>
	// <nil>
}
