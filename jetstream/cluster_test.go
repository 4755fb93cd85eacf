package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/jetstream"
)

// TestChaosReadsAfterOwnAppends appends and reads at once, on three servers that
// have much to do, by the process that appended and by another: neither is ever
// shown less than was acknowledged. Beside it, plain reads are asked for the same:
// they may be answered by a server that is behind.
func TestChaosReadsAfterOwnAppends(t *testing.T) {
	t.Parallel()
	const writers = 4
	cluster := natstest.StartCluster(t)
	config := jetstream.Config{Prefix: "evident", Replicas: 3}
	var stores [writers]*jetstream.Store
	var plain [writers]natsjs.Stream
	for i := range stores { // each with a server of its own choice
		js := cluster.JetStream(t)
		stores[i] = newEvents(t, js, config)
		var err error
		plain[i], err = js.Stream(t.Context(), jetstream.StreamOf(config))
		require.NoError(t, err)
	}
	var plainly, stale atomic.Int64
	errs := promisetest.Race(writers, func(i int) error {
		var version uint64
		for n := range ownReads() / writers {
			own, other := stores[i], stores[(i+1)%writers]
			events := notes(1 + n%2)
			result, err := own.Append(t.Context(), eventstore.Append{Stream: place(uint64(i)), Events: events})
			if err != nil {
				return err
			}
			for _, reader := range []*jetstream.Store{own, other} {
				if err := sees(t.Context(), reader, place(uint64(i)), events[len(events)-1].ID, result.Position); err != nil {
					return fmt.Errorf("append %d: %w", n, err)
				}
			}
			if _, err = own.Append(t.Context(), eventstore.Append{Stream: place(uint64(i)), Events: notes(1)}); err != nil {
				return err
			}
			version += uint64(len(events)) + 1
			plainly.Add(1)
			if _, err := plain[i].GetLastMsgForSubject(t.Context(), jetstream.EventSubject(config.Prefix, place(uint64(i)), version)); errors.Is(err, natsjs.ErrMsgNotFound) {
				stale.Add(1)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, errors.Join(errs...))
	t.Logf("%d appends were read at once by two readers, never stale; of %d plain reads %d were (%.1f %%)",
		plainly.Load(), plainly.Load(), stale.Load(), 100*float64(stale.Load())/float64(plainly.Load()))
}

// sees returns an error unless a stream ends with an event, and the log not
// before it.
func sees(ctx context.Context, store *jetstream.Store, stream eventstore.Stream, last uuid.UUID, position uint64) error {
	head, err := store.Head(ctx)
	if err != nil {
		return err
	}
	if head < position {
		return fmt.Errorf("head %d is below %d", head, position)
	}
	for e, err := range store.ReadStream(ctx, stream, eventstore.StreamQuery{Direction: eventstore.Backward, Limit: 1}) {
		if err == nil && e.ID != last {
			err = fmt.Errorf("version %d is taken for the last one", e.AggregateVersion)
		}
		return err
	}
	return errors.New("the stream is empty")
}

// TestTrapALeaderThatIsLost takes the leader away while writers append, some of
// whose answers are lost besides. What was acknowledged is there once, with the
// versions and positions that were acknowledged, and nothing is there in part.
func TestTrapALeaderThatIsLost(t *testing.T) {
	t.Parallel()
	const writers, faults = 6, 3
	cluster := natstest.StartCluster(t)
	w, js := overWire(t, cluster.JetStream)
	config := jetstream.Config{Prefix: "evident", Replicas: 3, PublishTimeout: 500 * time.Millisecond}
	store := newEvents(t, js, config)
	other := openEvents(t, cluster.JetStream(t), config)
	var answers atomic.Int64
	w.tell(func(answer string) (string, bool) { return answer, isAck(answer) && answers.Add(1)%23 == 0 })

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ledgers := make([]*ledger, writers)
	var all sync.WaitGroup
	for i := range ledgers {
		ledgers[i] = &ledger{store: []*jetstream.Store{store, other}[i%2], own: place(uint64(i) + 1), shared: place(100)}
		all.Go(func() { assert.NoError(t, ledgers[i].write(ctx)) })
	}
	for fault := range faults {
		awaitProgress(t, ledgers)
		if fault == 0 {
			cluster.StepDown(t, jetstream.StreamOf(config))
			continue
		}
		leader := cluster.AwaitLeader(t, jetstream.StreamOf(config))
		leader.Stop()
		awaitProgress(t, ledgers)
		leader.Restart(t)
	}
	awaitProgress(t, ledgers)
	stop()
	all.Wait()
	requireLedgers(t, other, ledgers)
}

// ledger is what one writer was told.
type ledger struct {
	store       *jetstream.Store
	own, shared eventstore.Stream

	count atomic.Int64
	acked map[uuid.UUID]eventstore.Result
	sizes map[uuid.UUID]int // of all appends, by their first event
}

// write appends to a stream of its own and to one that all share until ctx ends.
func (l *ledger) write(ctx context.Context) error {
	l.acked, l.sizes = make(map[uuid.UUID]eventstore.Result), make(map[uuid.UUID]int)
	pace := time.NewTicker(tick)
	defer pace.Stop()
	var version uint64
	for n := 0; ctx.Err() == nil; n++ {
		<-pace.C
		events := notes(1 + n%3)
		appends := []eventstore.Append{{Stream: l.own, Expected: eventstore.Exact(version), Events: events}}
		if n%4 == 0 {
			appends = append(appends, eventstore.Append{Stream: l.shared, Events: notes(1)})
		}
		l.sizes[events[0].ID] = len(events)
		result, err := l.store.Append(ctx, appends...)
		for errors.Is(err, eventstore.ErrOutcomeUnknown) && ctx.Err() == nil {
			result, err = l.store.Append(ctx, appends...)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("append %d at version %d: %w", n, version, err)
		}
		version += uint64(len(events))
		if result.Versions[0] != version {
			return fmt.Errorf("version %d was acknowledged for %d", result.Versions[0], version)
		}
		l.acked[events[len(events)-1].ID] = result
		l.count.Add(1)
	}
	return nil
}

// awaitProgress waits until every writer has appended again.
func awaitProgress(t *testing.T, ledgers []*ledger) {
	t.Helper()
	const more = 10
	for _, l := range ledgers {
		before := l.count.Load()
		require.Eventually(t, func() bool { return l.count.Load() >= before+more }, patience, tick)
	}
}

func requireLedgers(t *testing.T, store *jetstream.Store, ledgers []*ledger) {
	t.Helper()
	versions := make(map[eventstore.Stream]uint64)
	stored := make(map[uuid.UUID]event.Event)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		_, twice := stored[e.ID]
		require.False(t, twice, "stored twice")
		stored[e.ID] = e
		versions[eventstore.StreamOf(e)]++
		require.Equal(t, versions[eventstore.StreamOf(e)], e.AggregateVersion)
	}
	for _, l := range ledgers {
		var own uint64
		for first, size := range l.sizes {
			if e, ok := stored[first]; ok {
				own += uint64(size)
				require.GreaterOrEqual(t, versions[l.own], e.AggregateVersion+uint64(size)-1, "stored in part")
			}
		}
		require.Equal(t, own, versions[l.own])
		for last, result := range l.acked {
			e, ok := stored[last]
			require.True(t, ok, "acknowledged and lost")
			require.Equal(t, result.Versions[0], e.AggregateVersion)
			require.Equal(t, result.RecordedAt, e.RecordedAt)
		}
	}
}

// TestTrapAServerThatIsKilled kills the only server while writers append, again
// and again: its files have every append whole, or not at all.
func TestTrapAServerThatIsKilled(t *testing.T) {
	t.Parallel()
	const writers, kills = 4, 3
	server := natstest.StartProcess(t)
	config := jetstream.Config{Prefix: "evident", PublishTimeout: 500 * time.Millisecond}
	store := newEvents(t, server.JetStream(t), config)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ledgers := make([]*ledger, writers)
	var all sync.WaitGroup
	for i := range ledgers {
		ledgers[i] = &ledger{store: store, own: place(uint64(i) + 1), shared: place(100)}
		all.Go(func() { assert.NoError(t, ledgers[i].write(ctx)) })
	}
	for range kills {
		awaitProgress(t, ledgers)
		server.Kill()
		server.Restart(t)
	}
	awaitProgress(t, ledgers)
	stop()
	all.Wait()
	requireLedgers(t, store, ledgers)
}
