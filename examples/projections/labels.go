package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/sqlite"
)

// labels is the read model that two processes build together: which labels were
// printed, and by whom. Nothing keeps it from having one twice.
//
//docs:begin lanes
func labels(by string, during func(ctx context.Context, e event.Of[Shipped]) error) *sqlite.Projection {
	return sqlite.NewProjection("labels", 1,
		sqlite.Table("labels", "position INTEGER NOT NULL, carrier TEXT NOT NULL, printed_by TEXT NOT NULL"),
		sqlite.InLanes(4), // to begin with; from then on the stored number counts
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Shipped]) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO labels VALUES (?, ?, ?)", e.Position, e.Payload.Carrier, by)
			if err != nil {
				return err
			}
			return during(ctx, e)
		}),
	)
}

//docs:end lanes

// sharing is how both processes are configured. They differ in their names only.
func sharing(name string, during func(ctx context.Context, e event.Of[Shipped]) error) projection.Config {
	//docs:begin sharing
	config := projection.Config{
		Projections: []projection.Projection{labels(name, during)},
		Owner:       name,            // by default host, process id and something random
		LeaseTTL:    5 * time.Second, // how long a lane waits for an owner who is gone; 10 s by default
	}
	//docs:end sharing
	return config
}

const (
	firstVan = 11             // number of the first order that goes by van
	vans     = 8              // and how many do
	fatalVan = "van number 9" // whose label kills who prints it
)

// shareWork has two processes work together, and kills one of them in the
// middle of an event.
func (s *shop) shareWork(ctx context.Context) (err error) {
	fmt.Fprintln(s.out, "\n=== Two processes share four lanes ===")
	nothing := func(context.Context, event.Of[Shipped]) error { return nil }
	if s.runner, err = projection.NewRunner(s.store, sharing("first process", nothing)); err != nil {
		return err
	}
	end := s.live(ctx)
	if err := s.awaitLanes(ctx, "first process", 4); err != nil {
		return err
	}
	second, err := startWorker(ctx, s.path)
	if err != nil {
		return err
	}
	defer func() { _ = second.kill() }() // whatever happens
	if err := s.awaitLanes(ctx, "second process", 2); err != nil {
		return err
	}
	for n := range vans {
		if err := s.print(ctx, firstVan+n, fmt.Sprint("van number ", n+1)); err != nil {
			return err
		}
	}
	if err := s.showLabels(ctx); err != nil {
		return err
	}
	if err := s.takeOver(ctx, second); err != nil {
		return err
	}
	return end()
}

// takeOver kills the second process. The first one takes over its lanes when
// their leases have run out.
func (s *shop) takeOver(ctx context.Context, second *worker) error {
	fmt.Fprintln(s.out, "\n=== The second process is killed in the middle of an event; the first one takes over ===")
	if _, err := s.emit(ctx, firstVan+vans, Shipped{Carrier: fatalVan}); err != nil {
		return err
	}
	if err := second.awaitHalfWay(); err != nil {
		return err
	}
	if err := second.kill(); err != nil {
		return err
	}
	if err := s.print(ctx, firstVan+vans+1, "van number 10"); err != nil {
		return err
	}
	if err := s.showLabels(ctx); err != nil {
		return err
	}
	twice, err := s.count(ctx, "SELECT count(*) - count(DISTINCT position) FROM labels")
	fmt.Fprintln(s.out, "labels that were printed twice:", twice)
	return err
}

// print ships an order and waits for its label.
func (s *shop) print(ctx context.Context, number int, carrier string) error {
	position, err := s.emit(ctx, number, Shipped{Carrier: carrier})
	if err != nil {
		return err
	}
	return s.runner.WaitFor(ctx, "labels", position)
}

// awaitLanes waits until somebody has so many lanes and nobody has none.
func (s *shop) awaitLanes(ctx context.Context, owner string, lanes int) error {
	return until(ctx, func() (bool, error) {
		owners, err := s.owners(ctx)
		return owners[owner] == lanes && owners[""] == 0, err
	})
}

// owners counts the lanes of those who have any; those that nobody has are "".
func (s *shop) owners(ctx context.Context) (map[string]int, error) {
	versions, err := s.control.Status(ctx)
	if err != nil {
		return nil, err
	}
	owners := make(map[string]int)
	for _, v := range versions {
		if v.Name != (registry.Name{Projection: "labels", Version: 1}) {
			continue
		}
		for _, lane := range v.Lanes {
			owners[lane.Owner]++
		}
	}
	return owners, nil
}
