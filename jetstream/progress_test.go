package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	testingquick "testing/quick"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var errFailed = errors.New("failed")

func begin(t *testing.T, p jetstream.Progress) projection.Tx {
	t.Helper()
	tx, err := p.Begin(t.Context())
	require.NoError(t, err)
	return tx
}

// advance moves the checkpoint of titles from wherever it stands.
func advance(t *testing.T, s checkpoint.Store, to uint64) {
	t.Helper()
	require.NoError(t, s.Move(t.Context(), titles, checkpoint.Move{From: standsAt(t, s), To: to, StoreID: id(1)}))
}

func standsAt(t *testing.T, s checkpoint.Store) uint64 {
	t.Helper()
	found, err := s.Load(t.Context(), titles)
	require.NoError(t, err)
	return found.Position
}

func positionsOf(t *testing.T, s dlq.Store, key string) (positions []uint64) {
	t.Helper()
	letters, err := s.Letters(t.Context(), waiting(key, 1).Sequence, 0)
	require.NoError(t, err)
	for _, l := range letters {
		positions = append(positions, l.Position)
	}
	return positions
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	require.NoError(t, p.DeadLetters().Park(t.Context(), waiting("a", 1), waiting("a", 2)))
	tx := begin(t, p)
	advance(t, tx.Checkpoints(), 1)
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(ctx context.Context) error {
		advance(t, tx.Checkpoints(), 2)
		require.NoError(t, tx.DeadLetters().Remove(ctx, waiting("a", 1)))
		require.NoError(t, tx.Savepoint(ctx, func(ctx context.Context) error { return tx.DeadLetters().Park(ctx, waiting("a", 3)) }))
		require.NoError(t, tx.DeadLetters().Clear(ctx, "titles", 1))
		return errFailed
	}), errFailed)
	assert.Equal(t, uint64(1), standsAt(t, tx.Checkpoints()))
	assert.Equal(t, []uint64{1, 2}, positionsOf(t, tx.DeadLetters(), "a"))
	require.PanicsWithValue(t, "handler", func() {
		_ = tx.Savepoint(t.Context(), func(context.Context) error {
			advance(t, tx.Checkpoints(), 5)
			panic("handler")
		})
	})
	require.NoError(t, tx.Savepoint(t.Context(), func(ctx context.Context) error { return tx.DeadLetters().Park(ctx, waiting("a", 4)) }))
	advance(t, tx.Checkpoints(), 3)
	require.NoError(t, tx.Commit(t.Context()))
	assert.Equal(t, uint64(3), standsAt(t, p.Checkpoints()))
	assert.Equal(t, []uint64{1, 2, 4}, positionsOf(t, p.DeadLetters(), "a"))
}

func TestEndedTransactionRefusesEverythingButRollback(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	tx := begin(t, p)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, tx.Rollback(t.Context()))
	require.ErrorIs(t, tx.Commit(t.Context()), jetstream.ErrTxEnded)
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(context.Context) error { return nil }), jetstream.ErrTxEnded)
	require.ErrorIs(t, tx.Checkpoints().Reset(t.Context(), titles), jetstream.ErrTxEnded)
	require.ErrorIs(t, tx.DeadLetters().Park(t.Context(), waiting("a", 1)), jetstream.ErrTxEnded)
	_, err := tx.Registry().Load(t.Context(), registry.Name{Projection: "titles", Version: 1})
	require.ErrorIs(t, err, jetstream.ErrTxEnded)
	assert.Equal(t, uint64(1), standsAt(t, p.Checkpoints()))
}

