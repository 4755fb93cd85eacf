package leasetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/lease"
)

func acquire(t promisetest.T, s lease.Store, name, owner string) lease.Lease {
	t.Helper()
	got, err := s.Acquire(t.Context(), name, owner, time.Minute)
	require.NoError(t, err)
	require.Equal(t, name, got.Name)
	require.Equal(t, owner, got.Owner)
	require.NotZero(t, got.Fence)
	return got
}

// requireHeld requires that owner does not get what is held as held says.
func requireHeld(t promisetest.T, s lease.Store, owner string, held lease.Lease) {
	t.Helper()
	_, err := s.Acquire(t.Context(), held.Name, owner, time.Minute)
	require.ErrorIs(t, err, lease.ErrHeld)
	var typed *lease.HeldError
	require.ErrorAs(t, err, &typed)
	assert.Equal(t, held, typed.Lease)
}

func heldByAnother(t promisetest.T, h harness) {
	held := acquire(t, h, "titles", "a")
	assert.Equal(t, h.clock.Now().Add(time.Minute), held.ExpiresAt)
	requireHeld(t, h, "b", held)
	h.clock.advance(time.Minute - time.Microsecond)
	requireHeld(t, h, "b", held)
	requireHeld(t, h, "A", held)
	requireHeld(t, h, "a ", held)
}

func independent(t promisetest.T, h harness) {
	names := []string{"titles", "Titles", "titles ", "titles/1"}
	for _, name := range names {
		acquire(t, h, name, "owner of "+name)
	}
	first := acquire(t, h, names[0], "owner of "+names[0])
	require.NoError(t, h.Release(t.Context(), first))
	acquire(t, h, names[0], "another")
	for _, name := range names[1:] {
		requireHeld(t, h, "another", acquire(t, h, name, "owner of "+name))
	}
}

func refused(t promisetest.T, h harness) {
	for _, bad := range []struct {
		name, owner string
		ttl         time.Duration
	}{
		{"", "a", time.Minute},
		{"titles", "", time.Minute},
		{"titles", "a", 0},
		{"titles", "a", -time.Second},
		{"nul\x00", "a", time.Minute},
		{"titles", "\xff", time.Minute},
	} {
		_, err := h.Acquire(t.Context(), bad.name, bad.owner, bad.ttl)
		require.ErrorIs(t, err, event.ErrInvalid, "%+v", bad)
	}
	_, err := h.Acquire(t.Context(), strings.Repeat("n", lease.MaxNameBytes+1), "a", time.Minute)
	require.ErrorIs(t, err, event.ErrTooLarge)
	acquire(t, h, "titles", "b")
}

func renewed(t promisetest.T, h harness) {
	first := acquire(t, h, "titles", "a")
	h.clock.advance(40 * time.Second)
	again := acquire(t, h, "titles", "a")
	assert.Equal(t, first.Fence, again.Fence)
	assert.Equal(t, h.clock.Now().Add(time.Minute), again.ExpiresAt)
	h.clock.advance(40 * time.Second)
	requireHeld(t, h, "b", again)
	shorter, err := h.Acquire(t.Context(), "titles", "a", time.Second)
	require.NoError(t, err)
	assert.Equal(t, h.clock.Now().Add(time.Second), shorter.ExpiresAt)
}

func afterExpiry(t promisetest.T, h harness) {
	first := acquire(t, h, "titles", "a")
	h.clock.advance(time.Minute)
	second := acquire(t, h, "titles", "b")
	assert.Greater(t, second.Fence, first.Fence)
	requireHeld(t, h, "a", second)
}

func afterRelease(t promisetest.T, h harness) {
	first := acquire(t, h, "titles", "a")
	require.NoError(t, h.Release(t.Context(), first))
	second := acquire(t, h, "titles", "b")
	assert.Greater(t, second.Fence, first.Fence)
	requireHeld(t, h, "a", second)
}

func racingForFree(t promisetest.T, h harness) { race(t, h) }

