package lease_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("n", lease.MaxNameBytes)
	require.NoError(t, lease.Check("titles v1", "host-1/4711", time.Nanosecond))
	require.NoError(t, lease.Check(longest, longest, time.Hour))

	for want, check := range map[string]func() error{
		"invalid lease: must not be empty":                    func() error { return lease.Check("", "a", time.Second) },
		"invalid owner: must not be empty":                    func() error { return lease.Check("titles", "", time.Second) },
		`invalid owner "a\x00": contains a control character`: func() error { return lease.Check("titles", "a\x00", time.Second) },
		"invalid lease \"\uFFFD\": is not valid UTF-8":        func() error { return lease.Check("\xff", "a", time.Second) },
		`invalid ttl "0s": must be positive`:                  func() error { return lease.Check("titles", "a", 0) },
		`invalid ttl "-1s": must be positive`:                 func() error { return lease.Check("titles", "a", -time.Second) },
	} {
		err := check()
		require.ErrorIs(t, err, event.ErrInvalid)
		require.EqualError(t, err, want)
	}
	require.ErrorIs(t, lease.Check(longest+"n", "a", time.Second), event.ErrTooLarge)
	require.ErrorIs(t, lease.Check("titles", longest+"n", time.Second), event.ErrTooLarge)
}

func TestCheckRenewal(t *testing.T) {
	t.Parallel()
	good := lease.Lease{Name: "titles v1", Owner: "host-1"}
	require.NoError(t, lease.CheckRenewal(nil, time.Nanosecond))
	require.NoError(t, lease.CheckRenewal([]lease.Lease{good, good}, time.Nanosecond))
	for want, check := range map[string]error{
		"invalid lease: must not be empty":    lease.CheckRenewal([]lease.Lease{good, {Owner: "a"}}, time.Second),
		"invalid owner: must not be empty":    lease.CheckRenewal([]lease.Lease{{Name: "titles"}, good}, time.Second),
		`invalid ttl "0s": must be positive`:  lease.CheckRenewal([]lease.Lease{good}, 0),
		`invalid ttl "-1s": must be positive`: lease.CheckRenewal(nil, -time.Second),
	} {
		require.ErrorIs(t, check, event.ErrInvalid)
		require.EqualError(t, check, want)
	}
}

func TestCheckPrefix(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("n", lease.MaxNameBytes)
	require.NoError(t, lease.CheckPrefix(""))
	require.NoError(t, lease.CheckPrefix(longest))
	require.ErrorIs(t, lease.CheckPrefix(longest+"n"), event.ErrTooLarge)
	require.EqualError(t, lease.CheckPrefix("a\x00"), `invalid prefix "a\x00": contains a control character`)
}

func TestHeldError(t *testing.T) {
	t.Parallel()
	err := error(&lease.HeldError{Lease: lease.Lease{
		Name: "titles", Owner: "host-1", Fence: 3, ExpiresAt: time.Date(2026, 3, 1, 12, 0, 30, 500, time.UTC),
	}})
	require.ErrorIs(t, err, lease.ErrHeld)
	require.NotErrorIs(t, err, event.ErrInvalid)
	require.EqualError(t, err, `lease "titles" is held by host-1 until 2026-03-01T12:00:30.0000005Z`)
}
