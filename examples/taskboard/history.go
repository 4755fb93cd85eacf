package main

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Entry is a line of a history or a feed.
type Entry struct {
	When    time.Time      `json:"when"`
	Actor   event.ActorID  `json:"actor"`
	Action  string         `json:"action"`
	Entity  string         `json:"entity"`
	Details event.Metadata `json:"details,omitempty"`
}

func entryOf(r audit.ActivityRecord) Entry {
	return Entry{
		When: r.OccurredAt(), Actor: r.ActorID(), Action: r.Action(),
		Entity: r.Entity().Type + "#" + r.Entity().ID, Details: r.Metadata(),
	}
}

//docs:begin by-entity

// History returns the last ten activities on a task, for its owner.
func (t *Tasks) History(ctx context.Context, id uuid.UUID) ([]Entry, error) {
	if _, err := t.owned.Load(ctx, id); err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, 10)
	for record, err := range t.log.RequireTenant().ByEntity(ctx, audit.Aggregate(taskType, id), audit.Page{Limit: 10}) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, entryOf(record))
	}
	return entries, nil
}

//docs:end by-entity

//docs:begin by-owner

// Feed returns the last fifty activities on the data of whoever acts.
func (t *Tasks) Feed(ctx context.Context) ([]Entry, error) {
	if err := auth.Require(ctx, MayRead); err != nil {
		return nil, err
	}
	owner := string(event.ActorFrom(ctx))
	feed := make([]Entry, 0, 50)
	for record, err := range t.log.RequireTenant().ByOwner(ctx, owner, audit.Page{Limit: 50}) {
		if err != nil {
			return nil, err
		}
		feed = append(feed, entryOf(record))
	}
	return feed, nil
}

//docs:end by-owner

//docs:begin by-actor

// Counts returns how often whoever acts has done what.
func (t *Tasks) Counts(ctx context.Context) (map[string]int, error) {
	if err := auth.Require(ctx, MayRead); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for record, err := range t.log.RequireTenant().ByActor(ctx, event.ActorFrom(ctx), audit.Page{}) {
		if err != nil {
			return nil, err
		}
		counts[record.Action()]++
	}
	return counts, nil
}

//docs:end by-actor
