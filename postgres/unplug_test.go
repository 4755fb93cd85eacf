package postgres_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/plugtest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// How the statements begin that an append is, of several events and of one.
const (
	sendsAppend = "SELECT versions, verdicts"
	sendsOne    = "SELECT evident.append_one"
)

// newAppend appends n events to a stream of its own.
func newAppend(n int) eventstore.Append {
	return eventstore.Append{
		Stream:   eventstore.Stream{AggregateType: "Account", AggregateID: uuid.New()},
		Expected: eventstore.NoStream(), Events: randomEvents(n),
	}
}

// collect reads a sequence to its end, and counts the errors in it.
func collect(events iter.Seq2[event.Event, error]) (all []event.Event, failures int, err error) {
	for e, failed := range events {
		if failed != nil {
			failures++
			err = failed
			continue
		}
		all = append(all, e)
	}
	return all, failures, err
}

// requireOnce requires that an append is stored whole and once.
func requireOnce(t *testing.T, store *postgres.Store, a eventstore.Append) {
	t.Helper()
	stored, _, err := collect(store.ReadStream(t.Context(), a.Stream, eventstore.StreamQuery{}))
	require.NoError(t, err)
	require.Len(t, stored, len(a.Events))
	for i, e := range a.Events {
		require.Equal(t, e.ID, stored[i].ID)
		require.Equal(t, uint64(i+1), stored[i].AggregateVersion)
	}
}

// storedOf returns how many events of an append are stored.
func storedOf(t *testing.T, store *postgres.Store, a eventstore.Append) int {
	t.Helper()
	stored, _, err := collect(store.ReadStream(t.Context(), a.Stream, eventstore.StreamQuery{}))
	require.NoError(t, err)
	return len(stored)
}

// Wherever an append is cut off, on its way or on the way back, it is stored
// whole or not at all, its error says whether that is known, and sending it
// again settles it.
func TestAppendThatIsCutAnywhere(t *testing.T) {
	t.Parallel()
	p, _, store, straight := newTimedStore(t, postgres.Config{}, 1)
	for _, d := range []plugtest.Direction{plugtest.Request, plugtest.Answer} {
		for _, bytes := range []int{0, 1, 4, 5, 40, 100, 200, 350, 500, 1000, 2000, 4000} {
			_, err := store.Head(t.Context()) // makes a connection, if there is none
			require.NoError(t, err)
			a := newAppend(5)
			p.Cut(d, bytes)
			_, err = store.Append(t.Context(), a)
			p.Heal()
			switch stored := storedOf(t, straight, a); {
			case err == nil:
				require.Equal(t, 5, stored)
			case errors.Is(err, eventstore.ErrOutcomeUnknown):
				require.Contains(t, []int{0, 5}, stored)
			default:
				require.ErrorIs(t, err, eventstore.ErrUnavailable, "%s cut after %d bytes", d, bytes)
				require.Zero(t, stored)
			}
			require.Eventually(t, func() bool { _, err = store.Append(t.Context(), a); return err == nil || !eventstore.IsRetryable(err) }, 10*time.Second, 10*time.Millisecond)
			require.NoError(t, err, "%s cut after %d bytes", d, bytes)
			requireOnce(t, straight, a)
		}
	}
}

// An append whose answer is lost is sent again by the store itself, and
// acknowledged with what became of it the first time.
func TestAppendWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	p, m, store, straight := newTimedStore(t, postgres.Config{}, 1)
	for _, expected := range []eventstore.Expectation{eventstore.NoStream(), eventstore.Exact(0), eventstore.Any()} {
		warm(t, store)
		m.once(sendsAppend, func(client string) { p.CutOff(client, plugtest.Answer, 0) })
		a := newAppend(3)
		a.Expected = expected
		result, err := store.Append(t.Context(), a)
		require.NoError(t, err, expected)
		require.Equal(t, 2, m.sent(sendsAppend), expected)
		requireOnce(t, straight, a)
		stored, _, err := collect(straight.ReadStream(t.Context(), a.Stream, eventstore.StreamQuery{}))
		require.NoError(t, err)
		require.Equal(t, eventstore.Result{Position: stored[2].Position, RecordedAt: stored[2].RecordedAt, Versions: []uint64{3}}, result)
	}
}

