package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/sqlite"
)

// lanes is in how many parts both read models are divided.
const lanes = 8

var (
	tableName  = registry.Name{Projection: "shipments", Version: 1}
	noticeName = registry.Name{Projection: "notices", Version: 1}
)

// table is the read model in SQL: each shipment, where it is, and how many events
// that took. An event that came twice would be counted twice. It also writes down
// which process has carried which lane.
func table(process string) *sqlite.Projection {
	return sqlite.NewProjection(tableName.Projection, tableName.Version,
		sqlite.Table("shipments", "id TEXT PRIMARY KEY, town TEXT NOT NULL, stage TEXT NOT NULL, events INTEGER NOT NULL"),
		sqlite.Table("carried", "lane INTEGER NOT NULL, process TEXT NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (lane, process)"),
		sqlite.InLanes(lanes), // to begin with; from then on the stored number counts
		sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
			lane := projection.LaneOf(projection.DefaultSequenceKey(e), lanes)
			_, err := tx.ExecContext(ctx, "INSERT INTO carried VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET events = events + 1", lane, process)
			return err
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Accepted]) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO shipments VALUES (?, ?, 'accepted', 1)", e.AggregateID.String(), e.Payload.Town)
			return err
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Departed]) error {
			return moved(ctx, tx, e.Event, "on its way by "+e.Payload.Carrier)
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Delivered]) error {
			return moved(ctx, tx, e.Event, "delivered")
		}),
	)
}

func moved(ctx context.Context, tx *sql.Tx, e event.Event, to string) error {
	_, err := tx.ExecContext(ctx, "UPDATE shipments SET stage = ?, events = events + 1 WHERE id = ?", to, e.AggregateID.String())
	return err
}

// notices is a target outside of any database: a file for each shipment that has
// arrived. The file has the event's id for its name, so that writing it again
// changes nothing.
func notices(folder string) projection.Projection {
	return projection.New(noticeName.Projection, noticeName.Version,
		projection.InLanes(lanes),
		projection.On(func(_ context.Context, e event.Of[Delivered]) error {
			return os.WriteFile(filepath.Join(folder, e.ID.String()), []byte("delivered\n"), 0o600)
		}),
	)
}

// runners are what an application process runs. Both read the same log; they
// differ in where they keep how far they are.
func runners(process string, events *jetstream.Store, tables *sqlite.Store, folder string) ([]*projection.Runner, error) {
	//docs:begin runners
	exactlyOnce, err := projection.NewRunner(events, projection.Config{
		Projections: []projection.Projection{table(process)},
		Progress:    tables, // beside the rows, and committed with them; leases are there, too
		Owner:       process,
	})
	if err != nil {
		return nil, err
	}
	atLeastOnce, err := projection.NewRunner(events, projection.Config{
		Projections: []projection.Projection{notices(folder)},
		Owner:       process, // progress and leases are on NATS, beside the events
	})
	//docs:end runners
	return []*projection.Runner{exactlyOnce, atLeastOnce}, err
}
