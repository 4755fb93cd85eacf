package archive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func TestWhatIsArchivedComesBackWhole(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, 60)
	want := collect(t, store.ReadAll(t.Context(), eventstore.Query{}))
	for _, compression := range []archive.Compression{archive.Gzip, archive.Plain} {
		for _, size := range []int64{0, 1, 2000} {
			target := newBucket()
			result := write(t, store, target, archive.Config{FileBytes: size, Compression: compression})
			assert.Equal(t, uint64(60), result.Events)
			assert.Equal(t, []uint64{0, 60, 1, 60}, []uint64{result.After, result.Until, result.First, result.Last})
			assert.Len(t, result.Manifest.Files, result.Files)
			r := openArchive(t, target)
			assert.Equal(t, want, collect(t, r.ReadAll(t.Context(), eventstore.Query{})))
			assert.Equal(t, result.Manifest, r.Manifest())
			report, err := archive.Verify(t.Context(), target)
			require.NoError(t, err)
			assert.Equal(t, uint64(60), report.Events)
			assert.Empty(t, report.Unlisted)
		}
	}
}

func TestAnArchiveAnswersAsTheStoreDoes(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, 80)
	target := newBucket()
	write(t, store, target, archive.Config{FileBytes: 3000})
	r := openArchive(t, target)
	some := collect(t, store.ReadAll(t.Context(), eventstore.Query{}))[40]
	for _, query := range []eventstore.Query{
		{After: 10},
		{Until: 30},
		{After: 10, Until: 12},
		{After: 79},
		{After: 80},
		{Types: []string{"Closed"}},
		{AggregateTypes: []string{"Order"}},
		{AggregateID: some.AggregateID},
		{TenantID: "acme"},
		{ActorID: event.User("1")},
		{CorrelationID: some.CorrelationID},
		{OccurredFrom: some.OccurredAt},
		{OccurredUntil: some.OccurredAt},
		{Limit: 7},
		{Limit: 7, After: 5},
		{Types: []string{"none"}},
	} {
		for _, query.Direction = range []eventstore.Direction{eventstore.Forward, eventstore.Backward} {
			assert.Equal(t, collect(t, store.ReadAll(t.Context(), query)), collect(t, r.ReadAll(t.Context(), query)), "%+v", query)
		}
	}
	for _, query := range []eventstore.StreamQuery{{}, {From: 2}, {To: 2}, {Limit: 1}, {Direction: eventstore.Backward, Limit: 2}} {
		stream := eventstore.StreamOf(some)
		assert.Equal(t, collect(t, store.ReadStream(t.Context(), stream, query)), collect(t, r.ReadStream(t.Context(), stream, query)), "%+v", query)
	}
	for _, err := range r.ReadStream(t.Context(), eventstore.StreamOf(some), eventstore.StreamQuery{}) {
		require.NoError(t, err)
		break
	}
	require.ErrorIs(t, lastError(r.ReadAll(t.Context(), eventstore.Query{Limit: -1})), archive.ErrInvalid)
	require.ErrorIs(t, lastError(r.ReadStream(t.Context(), eventstore.StreamOf(some), eventstore.StreamQuery{Limit: -1})), archive.ErrInvalid)
}

func TestAnArchiveIsSearchedLikeTheLog(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, 50)
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	require.NoError(t, err)
	_, err = log.Append(t.Context(), audit.Draft{ActorID: event.User("1"), Action: "report.exported", Entity: audit.EntityRef{Type: "Report", ID: "q1"}, Purpose: "audit"})
	require.NoError(t, err)
	target := newBucket()
	write(t, store, target, archive.Config{FileBytes: 2000})

	comparison, err := audit.Compare(t.Context(), log, openArchive(t, target).Records(audit.Config{}), 10)
	require.NoError(t, err)
	assert.True(t, comparison.Equal(), comparison)
	assert.Equal(t, uint64(51), comparison.Compared)
	found := 0
	for record, err := range openArchive(t, target).Records(audit.Config{}).ByAction(t.Context(), "report.exported", audit.Page{}) {
		require.NoError(t, err)
		assert.Equal(t, "audit", record.Purpose())
		found++
	}
	assert.Equal(t, 1, found)
}