// An append whose answer was lost, and which is refused when it is sent again, may
// still be stored by the first call if the stream can come to where it wants it:
// then nobody knows. If it cannot, the refusal is for good.
func TestRefusalAfterALostAnswer(t *testing.T) {
	t.Parallel()
	p, m, store, straight := newTimedStore(t, postgres.Config{}, 1)
	for _, c := range []struct {
		expected eventstore.Expectation
		unknown  bool
	}{
		{eventstore.Exact(5), true},
		{eventstore.StreamExists(), true},
		{eventstore.NoStream(), false},
		{eventstore.Exact(1), false},
	} {
		warm(t, store)
		a := newAppend(2)
		if a.Expected = c.expected; !c.unknown {
			_, err := straight.Append(t.Context(), eventstore.Append{Stream: a.Stream, Events: randomEvents(2)})
			require.NoError(t, err)
		}
		m.once(sendsAppend, func(client string) { p.CutOff(client, plugtest.Answer, 0) })
		_, err := store.Append(t.Context(), a)
		require.Equal(t, c.unknown, errors.Is(err, eventstore.ErrOutcomeUnknown), "%v: %v", c.expected, err)
		require.Equal(t, !c.unknown, errors.Is(err, eventstore.ErrConflict), "%v: %v", c.expected, err)
	}
}

// Whatever fails after the answer to an append was lost, the caller is not
// told that nothing was stored.
func TestLostAnswerStaysUnknown(t *testing.T) {
	t.Parallel()
	for name, expected := range map[string]eventstore.Expectation{
		"refused the second time":         eventstore.NoStream(), // its own events are in the way
		"a duplicate for the second time": eventstore.Any(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, m, store, straight := newTimedStore(t, postgres.Config{}, 1)
			var appends atomic.Int32
			m.before(func(sql, client string) {
				switch {
				case strings.HasPrefix(sql, sendsAppend) && appends.Add(1) == 1:
					p.CutOff(client, plugtest.Answer, 0)
				case strings.HasPrefix(sql, "SELECT event_id"):
					p.Cut(plugtest.Answer, 0) // for good
				}
			})
			a := newAppend(2)
			a.Expected = expected
			_, err := store.Append(t.Context(), a)
			m.before(nil)
			p.Heal()
			requireOnce(t, straight, a)
			require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
			require.True(t, eventstore.IsRetryable(err))
		})
	}
}

// A read that is cut short yields an error, never fewer events.
func TestReadThatIsCutAnywhere(t *testing.T) {
	t.Parallel()
	const size, bytesOfAll = 5000, 1_300_000
	p, _, store, straight := newTimedStore(t, postgres.Config{}, 1)
	stream := eventstore.Stream{AggregateType: "Counter", AggregateID: uuid.New()}
	for range size / 1000 {
		batch := randomEvents(1000)
		for i := range batch {
			batch[i].Type, batch[i].Data = "Counted", []byte(`{"n":1}`)
		}
		_, err := straight.Append(t.Context(), eventstore.Append{Stream: stream, Events: batch})
		require.NoError(t, err)
	}
	counters := aggregate.NewRepository[counter](store, aggregate.Define("Counter", aggregate.On(func(c *count, e event.Of[counted]) { c.sum += e.Payload.N })))
	short, whole := 0, 0
	cuts := []int{0, 1, 5, 6, 7, 100, 250, 251}
	for at := 1000; at < bytesOfAll; at += at/3 + 997 {
		cuts = append(cuts, at)
	}
	for i, bytes := range append(cuts, 2*bytesOfAll) {
		require.Eventually(t, func() bool { _, err := store.Head(t.Context()); return err == nil }, 10*time.Second, 10*time.Millisecond)
		p.Cut(plugtest.Answer, bytes)
		var got, failures int
		var err error
		switch i % 3 {
		case 0:
			var events []event.Event
			events, failures, err = collect(store.ReadStream(t.Context(), stream, eventstore.StreamQuery{}))
			got = len(events)
		case 1:
			var events []event.Event
			events, failures, err = collect(store.ReadAll(t.Context(), eventstore.Query{Types: []string{"Counted"}}))
			got = len(events)
		default:
			var c *counter
			if c, err = counters.Load(t.Context(), stream.AggregateID); err == nil {
				got = c.State().sum
			} else {
				failures = 1
			}
		}
		p.Heal()
		if err == nil {
			whole++
			assert.Equal(t, size, got, "cut after %d bytes", bytes)
			continue
		}
		short++
		require.Equal(t, 1, failures)
		require.ErrorIs(t, err, eventstore.ErrUnavailable, "cut after %d bytes", bytes)
		assert.Less(t, got, size)
	}
	assert.Positive(t, whole)
	assert.Greater(t, short, 10)
}

type (
	count   struct{ sum int }
	counter struct{ aggregate.AggregateRoot[count] }
	counted struct {
		N int `json:"n"`
	}
)

func (counted) EventType() string { return "Counted" }

