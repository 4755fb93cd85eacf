package registrytest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/registry"
)

// noon is when everything here happens, on a microsecond.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)

func name(version int) registry.Name { return registry.Name{Projection: "titles", Version: version} }

// record is a record of titles that was never saved.
func record(version int, state registry.State) registry.Record {
	return registry.Record{Name: name(version), State: state, Since: noon, Lanes: 1}
}

// full is a record that has everything.
func full(version int) registry.Record {
	r := record(version, registry.CaughtUp)
	r.Lanes, r.Finished = registry.MaxLanes, true
	r.Pause = registry.Pause{Reason: "the table is\n\tmoved ✗", By: event.User("ada"), At: noon.Add(time.Second)}
	r.Order = registry.Order{
		Kind: registry.Rewind, Position: 1 << 40, Reason: "a bug in \"titles\"", By: event.User("bob"),
		At: noon.Add(2 * time.Second), Problem: "no such column ✗",
	}
	return r
}

func load(t promisetest.T, s registry.Store, name registry.Name) registry.Record {
	t.Helper()
	found, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	return found
}

func save(t promisetest.T, s registry.Store, r registry.Record) registry.Record {
	t.Helper()
	saved, err := s.Save(t.Context(), r)
	require.NoError(t, err)
	return saved
}

// requireSaved requires that what was saved as given is what Save has returned,
// Load returns and List has.
func requireSaved(t promisetest.T, s registry.Store, given, saved registry.Record) {
	t.Helper()
	require.Equal(t, given.Revision+1, saved.Revision)
	require.False(t, saved.UpdatedAt.IsZero())
	require.Equal(t, event.Time(saved.UpdatedAt), saved.UpdatedAt)
	require.Equal(t, saved, load(t, s, given.Name))
	require.Contains(t, list(t, s, given.Name.Projection), saved)
	given.Revision, given.UpdatedAt = saved.Revision, saved.UpdatedAt
	require.Equal(t, given, saved)
}

func list(t promisetest.T, s registry.Store, projection string) []registry.Record {
	t.Helper()
	found, err := s.List(t.Context(), projection)
	require.NoError(t, err)
	return found
}

func roundTrip(t promisetest.T, h Harness) {
	given := full(3)
	elsewhere := time.FixedZone("elsewhere", 3600)
	given.Since, given.Pause.At, given.Order.At = noon.Add(999).In(elsewhere), noon.Add(1999).In(elsewhere), noon.Add(2999).In(elsewhere)
	given.UpdatedAt = noon // does not count
	saved := save(t, h.Store, given)
	assert.NotEqual(t, noon, saved.UpdatedAt)
	given.Since, given.Pause.At, given.Order.At = noon, noon.Add(time.Microsecond), noon.Add(2*time.Microsecond)
	requireSaved(t, h.Store, given, saved)

	plain := record(1, registry.Building)
	requireSaved(t, h.Store, plain, save(t, h.Store, plain))
}

func neverSaved(t promisetest.T, h Harness) {
	save(t, h.Store, record(2, registry.Building))
	for _, missing := range []registry.Name{name(1), name(3), {Projection: "counts", Version: 2}} {
		_, err := h.Store.Load(t.Context(), missing)
		require.ErrorIs(t, err, registry.ErrNotFound)
	}
	assert.Empty(t, list(t, h.Store, "counts"))
}

func everyFieldChanges(t promisetest.T, h Harness) {
	now := save(t, h.Store, record(1, registry.Building))
	for _, next := range []func(r *registry.Record){
		func(r *registry.Record) {
			revision := r.Revision
			*r = full(1)
			r.Revision = revision
		},
		func(r *registry.Record) { r.State, r.Since = registry.Live, noon.Add(time.Hour) },
		func(r *registry.Record) { r.State, r.Lanes, r.Finished = registry.Replaced, 7, false },
		func(r *registry.Record) { r.State, r.Pause = registry.Retired, registry.Pause{} },
		func(r *registry.Record) {
			r.Order = registry.Order{Kind: registry.ChangeLanes, Lanes: 12, Reason: "more events", At: noon}
		},
		func(r *registry.Record) { r.Order = registry.Order{Kind: registry.Rebuild, Reason: "anew", At: noon} },
		func(r *registry.Record) { r.Order.Kind = registry.Switch },
		func(r *registry.Record) { r.Order.Kind = registry.Retire },
		func(r *registry.Record) { r.Order = registry.Order{} },
	} {
		next(&now)
		saved := save(t, h.Store, now)
		requireSaved(t, h.Store, now, saved)
		now = saved
	}
}

func revisionGrows(t promisetest.T, h Harness) {
	r := record(1, registry.Building)
	for n := range uint64(5) {
		require.Equal(t, n, r.Revision)
		before := r.UpdatedAt
		r = save(t, h.Store, r)
		assert.False(t, r.UpdatedAt.Before(before))
	}
	assert.Equal(t, uint64(5), load(t, h.Store, name(1)).Revision, "a save that changes nothing else is a change")
}