func TestCancelledTransactionKeepsNothingAndHoldsNothing(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := p.Begin(ctx)
	require.NoError(t, err)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, tx.DeadLetters().Park(ctx, waiting("a", 1)))
	cancel()
	require.ErrorIs(t, tx.Checkpoints().Reset(ctx, titles), context.Canceled)
	require.ErrorIs(t, tx.Commit(ctx), context.Canceled)
	require.NoError(t, tx.Rollback(ctx))
	assert.Zero(t, standsAt(t, p.Checkpoints()))
	require.NoError(t, p.DeadLetters().Park(t.Context(), waiting("a", 2)), "the letters are free")
	_, err = p.Begin(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestClosedProgressRefuses(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	tx, ctx := begin(t, p), t.Context()
	advance(t, tx.Checkpoints(), 1)
	p.Close()
	for name, call := range map[string]func() error{
		"begin":   func() error { _, err := p.Begin(ctx); return err },
		"load":    func() error { _, err := p.Checkpoints().Load(ctx, titles); return err },
		"move":    func() error { return p.Checkpoints().Move(ctx, titles, checkpoint.Move{To: 1}) },
		"parked":  func() error { _, err := p.DeadLetters().Parked(ctx, "titles", 1, []string{"a"}); return err },
		"park":    func() error { return p.DeadLetters().Park(ctx, waiting("a", 1)) },
		"acquire": func() error { _, err := p.Leases().Acquire(ctx, "a", "b", time.Second); return err },
		"renew": func() error {
			_, err := p.Leases().Renew(ctx, []lease.Lease{{Name: "a", Owner: "b"}}, time.Second)
			return err
		},
		"release":        func() error { return p.Leases().Release(ctx, lease.Lease{}) },
		"records":        func() error { _, err := p.Registry().List(ctx, ""); return err },
		"load snapshot":  func() error { _, _, err := p.Snapshots().Load(ctx, eventstore.Stream{}); return err },
		"in transaction": func() error { return tx.Checkpoints().Reset(ctx, titles) },
		"commit":         func() error { return tx.Commit(ctx) },
	} {
		require.ErrorIs(t, call(), eventstore.ErrClosed, name)
	}
	require.NoError(t, tx.Rollback(ctx))
}

// twoProcesses returns the same progress over two connections, as two processes
// have it.
func twoProcesses(t *testing.T, h *house) (one, other jetstream.Progress) {
	t.Helper()
	config := h.config(nil)
	return h.reopen(t, config), h.reopen(t, config)
}

func TestTransactionThatIsOvertakenByAnotherProcess(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(testing.TB) *house{"one server": oneServer, "three servers": threeServers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serve(t)
			for name, clause := range map[string]func(t *testing.T, one, other jetstream.Progress){
				"checkpoint": overtakenCheckpoint, "parked sequence": overtakenParked, "removed letter": overtakenLetter,
				"record": overtakenRecord, "what does not matter": overtakenElsewhere,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					one, other := twoProcesses(t, h)
					clause(t, one, other)
				})
			}
		})
	}
}

func overtakenCheckpoint(t *testing.T, one, other jetstream.Progress) {
	t.Helper()
	tx := begin(t, one)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, tx.DeadLetters().Park(t.Context(), waiting("a", 1)))
	advance(t, other.Checkpoints(), 7)
	err := tx.Commit(t.Context())
	moved, ok := errors.AsType[*checkpoint.MovedError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, uint64(7), moved.Actual.Position)
	assert.Empty(t, positionsOf(t, other.DeadLetters(), "a"))
}

// overtakenParked: who learned that a sequence is parked has queued behind it.
func overtakenParked(t *testing.T, one, other jetstream.Progress) {
	t.Helper()
	require.NoError(t, one.DeadLetters().Park(t.Context(), waiting("a", 1)))
	tx := begin(t, one)
	parked, err := tx.DeadLetters().Parked(t.Context(), "titles", 1, []string{"a", "b"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"a": true}, parked)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, other.DeadLetters().Remove(t.Context(), waiting("a", 1)))
	err = tx.Commit(t.Context())
	require.ErrorIs(t, err, jetstream.ErrTxConflict)
	assert.Equal(t, projection.Infrastructure, projection.DefaultClass(err), "it is done again")
	assert.Zero(t, standsAt(t, one.Checkpoints()))
}

