package eventstoretest

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Query and StreamQuery are evaluated by the store, in both directions, with
// limits.
func filters() []clause {
	return []clause{
		{Name: "each filter alone", Check: eachFilter},
		{Name: "random queries mean what Query.Matches says", Check: randomQueries},
		{Name: "bounds, limits and directions of one stream", Check: streamQueries},
		{Name: "a range of time is exact", Check: timeRange},
		{Name: "positions at the edges", Check: edgePositions},
		{Name: "an invalid query is refused", Check: invalidQueries},
	}
}

// forest is a small history in which every filter has something to choose.
type forest struct {
	types, aggregates []string
	actors            []event.ActorID
	ids, correlations []uuid.UUID
	all               []event.Event
}

func (s subject) plant(t T) forest {
	t.Helper()
	f := forest{
		types: []string{"Placed", "Paid", "Shipped", "placed"}, aggregates: []string{"Order", "Invoice", "order"},
		actors: []event.ActorID{"", event.Anonymous, "user:1", "user:2"},
	}
	for range 4 {
		f.ids, f.correlations = append(f.ids, event.NewID()), append(f.correlations, event.NewID())
	}
	random := seeded(1)
	for i := range 60 {
		e := draft()
		e.Type, e.ActorID, e.CorrelationID = pick(random, f.types), pick(random, f.actors), pick(random, f.correlations)
		e.OccurredAt = firstOfMay().Add(time.Duration(i*7%20) * time.Microsecond)
		stream := eventstore.Stream{TenantID: s.tenant, AggregateType: pick(random, f.aggregates), AggregateID: pick(random, f.ids)}
		s.append(t, stream, eventstore.Any(), e)
	}
	f.all = s.readAll(t, eventstore.Query{})
	require.Len(t, f.all, 60)
	return f
}

func seeded(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, seed))
}

func pick[E any](random *rand.Rand, from []E) E { return from[random.IntN(len(from))] }

// matching is what a query has to return, by the model.
func matching(all []event.Event, query eventstore.Query) []event.Event {
	var want []event.Event
	for i := range all {
		if query.Matches(&all[i]) {
			want = append(want, all[i])
		}
	}
	if query.Direction == eventstore.Backward {
		slices.Reverse(want)
	}
	if query.Limit > 0 && len(want) > query.Limit {
		want = want[:query.Limit]
	}
	return want
}

func eachFilter(t T, s subject) {
	f := s.plant(t)
	for name, query := range map[string]eventstore.Query{
		"none":                   {},
		"one type":               {Types: f.types[:1]},
		"two types":              {Types: f.types[:2]},
		"a type that is not":     {Types: []string{"Unknown"}},
		"one type that is":       {Types: []string{"Unknown", f.types[3]}},
		"one aggregate type":     {AggregateTypes: f.aggregates[:1]},
		"two aggregate types":    {AggregateTypes: f.aggregates[1:]},
		"aggregate id":           {AggregateID: f.ids[0]},
		"tenant":                 {TenantID: s.tenant},
		"actor":                  {ActorID: f.actors[2]},
		"anonymous":              {ActorID: event.Anonymous},
		"correlation":            {CorrelationID: f.correlations[1]},
		"correlation that isn't": {CorrelationID: event.NewID()},
		"from":                   {OccurredFrom: firstOfMay().Add(7 * time.Microsecond)},
		"until":                  {OccurredUntil: firstOfMay().Add(7 * time.Microsecond)},
		"after":                  {After: f.all[20].Position},
		"up to":                  {Until: f.all[20].Position},
		"limit":                  {Limit: 7},
		"limit beyond":           {Limit: 1000},
	} {
		for _, query.Direction = range []eventstore.Direction{eventstore.Forward, eventstore.Backward} {
			want := matching(f.all, query)
			require.Equal(t, want, s.readAll(t, query), name)
		}
	}
}

func randomQueries(t T, s subject) {
	f := s.plant(t)
	random := seeded(2)
	found := 0
	for range 300 {
		query := f.query(random, s.tenant)
		want := matching(f.all, query)
		require.Equal(t, want, s.readAll(t, query), "%+v", query)
		found += len(want)
	}
	require.NotZero(t, found)
}

// query returns a query in which each condition is there or not.
func (f forest) query(random *rand.Rand, tenant event.TenantID) eventstore.Query {
	var q eventstore.Query
	for condition, one := range []func(){
		func() { q.Types = []string{pick(random, f.types), pick(random, f.types)} },
		func() { q.AggregateTypes = []string{pick(random, f.aggregates), pick(random, f.aggregates)} },
		func() { q.AggregateID = pick(random, f.ids) },
		func() { q.TenantID = tenant },
		func() { q.ActorID = pick(random, f.actors) },
		func() { q.CorrelationID = pick(random, f.correlations) },
		func() { q.OccurredFrom = pick(random, f.all).OccurredAt },
		func() { q.OccurredUntil = pick(random, f.all).OccurredAt },
		func() { q.After = pick(random, f.all).Position },
		func() { q.Until = pick(random, f.all).Position },
		func() { q.Limit = 1 + random.IntN(10) },
		func() { q.Direction = eventstore.Backward },
	} {
		if random.IntN(4+condition%3) == 0 {
			one()
		}
	}
	return q
}

