package registry_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	titles = registry.Name{Projection: "titles", Version: 2}
)

func record() registry.Record {
	return registry.Record{
		Name: titles, State: registry.CaughtUp, Since: noon, Lanes: 4, Revision: 3,
		Pause: registry.Pause{Reason: "tables move", By: event.User("ada"), At: noon},
		Order: registry.Order{Kind: registry.Rewind, Position: 7, Reason: "a bug", By: event.User("bob"), At: noon, Problem: "no such column"},
	}
}

func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	for _, change := range []func(r *registry.Record){
		func(*registry.Record) {},
		func(r *registry.Record) {
			r.State, r.Pause, r.Order = registry.Building, registry.Pause{}, registry.Order{}
		},
		func(r *registry.Record) { r.State, r.Lanes = registry.Live, registry.MaxLanes },
		func(r *registry.Record) { r.State, r.Lanes = registry.Replaced, 1 },
		func(r *registry.Record) { r.State, r.Pause.By, r.Order.By = registry.Retired, "", "" },
		func(r *registry.Record) { r.Pause.Reason = strings.Repeat("r", registry.MaxReasonBytes) },
		func(r *registry.Record) { r.Pause.Reason = "two\n\tlines" },
		func(r *registry.Record) { r.Order.Position = 0 },
		func(r *registry.Record) { r.Order = registry.Order{Kind: registry.Rebuild, Reason: "a bug", At: noon} },
		func(r *registry.Record) { r.Order = registry.Order{Kind: registry.Switch, Reason: "ready", At: noon} },
		func(r *registry.Record) { r.Order = registry.Order{Kind: registry.Retire, Reason: "done", At: noon} },
		func(r *registry.Record) {
			r.Order = registry.Order{Kind: registry.ChangeLanes, Lanes: registry.MaxLanes, Reason: "more", At: noon}
		},
		func(r *registry.Record) { r.Order.Problem = "any \x00 text" },
	} {
		r := record()
		change(&r)
		require.NoError(t, registry.Check(r), "%+v", r)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	lanes := "must be from 1 to 1024"
	for want, spoil := range map[string]func(r *registry.Record){
		"invalid projection: must not be empty":                         func(r *registry.Record) { r.Name.Projection = "" },
		"invalid version: of projection titles must be 1 or more":       func(r *registry.Record) { r.Name.Version = 0 },
		`invalid state "paused": is no state of a projection`:           func(r *registry.Record) { r.State = "paused" },
		"invalid since: must be set":                                    func(r *registry.Record) { r.Since = time.Time{} },
		`invalid lanes "0": ` + lanes:                                   func(r *registry.Record) { r.Lanes = 0 },
		`invalid lanes "1025": ` + lanes:                                func(r *registry.Record) { r.Lanes = 1025 },
		"invalid pause.at: must be set, or no reason and nobody":        func(r *registry.Record) { r.Pause = registry.Pause{By: event.User("ada")} },
		"invalid pause.reason: must say why":                            func(r *registry.Record) { r.Pause.Reason = " \t" },
		"pause.reason has 1025 bytes, the limit is 1024":                func(r *registry.Record) { r.Pause.Reason = strings.Repeat("r", 1025) },
		"invalid pause.reason: is not valid UTF-8 or contains NUL":      func(r *registry.Record) { r.Pause.Reason = "nul \x00" },
		"invalid order.kind: must be set, or nothing else of the order": func(r *registry.Record) { r.Order.Kind = "" },
		`invalid order.kind "repair": is no kind of order`:              func(r *registry.Record) { r.Order.Kind = "repair" },
		"invalid order.position: must be set for a rewind only":         func(r *registry.Record) { r.Order.Kind = registry.Retire },
		`invalid order.lanes "1025": ` + lanes:                          func(r *registry.Record) { r.Order.Kind, r.Order.Lanes = registry.ChangeLanes, 1025 },
		"invalid order.at: must be set":                                 func(r *registry.Record) { r.Order.At = time.Time{} },
		"invalid order.reason: must say why":                            func(r *registry.Record) { r.Order.Reason = "" },
		"invalid order.reason: is not valid UTF-8 or contains NUL":      func(r *registry.Record) { r.Order.Reason = "\xff" },
	} {
		bad := record()
		spoil(&bad)
		require.EqualError(t, registry.Check(bad), want)
	}
	for _, spoil := range []func(o *registry.Order){
		func(o *registry.Order) { o.Lanes = 2 },
		func(o *registry.Order) { o.Kind, o.Position = registry.ChangeLanes, 0 },
	} {
		bad := record()
		spoil(&bad.Order)
		require.EqualError(t, registry.Check(bad), "invalid order.lanes: must be set for a change of lanes, and for nothing else")
	}
	for _, spoil := range []func(r *registry.Record){
		func(r *registry.Record) { r.Pause.By = "ada" },
		func(r *registry.Record) { r.Order.By = "bob" },
	} {
		bad := record()
		spoil(&bad)
		require.ErrorIs(t, registry.Check(bad), event.ErrInvalid)
	}
}

func TestStoredIsInUTCToTheMicrosecond(t *testing.T) {
	t.Parallel()
	want, elsewhere := record(), time.FixedZone("elsewhere", 3600)
	given := want
	for _, at := range []*time.Time{&given.Since, &given.Pause.At, &given.Order.At} {
		*at = noon.Add(999).In(elsewhere)
	}
	assert.Equal(t, want, registry.Stored(given))
	assert.Equal(t, registry.Record{}, registry.Stored(registry.Record{}))
}

func TestProblemIsCutAtACharactersEdge(t *testing.T) {
	t.Parallel()
	stored := func(problem string) string {
		return registry.Stored(registry.Record{Order: registry.Order{Problem: problem}}).Order.Problem
	}
	assert.Equal(t, "bytes \uFFFD and nul \uFFFD.", stored("bytes \xff and nul \x00."))
	assert.Equal(t, strings.Repeat("x", registry.MaxProblemBytes), stored(strings.Repeat("x", registry.MaxProblemBytes)))
	rapid.Check(t, func(t *rapid.T) {
		before := strings.Repeat("x", rapid.IntRange(registry.MaxProblemBytes-8, registry.MaxProblemBytes+1).Draw(t, "bytes before"))
		given := before + string(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		problem := stored(given)
		require.LessOrEqual(t, len(problem), registry.MaxProblemBytes)
		require.True(t, utf8.ValidString(problem))
		require.NotContains(t, problem, "\x00")
		clean := strings.ReplaceAll(strings.ToValidUTF8(given, "\uFFFD"), "\x00", "\uFFFD")
		require.True(t, strings.HasPrefix(clean, problem))
		if len(clean) > registry.MaxProblemBytes {
			require.Greater(t, len(problem), registry.MaxProblemBytes-utf8.UTFMax, "no more is cut than must be")
		} else {
			require.Equal(t, clean, problem)
		}
	})
}