func overtakenLetter(t *testing.T, one, other jetstream.Progress) {
	t.Helper()
	require.NoError(t, one.DeadLetters().Park(t.Context(), waiting("a", 1), waiting("a", 2)))
	tx := begin(t, one)
	require.Equal(t, []uint64{1, 2}, positionsOf(t, tx.DeadLetters(), "a"))
	require.NoError(t, tx.DeadLetters().Remove(t.Context(), waiting("a", 1)))
	require.NoError(t, other.DeadLetters().Remove(t.Context(), waiting("a", 1)))
	require.ErrorIs(t, tx.Commit(t.Context()), dlq.ErrNotFound)
	assert.Equal(t, []uint64{2}, positionsOf(t, one.DeadLetters(), "a"))
}

func overtakenRecord(t *testing.T, one, other jetstream.Progress) {
	t.Helper()
	record := func(version int, state registry.State) registry.Record {
		return registry.Record{Name: registry.Name{Projection: "titles", Version: version}, State: state, Since: start, Lanes: 1}
	}
	tx := begin(t, one)
	_, err := tx.Registry().Save(t.Context(), record(1, registry.Live))
	require.NoError(t, err)
	_, err = other.Registry().Save(t.Context(), record(2, registry.Live))
	require.NoError(t, err)
	require.ErrorIs(t, tx.Commit(t.Context()), registry.ErrLive)
	list, err := one.Registry().List(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, 2, list[0].Name.Version)
}

// overtakenElsewhere: letters that others park behind are in nobody's way.
func overtakenElsewhere(t *testing.T, one, other jetstream.Progress) {
	t.Helper()
	tx := begin(t, one)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, tx.DeadLetters().Park(t.Context(), waiting("a", 1)))
	require.NoError(t, other.DeadLetters().Park(t.Context(), waiting("a", 2), waiting("b", 3)))
	require.NoError(t, tx.Commit(t.Context()))
	assert.Equal(t, []uint64{1, 2}, positionsOf(t, other.DeadLetters(), "a"))
	assert.Equal(t, uint64(1), standsAt(t, other.Checkpoints()))
}

// Letters are written ahead of their lists where there are more than a server
// takes at once; of what cannot be, there is a limit.
func TestTransactionThatIsTooLarge(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	var letters []dlq.Letter
	for i := range uint64(1000) {
		letters = append(letters, waiting(fmt.Sprint("sequence ", i), i+1))
	}
	tx := begin(t, p)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, tx.DeadLetters().Park(t.Context(), letters...))
	err := tx.Commit(t.Context())
	require.ErrorIs(t, err, event.ErrTooLarge)
	require.EqualError(t, err, "transaction has 1001 changes, the limit is 1000; have fewer events in a batch")
	assert.Zero(t, standsAt(t, p.Checkpoints()))
	stats, err := p.DeadLetters().Stats(t.Context(), "titles", 1)
	require.NoError(t, err)
	assert.Zero(t, stats)

	tx = begin(t, p)
	advance(t, tx.Checkpoints(), 1)
	require.NoError(t, tx.DeadLetters().Park(t.Context(), letters[1:]...))
	require.NoError(t, tx.Commit(t.Context()))
	stats, err = p.DeadLetters().Stats(t.Context(), "titles", 1)
	require.NoError(t, err)
	assert.Equal(t, dlq.Stats{Sequences: 999, Letters: 999, Oldest: start}, stats)
	assert.Equal(t, uint64(1), standsAt(t, p.Checkpoints()))
}

