package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/sqlite"
)

// The numbers at which parts of the day end.
const (
	morning   = 10 // all servers are there
	noon      = 25 // one is being stopped
	afternoon = 40 // it is gone
	evening   = 60 // it is being started again
)

// startProcesses starts two application processes and waits until they have
// divided the work.
func (o *office) startProcesses(ctx context.Context) error {
	fmt.Fprintln(o.out, "=== Three servers, two application processes ===")
	for _, name := range []string{"first process", "second process"} {
		w, err := startWorker(ctx, job{Process: name, URL: o.servers.url(), Tables: o.tablesPath(), Notices: o.noticesPath()})
		if err != nil {
			return err
		}
		o.workers = append(o.workers, w)
	}
	for _, m := range o.readModels() {
		if err := o.awaitShare(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// readModel is what is printed about a read model.
type readModel struct {
	name     registry.Name
	progress projection.Progress
	about    string
}

func (o *office) readModels() []readModel {
	return []readModel{
		{tableName, o.tables, "exactly once: rows and progress in one SQL transaction"},
		{noticeName, o.events, "at least once: progress on NATS, each file named after its event"},
	}
}

// awaitShare waits until each process has half of the lanes of a read model.
func (o *office) awaitShare(ctx context.Context, m readModel) error {
	control, err := o.control(m.progress)
	if err != nil {
		return err
	}
	const half = lanes / 2
	err = until(ctx, func() (bool, error) {
		owners, err := ownersOf(ctx, control, m.name)
		return owners["first process"] == half && owners["second process"] == half, err
	})
	if err == nil {
		fmt.Fprintf(o.out, "  %-9s %d lanes for each process, %s\n", m.name.Projection, half, m.about)
	}
	return err
}

// ownersOf counts the lanes of those who have any.
func ownersOf(ctx context.Context, control *projection.Control, name registry.Name) (map[string]int, error) {
	versions, err := control.Status(ctx)
	if err != nil {
		return nil, err
	}
	owners := make(map[string]int)
	for _, v := range versions {
		if v.Name == name {
			for _, lane := range v.Lanes {
				owners[lane.Owner]++
			}
		}
	}
	return owners, nil
}

// beginDay ships while nothing is in the way.
func (o *office) beginDay(ctx context.Context) error {
	fmt.Fprintln(o.out, "\n=== Shipments go on their way ===")
	if err := o.shipAll(ctx, 0, morning); err != nil {
		return err
	}
	fmt.Fprintln(o.out, "  delivered:", o.delivered.Load())
	return nil
}

// loseLeader stops the server that leads, and starts it again, while shipments go
// on.
func (o *office) loseLeader(ctx context.Context) error {
	fmt.Fprintln(o.out, "\n=== The server that leads is stopped while shipments go on ===")
	// A lost leader stops appends for some seconds, until another one is chosen.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	leader, err := o.servers.leaderOf(ctx, eventStream)
	if err != nil {
		return err
	}
	err = o.shipWhile(ctx, morning, noon, func() error { o.servers.stop(leader); return nil })
	if err != nil {
		return err
	}
	fmt.Fprintln(o.out, "  one of three servers is gone, delivered:", o.delivered.Load())
	if err := o.shipAll(ctx, noon, afternoon); err != nil {
		return err
	}
	fmt.Fprintln(o.out, "  another one leads, delivered:", o.delivered.Load())
	err = o.shipWhile(ctx, afternoon, evening, func() error { return o.servers.start(leader) })
	if err != nil {
		return err
	}
	fmt.Fprintln(o.out, "  it is there again, delivered:", o.delivered.Load())
	return nil
}

// shipWhile ships while something else is done.
func (o *office) shipWhile(ctx context.Context, from, to int, do func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- o.shipAll(ctx, from, to) }()
	return errors.Join(do(), <-ended)
}

// endDay waits until everything is done, and shows what is there.
func (o *office) endDay(ctx context.Context) error {
	fmt.Fprintln(o.out, "\n=== The end of the day ===")
	if err := o.showReplicas(ctx); err != nil {
		return err
	}
	head, err := o.events.Head(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(o.out, "  events:", head)
	for _, m := range o.readModels() {
		control, err := o.control(m.progress)
		if err != nil {
			return err
		}
		if err := control.WaitFor(ctx, m.name, head); err != nil {
			return err
		}
	}
	if err := o.stopWorkers(); err != nil {
		return err
	}
	return o.showTables(ctx)
}

// replay builds the read model once more, from the first event on, in a database
// of its own, and compares.
func (o *office) replay(ctx context.Context) error {
	fmt.Fprintln(o.out, "\n=== A replay of the log ===")
	//docs:begin replay
	fresh, err := openTables(ctx, filepath.Join(o.folder, "replay.db"))
	if err != nil {
		return err
	}
	o.closers = append(o.closers, fresh.Close)
	runner, err := projection.NewRunner(o.events, projection.Config{
		Projections: []projection.Projection{table("replay")},
		Progress:    fresh,
	})
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	//docs:end replay
	return o.compare(ctx, fresh)
}

func (o *office) compare(ctx context.Context, fresh *sqlite.Store) error {
	kept, err := rows(ctx, o.tables)
	if err != nil {
		return err
	}
	built, err := rows(ctx, fresh)
	if err != nil {
		return err
	}
	fmt.Fprintln(o.out, "  rows:", len(built))
	fmt.Fprintln(o.out, "  equal to the read model:", slices.Equal(kept, built))
	files, err := os.ReadDir(o.noticesPath())
	fmt.Fprintln(o.out, "  one notice for each:", len(files) == len(built))
	return err
}