// A commit whose answer is lost is an error; both outcomes are settled by
// sending the same events again.
func TestCommitThatIsCut(t *testing.T) {
	t.Parallel()
	p, m, store, straight := newTimedStore(t, postgres.Config{}, 2)
	for _, d := range []plugtest.Direction{plugtest.Request, plugtest.Answer} {
		m.once("commit", func(client string) { p.CutOff(client, d, 0) })
		a := newAppend(2)
		var tx pgx.Tx
		var err error
		require.Eventually(t, func() bool { tx, err = store.Pool().Begin(t.Context()); return err == nil }, 10*time.Second, 10*time.Millisecond)
		_, err = store.Within(tx).Append(t.Context(), a)
		require.NoError(t, err)
		require.Error(t, tx.Commit(t.Context()))
		requireSettled(t, store, straight, a, d)

		m.once("commit", func(client string) { p.CutOff(client, d, 0) })
		a = newAppend(2)
		var own projection.Tx
		require.Eventually(t, func() bool { own, err = store.Begin(t.Context()); return err == nil }, 10*time.Second, 10*time.Millisecond)
		_, err = own.(*postgres.Tx).Events().Append(t.Context(), a)
		require.NoError(t, err)
		err = own.Commit(t.Context())
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.NoError(t, own.Rollback(t.Context()))
		requireSettled(t, store, straight, a, d)
	}
}

// requireSettled requires that what a cut commit has left is whole, as the
// direction says, and that sending it again succeeds.
func requireSettled(t *testing.T, store, straight *postgres.Store, a eventstore.Append, d plugtest.Direction) {
	t.Helper()
	want := map[plugtest.Direction]int{plugtest.Request: 0, plugtest.Answer: len(a.Events)}[d]
	require.Eventually(t, func() bool { return storedOf(t, straight, a) == want }, 10*time.Second, 10*time.Millisecond)
	_, err := store.Append(t.Context(), a)
	require.NoError(t, err)
	requireOnce(t, straight, a)
}

// A transaction whose connection is lost cannot be committed.
func TestCommitAfterTheConnectionWasLost(t *testing.T) {
	t.Parallel()
	p, store, straight := newPluggedStore(t, nil)
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	a := newAppend(1)
	_, err = tx.(*postgres.Tx).Events().Append(t.Context(), a)
	require.NoError(t, err)
	p.Pull()
	_, err = tx.(*postgres.Tx).PGX().Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	p.PlugIn()
	require.Error(t, tx.Commit(t.Context()))
	require.Zero(t, storedOf(t, straight, a))
}

// What was rolled back behind the transaction's back is not committed.
func TestCommitOfWhatTheCallerHasEnded(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.(*postgres.Tx).PGX().Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.ErrorIs(t, tx.Commit(t.Context()), postgres.ErrTxEnded)
}

// Whoever waits goes on when the way to the database is back, whether or not
// Wait has said that it was gone.
func TestWaitGoesOnAfterAnOutage(t *testing.T) {
	t.Parallel()
	p, store, straight := newPluggedStore(t, func(c *postgres.Config) { c.PollInterval = 20 * time.Millisecond })
	heads := make(chan uint64)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var following sync.WaitGroup
	following.Go(func() {
		defer close(heads)
		for after := uint64(0); ctx.Err() == nil; {
			head, err := store.Wait(ctx, after)
			switch {
			case err == nil:
				after = head
				heads <- head
				if head == 3 {
					return
				}
			case !eventstore.IsRetryable(err):
				t.Errorf("wait: %v", err)
				return
			default:
				pause(ctx, 10*time.Millisecond)
			}
		}
	})
	next := func() uint64 {
		result, err := straight.Append(ctx, newAppend(1))
		require.NoError(t, err)
		return result.Position
	}
	require.Equal(t, next(), <-heads)
	for range 2 {
		p.Pull()
		want := next() // while nobody hears of it
		p.PlugIn()
		require.Equal(t, want, <-heads)
	}
	following.Wait()
}