func independent(t promisetest.T, h Harness) {
	names := []registry.Name{
		name(1), name(2), name(10),
		{Projection: "Titles", Version: 1},
		{Projection: "titles ", Version: 1},
		{Projection: "titlés", Version: 1},
		{Projection: "title\u0301s", Version: 1},
		{Projection: "titles v1", Version: 1},
	}
	for i, name := range names {
		r := record(1, registry.Building)
		r.Name, r.Lanes = name, i+1
		save(t, h.Store, r)
	}
	first := load(t, h.Store, names[0])
	first.Lanes = 99
	save(t, h.Store, first)
	for i, name := range names[1:] {
		found := load(t, h.Store, name)
		assert.Equal(t, i+2, found.Lanes, name.String())
		found.State = registry.Live
		if found.Name.Projection != "titles" {
			save(t, h.Store, found)
		}
	}
}

func listed(t promisetest.T, h Harness) {
	assert.Empty(t, list(t, h.Store, ""))
	ordered := []registry.Name{
		{Projection: "Titles", Version: 1},
		{Projection: "counts", Version: 1},
		name(1), name(2), name(10),
		{Projection: "titles ", Version: 1},
	}
	for i := range ordered {
		r := record(1, registry.Building)
		r.Name = ordered[len(ordered)-1-i]
		save(t, h.Store, r)
	}
	assert.Equal(t, ordered, namesOf(t, h.Store, ""))
	assert.Equal(t, ordered[2:5], namesOf(t, h.Store, "titles"))
	assert.Empty(t, namesOf(t, h.Store, "title"))
}

func namesOf(t promisetest.T, s registry.Store, projection string) []registry.Name {
	t.Helper()
	var names []registry.Name
	for _, r := range list(t, s, projection) {
		names = append(names, r.Name)
	}
	return names
}

func badRecords(t promisetest.T, h Harness) {
	there := save(t, h.Store, full(1))
	for field, spoil := range map[string]func(r *registry.Record){
		"projection":   func(r *registry.Record) { r.Name.Projection = "" },
		"nul":          func(r *registry.Record) { r.Name.Projection = "nul\x00" },
		"utf-8":        func(r *registry.Record) { r.Name.Projection = "\xff" },
		"version":      func(r *registry.Record) { r.Name.Version = 0 },
		"no state":     func(r *registry.Record) { r.State = "" },
		"state":        func(r *registry.Record) { r.State = "Live" },
		"since":        func(r *registry.Record) { r.Since = time.Time{} },
		"no lanes":     func(r *registry.Record) { r.Lanes = 0 },
		"lanes":        func(r *registry.Record) { r.Lanes = registry.MaxLanes + 1 },
		"pause":        func(r *registry.Record) { r.Pause.At = time.Time{} },
		"pause reason": func(r *registry.Record) { r.Pause.Reason = " " },
		"paused by":    func(r *registry.Record) { r.Pause.By = "ada" },
		"order":        func(r *registry.Record) { r.Order.Kind = "" },
		"kind":         func(r *registry.Record) { r.Order.Kind = "repair" },
		"order lanes":  func(r *registry.Record) { r.Order.Lanes = 3 },
		"position":     func(r *registry.Record) { r.Order.Kind = registry.Rebuild },
		"no reason":    func(r *registry.Record) { r.Order.Reason = "" },
		"reason":       func(r *registry.Record) { r.Order.Reason = "\xff" },
		"order at":     func(r *registry.Record) { r.Order.At = time.Time{} },
	} {
		bad := there
		spoil(&bad)
		_, err := h.Store.Save(t.Context(), bad)
		require.ErrorIs(t, err, event.ErrInvalid, field)
	}
	long := there
	long.Order.Reason = strings.Repeat("r", registry.MaxReasonBytes+1)
	_, err := h.Store.Save(t.Context(), long)
	require.ErrorIs(t, err, event.ErrTooLarge)
	assert.Equal(t, []registry.Record{there}, list(t, h.Store, ""), "nothing is stored of what is refused")
	for _, bad := range []registry.Name{{Version: 1}, {Projection: "titles"}, {Projection: "\xff", Version: 1}} {
		_, err := h.Store.Load(t.Context(), bad)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
}

func problemIsCut(t promisetest.T, h Harness) {
	for _, character := range []string{"é", "✗", "😀"} { // of two, three and four bytes
		r := load1(t, h)
		r.Order.Problem = "x" + strings.Repeat(character, registry.MaxProblemBytes)
		n := (registry.MaxProblemBytes - 1) / len(character)
		assert.Equal(t, "x"+strings.Repeat(character, n), save(t, h.Store, r).Order.Problem)
		assert.Equal(t, "x"+strings.Repeat(character, n), load(t, h.Store, name(1)).Order.Problem)
	}
	r := load1(t, h)
	r.Order.Problem = "bytes \xff and nul \x00."
	assert.Equal(t, "bytes \uFFFD and nul \uFFFD.", save(t, h.Store, r).Order.Problem)
	assert.Equal(t, "bytes \uFFFD and nul \uFFFD.", load(t, h.Store, name(1)).Order.Problem)
}

// load1 returns the record of version 1, which it saves if there is none.
func load1(t promisetest.T, h Harness) registry.Record {
	t.Helper()
	if len(list(t, h.Store, "titles")) == 0 {
		save(t, h.Store, full(1))
	}
	return load(t, h.Store, name(1))
}