// However many letters are cleared, it is one change; and they are taken away.
func TestClearIsOneChange(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(testing.TB) *house{"one server": oneServer, "three servers": threeServers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serve(t)
			config := h.config(nil)
			p, js := h.reopen(t, config), h.connect(t)
			var letters []dlq.Letter
			for i := range uint64(1200) {
				letters = append(letters, waiting(fmt.Sprint("sequence ", i), i+1))
			}
			for len(letters) > 0 {
				require.NoError(t, p.DeadLetters().Park(t.Context(), letters[:400]...))
				letters = letters[400:]
			}
			stats, err := p.DeadLetters().Stats(t.Context(), "titles", 1)
			require.NoError(t, err)
			assert.Equal(t, dlq.Stats{Sequences: 1200, Letters: 1200, Oldest: start}, stats, "more than the server tells at once")
			tx := begin(t, p)
			require.NoError(t, tx.DeadLetters().Clear(t.Context(), "titles", 1))
			require.NoError(t, tx.DeadLetters().Park(t.Context(), waiting("sequence 3", 9)))
			advance(t, tx.Checkpoints(), 1)
			assert.Equal(t, []uint64{9}, positionsOf(t, tx.DeadLetters(), "sequence 3"))
			require.NoError(t, tx.Commit(t.Context()))
			stats, err = p.DeadLetters().Stats(t.Context(), "titles", 1)
			require.NoError(t, err)
			assert.Equal(t, dlq.Stats{Sequences: 1, Letters: 1, Oldest: start}, stats)
			s, err := js.Stream(t.Context(), jetstream.ProgressStream(config).Name)
			require.NoError(t, err)
			assert.LessOrEqual(t, s.CachedInfo().State.NumSubjects, uint64(5))
		})
	}
}

func TestKeyPart(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "=", jetstream.KeyPart(""))
	assert.Equal(t, "a-Z_9", jetstream.KeyPart("a-Z_9"))
	assert.Equal(t, "=20=2E=2A=3E=3D=25=2F=C3=A9", jetstream.KeyPart(" .*>=%/é"))
	assert.Len(t, jetstream.KeyPart(strings.Repeat("é", 500)), 65)
	require.NoError(t, testingquick.Check(func(a, b string) bool {
		return (a == b) == (jetstream.KeyPart(a) == jetstream.KeyPart(b)) && !strings.ContainsAny(jetstream.KeyPart(a), ".*> ")
	}, nil))
}

// The longest names that ports take make no subject for which a server closes
// the connection.
func TestLongestNames(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	name := strings.Repeat("é", event.MaxNameBytes/2)
	letter := waiting(strings.Repeat("/", dlq.MaxKeyBytes), 1)
	letter.Sequence.Projection, letter.Sequence.Version, letter.Position = name, 1<<62, 1<<63
	require.NoError(t, p.DeadLetters().Park(t.Context(), letter))
	other := letter
	other.Sequence.Key = letter.Sequence.Key[1:] + "."
	require.NoError(t, p.DeadLetters().Park(t.Context(), other))
	parked, err := p.DeadLetters().Sequences(t.Context(), dlq.Filter{Key: letter.Sequence.Key})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	assert.Equal(t, letter, parked[0].First)
	held, err := p.Leases().Acquire(t.Context(), strings.Repeat(" ", lease.MaxNameBytes), "a", time.Minute)
	require.NoError(t, err)
	list, err := p.Leases().List(t.Context(), "  ")
	require.NoError(t, err)
	assert.Equal(t, []lease.Lease{held}, list)
}

// Without a clock of its own, progress goes by the server's.
func TestLeasesGoByTheServersClock(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	before := time.Now()
	held, err := p.Leases().Acquire(t.Context(), "titles", "a", time.Hour)
	require.NoError(t, err)
	assert.WithinRange(t, held.ExpiresAt, before.Add(time.Hour-time.Second), time.Now().Add(time.Hour))
	brief, err := p.Leases().Acquire(t.Context(), "counts", "a", 50*time.Millisecond)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		taken, err := p.Leases().Acquire(t.Context(), "counts", "b", time.Hour)
		return err == nil && taken.Fence > brief.Fence
	}, patience, tick)
}