// A lost LISTEN connection costs nobody anything.
func TestWaitSurvivesTheLossOfItsListener(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.PollInterval = 20 * time.Millisecond
	store, other := open(t, config), open(t, config)
	admin := newPool(t, config.URL)
	listeners := func() (n int) {
		require.NoError(t, admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'").Scan(&n))
		return n
	}
	answers := make(chan error, 1)
	go func() { _, err := store.Wait(t.Context(), 0); answers <- err }()
	for range 2 {
		require.Eventually(t, func() bool { return listeners() == 1 }, 10*time.Second, 10*time.Millisecond)
		_, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
		require.NoError(t, err)
		require.Eventually(t, func() bool { return listeners() == 0 || len(answers) > 0 }, 10*time.Second, time.Millisecond)
	}
	_, err := other.Append(t.Context(), newAppend(1))
	require.NoError(t, err)
	require.NoError(t, <-answers)
}

// In a black hole an append ends with its deadline and says that it does not
// know; those behind it are not stuck for longer than WriteTimeout, and when
// the hole is gone so is everything about it.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	const writeTimeout = 500 * time.Millisecond
	p, m, store, straight := newTimedStore(t, postgres.Config{WriteTimeout: writeTimeout}, 4)
	p.Swallow()
	m.before(nil)
	begin := time.Now()
	first, patient := newAppend(1), newAppend(1)
	var all sync.WaitGroup
	all.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), writeTimeout/2)
		defer cancel()
		_, err := store.Append(ctx, first)
		assert.True(t, errors.Is(err, eventstore.ErrOutcomeUnknown) && errors.Is(err, context.DeadlineExceeded), "%v", err)
		assert.Less(t, time.Since(begin), 2*writeTimeout)
	})
	require.Eventually(t, func() bool { return m.sent(sendsOne) > 0 }, 10*time.Second, time.Millisecond)
	all.Go(func() {
		_, err := store.Append(t.Context(), patient)
		assert.True(t, eventstore.IsRetryable(err), "%v", err)
	})
	for range 6 {
		all.Go(func() {
			_, err := store.Append(t.Context(), newAppend(1))
			assert.True(t, eventstore.IsRetryable(err), "%v", err)
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * writeTimeout):
		t.Error("an append without a deadline is stuck")
	}
	p.Heal()
	await(t, ended, "the end of all appends")
	for _, a := range []eventstore.Append{first, patient} {
		require.Eventually(t, func() bool { _, err := store.Append(t.Context(), a); return err == nil }, 30*time.Second, 50*time.Millisecond)
		requireOnce(t, straight, a)
	}
}

// An append that is alone, and whose caller has all the time in the world, is
// bounded all the same: others wait for its stream, and Close for its end.
func TestBlackHoleWithoutADeadline(t *testing.T) {
	t.Parallel()
	const writeTimeout = 300 * time.Millisecond
	p, _, store, straight := newTimedStore(t, postgres.Config{WriteTimeout: writeTimeout}, 2)
	p.Swallow()
	a := newAppend(1)
	answers := make(chan error, 1)
	go func() { _, err := store.Append(t.Context(), a); answers <- err }()
	select {
	case err := <-answers:
		require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
		p.Heal()
	case <-time.After(20 * writeTimeout):
		p.Heal()
		require.Error(t, <-answers)
		t.Fatal("it is stuck")
	}
	require.Eventually(t, func() bool { _, err := store.Append(t.Context(), a); return err == nil }, 30*time.Second, 50*time.Millisecond)
	requireOnce(t, straight, a)
}

// detour is a store whose connections can be led another way.
func detour(t *testing.T, config postgres.Config, to string) (*postgres.Store, *atomic.Pointer[string]) {
	t.Helper()
	pool, err := pgxpool.ParseConfig(config.URL)
	require.NoError(t, err)
	pool.MaxConns = 4
	var way atomic.Pointer[string]
	way.Store(&to)
	pool.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, *way.Load())
	}
	config.Pool, err = pgxpool.NewWithConfig(t.Context(), pool)
	require.NoError(t, err)
	t.Cleanup(config.Pool.Close)
	config.URL = ""
	return open(t, config), &way
}

// Connections that are dead and never say so, as behind a firewall that has
// forgotten them, do not keep those who wait from hearing of new events.
func TestWaitGoesOnBesideDeadConnections(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	straight := open(t, config)
	p, _ := newPlug(t, config.URL)
	config.PollInterval, config.WriteTimeout = 20*time.Millisecond, 300*time.Millisecond
	store, way := detour(t, config, p.Address())
	result, err := straight.Append(t.Context(), newAppend(1))
	require.NoError(t, err)
	_, err = store.Wait(t.Context(), 0)
	require.NoError(t, err)

	p.Swallow()
	alive := straight.Pool().Config().ConnConfig
	address := net.JoinHostPort(alive.Host, strconv.Itoa(int(alive.Port)))
	way.Store(&address)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answers := make(chan error, 1)
	go func() {
		var err error
		for ctx.Err() == nil {
			if _, err = store.Wait(ctx, result.Position); err == nil || !eventstore.IsRetryable(err) {
				break
			}
			pause(ctx, 10*time.Millisecond)
		}
		answers <- err
	}()
	_, err = straight.Append(t.Context(), newAppend(1))
	require.NoError(t, err)
	assert.NoError(t, <-answers)
	p.Heal() // lets the dead connections go, so that the store can be closed
}

// When all connections of a pool were cut at once, the next append does not
// use up its attempts on them.
func TestAppendAfterAllConnectionsWereCut(t *testing.T) {
	t.Parallel()
	p, store, straight := newPluggedStore(t, nil)
	var busy []interface{ Release() }
	for range 8 {
		conn, err := store.Pool().Acquire(t.Context())
		require.NoError(t, err)
		busy = append(busy, conn)
	}
	for _, conn := range busy {
		conn.Release()
	}
	p.Pull()
	p.PlugIn()
	a := newAppend(1)
	_, err := store.Append(t.Context(), a)
	require.NoError(t, err)
	requireOnce(t, straight, a)
}
