package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// newReplica opens what config leads to for reading.
func newReplica(tb testing.TB, config postgres.Config) *postgres.Store {
	tb.Helper()
	config.Replica = true
	return open(tb, config)
}

func TestAReplicaReadsAsFarAsTheMark(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	replica := newReplica(t, granted(t, config, postgres.CanRead))
	assert.Equal(t, store.ID(), replica.ID())
	_, err := store.Append(t.Context(), order("", 3))
	require.NoError(t, err)
	assert.Empty(t, read(t, replica.ReadAll(t.Context(), eventstore.Query{})), "nobody keeps the mark")

	newKeeper(t, config)
	head, err := replica.Wait(t.Context(), 2)
	require.NoError(t, err)
	assert.Equal(t, uint64(3), head)
	assert.Len(t, read(t, replica.ReadAll(t.Context(), eventstore.Query{})), 3)
	assert.Empty(t, read(t, replica.BindTenant("acme").ReadAll(t.Context(), eventstore.Query{})))
}

func TestAReplicaStoresNothing(t *testing.T) {
	t.Parallel()
	replica := newReplica(t, newDatabase(t))
	_, err := replica.Append(t.Context(), order("", 1))
	require.ErrorIs(t, err, eventstore.ErrReadOnly)
	_, err = replica.Append(t.Context(), eventstore.Append{})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	_, err = replica.BindTenant("acme").Append(t.Context(), order("acme", 1))
	require.ErrorIs(t, err, eventstore.ErrReadOnly)
	_, err = replica.BindTenant("acme").Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{TenantID: "acme"}})
	require.ErrorIs(t, err, eventstore.ErrInvalid)

	tx := beginPlain(t, replica)
	_, err = replica.Within(tx).Append(t.Context(), order("", 1))
	require.ErrorIs(t, err, eventstore.ErrReadOnly)
	require.NoError(t, tx.Rollback(t.Context()))

	require.NoError(t, replica.Close())
	_, err = replica.Append(t.Context(), order("", 1))
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

// Two servers behind one URL: the one that is asked for events is behind the
// one that was asked for the head.
func TestAReadThatMeetsALaggingServerIsAnError(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	replica, conn := newReplica(t, config), dial(t, config.URL)
	_, err := open(t, config).Append(t.Context(), order("acme", 2))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT evident.keep_mark() FROM pg_sleep(0.2)")
	require.NoError(t, err)
	_, err = replica.Wait(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, read(t, replica.ReadAll(t.Context(), eventstore.Query{Until: 2})), 2)

	_, err = conn.Exec(t.Context(), "UPDATE evident.mark SET position = 1")
	require.NoError(t, err)
	for _, store := range []eventstore.Store{replica, replica.BindTenant("acme")} {
		err = failure(t, store.ReadAll(t.Context(), eventstore.Query{Until: 2}))
		require.ErrorIs(t, err, eventstore.ErrUnavailable)
		require.ErrorContains(t, err, "has not replayed")
	}
}

// writers append from several goroutines until they are done: some in
// transactions that are held open while the others go on, some of those undone.
func writers(ctx context.Context, store *postgres.Store) error {
	const count, rounds = 6, 60
	var all sync.WaitGroup
	errs := make([]error, count)
	for w := range count {
		random := rand.New(rand.NewPCG(uint64(w), 1))
		write := func() error { _, err := store.Append(ctx, order("", 1+random.IntN(3))); return err }
		if w%2 == 1 {
			write = func() error { return slowly(ctx, store, random) }
		}
		all.Go(func() {
			for n := 0; n < rounds && errs[w] == nil; n++ {
				errs[w] = write()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// slowly appends in a transaction that is held open, and perhaps undone.
func slowly(ctx context.Context, store *postgres.Store, random *rand.Rand) error {
	tx, err := store.Pool().Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := store.Within(tx).Append(ctx, order("", 1+random.IntN(3))); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if _, err := tx.Exec(ctx, "SELECT pg_sleep($1)", float64(random.IntN(30))/1000); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if random.IntN(5) == 0 {
		return tx.Rollback(ctx)
	}
	return tx.Commit(ctx)
}

// follow reads a store until it has seen last, and returns the positions in the
// order in which they came.
func follow(t *testing.T, store eventstore.Store, last func() (uint64, bool)) (seen []uint64) {
	t.Helper()
	var after uint64
	for {
		for e, err := range store.ReadAll(t.Context(), eventstore.Query{After: after}) {
			require.NoError(t, err)
			after = e.Position
			seen = append(seen, after)
		}
		if end, known := last(); known && after >= end {
			return seen
		}
	}
}

func positions(t *testing.T, store eventstore.Store) (all []uint64) {
	t.Helper()
	for _, e := range read(t, store.ReadAll(t.Context(), eventstore.Query{})) {
		all = append(all, e.Position)
	}
	return all
}

func TestAStandbyShowsAStablePrefix(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t)
	config := postgres.Config{URL: primary.URL()}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	store := newKeeper(t, config)
	standby := pgtest.Standby(t, primary)
	replica := newReplica(t, postgres.Config{URL: standby.URL()})

	_, err := postgres.Open(t.Context(), postgres.Config{URL: standby.URL()})
	require.ErrorIs(t, err, eventstore.ErrReadOnly)
	_, err = postgres.Renew(t.Context(), postgres.Config{URL: standby.URL()}, 0)
	require.ErrorIs(t, err, eventstore.ErrReadOnly)

	finished := make(chan uint64, 1)
	go func() {
		err := writers(t.Context(), store)
		head, lost := store.Head(t.Context())
		assert.NoError(t, errors.Join(err, lost))
		finished <- max(head, 1)
	}()
	var end uint64
	seen := follow(t, replica, func() (uint64, bool) {
		select {
		case end = <-finished:
		default:
		}
		return end, end > 0
	})
	assert.Equal(t, positions(t, store), seen)
	assert.Greater(t, len(seen), 300)
	requirePlainSQL(t, standby.URL(), len(seen))
	requireProjection(t, replica, len(seen))
}

// requirePlainSQL reads as the documentation says.
func requirePlainSQL(t *testing.T, url string, want int) {
	t.Helper()
	var n int
	require.NoError(t, dial(t, url).QueryRow(t.Context(),
		"SELECT count(*) FROM evident.events WHERE position <= (SELECT position FROM evident.mark)").Scan(&n))
	assert.Equal(t, want, n)
}

// requireProjection runs a projection whose progress is elsewhere.
func requireProjection(t *testing.T, replica *postgres.Store, want int) {
	t.Helper()
	progress, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	n := 0
	runner, err := projection.NewRunner(replica, projection.Config{
		Progress:    progress,
		Projections: []projection.Projection{projection.New("count", 1, projection.OnEvery(func(context.Context, event.Event) error { n++; return nil }))},
	})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, want, n)
}

func TestOpenOfAReplicaRefusesASchemaThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.URL(t), Replica: true})
	require.ErrorIs(t, err, eventstore.ErrSchema)
}

func TestAReplicaOfARoleWithoutRights(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	name, as := newRole(t, config)
	require.NoError(t, postgres.Grant(t.Context(), config, name, postgres.CanRead))
	execute(t, config.URL, "REVOKE SELECT ON evident.mark FROM "+name)
	as.Replica = true
	_, err := postgres.Open(t.Context(), as)
	require.ErrorIs(t, err, postgres.ErrPermission)
	require.ErrorContains(t, err, "SELECT on evident.mark")
}
