package snapshottest

import (
	"bytes"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

var (
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)
	document = eventstore.Stream{AggregateType: "Document", AggregateID: uuid.MustParse("01900000-0000-7000-8000-000000000001")}
)

func snapshot(stream eventstore.Stream, version uint64, state string) aggregate.Snapshot {
	return aggregate.Snapshot{
		Stream:        stream,
		StoreID:       uuid.MustParse("01900000-0000-7000-8000-00000000ffff"),
		Version:       version,
		SchemaVersion: 1,
		State:         []byte(state),
		TakenAt:       noon,
	}
}

func load(t promisetest.T, s aggregate.SnapshotStore, stream eventstore.Stream) aggregate.Snapshot {
	t.Helper()
	found, ok, err := s.Load(t.Context(), stream)
	require.NoError(t, err)
	require.True(t, ok)
	return found
}

func requireNone(t promisetest.T, s aggregate.SnapshotStore, stream eventstore.Stream) {
	t.Helper()
	found, ok, err := s.Load(t.Context(), stream)
	require.NoError(t, err)
	require.False(t, ok)
	require.Zero(t, found)
}

func nothing(t promisetest.T, s aggregate.SnapshotStore) {
	requireNone(t, s, document)
	require.NoError(t, s.Save(t.Context(), snapshot(document, 1, "{}")))
	requireNone(t, s, eventstore.Stream{AggregateType: "Document", AggregateID: uuid.Max})
}

func roundTrip(t promisetest.T, s aggregate.SnapshotStore) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	saved := snapshot(document, 1<<40, "")
	saved.SchemaVersion = 12
	for i, state := range [][]byte{every, []byte(`{"title": "A  é"}`), bytes.Repeat(every, 1<<12), {}} {
		saved.State, saved.Version = state, saved.Version+1
		saved.TakenAt = noon.Add(time.Duration(i)*time.Hour + 999).In(time.FixedZone("elsewhere", 3600))
		require.NoError(t, s.Save(t.Context(), saved))
		found := load(t, s, document)
		require.True(t, bytes.Equal(state, found.State))
		want := saved
		want.TakenAt, want.State, found.State = event.Time(saved.TakenAt), nil, nil
		require.Equal(t, want, found)
	}
}

func newest(t promisetest.T, s aggregate.SnapshotStore) {
	for version := range uint64(4) {
		saved := snapshot(document, version+1, strings.Repeat("s", int(version)))
		require.NoError(t, s.Save(t.Context(), saved))
	}
	assert.Equal(t, snapshot(document, 4, "sss"), load(t, s, document))
}

func copied(t promisetest.T, s aggregate.SnapshotStore) {
	saved := snapshot(document, 1, "state")
	require.NoError(t, s.Save(t.Context(), saved))
	saved.State[0] = 'X'
	found := load(t, s, document)
	require.Equal(t, "state", string(found.State))
	found.State[0] = 'X'
	assert.Equal(t, "state", string(load(t, s, document).State))
}

func deleted(t promisetest.T, s aggregate.SnapshotStore) {
	require.NoError(t, s.Delete(t.Context(), document))
	require.NoError(t, s.Save(t.Context(), snapshot(document, 5, "five")))
	require.NoError(t, s.Delete(t.Context(), document))
	requireNone(t, s, document)
	require.NoError(t, s.Save(t.Context(), snapshot(document, 2, "two")))
	assert.Equal(t, "two", string(load(t, s, document).State))
}

func older(t promisetest.T, s aggregate.SnapshotStore) {
	require.NoError(t, s.Save(t.Context(), snapshot(document, 5, "five")))
	require.NoError(t, s.Save(t.Context(), snapshot(document, 4, "four")))
	assert.Equal(t, snapshot(document, 5, "five"), load(t, s, document))
}

// sameVersion: a state of a newer schema takes the place of one that cannot be
// read any more.
func sameVersion(t promisetest.T, s aggregate.SnapshotStore) {
	require.NoError(t, s.Save(t.Context(), snapshot(document, 5, "old schema")))
	upgraded := snapshot(document, 5, "new schema")
	upgraded.SchemaVersion = 2
	require.NoError(t, s.Save(t.Context(), upgraded))
	assert.Equal(t, upgraded, load(t, s, document))
}

func racing(t promisetest.T, s aggregate.SnapshotStore) {
	for round := range uint64(8) {
		for _, err := range promisetest.Race(8, func(i int) error {
			return s.Save(t.Context(), snapshot(document, round*8+uint64(i)+1, "state"))
		}) {
			require.NoError(t, err)
		}
		require.Equal(t, round*8+8, load(t, s, document).Version)
	}
}

func independent(t promisetest.T, s aggregate.SnapshotStore) {
	streams := []eventstore.Stream{
		document,
		{AggregateType: "document", AggregateID: document.AggregateID},
		{AggregateType: "Document ", AggregateID: document.AggregateID},
		{AggregateType: "Document", AggregateID: uuid.Max},
		{TenantID: "acme", AggregateType: "Document", AggregateID: document.AggregateID},
		{TenantID: "Acme", AggregateType: "Document", AggregateID: document.AggregateID},
		{TenantID: "acmeDocument", AggregateType: "Document", AggregateID: document.AggregateID},
	}
	for i, stream := range streams {
		require.NoError(t, s.Save(t.Context(), snapshot(stream, uint64(i)+1, stream.String())))
	}
	require.NoError(t, s.Delete(t.Context(), document))
	requireNone(t, s, document)
	for i, stream := range streams[1:] {
		assert.Equal(t, snapshot(stream, uint64(i)+2, stream.String()), load(t, s, stream))
	}
}

func refused(t promisetest.T, s aggregate.SnapshotStore) {
	for field, spoil := range map[string]func(s *aggregate.Snapshot){
		"aggregate type": func(s *aggregate.Snapshot) { s.Stream.AggregateType = "" },
		"aggregate id":   func(s *aggregate.Snapshot) { s.Stream.AggregateID = uuid.Nil },
		"tenant":         func(s *aggregate.Snapshot) { s.Stream.TenantID = "nul\x00" },
		"store id":       func(s *aggregate.Snapshot) { s.StoreID = uuid.Nil },
		"version":        func(s *aggregate.Snapshot) { s.Version = 0 },
		"schema version": func(s *aggregate.Snapshot) { s.SchemaVersion = 0 },
		"taken at":       func(s *aggregate.Snapshot) { s.TakenAt = time.Time{} },
	} {
		bad := snapshot(document, 1, "state")
		spoil(&bad)
		require.ErrorIs(t, s.Save(t.Context(), bad), eventstore.ErrInvalid, field)
	}
	long := snapshot(document, 1, "state")
	long.Stream.AggregateType = strings.Repeat("T", event.MaxNameBytes+1)
	require.ErrorIs(t, s.Save(t.Context(), long), eventstore.ErrTooLarge)
	requireNone(t, s, document)
}