func TestProvisionProgressRefusesAStreamThatForgets(t *testing.T) {
	t.Parallel()
	h := oneServer(t)
	js := h.connect(t)
	for setting, change := range map[string]func(c *natsjs.StreamConfig){
		"allow_atomic":         func(c *natsjs.StreamConfig) { c.AllowAtomicPublish = false },
		"storage":              func(c *natsjs.StreamConfig) { c.Storage = natsjs.MemoryStorage },
		"max_age":              func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs":             func(c *natsjs.StreamConfig) { c.MaxMsgs = 1000 },
		"max_bytes":            func(c *natsjs.StreamConfig) { c.MaxBytes, c.Discard = 1<<20, natsjs.DiscardOld },
		"max_msgs_per_subject": func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject = 5 },
		"retention":            func(c *natsjs.StreamConfig) { c.Retention = natsjs.InterestPolicy },
		"deny_delete":          func(c *natsjs.StreamConfig) { c.DenyDelete = false },
		"allow_direct":         func(c *natsjs.StreamConfig) { c.AllowDirect = false },
		"allow_msg_ttl":        func(c *natsjs.StreamConfig) { c.AllowMsgTTL = false },
		"duplicate_window":     func(c *natsjs.StreamConfig) { c.Duplicates = time.Second },
		"subjects":             func(c *natsjs.StreamConfig) { c.Subjects = []string{c.Subjects[0][:len(c.Subjects[0])-1] + "x"} },
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			config := h.config(nil)
			other := jetstream.ProgressStream(config)
			change(&other)
			_, err := js.CreateStream(t.Context(), other)
			require.NoError(t, err)
			err = jetstream.ProvisionProgress(t.Context(), js, config)
			fault, ok := errors.AsType[*jetstream.StreamError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, setting, fault.Setting)
			_, err = jetstream.OpenProgress(t.Context(), js, config)
			require.ErrorIs(t, err, jetstream.ErrStream)
		})
	}
}

func TestOpenProgressRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	h := oneServer(t)
	js, config := h.connect(t), h.config(nil)
	_, err := jetstream.OpenProgress(t.Context(), js, config)
	require.ErrorIs(t, err, jetstream.ErrStream)
	require.ErrorContains(t, err, "jetstream.Provision")
	h.reopen(t, config)
	other := config
	other.Prefix = strings.ReplaceAll(config.Prefix, ".", "_") // which has the same bucket
	_, err = jetstream.OpenProgress(t.Context(), js, other)
	require.ErrorIs(t, err, jetstream.ErrStream)
	require.ErrorContains(t, err, "belongs to another store")
	require.ErrorIs(t, jetstream.ProvisionProgress(t.Context(), js, other), jetstream.ErrStream)
	other.Prefix = "no prefix"
	require.ErrorIs(t, jetstream.ProvisionProgress(t.Context(), js, other), event.ErrInvalid)
	more := config
	more.Replicas = 3
	require.ErrorIs(t, jetstream.ProvisionProgress(t.Context(), js, more), jetstream.ErrStream)
	more.Prefix += "more"
	require.ErrorIs(t, jetstream.ProvisionProgress(t.Context(), js, more), jetstream.ErrStream)
}

// deaf is a way to a server on which the next answer is lost, and the connection
// with it.
type deaf struct{ armed atomic.Bool }

// Dial implements [nats.CustomDialer].
func (d *deaf) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: patience}).Dial(network, address)
	return &deafConn{Conn: conn, way: d}, err
}

type deafConn struct {
	net.Conn

	way *deaf
}

