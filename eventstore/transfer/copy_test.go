package transfer_test

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/memory"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	source := inMemory(t)
	fill(t, source, 1500)
	for name, target := range map[string]transfer.Target{
		"memory": inMemory(t), "sqlite": onSQLite(t), "postgres": onPostgreSQL(t), "jetstream": onJetStream(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := copyAll(t, source, target)
			requireSame(t, source, target, report)
			require.Equal(t, report.Digest.Events, report.Stored)
			again := copyAll(t, source, target)
			require.Zero(t, again.Stored)
			require.Equal(t, report.Digest, again.Digest)
			back := inMemory(t)
			report = copyAll(t, target, back)
			requireSame(t, source, back, transfer.Report{Digest: report.Digest, SourcePosition: report.TargetPosition, TargetPosition: report.TargetPosition})
		})
	}
}

func TestNothingIsCopied(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	report := copyAll(t, source, target)
	requireSame(t, source, target, report)
	require.Zero(t, report.Digest.Events)
	fill(t, target, 1)
	_, err := transfer.Copy(t.Context(), source, target, transfer.Config{})
	require.ErrorIs(t, err, transfer.ErrDifferent, "an empty source is no reason to take anything for its copy")
}

// What a digest is over never changes: those that were written down years ago
// must still be comparable.
func TestDigestNeverChanges(t *testing.T) {
	t.Parallel()
	store := inMemory(t)
	_, err := store.Import(t.Context(), each([]event.Event{{
		ID: uuid.UUID{1}, Type: "Placed", SchemaVersion: 2, TenantID: "acme", AggregateType: "Order", AggregateID: uuid.UUID{2}, AggregateVersion: 1,
		ActorID: "user:ada", CorrelationID: uuid.UUID{3}, CausationID: uuid.UUID{4},
		OccurredAt: time.Date(1969, 5, 1, 0, 0, 0, 1000, time.UTC), RecordedAt: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		Metadata: event.Metadata{"b": 1, "a": 2.0}, Data: []byte(`{"x": 1}`),
	}}))
	require.NoError(t, err)
	digest, err := transfer.DigestOf(t.Context(), store, 0)
	require.NoError(t, err)
	require.Equal(t, "1 events, sha256:8fae1b30e27399afed58064bf6c52db296b894faae8ed3fcb1701b79c1123025", digest.String())
}

func TestCopyOfOneTenant(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), onSQLite(t)
	fill(t, source, 400)
	bound := eventstore.BindTenant(source, "acme")
	report := copyAll(t, bound, target)
	requireSame(t, bound, target, report)
	require.NotZero(t, report.Digest.Events)
	for _, e := range all(t, target, eventstore.Query{}) {
		require.Equal(t, event.TenantID("acme"), e.TenantID)
	}
	_, err := transfer.Copy(t.Context(), eventstore.BindTenant(source, "umbrella"), target, transfer.Config{})
	require.ErrorIs(t, err, transfer.ErrDifferent, "a second tenant needs a target of its own")
}

// An archive is read like a store, so it can be copied into one. One of chosen
// events has holes, and is refused where the first of them is.
func TestCopyFromAnArchive(t *testing.T) {
	t.Parallel()
	store := filled(t, 300)
	folder := archive.Dir(t.TempDir())
	_, err := archive.Write(t.Context(), store, folder, archive.Config{FileBytes: 10_000})
	require.NoError(t, err)
	reader, err := archive.Open(t.Context(), folder)
	require.NoError(t, err)
	target := onSQLite(t)
	requireSame(t, store, target, copyAll(t, reader, target))

	chosen := archive.Dir(t.TempDir())
	_, err = archive.Write(t.Context(), store, chosen, archive.Config{
		Select: func(e event.Event) bool { return e.SchemaVersion > 1 }, Selection: "newer",
	})
	require.NoError(t, err)
	reader, err = archive.Open(t.Context(), chosen)
	require.NoError(t, err)
	_, err = transfer.Copy(t.Context(), reader, inMemory(t), transfer.Config{})
	require.ErrorIs(t, err, eventstore.ErrConflict)
}

