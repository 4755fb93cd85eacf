package audittest

import (
	"context"
	"crypto/sha256"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// VerifyHarness is an empty event store with its two homes, which have the zero
// [audit.Config].
type VerifyHarness struct {
	Events   eventstore.Store
	Log      audit.LogHome
	Activity audit.ActivityHome
	// Progress is where a runner of the homes keeps its checkpoints, nil for Events.
	Progress projection.Progress
	// Forge gives the row at a position of a table, audit_log or user_activity,
	// to the actor user:mallory, and Erase deletes it: as somebody who may do
	// anything in the database, with all guards off.
	Forge, Erase func(ctx context.Context, table string, position uint64) error
}

// RunVerify goes through many events: logs that were rebuilt must be what was
// stored, and a row that was forged or erased must be found and named.
func RunVerify(t *testing.T, h VerifyHarness) {
	t.Helper()
	appendMany(t, h.Events)
	runner, err := projection.NewRunner(h.Events, projection.Config{
		Projections: []projection.Projection{h.Log, h.Activity}, Progress: h.Progress, BatchSize: 2000,
	})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	h.requireVerified(t)
	before := sum(t, h.Log)

	require.NoError(t, runner.Rebuild(t.Context(), audit.LogName))
	require.NoError(t, runner.Rebuild(t.Context(), audit.ActivityName))
	h.requireVerified(t)
	assert.Equal(t, before, sum(t, h.Log), "what was rebuilt is what was stored, byte by byte")
	h.requireFound(t)
}

// requireVerified requires that both homes are what the events say.
func (h VerifyHarness) requireVerified(t *testing.T) {
	t.Helper()
	all := audit.Comparison{Compared: many}
	found, err := audit.Verify(t.Context(), h.Log, h.Events, audit.Config{}, many, 10)
	require.NoError(t, err)
	require.Equal(t, all, found, found.String())
	found, err = audit.VerifyActivities(t.Context(), h.Activity, h.Events, many, 10)
	require.NoError(t, err)
	require.Equal(t, all, found, found.String())
}

// requireFound forges a row in the middle and erases the last, of both tables.
func (h VerifyHarness) requireFound(t *testing.T) {
	t.Helper()
	const middle = many / 2
	for _, table := range []string{"audit_log", "user_activity"} {
		require.NoError(t, h.Forge(t.Context(), table, middle))
		require.NoError(t, h.Erase(t.Context(), table, many))
	}
	forged := audit.Difference{Position: middle, Changes: []audit.Change{{Field: "actor_id", A: "user:mallory", B: "user:alice"}}}
	erased := audit.Difference{Position: many, Missing: audit.A}
	whole := audit.Comparison{Compared: many, Differing: 2, Differences: []audit.Difference{forged, erased}}
	lagging := audit.Comparison{Compared: many - 1, Differing: 1, Differences: []audit.Difference{forged}}
	for asOf, want := range map[uint64]audit.Comparison{many: whole, 0: lagging} {
		found, err := audit.Verify(t.Context(), h.Log, h.Events, audit.Config{}, asOf, 10)
		require.NoError(t, err)
		assert.Equal(t, want, found, "as of %d", asOf)
		found, err = audit.VerifyActivities(t.Context(), h.Activity, h.Events, asOf, 10)
		require.NoError(t, err)
		assert.Equal(t, want, found, "as of %d", asOf)
	}
}

// appendMany appends many events, a tenth of them explicit activities.
func appendMany(t *testing.T, store eventstore.Store) {
	t.Helper()
	const streams, events = 10, 100
	for n := 0; n < many; n += streams * events {
		var appends []eventstore.Append
		for s := range streams {
			stream := eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}
			if s == 0 {
				stream.AggregateType = audit.ActivityStream
			}
			appends = append(appends, eventstore.Append{Stream: stream, Events: someEvents(stream, events)})
		}
		_, err := store.Append(t.Context(), appends...)
		require.NoError(t, err)
	}
}

func someEvents(stream eventstore.Stream, n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		e := at(uint64(i))
		e.ID = uuid.New()
		if stream.AggregateType == audit.ActivityStream {
			explicit(audit.Denied)(&e)
		}
		e.AggregateType, e.AggregateID, e.AggregateVersion = "", uuid.Nil, 0
		e.Position = 0
		events[i] = e
	}
	return events
}

// sum returns the records' JSON, as a hash.
func sum(t *testing.T, log audit.Finder) [sha256.Size]byte {
	t.Helper()
	hash, line := sha256.New(), []byte(nil)
	for record, err := range log.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}}) {
		require.NoError(t, err)
		line, err = record.AppendJSON(line[:0])
		require.NoError(t, err)
		_, _ = hash.Write(line)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}
