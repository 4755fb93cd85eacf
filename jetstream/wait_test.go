package jetstream_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/jetstream"
)

// TestTrapNewsThatAreLost has a store hear nothing of others' appends: it finds
// them by itself.
func TestTrapNewsThatAreLost(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	config := jetstream.Config{Prefix: "evident", PollInterval: 20 * time.Millisecond}
	writer := newEvents(t, server.JetStream(t), config)
	deaf := openEvents(t, server.JetStream(t), config)
	jetstream.Deafen(deaf)
	for n := range uint64(5) {
		requireWoken(t, writer, n, deaf)
	}
}

// requireWoken appends the event at position after+1, and requires that all who
// wait for it wake up.
func requireWoken(t *testing.T, writer *jetstream.Store, after uint64, readers ...*jetstream.Store) {
	t.Helper()
	errs := promisetest.Race(len(readers)+1, func(i int) error {
		if i == len(readers) {
			_, err := writer.Append(t.Context(), eventstore.Append{Stream: place(1), Events: notes(1)})
			return err
		}
		head, err := readers[i].Wait(t.Context(), after)
		if err == nil && head != after+1 {
			err = fmt.Errorf("woken at %d", head)
		}
		return err
	})
	require.NoError(t, errors.Join(errs...))
}

// TestNewsComeBeforeTheNextLook waits with a pause between looks that no test
// survives.
func TestNewsComeBeforeTheNextLook(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	config := jetstream.Config{Prefix: "evident", PollInterval: time.Hour}
	writer := newEvents(t, server.JetStream(t), config)
	readers := []*jetstream.Store{writer, openEvents(t, server.JetStream(t), config)}
	for n := range uint64(20) {
		requireWoken(t, writer, n, readers...)
	}
}

func TestCloseEndsAWait(t *testing.T) {
	t.Parallel()
	store := newEvents(t, natstest.Start(t).JetStream(t), jetstream.Config{PollInterval: time.Hour})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_, err := store.Wait(t.Context(), 0)
		assert.ErrorIs(t, err, eventstore.ErrClosed)
	})
	require.NoError(t, store.Close())
	waiting.Wait()
}