// A copy that is interrupted again and again, of a source that grows meanwhile,
// always leaves a beginning, and is whole in the end.
func TestInterruptedAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		source, target := forProperty(rt), forProperty(rt)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		w := newWriter(source, random)
		b := newBreaks(random, rapid.IntRange(1, 200).Draw(rt, "most"))
		var report transfer.Report
		for range rapid.IntRange(0, 12).Draw(rt, "rounds") {
			require.NoError(rt, w.add(t.Context(), rapid.IntRange(0, 20).Draw(rt, "appends")))
			if rapid.Bool().Draw(rt, "in another process") {
				report = transfer.Report{}
			}
			var err error
			report, err = transfer.Copy(t.Context(), &flakySource{source, b}, &flaky{target, b}, transfer.Config{From: report})
			if err != nil {
				require.ErrorIs(rt, err, errCut)
				require.NotErrorIs(rt, err, transfer.ErrDifferent)
			}
			want, got := collected(rt, source), collected(rt, target)
			require.LessOrEqual(rt, len(got), len(want))
			require.Equal(rt, want[:len(got):len(got)], got) // positions, too: these stores have no gaps
			require.LessOrEqual(rt, report.Digest.Events, uint64(len(got)))
			if err == nil {
				require.Len(rt, got, len(want))
			}
		}
		report, err := transfer.Copy(t.Context(), source, target, transfer.Config{From: report})
		require.NoError(rt, err)
		require.Equal(rt, collected(rt, source), collected(rt, target))
		verified, err := transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{})
		require.NoError(rt, err)
		require.Equal(rt, report.Digest, verified.Digest)
	})
}

func forProperty(rt *rapid.T) *memory.Store {
	store, err := memory.Open(context.Background(), memory.Config{Now: stepping()})
	require.NoError(rt, err)
	return store
}

func collected(rt *rapid.T, store eventstore.Store) []event.Event {
	events := []event.Event{}
	for e, err := range store.ReadAll(context.Background(), eventstore.Query{}) {
		require.NoError(rt, err)
		events = append(events, e)
	}
	return events
}

// counted is a source that counts what is read.
type counted struct {
	eventstore.Store

	read func()
}

func (c *counted) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for e, err := range c.Store.ReadAll(ctx, query) {
			c.read()
			if !yield(e, err) {
				return
			}
		}
	}
}

// The end of the context is an interruption like any other.
func TestCopyIsCancelled(t *testing.T) {
	t.Parallel()
	source, target := filled(t, 2500), onSQLite(t) // several transactions
	have := 0
	for _, at := range []int{100, 2100, 4300, 5000} {
		ctx, cancel := context.WithCancel(t.Context())
		left := at
		_, err := transfer.Copy(ctx, &counted{Store: source, read: func() {
			if left--; left == 0 {
				cancel()
			}
		}}, target, transfer.Config{})
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		_, n := requireBeginning(t, source, target)
		require.GreaterOrEqual(t, n, have)
		have = n
	}
	require.Positive(t, have)
	report := copyAll(t, source, target)
	requireSame(t, source, target, report)
	require.Equal(t, report.Digest.Events, uint64(have)+report.Stored)
}

// Copy follows a source until it is told that nobody writes to it any more, and
// then misses nothing.
func TestCopyFollows(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) transfer.Target{
		"memory":    func(tb testing.TB) transfer.Target { tb.Helper(); return inMemory(tb) },
		"sqlite":    func(tb testing.TB) transfer.Target { tb.Helper(); return onSQLite(tb) },
		"postgres":  func(tb testing.TB) transfer.Target { tb.Helper(); return onPostgreSQL(tb) },
		"jetstream": func(tb testing.TB) transfer.Target { tb.Helper(); return onJetStream(tb) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := open(t), open(t)
			fill(t, source, 20)
			stop, written := make(chan struct{}), make(chan error, 1)
			begun := make(chan struct{})
			go func() {
				<-begun
				errs := promisetest.Race(3, func(i int) error {
					return newWriter(source, rand.New(rand.NewPCG(uint64(i), 2))).add(t.Context(), 100)
				})
				close(stop) // right behind the last append
				written <- errors.Join(errs...)
			}()
			first := true
			report, err := transfer.Copy(t.Context(), source, target, transfer.Config{Stop: stop, Progress: func(p transfer.Progress) {
				assert.LessOrEqual(t, p.Position, p.Head)
				if first {
					first = false
					close(begun)
				}
			}})
			require.NoError(t, err)
			require.NoError(t, <-written)
			requireSame(t, source, target, report)
		})
	}
}

func TestCopyFollowsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	fill(t, source, 5)
	ctx, cancel := context.WithCancel(t.Context())
	report, err := transfer.Copy(ctx, source, target, transfer.Config{Stop: make(chan struct{}), Progress: func(transfer.Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	requireSame(t, source, target, report)
	require.NoError(t, source.Close())
	_, err = transfer.Copy(t.Context(), source, target, transfer.Config{Stop: make(chan struct{})})
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

func TestProgress(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	fill(t, source, 6000)
	var seen []transfer.Progress
	report, err := transfer.Copy(t.Context(), source, target, transfer.Config{Progress: func(p transfer.Progress) { seen = append(seen, p) }})
	require.NoError(t, err)
	require.Greater(t, len(seen), 10)
	for i := range seen[1:] {
		require.LessOrEqual(t, seen[i].Events, seen[i+1].Events)
	}
	end := transfer.Progress{Events: report.Digest.Events, Stored: report.Stored, Position: report.SourcePosition, Head: report.SourcePosition}
	require.Equal(t, end, seen[len(seen)-1])
	seen = nil
	_, err = transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{Progress: func(p transfer.Progress) { seen = append(seen, p) }})
	require.NoError(t, err)
	end.Stored = 0
	require.Equal(t, end, seen[len(seen)-1])
}

// Two copies that are at work at the same time do no harm.
func TestTwoCopiesAtOnce(t *testing.T) {
	t.Parallel()
	source, target := onSQLite(t), onPostgreSQL(t)
	fill(t, source, 1000)
	stop, other := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := transfer.Copy(t.Context(), source, target, transfer.Config{Stop: stop})
		other <- err
	}()
	w := newWriter(source, rand.New(rand.NewPCG(3, 4)))
	for range 10 {
		require.NoError(t, w.add(t.Context(), 50))
		copyAll(t, source, target)
	}
	close(stop)
	require.NoError(t, <-other)
	requireSame(t, source, target, copyAll(t, source, target))
}

// hidden is a target whose readers are held back until they wait.
type hidden struct {
	transfer.Target

	visible uint64
}

func (h *hidden) Head(context.Context) (uint64, error) { return h.visible, nil }

func (h *hidden) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	if h.visible <= query.After {
		return func(func(event.Event, error) bool) {}
	}
	query.Until = h.visible
	return h.Target.ReadAll(ctx, query)
}

func (h *hidden) Wait(ctx context.Context, after uint64) (uint64, error) {
	head, err := h.Target.Wait(ctx, after)
	h.visible = min(head, h.visible+7)
	return h.visible, err
}

// A transaction that is left open holds back PostgreSQL's readers. What was
// stored is waited for, and not stored twice.
func TestReadersOfTheTargetAreHeldBack(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	fill(t, source, 40)
	report := copyAll(t, source, &hidden{Target: target})
	requireSame(t, source, target, report)
	require.Equal(t, report.Digest.Events, report.Stored)
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	for field, call := range map[string]func() (transfer.Report, error){
		"source": func() (transfer.Report, error) { return transfer.Copy(t.Context(), nil, target, transfer.Config{}) },
		"target": func() (transfer.Report, error) { return transfer.Copy(t.Context(), source, nil, transfer.Config{}) },
	} {
		_, err := call()
		invalid, ok := errors.AsType[*event.InvalidError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, field, invalid.Field)
	}
	_, err := transfer.Copy(t.Context(), source, source, transfer.Config{})
	require.ErrorIs(t, err, event.ErrInvalid)
	require.ErrorContains(t, err, "is the source itself")
}

// A report of other stores is no place to go on from.
func TestCopyFromAnotherReport(t *testing.T) {
	t.Parallel()
	source, target := inMemory(t), inMemory(t)
	fill(t, source, 10)
	report := copyAll(t, source, target)
	for name, from := range map[string]transfer.Report{
		"of other stores":  copyAll(t, filled(t, 11), inMemory(t)),
		"beyond the end":   {Digest: report.Digest, SourcePosition: report.SourcePosition + 1, TargetPosition: report.TargetPosition + 1},
		"without position": {Digest: report.Digest},
		"turned round":     {Digest: report.Digest, SourcePosition: 2, TargetPosition: 1},
	} {
		_, err := transfer.Copy(t.Context(), source, target, transfer.Config{From: from})
		invalid, ok := errors.AsType[*event.InvalidError](err)
		require.True(t, ok, "%s: %v", name, err)
		require.Equal(t, "from", invalid.Field, name)
	}
	fill(t, source, 3)
	further, err := transfer.Copy(t.Context(), source, target, transfer.Config{From: report})
	require.NoError(t, err)
	requireSame(t, source, target, further)
}

// An event beyond the target's limits ends the copy in front of it; with higher
// limits it goes on.
func TestTargetWithLowerLimits(t *testing.T) {
	t.Parallel()
	source := inMemory(t)
	target, err := memory.Open(t.Context(), memory.Config{Limits: eventstore.Limits{PayloadBytes: 10}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, target.Close()) })
	fill(t, source, 3)
	_, err = transfer.Copy(t.Context(), source, target, transfer.Config{})
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.False(t, eventstore.IsRetryable(err))
}
