package eventstore_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func noon() time.Time { return time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC) }

func TestQueryMatches(t *testing.T) {
	t.Parallel()
	id, correlation := uuid.UUID{1}, uuid.UUID{2}
	e := event.Event{
		Position: 7, Type: "OrderPlaced", AggregateType: "Order", AggregateID: id, TenantID: "acme",
		ActorID: "user:1", CorrelationID: correlation, OccurredAt: noon(),
	}
	for name, c := range map[string]struct {
		query eventstore.Query
		want  bool
	}{
		"everything":                    {eventstore.Query{}, true},
		"after":                         {eventstore.Query{After: 6}, true},
		"after it":                      {eventstore.Query{After: 7}, false},
		"until":                         {eventstore.Query{Until: 7}, true},
		"until before":                  {eventstore.Query{Until: 6}, false},
		"types":                         {eventstore.Query{Types: []string{"OrderPaid", "OrderPlaced"}}, true},
		"other types":                   {eventstore.Query{Types: []string{"OrderPaid", "orderplaced"}}, false},
		"no types":                      {eventstore.Query{Types: []string{}}, true},
		"aggregate types":               {eventstore.Query{AggregateTypes: []string{"Order"}}, true},
		"other aggregate types":         {eventstore.Query{AggregateTypes: []string{"Orders"}}, false},
		"aggregate":                     {eventstore.Query{AggregateID: id}, true},
		"another aggregate":             {eventstore.Query{AggregateID: correlation}, false},
		"tenant":                        {eventstore.Query{TenantID: "acme"}, true},
		"another tenant":                {eventstore.Query{TenantID: "Acme"}, false},
		"actor":                         {eventstore.Query{ActorID: "user:1"}, true},
		"another actor":                 {eventstore.Query{ActorID: event.Anonymous}, false},
		"correlation":                   {eventstore.Query{CorrelationID: correlation}, true},
		"another correlation":           {eventstore.Query{CorrelationID: id}, false},
		"from is inclusive":             {eventstore.Query{OccurredFrom: noon()}, true},
		"from later":                    {eventstore.Query{OccurredFrom: noon().Add(1)}, false},
		"until is exclusive":            {eventstore.Query{OccurredUntil: noon()}, false},
		"until later":                   {eventstore.Query{OccurredUntil: noon().Add(1)}, true},
		"a time in another zone":        {eventstore.Query{OccurredFrom: noon().In(time.FixedZone("east", 3600))}, true},
		"all of them":                   {eventstore.Query{After: 1, Types: []string{"OrderPlaced"}, TenantID: "acme", ActorID: "user:1"}, true},
		"all but one":                   {eventstore.Query{After: 1, Types: []string{"OrderPlaced"}, TenantID: "acme", ActorID: "user:2"}, false},
		"direction and limit no matter": {eventstore.Query{Direction: eventstore.Backward, Limit: 1}, true},
	} {
		assert.Equal(t, c.want, c.query.Matches(&e), name)
	}
}

func TestStreamQueryMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query eventstore.StreamQuery
		in    []uint64
		out   []uint64
	}{
		{eventstore.StreamQuery{}, []uint64{1, 100}, nil},
		{eventstore.StreamQuery{From: 3}, []uint64{3, 4}, []uint64{1, 2}},
		{eventstore.StreamQuery{To: 3}, []uint64{1, 3}, []uint64{4}},
		{eventstore.StreamQuery{From: 3, To: 4}, []uint64{3, 4}, []uint64{2, 5}},
		{eventstore.StreamQuery{From: 4, To: 3}, nil, []uint64{2, 3, 4, 5}},
	} {
		for _, version := range c.in {
			assert.True(t, c.query.Matches(version), "%+v %d", c.query, version)
		}
		for _, version := range c.out {
			assert.False(t, c.query.Matches(version), "%+v %d", c.query, version)
		}
	}
}

func TestQueriesThatAreInvalid(t *testing.T) {
	t.Parallel()
	for field, bad := range map[string]eventstore.Query{
		"limit": {Limit: -1}, "direction": {Direction: eventstore.Backward + 1},
	} {
		for _, err := range []error{
			bad.Validate(), eventstore.StreamQuery{Limit: bad.Limit, Direction: bad.Direction}.Validate(),
		} {
			var invalid *event.InvalidError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, field, invalid.Field)
		}
	}
	require.NoError(t, eventstore.Query{Limit: 1, Direction: eventstore.Backward}.Validate())
	require.NoError(t, eventstore.StreamQuery{}.Validate())
}