// Read implements [io.Reader].
func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.way.armed.CompareAndSwap(true, false) {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// What was written though nobody heard so is known again when it is sent once
// more: it is neither done twice nor taken for somebody else's.
func TestAnswerThatIsLost(t *testing.T) {
	t.Parallel()
	server, cluster := natstest.Start(t), natstest.StartCluster(t)
	for name, h := range map[string]struct {
		replicas int
		connect  func(t testing.TB, options ...nats.Option) natsjs.JetStream
	}{"one server": {1, server.JetStream}, "three servers": {3, cluster.JetStream}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			way := &deaf{}
			house := &house{replicas: h.replicas, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return h.connect(tb, nats.SetCustomDialer(way)) }}
			config := house.config(nil)
			config.Timeout = 300 * time.Millisecond
			p := house.reopen(t, config)
			for i := range uint64(8) {
				tx := begin(t, p)
				advance(t, tx.Checkpoints(), i+1)
				if i%2 == 1 { // one change, or several
					require.NoError(t, tx.DeadLetters().Park(t.Context(), waiting("a", i)))
				}
				way.armed.Store(true)
				require.NoError(t, tx.Commit(t.Context()), i)
				require.False(t, way.armed.Load())
				require.Equal(t, i+1, standsAt(t, p.Checkpoints()))
			}
			assert.Equal(t, []uint64{1, 3, 5, 7}, positionsOf(t, p.DeadLetters(), "a"))
		})
	}
}

// An outage is an error that says so, soon, and never an answer.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	house := &house{replicas: 1, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return server.JetStream(tb) }}
	p := house.open(t, nil)
	require.NoError(t, p.DeadLetters().Park(t.Context(), waiting("a", 1)))
	tx := begin(t, p)
	advance(t, tx.Checkpoints(), 1)
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for name, call := range map[string]func() error{
		"load":   func() error { _, err := p.Checkpoints().Load(ctx, titles); return err },
		"parked": func() error { _, err := p.DeadLetters().Parked(ctx, "titles", 1, []string{"a"}); return err },
		"list":   func() error { _, err := p.Leases().List(ctx, ""); return err },
		"renew": func() error {
			_, err := p.Leases().Renew(ctx, []lease.Lease{{Name: "a", Owner: "b", Fence: 1}}, time.Minute)
			return err
		},
		"commit": func() error { return tx.Commit(ctx) },
	} {
		err := call()
		require.Error(t, err, name)
		assert.True(t, jetstream.IsRetryable(err) || errors.Is(err, context.DeadlineExceeded), "%s: %v", name, err)
	}
	server.Restart(t)
	require.Eventually(t, func() bool { _, err := p.Checkpoints().Load(t.Context(), titles); return err == nil }, patience, tick)
	assert.Equal(t, []uint64{1}, positionsOf(t, p.DeadLetters(), "a"))
}

// What one process was told is written every other one reads at once, whichever
// replica it asks.
func TestReadsAreNeverStale(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	var processes []jetstream.Progress
	config := jetstream.ProgressConfig{Prefix: "fresh", Replicas: 3}
	for _, server := range cluster.Servers {
		h := &house{replicas: 3, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return server.JetStream(tb) }}
		processes = append(processes, h.reopen(t, config))
	}
	for i := range uint64(300) {
		writer, reader := processes[i%3], processes[(i/3+i+1)%3]
		advance(t, writer.Checkpoints(), i+1)
		require.NoError(t, writer.DeadLetters().Park(t.Context(), waiting("a", i+1)))
		list, err := reader.Checkpoints().List(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, i+1, list[0].Position)
		stats, err := reader.DeadLetters().Stats(t.Context(), "titles", 1)
		require.NoError(t, err)
		require.Equal(t, int(i)+1, stats.Letters)
	}
}

func snapshotOf(size int) aggregate.Snapshot {
	return aggregate.Snapshot{Stream: stream(1), StoreID: id(1), Version: 1, SchemaVersion: 1, State: bytes.Repeat([]byte{7}, size), TakenAt: start}
}