func streamQueries(t T, s subject) {
	const n = 5
	stream := s.seed(t, n)
	s.seed(t, n)
	all := s.read(t, stream)
	for from := range uint64(n + 3) {
		for to := range uint64(n + 3) {
			for limit := range n {
				for _, direction := range []eventstore.Direction{eventstore.Forward, eventstore.Backward} {
					query := eventstore.StreamQuery{From: from, To: to, Limit: limit, Direction: direction}
					got, err := collect(s.ReadStream(t.Context(), stream, query))
					require.NoError(t, err)
					require.Equal(t, idsOf(matchingVersions(all, query)), idsOf(got), "%+v", query)
				}
			}
		}
	}
	got, err := collect(s.ReadStream(t.Context(), stream, eventstore.StreamQuery{From: 2, To: math.MaxUint64}))
	require.NoError(t, err)
	require.Equal(t, all[1:], got)
	got, err = collect(s.ReadStream(t.Context(), stream, eventstore.StreamQuery{From: math.MaxUint64}))
	require.NoError(t, err)
	require.Empty(t, got)
}

func matchingVersions(all []event.Event, query eventstore.StreamQuery) []event.Event {
	var want []event.Event
	for _, e := range all {
		if query.Matches(e.AggregateVersion) {
			want = append(want, e)
		}
	}
	if query.Direction == eventstore.Backward {
		slices.Reverse(want)
	}
	if query.Limit > 0 && len(want) > query.Limit {
		want = want[:query.Limit]
	}
	return want
}

func timeRange(t T, s subject) {
	at := firstOfMay()
	for i := range 3 {
		e := draft()
		e.OccurredAt = at.Add(time.Duration(i) * time.Microsecond)
		s.append(t, s.stream(), eventstore.Any(), e)
	}
	all := s.readAll(t, eventstore.Query{})
	west := time.FixedZone("west", -8*3600)
	for name, query := range map[string]eventstore.Query{
		"inclusive and exclusive":      {OccurredFrom: at, OccurredUntil: at.Add(time.Microsecond)},
		"a bound in another zone":      {OccurredFrom: at.Add(time.Microsecond).In(west)},
		"from between two":             {OccurredFrom: at.Add(time.Nanosecond)},
		"until between two":            {OccurredUntil: at.Add(time.Microsecond + time.Nanosecond)},
		"an empty range":               {OccurredFrom: at.Add(time.Microsecond), OccurredUntil: at.Add(time.Microsecond)},
		"a range that goes backwards":  {OccurredFrom: at.Add(time.Hour), OccurredUntil: at},
		"a bound before all":           {OccurredUntil: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
		"a bound after all":            {OccurredFrom: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
		"a bound that nobody can need": {OccurredUntil: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
	} {
		require.Equal(t, matching(all, query), s.readAll(t, query), name)
	}
}

func edgePositions(t T, s subject) {
	s.seed(t, 3)
	all := s.readAll(t, eventstore.Query{})
	head := s.head(t)
	for _, direction := range []eventstore.Direction{eventstore.Forward, eventstore.Backward} {
		require.Empty(t, s.readAll(t, eventstore.Query{After: head, Direction: direction}))
		require.Empty(t, s.readAll(t, eventstore.Query{After: math.MaxInt64, Direction: direction}))
		require.Empty(t, s.readAll(t, eventstore.Query{After: math.MaxUint64, Direction: direction}))
		require.Empty(t, s.readAll(t, eventstore.Query{After: 2, Until: 1, Direction: direction}))
		require.Len(t, s.readAll(t, eventstore.Query{Until: math.MaxUint64, Direction: direction}), 3)
		require.Len(t, s.readAll(t, eventstore.Query{After: all[0].Position, Until: all[1].Position, Direction: direction}), 1)
	}
}

func invalidQueries(t T, s subject) {
	stream := s.seed(t, 1)
	for field, query := range map[string]eventstore.Query{
		"limit": {Limit: -1}, "direction": {Direction: 7},
	} {
		for e, err := range s.ReadAll(t.Context(), query) {
			require.ErrorIs(t, err, eventstore.ErrInvalid)
			require.Equal(t, field, fieldOf(err))
			require.Equal(t, event.Event{}, e)
		}
		requireFailsOnce(t, s.ReadAll(t.Context(), query), eventstore.ErrInvalid, field)
		requireFailsOnce(t, s.ReadStream(t.Context(), stream, eventstore.StreamQuery{Limit: query.Limit, Direction: query.Direction}),
			eventstore.ErrInvalid, field)
	}
}