func TestAnArchiveIsExtended(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 20)
	first := write(t, store, target, archive.Config{Until: 12})
	assert.Equal(t, []uint64{12, 12}, []uint64{first.Until, first.Manifest.Until})
	before := target.copied()
	fill(t, store, 20)
	second := write(t, store, target, archive.Config{})
	assert.Equal(t, []uint64{12, 40, 13, 40}, []uint64{second.After, second.Until, second.First, second.Last})
	for name, file := range before {
		if name != archive.ManifestName {
			assert.Equal(t, file.Data, target.MapFS[name].Data, "a file is never changed")
		}
	}
	puts := target.puts
	third := write(t, store, target, archive.Config{})
	assert.Equal(t, puts, target.puts, "there is nothing to add")
	assert.Equal(t, []uint64{40, 40, 0}, []uint64{third.After, third.Until, third.Events})
	assert.Equal(t, second.Manifest.Checksum, third.Manifest.Checksum)
	assert.Len(t, collect(t, openArchive(t, target).ReadAll(t.Context(), eventstore.Query{})), 40)
	assert.Zero(t, write(t, store, target, archive.Config{Until: 5}).Events, "it never gets shorter")
}

func TestAgeIsCountedFromWhenTheStoreRecorded(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 20) // they claim to be ever older
	tenth := collect(t, store.ReadAll(t.Context(), eventstore.Query{}))[9]
	config := archive.Config{RecordedBefore: tenth.RecordedAt}
	plan, err := archive.Plan(t.Context(), store, target, config)
	require.NoError(t, err)
	assert.Empty(t, target.MapFS, "a plan writes nothing")
	result := write(t, store, target, config)
	assert.Equal(t, uint64(9), result.Last)
	assert.Equal(t, uint64(9), result.Until)
	plan.Manifest, plan.Files = result.Manifest, result.Files
	assert.Equal(t, result, plan)
	head, err := openArchive(t, target).Head(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(9), head)
}

func TestChosenEvents(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 21)
	config := archive.Config{Select: func(e event.Event) bool { return e.AggregateType == "Order" }, Selection: "orders", FileBytes: 1000}
	result := write(t, store, target, config)
	assert.Equal(t, []uint64{10, 21}, []uint64{result.Events, result.Until})
	_, err := archive.Write(t.Context(), store, target, archive.Config{})
	requireInvalid(t, err, "selection")
	config.Select = func(event.Event) bool { return false }
	fill(t, store, 3)
	assert.Equal(t, uint64(24), write(t, store, target, config).Manifest.Until, "that nothing was chosen is known, too")
	_, err = archive.Verify(t.Context(), target)
	require.NoError(t, err)
}

func requireInvalid(t *testing.T, err error, field string) {
	t.Helper()
	var invalid *event.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, field, invalid.Field)
}

func TestWhatDoesNotBelongTogetherIsNotMixed(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 4)
	write(t, store, target, archive.Config{Until: 2})
	_, err := archive.Write(t.Context(), newStore(t), target, archive.Config{})
	requireInvalid(t, err, "store_id")
	_, err = archive.Write(t.Context(), eventstore.BindTenant(store, "acme"), target, archive.Config{})
	requireInvalid(t, err, "tenant_id")

	own := newBucket()
	result := write(t, eventstore.BindTenant(store, "acme"), own, archive.Config{})
	assert.Equal(t, event.TenantID("acme"), result.Manifest.TenantID)
	assert.Equal(t, uint64(2), result.Events)
}

// restored is a store that was restored from an old backup.
type restored struct{ eventstore.Store }

func (restored) Head(context.Context) (uint64, error) { return 2, nil }

