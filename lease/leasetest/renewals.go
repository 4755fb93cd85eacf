package leasetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/lease"
)

func renew(t promisetest.T, s lease.Store, ttl time.Duration, leases ...lease.Lease) []lease.Lease {
	t.Helper()
	renewed, err := s.Renew(t.Context(), leases, ttl)
	require.NoError(t, err)
	return renewed
}

// until is leases as they are once they were renewed.
func until(expires time.Time, leases ...lease.Lease) []lease.Lease {
	for i := range leases {
		leases[i].ExpiresAt = expires
	}
	return leases
}

func renewsAll(t promisetest.T, h harness) {
	assert.Empty(t, renew(t, h, time.Minute))
	a, b := acquire(t, h, "titles", "a"), acquire(t, h, `"counts" <é>/1`, "a")
	another := acquire(t, h, "another", "a")
	h.clock.advance(40 * time.Second)
	a.ExpiresAt = time.Time{} // does not count
	want := until(h.clock.Now().Add(time.Minute), b, a)
	assert.Equal(t, want, renew(t, h, time.Minute, b, a))
	h.clock.advance(40 * time.Second)
	requireHeld(t, h, "b", want[0])
	requireHeld(t, h, "b", want[1])
	assert.Greater(t, acquire(t, h, "another", "b").Fence, another.Fence, "it was not renewed")
	assert.Equal(t, until(h.clock.Now().Add(time.Second), a), renew(t, h, time.Second, a), "a shorter time")
}

// renewsNoOther: a lease that is not held as given is neither renewed nor
// changed, whatever is renewed beside it.
func renewsNoOther(t promisetest.T, h harness) {
	kept := acquire(t, h, "kept", "a")
	released, takenOver, again := acquire(t, h, "released", "a"), acquire(t, h, "taken over", "a"), acquire(t, h, "taken again", "a")
	require.NoError(t, h.Release(t.Context(), released))
	require.NoError(t, h.Release(t.Context(), takenOver))
	require.NoError(t, h.Release(t.Context(), again))
	byOther, anew := acquire(t, h, "taken over", "b"), acquire(t, h, "taken again", "a")
	h.clock.advance(time.Second)
	foreign := lease.Lease{Name: "kept", Owner: "A", Fence: kept.Fence}
	want := until(h.clock.Now().Add(time.Hour), kept)
	assert.Equal(t, want, renew(t, h, time.Hour, released, foreign, takenOver, kept, again, lease.Lease{Name: "nobody's", Owner: "a", Fence: 1}))
	requireHeld(t, h, "a", byOther)
	requireHeld(t, h, "b", anew)
	requireHeld(t, h, "b", want[0])
	assert.Greater(t, acquire(t, h, "released", "a").Fence, released.Fence, "it is still released")
	acquire(t, h, "nobody's", "b")
}

func renewsExpired(t promisetest.T, h harness) {
	expired := acquire(t, h, "titles", "a")
	h.clock.advance(time.Hour)
	want := until(h.clock.Now().Add(time.Minute), expired)
	assert.Equal(t, want, renew(t, h, time.Minute, expired))
	requireHeld(t, h, "b", want[0])
	assert.Equal(t, expired.Fence, acquire(t, h, "titles", "a").Fence)
}

// renewalRaces: of one who renews a lease that has run out and one who takes it
// over, both cannot have it.
func renewalRaces(t promisetest.T, h harness) {
	for range 8 {
		expired := acquire(t, h, "titles", "a")
		h.clock.advance(time.Minute)
		var renewed []lease.Lease
		var taken lease.Lease
		errs := promisetest.Race(2, func(i int) (err error) {
			if i == 0 {
				renewed, err = h.Renew(t.Context(), []lease.Lease{expired}, time.Minute)
			} else {
				taken, err = h.Acquire(t.Context(), "titles", "b", time.Minute)
			}
			return err
		})
		require.NoError(t, errs[0])
		if errs[1] == nil {
			require.Empty(t, renewed, "it was taken over")
			require.NoError(t, h.Release(t.Context(), taken))
			continue
		}
		require.ErrorIs(t, errs[1], lease.ErrHeld)
		require.Len(t, renewed, 1)
		require.NoError(t, h.Release(t.Context(), renewed[0]))
	}
}

