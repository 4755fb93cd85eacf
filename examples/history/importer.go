package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// importer turns commits into events, each commit in one atomic append.
type importer struct {
	store    eventstore.Store
	versions map[uuid.UUID]uint64 // of each file's stream
	stored   map[uuid.UUID]bool   // commits that are in the store
	causes   map[string]uuid.UUID // by commit: the event that its children follow from
	before   int                  // events that were stored when the program started
	added    int                  // events that it has added
	commits  int                  // commits that were read
}

// newImporter learns from the log how far an earlier run has come. Nothing else
// has to be remembered: what is stored is imported.
func newImporter(ctx context.Context, store eventstore.Store) (*importer, error) {
	im := &importer{
		store:    store,
		versions: make(map[uuid.UUID]uint64),
		stored:   make(map[uuid.UUID]bool),
		causes:   make(map[string]uuid.UUID),
	}
	for e, err := range store.ReadAll(ctx, eventstore.Query{}) {
		if err != nil {
			return nil, err
		}
		im.versions[e.AggregateID] = e.AggregateVersion
		im.stored[e.CorrelationID] = true
		im.before++
	}
	return im, nil
}

// add stores a commit unless it is stored already.
func (im *importer) add(ctx context.Context, c Commit) error {
	im.commits++
	events, err := im.events(ctx, c)
	if err != nil {
		return fmt.Errorf("commit %s: %w", c.Hash, err)
	}
	if len(events) == 0 { // a merge, for example: its children follow from what it follows from
		im.causes[c.Hash] = im.causes[c.Parent]
		return nil
	}
	im.causes[c.Hash] = events[0].ID
	if im.stored[commitID(c.Hash)] {
		return nil
	}
	return im.append(ctx, c, events)
}

// events returns what a commit did. They share its id as correlation. The first
// was caused by the parent commit, the others by the first.
//
//docs:begin commit
func (im *importer) events(ctx context.Context, c Commit) ([]event.Event, error) {
	ctx = event.WithOrigin(ctx, event.Origin{
		ActorID:       c.Actor,
		CorrelationID: commitID(c.Hash),
		CausationID:   im.causes[c.Parent],
		Metadata:      event.Metadata{"commit": c.Hash},
	})
	var events []event.Event
	seen := make(map[uuid.UUID]bool)
	for _, change := range c.Changes {
		payload, err := change.payload()
		if err != nil {
			return nil, err
		}
		e, err := event.NewWith(ctx, event.JSON{}, c.At, payload)
		if err != nil {
			return nil, err
		}
		e.ID, e.AggregateID = changeID(c.Hash, change), fileID(change.Path)
		if seen[e.ID] { // said twice
			continue
		}
		seen[e.ID] = true
		if len(events) > 0 {
			e.CausationID = events[0].ID
		}
		events = append(events, e)
	}
	return events, nil
}

//docs:end commit

// append stores all events of a commit, or none. Should another process import
// the same history at the same time, or should this one not learn that it
// succeeded, sending the same events again is harmless: they have the same ids
// and expect the same versions.
//
//docs:begin append
func (im *importer) append(ctx context.Context, c Commit, events []event.Event) error {
	var appends []eventstore.Append
	place := make(map[uuid.UUID]int) // of a file among the appends
	for _, e := range events {
		at, known := place[e.AggregateID]
		if !known {
			at = len(appends)
			place[e.AggregateID] = at
			appends = append(appends, eventstore.Append{
				Stream:   eventstore.Stream{AggregateType: files.Type(), AggregateID: e.AggregateID},
				Expected: eventstore.Exact(im.versions[e.AggregateID]),
			})
		}
		appends[at].Events = append(appends[at].Events, e)
	}
	result, err := im.store.Append(ctx, appends...)
	if err != nil {
		return fmt.Errorf("commit %s: %w", c.Hash, err)
	}
	for i, a := range appends {
		im.versions[a.Stream.AggregateID] = result.Versions[i]
	}
	im.added += len(events)
	return nil
}

//docs:end append