func TestAStoreThatHasLostEventsIsNoticed(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 4)
	write(t, store, target, archive.Config{})
	_, err := archive.Write(t.Context(), restored{store}, target, archive.Config{})
	require.ErrorIs(t, err, archive.ErrAhead)
	_, err = archive.Plan(t.Context(), restored{store}, target, archive.Config{})
	require.ErrorIs(t, err, archive.ErrAhead)
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]archive.Config{
		"file_bytes":  {FileBytes: -1},
		"compression": {Compression: 7},
		"selection":   {Selection: "orders"},
	} {
		_, err := archive.Write(t.Context(), newStore(t), newBucket(), config)
		requireInvalid(t, err, field)
		_, err = archive.Plan(t.Context(), newStore(t), newBucket(), config)
		requireInvalid(t, err, field)
	}
	_, err := archive.Write(t.Context(), newStore(t), newBucket(), archive.Config{Selection: "\x00", Select: func(event.Event) bool { return true }})
	requireInvalid(t, err, "selection")
}

func TestAnEventThatIsTooLargeForALine(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{Limits: eventstore.Limits{PayloadBytes: 64 << 20}})
	require.NoError(t, err)
	e := event.Event{ID: event.NewID(), Type: "Big", SchemaVersion: 1, OccurredAt: start, Data: make([]byte, 40<<20)}
	stream := eventstore.Stream{AggregateType: "Big", AggregateID: uuid.New()}
	_, err = store.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{e}})
	require.NoError(t, err)
	_, err = archive.Write(t.Context(), store, newBucket(), archive.Config{})
	require.ErrorIs(t, err, archive.ErrTooLarge)
	require.ErrorContains(t, err, "position 1")
}

func TestAnArchiveIsAStoreThatNothingIsAppendedTo(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 3)
	write(t, store, target, archive.Config{})
	r := openArchive(t, target)
	assert.Equal(t, store.ID(), r.ID())
	assert.Equal(t, eventstore.DefaultLimits(), r.Limits())
	_, err := r.Append(t.Context(), eventstore.Append{})
	require.ErrorIs(t, err, eventstore.ErrReadOnly)
	head, err := r.Wait(t.Context(), 2)
	require.NoError(t, err)
	assert.Equal(t, uint64(3), head)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Wait(ended, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, lastError(r.ReadAll(ended, eventstore.Query{})), context.Canceled)
	_, err = archive.Open(ended, target)
	require.ErrorIs(t, err, context.Canceled)
	_, err = archive.Write(ended, store, target, archive.Config{})
	require.ErrorIs(t, err, context.Canceled)

	for range 2 {
		require.NoError(t, r.Close())
	}
	_, err = r.Wait(t.Context(), 0)
	require.ErrorIs(t, err, eventstore.ErrClosed)
	_, err = r.Head(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
	require.ErrorIs(t, lastError(r.ReadAll(t.Context(), eventstore.Query{})), eventstore.ErrClosed)
}

func TestWaitEndsWithTheContextAndWithClose(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	write(t, store, target, archive.Config{})
	fill(t, store, 1)
	write(t, store, target, archive.Config{})
	synctest.Test(t, func(t *testing.T) {
		r := openArchive(t, target)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := r.Wait(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		done := make(chan error)
		go func() {
			_, err := r.Wait(t.Context(), 1)
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, r.Close())
		require.ErrorIs(t, <-done, eventstore.ErrClosed)
	})
}

// TestACrashAtAnyPointLeavesAnArchiveThatDoesNotLie fails each Put once, before
// and after it is done, and goes on.
func TestACrashAtAnyPointLeavesAnArchiveThatDoesNotLie(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, 30)
	want := collect(t, store.ReadAll(t.Context(), eventstore.Query{}))
	config := archive.Config{FileBytes: 2500}
	whole := newBucket()
	write(t, store, whole, config)
	require.Greater(t, whole.puts, 6)
	for crash := range whole.puts {
		for _, after := range []bool{false, true} {
			target := newBucket()
			target.crash, target.after = crash, after
			_, err := archive.Write(t.Context(), store, target, config)
			require.ErrorIs(t, err, errCrash)
			if _, there := target.MapFS[archive.ManifestName]; there {
				report, err := archive.Verify(t.Context(), target)
				require.NoError(t, err, "crash at %d", crash)
				left := collect(t, openArchive(t, target).ReadAll(t.Context(), eventstore.Query{}))
				require.Equal(t, want[:len(left)], left)
				require.Equal(t, uint64(len(left)), report.Manifest.Until)
			}
			write(t, store, target, config)
			require.Equal(t, want, collect(t, openArchive(t, target).ReadAll(t.Context(), eventstore.Query{})))
			report, err := archive.Verify(t.Context(), target)
			require.NoError(t, err)
			require.Empty(t, report.Unlisted, "a file that is written again is the same")
		}
	}
}