// What a server cannot take is an error that names the limit.
func TestLimitsOfTheServer(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.MaxPayload(16<<10))
	h := &house{replicas: 1, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return server.JetStream(tb) }}
	config := h.config(nil)
	full := jetstream.ProgressStream(config)
	full.MaxBytes = 64 << 10
	_, err := h.connect(t).CreateStream(t.Context(), full)
	require.NoError(t, err)
	p := h.reopen(t, config)
	require.NoError(t, p.Snapshots().Save(t.Context(), snapshotOf(20<<10)), "in pieces")
	found, ok, err := p.Snapshots().Load(t.Context(), stream(1))
	require.NoError(t, err)
	require.True(t, ok)
	assert.Len(t, found.State, 20<<10)

	var letters []dlq.Letter
	for i := range uint64(800) {
		letters = append(letters, waiting("a", 1<<40+i)) // whose list alone is larger
	}
	err = p.DeadLetters().Park(t.Context(), letters...)
	require.ErrorIs(t, err, event.ErrTooLarge)
	require.ErrorContains(t, err, "sequence.titles.1.a")
	err = p.Snapshots().Save(t.Context(), snapshotOf(60<<10))
	require.ErrorIs(t, err, eventstore.ErrFull)
	fault, ok := errors.AsType[*jetstream.StreamError](err)
	require.True(t, ok)
	assert.Equal(t, "max_bytes", fault.Setting)
	require.NoError(t, p.Snapshots().Delete(t.Context(), stream(1)))
	_, ok, err = p.Snapshots().Load(t.Context(), stream(1))
	require.NoError(t, err)
	assert.False(t, ok)
}

// What somebody else has written into the bucket is not taken for anything.
func TestDamagedValue(t *testing.T) {
	t.Parallel()
	h := oneServer(t)
	config := h.config(nil)
	p, js := h.reopen(t, config), h.connect(t)
	root := strings.TrimSuffix(jetstream.ProgressStream(config).Subjects[0], ">")
	require.NoError(t, p.Snapshots().Save(t.Context(), snapshotOf(10)))
	for _, key := range []string{"checkpoint.titles.1.0", "snapshot.acme.Task." + id(1).String()} {
		_, err := js.Publish(t.Context(), root+key, []byte("{"))
		require.NoError(t, err)
	}
	_, err := p.Checkpoints().Load(t.Context(), titles)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.ErrorContains(t, err, "checkpoint.titles.1.0")
	require.ErrorIs(t, p.Checkpoints().Move(t.Context(), titles, checkpoint.Move{To: 1}), eventstore.ErrCorrupt)
	_, err = p.Checkpoints().List(t.Context(), "")
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	_, _, err = p.Snapshots().Load(t.Context(), stream(1))
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.NoError(t, p.Snapshots().Save(t.Context(), snapshotOf(10)), "a snapshot is replaced")
	_, ok, err := p.Snapshots().Load(t.Context(), stream(1))
	require.NoError(t, err)
	assert.True(t, ok)
}

// Who holds the letters of one version does not wait for those of another, for
// which somebody may wait the other way round.
func TestLettersOfTwoVersionsInOneTransaction(t *testing.T) {
	t.Parallel()
	p := oneServer(t).open(t, nil)
	second := waiting("a", 1)
	second.Sequence.Version = 2
	one, other := begin(t, p), begin(t, p)
	require.NoError(t, one.DeadLetters().Park(t.Context(), waiting("a", 1)))
	require.NoError(t, other.DeadLetters().Park(t.Context(), second))
	require.ErrorIs(t, one.DeadLetters().Park(t.Context(), second), jetstream.ErrTxConflict)
	require.NoError(t, other.Commit(t.Context()))
	second.Position = 2
	require.NoError(t, one.DeadLetters().Park(t.Context(), second))
	require.NoError(t, one.DeadLetters().Park(t.Context(), waiting("b", 3), second), "both are held by now")
	require.NoError(t, one.Commit(t.Context()))
	parked, err := p.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	assert.Len(t, parked, 3)
}

