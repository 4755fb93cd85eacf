package transfer_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/transfer"
	"github.com/evident-go/evident/sqlite"
)

// commit is a line of the history of a repository that examples/history reads.
type commit struct {
	Hash    string        `json:"commit"`
	At      time.Time     `json:"at"`
	Actor   event.ActorID `json:"actor"`
	Changes [][2]string   `json:"changes"` // what, and the path
}

// commits returns the history, oldest first.
func commits(tb testing.TB) []commit {
	tb.Helper()
	f, err := os.Open(filepath.Join("..", "..", "examples", "history", "testdata", "repository-history.ndjson.gz"))
	require.NoError(tb, err)
	defer func() { require.NoError(tb, f.Close()) }()
	text, err := gzip.NewReader(bufio.NewReader(f))
	require.NoError(tb, err)
	var found []commit
	for lines := json.NewDecoder(text); ; {
		var c commit
		err := lines.Decode(&c)
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(tb, err)
		found = append(found, c)
	}
}

// fillWithHistory appends each commit as one, a stream for each file.
func fillWithHistory(tb testing.TB, store eventstore.Store, history []commit) {
	tb.Helper()
	for _, c := range history {
		var appends []eventstore.Append
		seen := make(map[uuid.UUID]bool)
		for _, change := range c.Changes {
			file := uuid.NewSHA1(uuid.NameSpaceURL, []byte("file:"+change[1]))
			if seen[file] { // said twice
				continue
			}
			seen[file] = true
			payload, err := json.Marshal(map[string]string{"path": change[1]})
			require.NoError(tb, err)
			appends = append(appends, eventstore.Append{
				Stream: eventstore.Stream{AggregateType: "File", AggregateID: file},
				Events: []event.Event{{
					ID: uuid.NewSHA1(file, []byte(c.Hash)), Type: "File" + change[0], SchemaVersion: 1, ActorID: c.Actor,
					CorrelationID: uuid.NewSHA1(uuid.NameSpaceURL, []byte("commit:"+c.Hash)), OccurredAt: c.At,
					Metadata: event.Metadata{"commit": c.Hash}, Data: payload,
				}},
			})
		}
		if len(appends) > 0 {
			_, err := store.Append(tb.Context(), appends...)
			require.NoError(tb, err)
		}
	}
}

// rows is a hash over every byte of the table of events.
func rows(tb testing.TB, store *sqlite.Store) string {
	tb.Helper()
	found, err := store.DB().QueryContext(tb.Context(), `
		SELECT quote(position) || quote(event_id) || quote(event_type) || quote(schema_version) || quote(aggregate_type) || quote(aggregate_id) ||
		       quote(aggregate_version) || quote(tenant_id) || quote(actor_id) || quote(correlation_id) || quote(causation_id) ||
		       quote(occurred_at) || quote(recorded_at) || quote(metadata) || quote(payload) FROM events ORDER BY position`)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, found.Close()) }()
	hash := sha256.New()
	for found.Next() {
		var row string
		require.NoError(tb, found.Scan(&row))
		fmt.Fprintln(hash, row)
	}
	require.NoError(tb, found.Err())
	return hex.EncodeToString(hash.Sum(nil))
}

// persist copies through interruptions, of which there is one every few thousand
// events, and returns how many there were.
func persist(tb testing.TB, source eventstore.Store, target transfer.Target, random *rand.Rand) (report transfer.Report, cuts int) {
	tb.Helper()
	b := newBreaks(random, 12_000)
	for {
		next, err := transfer.Copy(tb.Context(), &flakySource{source, b}, &flaky{target, b}, transfer.Config{From: report})
		require.GreaterOrEqual(tb, next.Digest.Events, report.Digest.Events)
		if report = next; err == nil {
			return report, cuts
		}
		require.ErrorIs(tb, err, errCut)
		cuts++
	}
}

// TestHistoryThereAndBack moves the history of a real repository from SQLite to
// PostgreSQL, on to JetStream, and from there back, interrupted at random; every
// byte comes back.
func TestHistoryThereAndBack(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	source, back := onSQLite(t), onSQLite(t)
	past := inMemory(t)
	fillWithHistory(t, past, commits(t))
	first := copyAll(t, past, source)
	require.Equal(t, uint64(24_542), first.Digest.Events)

	from, last := transfer.Target(source), first
	for _, to := range []transfer.Target{onPostgreSQL(t), onJetStream(t), back} {
		began := time.Now()
		report, cuts := persist(t, from, to, random)
		t.Logf("from %T to %T: %d cuts, %s", from, to, cuts, time.Since(began).Round(time.Millisecond))
		require.Positive(t, cuts)
		require.Equal(t, first.Digest, report.Digest)
		verified, err := transfer.Verify(t.Context(), from, to, transfer.VerifyConfig{})
		require.NoError(t, err)
		require.Equal(t, first.Digest, verified.Digest)
		from, last = to, report
	}
	requireSame(t, source, back, transfer.Report{Digest: first.Digest, SourcePosition: first.TargetPosition, TargetPosition: last.TargetPosition})
	require.Equal(t, rows(t, source), rows(t, back))
}

// The second store is open for writing as soon as the first is closed: streams
// go on where they were, and what was sent before is known.
func TestTheTargetGoesOn(t *testing.T) {
	t.Parallel()
	source, target := onSQLite(t), onPostgreSQL(t)
	w := newWriter(source, rand.New(rand.NewPCG(5, 6)))
	require.NoError(t, w.add(t.Context(), 100))
	last := all(t, source, eventstore.Query{Direction: eventstore.Backward, Limit: 1})[0]
	report := copyAll(t, source, target)

	_, err := target.Append(t.Context(), eventstore.Append{
		Stream: eventstore.StreamOf(last), Expected: eventstore.Exact(last.AggregateVersion - 1), Events: []event.Event{last},
	})
	require.NoError(t, err, "an append whose answer was lost is sent again, to the new store")
	w.store = target
	require.NoError(t, w.add(t.Context(), 100))
	_, err = transfer.Copy(t.Context(), source, target, transfer.Config{})
	require.ErrorIs(t, err, transfer.ErrDifferent, "a copy over the store that is in use")
	verified, err := transfer.Verify(t.Context(), source, target, transfer.VerifyConfig{Beyond: true})
	require.NoError(t, err)
	require.Equal(t, report.Digest, verified.Digest)
	digest, err := transfer.DigestOf(context.WithoutCancel(t.Context()), target, report.TargetPosition)
	require.NoError(t, err)
	require.Equal(t, report.Digest, digest)
}
