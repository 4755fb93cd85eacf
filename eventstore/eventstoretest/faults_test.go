package eventstoretest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
)

var errFault = errors.New("a fault")

func placed() event.Event {
	return event.Event{
		ID: event.NewID(), Type: "OrderPlaced", SchemaVersion: 1,
		OccurredAt: event.Time(timeOfTests()), Data: []byte(`{}`),
	}
}

func TestFaultsFailAnAppendBeforeOrAfter(t *testing.T) {
	t.Parallel()
	faults := eventstoretest.NewFaults(open(t))
	faults.FailAppend(eventstoretest.Before, errFault)
	faults.FailAppend(eventstoretest.After, errFault)
	stream := eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
	for _, stored := range []uint64{0, 1} {
		_, err := faults.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{placed()}})
		require.Equal(t, errFault, err)
		head, err := faults.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, stored, head)
	}
	result, err := faults.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{placed()}})
	require.NoError(t, err)
	assert.Equal(t, uint64(2), result.Position)
}

func TestFaultsDoNotHideTheStoresOwnError(t *testing.T) {
	t.Parallel()
	faults := eventstoretest.NewFaults(open(t))
	faults.FailAppend(eventstoretest.After, errFault)
	_, err := faults.Append(t.Context())
	assert.ErrorIs(t, err, eventstore.ErrInvalid)
}

func TestFaultsCallTheHook(t *testing.T) {
	t.Parallel()
	faults := eventstoretest.NewFaults(open(t))
	stream := eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
	one := eventstore.Append{Stream: stream, Events: []event.Event{placed()}}
	faults.OnAppend(func(_ context.Context, appends []eventstore.Append) (before, after error) {
		assert.Equal(t, []eventstore.Append{one}, appends)
		return errFault, nil
	})
	_, err := faults.Append(t.Context(), one)
	require.Equal(t, errFault, err)
	faults.OnAppend(nil)
	_, err = faults.Append(t.Context(), one)
	require.NoError(t, err)
}

func TestFaultsFailReads(t *testing.T) {
	t.Parallel()
	faults := eventstoretest.NewFaults(open(t))
	stream := eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
	_, err := faults.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{placed(), placed(), placed()}})
	require.NoError(t, err)
	for _, c := range []struct{ after, events int }{{0, 0}, {2, 2}, {3, 3}, {9, 3}} {
		faults.FailRead(c.after, errFault)
		n, failed := read(t, faults.ReadAll(t.Context(), eventstore.Query{}))
		assert.Equal(t, c.events, n)
		require.Equal(t, errFault, failed)
		n, failed = read(t, faults.ReadStream(t.Context(), stream, eventstore.StreamQuery{}))
		assert.Equal(t, 3, n)
		require.NoError(t, failed)
	}
	faults.FailRead(9, errFault)
	n, failed := read(t, faults.ReadStream(t.Context(), stream, eventstore.StreamQuery{Limit: -1}))
	assert.Zero(t, n)
	require.ErrorIs(t, failed, eventstore.ErrInvalid, "the store's own error comes first")
}

// read counts events up to an error.
func read(t *testing.T, read events) (n int, failed error) {
	t.Helper()
	for _, err := range read {
		require.NoError(t, failed, "an error ends the sequence")
		if failed = err; err == nil {
			n++
		}
	}
	return n, failed
}

func TestFaultsFailHeadAndWait(t *testing.T) {
	t.Parallel()
	faults := eventstoretest.NewFaults(open(t))
	faults.FailHead(errFault)
	faults.FailWait(errFault)
	_, err := faults.Head(t.Context())
	require.Equal(t, errFault, err)
	_, err = faults.Wait(t.Context(), 0)
	require.Equal(t, errFault, err)
	head, err := faults.Head(t.Context())
	require.NoError(t, err)
	assert.Zero(t, head)
}

// An append whose answer is lost may be sent again.
func ExampleFaults() {
	store, err := newMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	faults := eventstoretest.NewFaults(store)
	stream := eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
	placed := eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: []event.Event{placed()}}

	faults.FailAppend(eventstoretest.After, eventstore.ErrOutcomeUnknown)
	_, err = faults.Append(context.Background(), placed)
	fmt.Println(err, eventstore.IsRetryable(err))
	result, err := faults.Append(context.Background(), placed)
	fmt.Println(result.Versions, err)
	// Output:
	// append may or may not have been stored true
	// [1] <nil>
}