// A program may have its own name for the server's interface.
func TestProgressBehindAPrefix(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	h := &house{replicas: 1, connect: func(tb testing.TB) natsjs.JetStream {
		tb.Helper()
		js, err := natsjs.NewWithAPIPrefix(server.JetStream(tb).Conn(), natsjs.DefaultAPIPrefix)
		require.NoError(tb, err)
		return js
	}}
	p := h.open(t, nil)
	advance(t, p.Checkpoints(), 1)
	assert.Equal(t, uint64(1), standsAt(t, p.Checkpoints()))
}

// stepping is a runner that takes one step after the other, whatever happens to
// its server, and says how far it was told that it has come.
type stepping struct {
	progress jetstream.Progress
	at       atomic.Uint64
	stop     func() error
}

func keepStepping(t *testing.T, p jetstream.Progress) *stepping {
	t.Helper()
	s := &stepping{progress: p}
	s.stop = background(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			at, err := step(ctx, p)
			switch {
			case err == nil:
				s.at.Store(at)
			case ctx.Err() == nil && !jetstream.IsRetryable(err) && !errors.Is(err, checkpoint.ErrMoved):
				return err
			default:
				_ = delay.For(ctx, tick) // a server that is gone is not asked without end
			}
		}
		return nil
	})
	return s
}

// await waits until it has come so far beyond where it was.
func (s *stepping) await(t *testing.T, steps uint64) {
	t.Helper()
	first := s.at.Load()
	require.Eventually(t, func() bool { return s.at.Load() >= first+steps }, patience, tick)
}

// requireWhole requires that each step was taken whole and once.
func (s *stepping) requireWhole(t *testing.T) {
	t.Helper()
	require.NoError(t, s.stop())
	// One step more, behind which what was on its way at the end comes too late.
	require.Eventually(t, func() bool { _, err := step(t.Context(), s.progress); return err == nil }, patience, tick)
	end := standsAt(t, s.progress.Checkpoints())
	require.Greater(t, end, s.at.Load())
	got := positionsOf(t, s.progress.DeadLetters(), "a")
	require.Len(t, got, int(end))
	for i, position := range got {
		require.Equal(t, uint64(i)+1, position)
	}
}

// While leaders come and go, each transaction is done whole and once.
func TestTransactionsWhileLeadersChange(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	h := &house{replicas: 3, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return cluster.JetStream(tb) }}
	config := h.config(nil)
	config.Timeout = 300 * time.Millisecond
	name := jetstream.ProgressStream(config).Name
	s := keepStepping(t, h.reopen(t, config))
	s.await(t, 20)
	for range 3 {
		cluster.StepDown(t, name)
		s.await(t, 10)
	}
	leader := cluster.AwaitLeader(t, name)
	leader.Stop()
	s.await(t, 10)
	leader.Restart(t)
	s.await(t, 10)
	s.requireWhole(t)
}

// A server that is killed has what it has acknowledged, and no half of anything.
func TestTransactionsWhileTheServerIsKilled(t *testing.T) {
	t.Parallel()
	server := natstest.StartProcess(t)
	h := &house{replicas: 1, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return server.JetStream(tb) }}
	config := h.config(nil)
	config.Timeout = 300 * time.Millisecond
	s := keepStepping(t, h.reopen(t, config))
	for range 4 {
		s.await(t, 10)
		server.Restart(t) // which kills it
	}
	s.await(t, 10)
	s.requireWhole(t)
}

// step parks the next letter and moves the checkpoint, in one transaction.
func step(ctx context.Context, p jetstream.Progress) (uint64, error) {
	found, err := p.Checkpoints().Load(ctx, titles)
	if err != nil {
		return 0, err
	}
	tx, err := p.Begin(ctx)
	if err != nil {
		return 0, err
	}
	at := found.Position + 1
	err = errors.Join(
		tx.DeadLetters().Park(ctx, waiting("a", at)),
		tx.Checkpoints().Move(ctx, titles, checkpoint.Move{From: found.Position, To: at, StoreID: id(1)}),
	)
	if err != nil {
		return 0, errors.Join(err, tx.Rollback(ctx))
	}
	return at, tx.Commit(ctx)
}