func TestAFolder(t *testing.T) {
	t.Parallel()
	store, path := newStore(t), t.TempDir()
	fill(t, store, 10)
	target := archive.Dir(path)
	write(t, store, target, archive.Config{FileBytes: 1})
	require.NoError(t, os.WriteFile(filepath.Join(path, ".writing-17"), nil, 0o600))
	report, err := archive.Verify(t.Context(), target)
	require.NoError(t, err)
	assert.Equal(t, []string{".writing-17"}, report.Unlisted)
	assert.Equal(t, 10, report.Files)
	assert.Len(t, collect(t, openArchive(t, os.DirFS(path)).ReadAll(t.Context(), eventstore.Query{})), 10)

	_, err = archive.Write(t.Context(), store, archive.Dir(filepath.Join(path, "none")), archive.Config{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(path, "taken"), 0o700))
	require.Error(t, target.Put(t.Context(), "taken", []byte("x")))
	left, err := filepath.Glob(filepath.Join(path, ".writing-*"))
	require.NoError(t, err)
	assert.Len(t, left, 1, "a failed write leaves nothing")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, target.Put(ended, "a", nil), context.Canceled)
}

func Example() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, action := range []string{"report.read", "report.exported", "report.read"} {
		if _, err := log.Append(ctx, audit.Draft{ActorID: event.User("7f3a"), Action: action, Entity: audit.EntityRef{Type: "Report", ID: "q1"}}); err != nil {
			fmt.Println(err)
			return
		}
	}

	folder, err := os.MkdirTemp("", "archive")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { fmt.Println(os.RemoveAll(folder)) }()
	result, err := archive.Write(ctx, store, archive.Dir(folder), archive.Config{Until: 2})
	fmt.Println(result.Events, "events up to position", result.Until, err)
	report, err := archive.Verify(ctx, archive.Dir(folder))
	fmt.Println(report.Files, "file whole", err)

	old, err := archive.Open(ctx, archive.Dir(folder))
	if err != nil {
		fmt.Println(err)
		return
	}
	for record, err := range old.Records(audit.Config{}).ByAction(ctx, "report.read", audit.Page{}) {
		fmt.Println(record.Position(), record.Action(), record.Entity(), err)
	}

	// Output:
	// 2 events up to position 2 <nil>
	// 1 file whole <nil>
	// 1 report.read Report/q1 <nil>
	// <nil>
}

func TestFilesAreNamedAfterTheirContent(t *testing.T) {
	t.Parallel()
	store, first, second := newStore(t), newBucket(), newBucket()
	fill(t, store, 9)
	a, b := write(t, store, first, archive.Config{FileBytes: 900}), write(t, store, second, archive.Config{FileBytes: 900})
	assert.Equal(t, a.Manifest.Files, b.Manifest.Files)
	assert.True(t, slices.IsSortedFunc(a.Manifest.Files, func(a, b archive.File) int { return strings.Compare(a.Name, b.Name) }))
}

// another is a store that was restored from an old backup and has gone on since:
// other events stand in the places of those that were archived.
type another struct {
	eventstore.Store

	id uuid.UUID
}

func (a another) ID() uuid.UUID { return a.id }

func TestAStoreThatHasGoneOnFromAnOldBackupIsNoticed(t *testing.T) {
	t.Parallel()
	store, target := newStore(t), newBucket()
	fill(t, store, 4)
	write(t, store, target, archive.Config{})
	other := newStore(t)
	fill(t, other, 9)
	_, err := archive.Write(t.Context(), another{other, store.ID()}, target, archive.Config{})
	require.ErrorIs(t, err, archive.ErrAhead)
	fill(t, store, 1)
	write(t, store, target, archive.Config{})
}
