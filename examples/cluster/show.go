package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/sqlite"
)

// eventStream is what the store calls its stream, by the prefix of its config.
const eventStream = "EVIDENT"

// showReplicas waits until all servers have all events.
func (o *office) showReplicas(ctx context.Context) error {
	err := until(ctx, func() (bool, error) {
		stream, err := o.js.Stream(ctx, eventStream)
		if err != nil {
			return false, err
		}
		current := 1 // the leader
		for _, r := range stream.CachedInfo().Cluster.Replicas {
			if r.Current && !r.Offline && r.Lag == 0 {
				current++
			}
		}
		return current == size, nil
	})
	if err == nil {
		fmt.Fprintf(o.out, "  servers that have all events: %d\n", size)
	}
	return err
}

// showTables prints what the read model says, and who has built it.
func (o *office) showTables(ctx context.Context) error {
	for _, q := range []struct{ label, query string }{
		{"shipments that are delivered, by three events each:", "SELECT count(*) FROM shipments WHERE stage = 'delivered' AND events = 3"},
		{"events that took effect:", "SELECT sum(events) FROM carried"},
		{"lanes that one of the two processes has carried:", "SELECT count(DISTINCT lane) FROM carried WHERE process IN ('first process', 'second process')"},
		{"processes that have carried any:", "SELECT count(DISTINCT process) FROM carried"},
	} {
		var n int
		if err := o.tables.DB().QueryRowContext(ctx, q.query).Scan(&n); err != nil {
			return err
		}
		fmt.Fprintln(o.out, " ", q.label, n)
	}
	return nil
}

// rows returns the read model.
func rows(ctx context.Context, tables *sqlite.Store) (all []string, err error) {
	found, err := tables.DB().QueryContext(ctx, "SELECT id || ' ' || town || ' ' || stage || ' ' || events FROM shipments ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var row string
		if err := found.Scan(&row); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, found.Err()
}
