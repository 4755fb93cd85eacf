package aggregate_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/eventstore"
)

func TestSnapshotValidate(t *testing.T) {
	t.Parallel()
	good := aggregate.Snapshot{
		Stream:  eventstore.Stream{AggregateType: "Document", AggregateID: uuid.Max},
		StoreID: uuid.Max, Version: 1, SchemaVersion: 1, TakenAt: time.Unix(1, 0),
	}
	require.NoError(t, good.Validate(), "an empty state is valid")

	for want, spoil := range map[string]func(s *aggregate.Snapshot){
		"invalid aggregate_type: must not be empty":                                  func(s *aggregate.Snapshot) { s.Stream.AggregateType = "" },
		"invalid store_id: must be that of the event store the state was built from": func(s *aggregate.Snapshot) { s.StoreID = uuid.Nil },
		"invalid version: of a snapshot must be 1 or more":                           func(s *aggregate.Snapshot) { s.Version = 0 },
		"invalid schema_version: of a snapshot must be 1 or more":                    func(s *aggregate.Snapshot) { s.SchemaVersion = 0 },
		"invalid taken_at: must be set":                                              func(s *aggregate.Snapshot) { s.TakenAt = time.Time{} },
	} {
		bad := good
		spoil(&bad)
		err := bad.Validate()
		require.ErrorIs(t, err, eventstore.ErrInvalid)
		require.EqualError(t, err, want)
	}
}
