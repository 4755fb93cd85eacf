package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

func (s story) title(text string) { fmt.Fprintf(s.out, "\n=== %s ===\n", text) }

// show prints what is on the board, and what to try.
func (s story) show(ctx context.Context) error {
	fmt.Fprintln(s.out, "The board is at", s.web.base)
	s.showPeople()
	task, chain, err := s.example(ctx)
	if err != nil {
		return err
	}
	for _, part := range []func() error{
		func() error { return s.showHistory(ctx, task) },
		func() error { return s.showCounts(ctx, "bob") },
		func() error { return s.showRefusals(ctx) },
		func() error { return s.showTrace(ctx, chain) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	s.showMessages()
	s.showTries(task, chain)
	return nil
}

func (s story) showPeople() {
	s.title("Who can log in")
	for _, p := range s.people.everybody {
		fmt.Fprintf(s.out, "  %-4s %s  %-7s %-8s %s\n", p.Name, s.passwords[p.Name], p.Tenant, p.Role, p.ActorID())
	}
}

// showHistory prints what happened to a task.
func (s story) showHistory(ctx context.Context, task audit.EntityRef) error {
	s.title("What happened to bob's task")
	for record, err := range s.log.ForTenant("acme").ByEntity(ctx, task, audit.Page{OldestFirst: true, Limit: 10}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "  %s: %s by %s\n", record.OccurredAt().Format("2006-01-02 15:04"), record.Action(), record.ActorID())
	}
	return nil
}

// showCounts prints how often somebody did what.
func (s story) showCounts(ctx context.Context, name string) error {
	s.title("How often " + name + " did what")
	counts := map[string]int{}
	for record, err := range s.log.ForTenant("acme").ByActor(ctx, s.people.byName[name].ActorID(), audit.Page{}) {
		if err != nil {
			return err
		}
		counts[record.Action()]++
	}
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(s.out, "  %d × %s\n", counts[action], action)
	}
	return nil
}

// showRefusals prints what did not go well, for each tenant.
func (s story) showRefusals(ctx context.Context) error {
	s.title("What was refused")
	for record, err := range s.log.Find(ctx, audit.Query{Page: audit.Page{OldestFirst: true}}) {
		if err != nil {
			return err
		}
		if record.Outcome() == audit.Success {
			continue
		}
		tenant := record.TenantID()
		if tenant == "" {
			tenant = "-"
		}
		fmt.Fprintf(s.out, "  %-7s %-7s %-18s by %-9s  %s: %s\n", tenant, record.Outcome(), record.Action(), record.ActorID(), record.Entity().Type, record.Reason())
	}
	return nil
}

// showTrace draws everything that followed from the request that made a task.
func (s story) showTrace(ctx context.Context, chain uuid.UUID) error {
	s.title("What the request did that created it")
	tree, err := audit.Trace(ctx, s.log.ForTenant("acme"), chain)
	if err != nil {
		return err
	}
	tree.Label = func(r audit.ActivityRecord) string { return fmt.Sprintf("%s by %s", r.Action(), r.ActorID()) }
	_, err = tree.WriteTo(s.out)
	return err
}

// showMessages prints which messages came over NATS, and how many.
func (s story) showMessages() {
	s.title("What came over NATS")
	counts := map[string]int{}
	for _, tenant := range []event.TenantID{"", "acme", "globex"} {
		for _, m := range s.inbox.Messages(tenant) {
			counts[m.Subject]++
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(s.out, "  %d × %s\n", counts[subject], subject)
	}
}

// try is a request to try.
type try struct {
	what   string
	method string // GET if empty
	path   string
	accept string
	body   any
}

// tries are requests that an administrator of acme may make.
func tries(task audit.EntityRef, chain uuid.UUID) []try {
	const records = "/v1/audit/records"
	return []try{
		{what: "create a task", method: http.MethodPost, path: "/tasks", body: titleJSON{Title: "Try it"}},
		{what: "what you did yourself", path: records + "?actor_id=user:7f31&limit=5"},
		{what: "what was not allowed", path: records + "?outcome=denied"},
		{what: "what failed since 2024", path: records + "?outcome=failure&occurred_at[gte]=2024-01-01T00:00:00Z"},
		{what: "what happened to bob's task", path: "/v1/audit/entities/Task/" + url.PathEscape(task.ID) + "/records?order=asc"},
		{what: "what bob did", path: "/v1/audit/actors/user:2c90/activity"},
		{what: "what followed from one request", path: "/v1/audit/traces/" + chain.String()},
		{what: "which actions there are", path: "/v1/audit/actions"},
		{what: "everything, a record a line, with a checksum in the last one", path: records, accept: "application/x-ndjson"},
		{what: "what was done to bob's data, for a spreadsheet", path: records + "?owner_id=user:2c90", accept: "text/csv"},
		{what: "what came over NATS", path: "/messages"},
	}
}

// showTries prints them as commands for a shell.
func (s story) showTries(task audit.EntityRef, chain uuid.UUID) {
	s.title("What to try")
	fmt.Fprintf(s.out, "The documentation of the audit API: %s/v1/audit/docs\n\n", s.web.base)
	fmt.Fprintf(s.out, "# log in as ada, for %s\n", lifetime)
	fmt.Fprintf(s.out, `TOKEN=$(curl -s -d '{"name":"ada","password":"%s"}' %s/login | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`+"\n", s.passwords["ada"], s.web.base)
	for _, t := range tries(task, chain) {
		fmt.Fprintf(s.out, "# %s\n%s\n", t.what, t.command(s.web.base))
	}
	fmt.Fprintln(s.out, "\nServing until interrupted (Ctrl-C).")
}

// command is the request for a shell.
func (t try) command(base string) string {
	words := []string{"curl", "-s", "-g", "-H", `"Authorization: Bearer $TOKEN"`}
	if t.accept != "" {
		words = append(words, "-H", "'Accept: "+t.accept+"'")
	}
	if t.body != nil {
		body, _ := json.Marshal(t.body) //nolint:errchkjson // it is one of the above.
		words = append(words, "-d", "'"+string(body)+"'")
	}
	return strings.Join(append(words, "'"+base+t.path+"'"), " ")
}