func racingForExpired(t promisetest.T, h harness) {
	first := acquire(t, h, "titles", "first")
	for range 4 {
		h.clock.advance(time.Minute)
		next := race(t, h)
		require.Greater(t, next.Fence, first.Fence)
		first = next
	}
}

// race lets eight owners race for one lease and returns the winner's.
func race(t promisetest.T, h harness) lease.Lease {
	t.Helper()
	got := make([]lease.Lease, 8)
	errs := promisetest.Race(len(got), func(i int) (err error) {
		got[i], err = h.Acquire(t.Context(), "titles", fmt.Sprintf("owner %d at %s", i, h.clock.Now()), time.Minute)
		return err
	})
	var won []lease.Lease
	for i, err := range errs {
		if err == nil {
			won = append(won, got[i])
			continue
		}
		var typed *lease.HeldError
		require.ErrorAs(t, err, &typed)
	}
	require.Len(t, won, 1)
	return won[0]
}

func releaseEnds(t promisetest.T, h harness) {
	first := acquire(t, h, "titles", "a")
	renewed := acquire(t, h, "titles", "a")
	first.ExpiresAt = renewed.ExpiresAt.Add(-time.Second) // a stale copy is still the same owner's
	require.NoError(t, h.Release(t.Context(), first))
	acquire(t, h, "titles", "b")
}

func releaseByOther(t promisetest.T, h harness) {
	held := acquire(t, h, "titles", "a")
	for _, foreign := range []lease.Lease{
		{Name: "titles", Owner: "b", Fence: held.Fence},
		{Name: "titles", Owner: "a", Fence: held.Fence + 1},
		{Name: "titles"},
		{Name: "nobody's", Owner: "a", Fence: held.Fence},
		{},
	} {
		require.NoError(t, h.Release(t.Context(), foreign))
		requireHeld(t, h, "b", held)
	}
}

func releaseByFormer(t promisetest.T, h harness) {
	former := acquire(t, h, "titles", "a")
	h.clock.advance(time.Minute)
	acquire(t, h, "titles", "b")
	h.clock.advance(time.Minute)
	held := acquire(t, h, "titles", "a")
	require.NoError(t, h.Release(t.Context(), former))
	requireHeld(t, h, "b", held)
}

func fenceGrows(t promisetest.T, h harness) {
	last := uint64(0)
	for i := range 12 {
		held := acquire(t, h, "titles", fmt.Sprint("owner ", i%2))
		require.Greater(t, held.Fence, last)
		last = held.Fence
		if i%3 == 0 {
			h.clock.advance(time.Minute)
		} else {
			require.NoError(t, h.Release(t.Context(), held))
		}
	}
	again := acquire(t, h, "titles", "owner 1")
	require.NoError(t, h.Release(t.Context(), again))
	assert.Greater(t, acquire(t, h, "titles", "owner 1").Fence, again.Fence, "one who released it is not the owner any more")
}

func fenceOverRestarts(t promisetest.T, h harness) {
	held := acquire(t, h, "titles", "a")
	reopener, ok := h.Store.(Reopener)
	if !ok {
		t.Log("the store's leases end with it: there is no restart")
		return
	}
	reopened, err := reopener.Reopen()
	require.NoError(t, err)
	requireHeld(t, reopened, "b", held)
	require.NoError(t, reopened.Release(t.Context(), held))
	assert.Greater(t, acquire(t, reopened, "titles", "b").Fence, held.Fence)
}

func storesClock(t promisetest.T, h harness) {
	held := acquire(t, h, "titles", "a")
	assert.Equal(t, h.clock.Now().Add(time.Minute), held.ExpiresAt, "in UTC, to the microsecond")
	requireHeld(t, h, "b", held)
	h.clock.advance(24 * time.Hour)
	taken := acquire(t, h, "titles", "b")
	assert.Equal(t, h.clock.Now().Add(time.Minute), taken.ExpiresAt)
}