// racingRenewals: whoever renews the same leases meanwhile, in whatever order,
// is in nobody's way.
func racingRenewals(t promisetest.T, h harness) {
	var held []lease.Lease
	for i := range 8 {
		held = append(held, acquire(t, h, fmt.Sprint("lease ", i), "a"))
	}
	h.clock.advance(time.Second)
	want := h.clock.Now().Add(time.Minute)
	for range 4 {
		given, renewed := make([][]lease.Lease, 8), make([][]lease.Lease, 8)
		for i, err := range promisetest.Race(8, func(i int) (err error) {
			given[i] = slices.Concat(held[i:], held[:i])
			if i%2 == 1 {
				slices.Reverse(given[i])
			}
			renewed[i], err = h.Renew(t.Context(), given[i], time.Minute)
			return err
		}) {
			require.NoError(t, err)
			require.Equal(t, until(want, given[i]...), renewed[i])
		}
	}
}

func badRenewals(t promisetest.T, h harness) {
	held := acquire(t, h, "titles", "a")
	h.clock.advance(time.Second)
	free := acquire(t, h, "free", "a")
	require.NoError(t, h.Release(t.Context(), free))
	free.Owner = "" // as a lease that was given up may look where it is stored
	for _, bad := range []lease.Lease{free, {Owner: "a", Fence: 1}, {Name: "nul\x00", Owner: "a"}, {Name: "titles", Owner: "\xff"}} {
		_, err := h.Renew(t.Context(), []lease.Lease{held, bad}, time.Hour)
		require.ErrorIs(t, err, event.ErrInvalid, "%+v", bad)
	}
	for _, ttl := range []time.Duration{0, -time.Second} {
		_, err := h.Renew(t.Context(), []lease.Lease{held}, ttl)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	_, err := h.Renew(t.Context(), []lease.Lease{{Name: strings.Repeat("n", lease.MaxNameBytes+1), Owner: "a"}}, time.Hour)
	require.ErrorIs(t, err, event.ErrTooLarge)
	requireHeld(t, h, "b", held)
	acquire(t, h, "free", "b")
}

func list(t promisetest.T, s lease.Store, prefix string) []lease.Lease {
	t.Helper()
	found, err := s.List(t.Context(), prefix)
	require.NoError(t, err)
	return found
}

func listsHeld(t promisetest.T, h harness) {
	assert.Empty(t, list(t, h, ""))
	released, expires := acquire(t, h, "a", "a"), acquire(t, h, "b", "a")
	require.NoError(t, h.Release(t.Context(), released))
	h.clock.advance(time.Minute - time.Microsecond)
	held := acquire(t, h, "c", "b")
	assert.Equal(t, []lease.Lease{expires, held}, list(t, h, ""))
	h.clock.advance(time.Microsecond)
	assert.Equal(t, []lease.Lease{held}, list(t, h, ""))
	renewed := renew(t, h, time.Minute, expires)
	assert.Equal(t, append(renewed, held), list(t, h, ""))
}

func listsByPrefix(t promisetest.T, h harness) {
	ordered := []string{"Member/1", "member", "member/", "member/%", "member/a", "member/a b", "member/b", "member0", "member_a", "mémber/1", "z"}
	for i := range ordered {
		acquire(t, h, ordered[len(ordered)-1-i], "a")
	}
	for _, want := range []struct {
		prefix string
		names  []string
	}{
		{"", ordered},
		{"member/", ordered[2:7]},
		{"member/a", ordered[4:6]},
		{"member/a ", ordered[5:6]},
		{"MEMBER/", nil},
		{"member_", ordered[8:9]},
		{"member/%", ordered[3:4]},
		{"m*", nil},
		{"me", ordered[1:9]},
		{"mé", ordered[9:10]},
		{"me\u0301", nil},
		{"zz", nil},
	} {
		var names []string
		for _, l := range list(t, h, want.prefix) {
			names = append(names, l.Name)
		}
		assert.Equal(t, want.names, names, want.prefix)
	}
	for _, bad := range []string{"nul\x00", "\xff"} {
		_, err := h.List(t.Context(), bad)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	_, err := h.List(t.Context(), strings.Repeat("n", lease.MaxNameBytes+1))
	require.ErrorIs(t, err, event.ErrTooLarge)
}
