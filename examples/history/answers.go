package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// answer asks the read models what one asks of a history.
func (h *history) answer(ctx context.Context, o options) error {
	for _, question := range []func(context.Context, options) error{
		h.whichFilesAreHot, h.whoTouched, h.whatDid, h.whoWasActive, h.whatBelongsTogether,
	} {
		if err := question(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) whichFilesAreHot(ctx context.Context, _ options) error {
	sum, err := sumUp(ctx, h.store.DB())
	if err != nil {
		return err
	}
	fmt.Fprintf(h.out, "\nHottest of %d files (%d changes, %d of them odd when branches are told in one line):\n", sum.files, sum.changes, sum.odd)
	found, err := hottest(ctx, h.store.DB(), 5)
	for _, f := range found {
		fmt.Fprintf(h.out, "  %5d  %s\n", f.Changes, printable(f.Path))
	}
	return err
}

// whoTouched shows the last changes of a file from the audit log, and the file
// itself from its events.
func (h *history) whoTouched(ctx context.Context, o options) error {
	if o.file == "" {
		found, err := hottest(ctx, h.store.DB(), 1)
		if err != nil || len(found) == 0 {
			return err
		}
		o.file = found[0].Path
	}
	fmt.Fprintf(h.out, "\nWho touched %s, and when?\n", printable(o.file))
	//docs:begin file
	entity := audit.Aggregate(files.Type(), fileID(o.file))
	for r, err := range h.auditLog.ByEntity(ctx, entity, audit.Page{Limit: 5}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(h.out, "  %s  %s  %s\n", day(r.OccurredAt()), r.ActorID(), r.EventType())
	}
	//docs:end file
	f, err := aggregate.NewRepository[File](h.store, files).Load(ctx, fileID(o.file))
	if err != nil {
		return err
	}
	s := f.State()
	fmt.Fprintf(h.out, "  … %d changes from %s to %s; exists: %t\n", f.Version(), day(s.First), day(s.Last), s.Exists)
	return nil
}

// whatDid shows the last entries in an actor's feed.
func (h *history) whatDid(ctx context.Context, o options) error {
	if o.actor == "" {
		var err error
		if o.actor, err = h.busiest(ctx); err != nil || o.actor == "" {
			return err
		}
	}
	fmt.Fprintf(h.out, "\nWhat did %s do?\n", o.actor)
	//docs:begin actor
	for a, err := range h.activity.ByActor(ctx, o.actor, audit.Page{Limit: 10}) {
		if err != nil {
			return err
		}
		path, err := pathOf(ctx, h.store.DB(), a.Entity.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(h.out, "  %s  %-12s  %s\n", day(a.OccurredAt), a.EventType, printable(path))
	}
	//docs:end actor
	return nil
}

// busiest returns the actor with the most activities.
func (h *history) busiest(ctx context.Context) (actor event.ActorID, err error) {
	var most uint64
	for a, err := range h.activity.FindActors(ctx, audit.ActivityQuery{}) {
		if err != nil {
			return "", err
		}
		if a.Count > most {
			actor, most = a.ActorID, a.Count
		}
	}
	return actor, nil
}

func (h *history) whoWasActive(ctx context.Context, o options) error {
	if o.since.IsZero() {
		for e, err := range h.store.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward, Limit: 1}) {
			if err != nil {
				return err
			}
			o.since = e.OccurredAt.AddDate(0, 0, -30).Truncate(24 * time.Hour)
		}
	}
	fmt.Fprintf(h.out, "\nWho was active since %s?\n", day(o.since))
	const shown = 10
	n := 0
	//docs:begin active
	for a, err := range h.activity.ActiveSince(ctx, o.since) {
		if err != nil {
			return err
		}
		if n++; n <= shown {
			fmt.Fprintf(h.out, "  %s  %4d changes, the last on %s\n", a.ActorID, a.Count, day(a.LastAt))
		}
	}
	//docs:end active
	if n > shown {
		fmt.Fprintf(h.out, "  … and %d more\n", n-shown)
	}
	return nil
}

// whatBelongsTogether draws the causal tree of a commit.
func (h *history) whatBelongsTogether(ctx context.Context, o options) error {
	correlation := commitID(o.commit)
	if o.commit == "" {
		var err error
		if correlation, o.commit, err = h.smallCommit(ctx); err != nil || o.commit == "" {
			return err
		}
	}
	fmt.Fprintf(h.out, "\nWhat belongs to commit %s?\n", o.commit)
	//docs:begin trace
	tree, err := audit.Trace(ctx, h.auditLog, correlation)
	if err != nil {
		return err
	}
	tree.Label = func(r audit.ActivityRecord) string { return r.Description() }
	fmt.Fprint(h.out, indented(tree.String()))
	//docs:end trace
	if len(tree.Roots) == 0 || tree.Roots[0].Link != audit.Orphan {
		return nil
	}
	cause, err := h.auditLog.Get(ctx, tree.Roots[0].Record.CausationID())
	if err != nil {
		return err
	}
	fmt.Fprintf(h.out, "  The cause is commit %s: %s\n", cause.Metadata()["commit"], cause.Description())
	return nil
}

// smallCommit returns the last commit whose tree is worth a look and fits on a
// screen, or else the first of all.
func (h *history) smallCommit(ctx context.Context) (correlation uuid.UUID, hash string, err error) {
	const least, most = 3, 8
	counts := make(map[uuid.UUID]int)
	var previous event.Event
	for e, err := range h.store.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward}) {
		if err != nil {
			return uuid.Nil, "", err
		}
		if n := counts[previous.CorrelationID]; e.CorrelationID != previous.CorrelationID && least <= n && n <= most {
			return previous.CorrelationID, commitOf(previous), nil
		}
		counts[e.CorrelationID]++
		previous = e
	}
	return previous.CorrelationID, commitOf(previous), nil
}

func commitOf(e event.Event) string {
	hash, _ := e.Metadata["commit"].(string)
	return hash
}

func verb(eventType string) string {
	return strings.ToLower(strings.TrimPrefix(eventType, "File"))
}

// describedPath reads the path out of any of the events.
func describedPath(e event.Event) string {
	var payload struct{ Path string }
	if err := json.Unmarshal(e.Data, &payload); err != nil {
		return "a file"
	}
	return printable(payload.Path)
}

// printable quotes paths that would disturb a terminal.
func printable(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
