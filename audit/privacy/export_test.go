package privacy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

var (
	jane = event.User("7f3a")
	joe  = event.User("clerk-joe")
	file = audit.EntityRef{Type: "CustomerFile", ID: "c-1"}
)

func subject() privacy.Subject {
	return privacy.Subject{TenantID: acme, ActorIDs: []event.ActorID{jane}, OwnerIDs: []string{"7f3a"}, Entities: []audit.EntityRef{file}}
}

// history is what the log says of jane, and of others.
func history(tb testing.TB) *office {
	tb.Helper()
	o := newOffice(tb)
	o.act(tb, audit.Draft{ActorID: jane, OwnerID: "7f3a", Action: "order.placed", Entity: file}) // three reasons, one record
	o.act(tb, audit.Draft{ActorID: joe, Action: "order.placed"})                                 // not hers
	o.act(tb, audit.Draft{
		ActorID: joe, Action: "file.read", Entity: file, Purpose: "complaint 4", Reason: "joe wanted to know", Description: "clerk-joe read a file",
		Request: audit.Request{ID: "r1", SourceAddress: "192.0.2.7", UserAgent: "joes browser"}, Metadata: event.Metadata{"desk": "3"},
	})
	o.act(tb, audit.Draft{ActorID: joe, OnBehalfOf: jane, Action: "order.cancelled"})
	o.act(tb, audit.Draft{ActorID: jane, OnBehalfOf: joe, Action: "note.written", Description: "7f3a wrote for Clerk-Joe", Metadata: event.Metadata{"to": "clerk-joe", "n": 7}})
	o.act(tb, audit.Draft{ActorID: jane, OwnerID: "user:someone-else", Action: "file.read", Reason: "curious"})
	o.act(tb, audit.Draft{ActorID: event.Service("billing"), OwnerID: "7f3a", Action: "invoice.sent", Request: audit.Request{SourceAddress: "198.51.100.1"}, Description: "sent"})
	o.act(tb, audit.Draft{Action: "login.failed", OwnerID: "7f3a", Request: audit.Request{SourceAddress: "203.0.113.9"}, Outcome: audit.Failure})
	o.act(tb, audit.Draft{ActorID: jane, Action: "order.placed", TenantID: "other"}) // an equal id of another tenant
	return o
}

func (o *office) export(tb testing.TB, s privacy.Subject, changes ...func(*privacy.ExportConfig)) (string, error) {
	tb.Helper()
	config := privacy.ExportConfig{Records: o.log, Log: o.log, Now: o.clock.Now, Purpose: "request 17"}
	for _, change := range changes {
		change(&config)
	}
	var out bytes.Buffer
	_, err := privacy.Export(o.ctx, &out, s, config)
	return out.String(), err
}

func readExport(tb testing.TB, text string) (privacy.Header, []privacy.Entry) {
	tb.Helper()
	x, err := privacy.ReadExport(strings.NewReader(text))
	require.NoError(tb, err)
	entries := collect(tb, x.Entries())
	trailer, whole := x.Trailer()
	require.True(tb, whole)
	require.Equal(tb, uint64(len(entries)), trailer.Records)
	return x.Header(), entries
}

func disclosing(c *privacy.ExportConfig) {
	c.DiscloseActors, c.Justification = true, "ordered by the court"
}

func TestAnExportHasEverythingOnAPersonOnce(t *testing.T) {
	t.Parallel()
	o := history(t)
	text, err := o.export(t, subject(), disclosing)
	require.NoError(t, err)
	header, entries := readExport(t, text)
	assert.Equal(t, privacy.Header{
		ID: header.ID, Subject: subject(), AsOf: 8, ExportedAt: start, Purpose: "request 17", DisclosedActors: true, Justification: "ordered by the court",
	}, header)
	got := make(map[uint64][]privacy.Section)
	for _, entry := range entries {
		got[entry.Position] = entry.Sections
		assert.Empty(t, entry.Masked)
	}
	assert.Equal(t, map[uint64][]privacy.Section{
		1: {privacy.Acted, privacy.Owned, privacy.SubjectIn},
		3: {privacy.SubjectIn},
		4: {privacy.ActedFor},
		5: {privacy.Acted},
		6: {privacy.Acted},
		7: {privacy.Owned},
		8: {privacy.Owned},
	}, got)
	assert.True(t, slices.IsSortedFunc(entries, func(a, b privacy.Entry) int { return int(a.Position) - int(b.Position) }))
	assert.Equal(t, joe, entries[1].ActorID)
	assert.Equal(t, "clerk-joe read a file", entries[1].Description)
	assert.Equal(t, event.Metadata{"desk": "3"}, entries[1].Metadata)
}

func TestOtherPeopleAreMasked(t *testing.T) {
	t.Parallel()
	o := history(t)
	text, err := o.export(t, subject())
	require.NoError(t, err)
	lower := strings.ToLower(text)
	for _, secret := range []string{"joe", "someone-else", "192.0.2.7", "203.0.113.9"} {
		assert.NotContains(t, lower, secret)
	}
	_, entries := readExport(t, text)
	require.Len(t, entries, 7)
	read := entries[1]
	assert.Equal(t, []string{"actor_id", "description", "metadata.desk", "reason", "request.id", "request.source_address", "request.user_agent"}, read.Masked)
	assert.Equal(t, event.KindUser, read.ActorKind, "the category of who looked is told")
	assert.Equal(t, "complaint 4", read.Purpose, "and what for")
	assert.False(t, read.OccurredAt.IsZero(), "and when")

	note := entries[3]
	assert.Equal(t, jane, note.ActorID)
	assert.Equal(t, []string{"description", "metadata.to", "on_behalf_of"}, note.Masked)
	assert.Equal(t, event.Metadata{"n": int64(7)}, note.Metadata)
	assert.Equal(t, []string{"owner_id"}, entries[4].Masked)
	assert.Equal(t, "curious", entries[4].Reason)
	assert.Equal(t, event.Service("billing"), entries[5].ActorID, "a service is nobody")
	assert.Equal(t, "198.51.100.1", entries[5].Request.SourceAddress)
	assert.Equal(t, []string{"request.source_address"}, entries[6].Masked)
}

func TestAnExportIsRecordedBeforeAnythingGoesOut(t *testing.T) {
	t.Parallel()
	o := history(t)
	text, err := o.export(t, subject(), disclosing)
	require.NoError(t, err)
	header, _ := readExport(t, text)
	records := o.recorded(t, privacy.ExportedAction)
	require.Len(t, records, 1)
	r := records[0]
	assert.Equal(t, header.ID, r.ID())
	assert.Equal(t, event.User("officer-1"), r.ActorID())
	assert.Equal(t, []string{"7f3a", "request 17", "ordered by the court"}, []string{r.OwnerID(), r.Purpose(), r.Reason()})
	assert.Equal(t, event.Metadata{
		"as_of": int64(8), "disclosed_actors": true, "payloads": false, "actor_ids": int64(1), "owner_ids": int64(1), "entities": int64(1),
	}, r.Metadata())
	next, err := o.export(t, subject())
	require.NoError(t, err)
	_, entries := readExport(t, next)
	assert.Equal(t, privacy.ExportedAction, entries[len(entries)-1].Action, "that data was given out is in the next export")

	text, err = o.export(t, subject(), func(c *privacy.ExportConfig) { c.Log = &refusing{Appender: o.log} })
	require.ErrorIs(t, err, errBroken)
	assert.Empty(t, text)
}

func TestPayloadsAreExported(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	emit(t, o.store, jane, `{"street":"<Main & 1st>"}`, nil)
	emit(t, o.store, joe, `{"street":"Elm","by":"CLERK-JOE"}`, event.Metadata{"owner_id": "7f3a"})
	emit(t, o.store, joe, "\x00\x01", event.Metadata{"owner_id": "7f3a"})
	o.act(t, audit.Draft{ActorID: jane, Action: "file.read"})
	payloads := func(c *privacy.ExportConfig) { c.Events = o.store }
	text, err := o.export(t, subject(), payloads)
	require.NoError(t, err)
	header, entries := readExport(t, text)
	assert.True(t, header.Payloads)
	require.Len(t, entries, 4)
	assert.True(t, bytes.Equal([]byte(`{"street":"<Main & 1st>"}`), entries[0].Data), "byte by byte")
	assert.Nil(t, entries[1].Data)
	assert.Contains(t, entries[1].Masked, "data")
	assert.Equal(t, "\x00\x01", string(entries[2].Data))
	assert.Nil(t, entries[3].Data)

	text, err = o.export(t, subject(), payloads, func(c *privacy.ExportConfig) {
		c.Payload = func(_ context.Context, e event.Event) ([]byte, error) {
			return fmt.Appendf(nil, `{"length":%d}`, len(e.Data)), nil
		}
	})
	require.NoError(t, err)
	_, entries = readExport(t, text)
	assert.JSONEq(t, `{"length":33}`, string(entries[1].Data))
	_, err = o.export(t, subject(), payloads, func(c *privacy.ExportConfig) {
		c.Payload = func(context.Context, event.Event) ([]byte, error) { return nil, errBroken }
	})
	require.ErrorIs(t, err, errBroken)
	_, err = o.export(t, subject(), func(c *privacy.ExportConfig) { c.Events = unreadable{o.store} })
	require.ErrorIs(t, err, errBroken)
}

// unreadable is a store whose streams cannot be read.
type unreadable struct{ eventstore.Store }

func (unreadable) ReadStream(context.Context, eventstore.Stream, eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) { yield(event.Event{}, errBroken) }
}

func TestBadExportsAreRefused(t *testing.T) {
	t.Parallel()
	o := history(t)
	for field, change := range map[string]func(*privacy.ExportConfig){
		"records": func(c *privacy.ExportConfig) { c.Records = nil },
		"log":     func(c *privacy.ExportConfig) { c.Log = nil },
		"payload": func(c *privacy.ExportConfig) {
			c.Payload = func(context.Context, event.Event) ([]byte, error) { return nil, nil }
		},
		"justification": func(c *privacy.ExportConfig) { c.DiscloseActors, c.Justification = true, " " },
		"purpose":       func(c *privacy.ExportConfig) { c.Purpose = "\x00" },
	} {
		_, err := o.export(t, subject(), change)
		requireInvalid(t, err, field)
	}
	_, err := o.export(t, subject(), func(c *privacy.ExportConfig) { c.Justification = "for nothing" })
	requireInvalid(t, err, "justification")
	for field, s := range map[string]privacy.Subject{
		"subject":      {TenantID: acme},
		"tenant_id":    {TenantID: "\x00", OwnerIDs: []string{"a"}},
		"actor_ids[0]": {ActorIDs: []event.ActorID{event.Anonymous}},
		"actor_ids[1]": {ActorIDs: []event.ActorID{jane, "nobody"}},
		"owner_ids[0]": {OwnerIDs: []string{""}},
		"owner_ids[1]": {OwnerIDs: []string{"a", "\x00"}},
		"entity.id":    {Entities: []audit.EntityRef{{Type: "Order"}}},
	} {
		_, err := o.export(t, s)
		requireInvalid(t, err, field)
	}
	_, err = o.export(t, privacy.Subject{OwnerIDs: make([]string, privacy.MaxNames+1)})
	require.ErrorIs(t, err, privacy.ErrTooLarge)
	_, err = privacy.Export(t.Context(), io.Discard, subject(), privacy.ExportConfig{Records: o.log, Log: o.log})
	requireInvalid(t, err, "actor_id")
	assert.Empty(t, o.recorded(t, privacy.ExportedAction))
}

func TestAnExportThatFailsHasNoTrailer(t *testing.T) {
	t.Parallel()
	o := history(t)
	text, err := o.export(t, subject(), func(c *privacy.ExportConfig) { c.Records = brokenFinder{o.log, 1} })
	require.ErrorIs(t, err, errBroken)
	assert.NotContains(t, text, "trailer")
	_, err = o.export(t, subject(), func(c *privacy.ExportConfig) { c.Records = brokenFinder{o.log, 0} })
	require.ErrorIs(t, err, errBroken)
	assert.Len(t, o.recorded(t, privacy.ExportedAction), 1)
	_, err = privacy.Export(o.ctx, full{}, subject(), privacy.ExportConfig{Records: o.log, Log: o.log})
	require.ErrorIs(t, err, errBroken)
}

// full takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errBroken }

func TestAnEmptyExport(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	text, err := o.export(t, privacy.Subject{Entities: []audit.EntityRef{file}})
	require.NoError(t, err)
	header, entries := readExport(t, text)
	assert.Empty(t, entries)
	assert.Zero(t, header.AsOf)
}

func TestADamagedExportIsNoticed(t *testing.T) {
	t.Parallel()
	o := history(t)
	text, err := o.export(t, subject())
	require.NoError(t, err)
	_, _, err = privacy.VerifyExport(strings.NewReader(text))
	require.NoError(t, err)
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	join := func(parts ...[]string) string { return strings.Join(slices.Concat(parts...), "") }
	last := len(lines) - 1
	for name, test := range map[string]struct {
		text string
		line int
	}{
		"empty":                   {"", 1},
		"no header":               {join(lines[1:]), 1},
		"not JSON":                {"{\n", 1},
		"cut behind a line":       {join(lines[:4]), 5},
		"cut in a line":           {join(lines[:4]) + lines[4][:9], 5},
		"no trailer":              {join(lines[:last]), last + 1},
		"a line that is gone":     {join(lines[:2], lines[3:]), last},
		"a line that is changed":  {strings.Replace(text, "order.placed", "order.Placed", 1), last + 1},
		"lines swapped":           {join(lines[:2], lines[3:4], lines[2:3], lines[4:]), 4},
		"a line twice":            {join(lines[:3], lines[2:]), 4},
		"two headers":             {join(lines[:1], lines), 2},
		"something behind":        {text + "x", last + 1},
		"no position":             {join(lines[:1]) + `{"record":{"position":"0"}}` + "\n", 2},
		"metadata that are none":  {join(lines[:1]) + `{"record":{"position":"1","sections":["acted"],"metadata":[]}}` + "\n", 2},
		"another file altogether": {`{"header":{"format":"x"}}` + "\n", 1},
	} {
		_, _, err := privacy.VerifyExport(strings.NewReader(test.text))
		var damage *privacy.DamageError
		require.ErrorAs(t, err, &damage, name)
		require.ErrorIs(t, err, privacy.ErrDamaged)
		assert.Equal(t, test.line, damage.Line, "%s: %v", name, damage)
	}
	_, err = privacy.ReadExport(strings.NewReader(strings.Replace(text, "evident.person/1", "evident.person/2", 1)))
	require.ErrorIs(t, err, privacy.ErrFormat)
	_, err = privacy.ReadExport(io.MultiReader(strings.NewReader("{"), failing{}))
	require.ErrorIs(t, err, errBroken)

	x, err := privacy.ReadExport(strings.NewReader(text))
	require.NoError(t, err)
	for _, err := range x.Entries() {
		require.NoError(t, err)
		break
	}
	_, whole := x.Trailer()
	assert.False(t, whole)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func FuzzReadExport(f *testing.F) {
	o := history(f)
	text, err := o.export(f, subject())
	require.NoError(f, err)
	f.Add([]byte(text), 0, byte(0))
	f.Add([]byte(text), 300, byte(1))
	f.Add([]byte(`{"header":{"format":"evident.person/1"}}`+"\n"+`{"trailer":{"records":"0"}}`+"\n"), 0, byte(0))
	f.Fuzz(func(t *testing.T, content []byte, at int, flip byte) {
		if len(content) > 0 {
			content = bytes.Clone(content)
			content[max(at, 0)%len(content)] ^= flip
		}
		if _, _, err := privacy.VerifyExport(bytes.NewReader(content)); err != nil {
			require.True(t, errors.Is(err, privacy.ErrDamaged) || errors.Is(err, privacy.ErrFormat), err)
		}
	})
}

// TestAnExportIsWhatAScanFinds compares the merge with the definition, for logs
// and subjects at random.
func TestAnExportIsWhatAScanFinds(t *testing.T) {
	t.Parallel()
	actors := []event.ActorID{"", "user:1", "user:2", "service:s"}
	owners, tenants := []string{"", "1", "2"}, []event.TenantID{"acme", "other"}
	rapid.Check(t, func(rt *rapid.T) {
		o := newOffice(t)
		n := rapid.IntRange(0, 25).Draw(rt, "records")
		for range n {
			o.act(t, audit.Draft{
				TenantID: rapid.SampledFrom(tenants).Draw(rt, "tenant"), ActorID: rapid.SampledFrom(actors).Draw(rt, "actor"),
				OnBehalfOf: rapid.SampledFrom(actors).Draw(rt, "behalf"), OwnerID: rapid.SampledFrom(owners).Draw(rt, "owner"),
				Action: "a.b", Entity: audit.EntityRef{Type: "T", ID: rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "entity")},
			})
		}
		s := privacy.Subject{TenantID: "acme", ActorIDs: []event.ActorID{"user:1", "service:s"}, OwnerIDs: []string{"1"}, Entities: []audit.EntityRef{{Type: "T", ID: "1"}}}
		var want []uint64
		for _, r := range collect(t, o.log.Find(t.Context(), audit.Query{TenantID: "acme", Page: audit.Page{OldestFirst: true}})) {
			if r.ActorID() == "user:1" || r.ActorID() == "service:s" || r.OnBehalfOf() == "user:1" || r.OnBehalfOf() == "service:s" || r.OwnerID() == "1" || r.Entity().ID == "1" {
				want = append(want, r.Position())
			}
		}
		text, err := o.export(t, s)
		require.NoError(t, err)
		_, entries := readExport(t, text)
		var got []uint64
		for _, entry := range entries {
			got = append(got, entry.Position)
		}
		require.Equal(t, want, got)
	})
}

// many yields records that are made as they are asked for.
type many struct {
	audit.Finder

	n int
}

func (m many) Find(_ context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		for i := range m.n {
			if query.Limit == 1 {
				i = m.n - 1
			}
			r := audit.Restore(audit.Draft{
				ID: uuid.New(), TenantID: acme, ActorID: jane, OwnerID: "7f3a", Action: "order.placed", Entity: file, Position: uint64(i + 1), OccurredAt: start,
				Description: strings.Repeat("d", 900),
			})
			if !yield(r, nil) || query.Limit == 1 {
				return
			}
		}
	}
}

//nolint:paralleltest // it looks at the whole heap
func TestAnExportIsStreamed(t *testing.T) {
	o := newOffice(t)
	grown := &growth{}
	trailer, err := privacy.Export(o.ctx, grown, subject(), privacy.ExportConfig{Records: many{n: 60_000}, Log: o.log})
	require.NoError(t, err)
	assert.Equal(t, uint64(60_000), trailer.Records)
	assert.Greater(t, grown.written, 60<<20)
	assert.Less(t, grown.most, uint64(16<<20), "what is in memory does not grow with the export")
}

// growth watches the heap while it is written to.
type growth struct {
	written int
	writes  int
	first   uint64
	most    uint64
}

func (g *growth) Write(p []byte) (int, error) {
	g.written += len(p)
	if g.writes++; g.writes%100 == 1 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if g.first == 0 {
			g.first = m.HeapAlloc
		}
		g.most = max(g.most, m.HeapAlloc-min(g.first, m.HeapAlloc))
	}
	return len(p), nil
}

func TestEveryLineIsJSONWithTextForNumbersOf64Bits(t *testing.T) {
	t.Parallel()
	o := history(t)
	text, err := o.export(t, subject())
	require.NoError(t, err)
	for line := range strings.Lines(text) {
		var kinds map[string]map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &kinds))
		require.Len(t, kinds, 1)
		if record, ok := kinds["record"]; ok {
			assert.IsType(t, "", record["position"])
		}
	}
}

func ExampleExport() {
	ctx := event.WithActor(context.Background(), event.User("officer-1"))
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := store.Pseudonyms().TokenFor(ctx, "", "jane@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	account := audit.EntityRef{Type: "Account", ID: "17"}
	for _, draft := range []audit.Draft{
		{ActorID: event.User(token.String()), Action: "account.opened", Entity: account},
		{ActorID: event.User("clerk-4"), Action: "account.read", Entity: account, Purpose: "complaint 8"},
		{ActorID: event.User("clerk-4"), Action: "account.read", Entity: audit.EntityRef{Type: "Account", ID: "18"}},
	} {
		if _, err := log.Append(ctx, draft); err != nil {
			fmt.Println(err)
			return
		}
	}

	person := privacy.SubjectOf("", token)
	person.Entities = []audit.EntityRef{account}
	var out bytes.Buffer
	if _, err := privacy.Export(ctx, &out, person, privacy.ExportConfig{Records: log, Log: log, Purpose: "request 17"}); err != nil {
		fmt.Println(err)
		return
	}

	export, err := privacy.ReadExport(&out)
	if err != nil {
		fmt.Println(err)
		return
	}
	for entry, err := range export.Entries() {
		fmt.Println(entry.Position, entry.Action, entry.Sections, entry.ActorKind, entry.Purpose, entry.Masked, err)
	}
	trailer, whole := export.Trailer()
	fmt.Println(trailer.Records, whole)

	// Output:
	// 1 account.opened [acted subject] user  [] <nil>
	// 2 account.read [subject] user complaint 8 [actor_id] <nil>
	// 2 true
}

func TestOthersAreMaskedWhereverTheyAreNamed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	jorg := event.User("jörg-7f")
	o.act(t, audit.Draft{ActorID: jorg, OwnerID: "7f3a", Action: "session.closed", Entity: audit.EntityRef{Type: "Session", ID: "JÖRG-7f"}})
	o.act(t, audit.Draft{ActorID: jorg, OwnerID: "7f3a", Action: "session.closed", Entity: audit.EntityRef{Type: "Session", ID: "web/jörg-7f/1"}})
	o.act(t, audit.Draft{
		ActorID: jane, OnBehalfOf: jorg, Action: "note.written", Entity: audit.EntityRef{Type: "Note", ID: "1"},
		Metadata: event.Metadata{"seen by jörg-7f": true, "n": 7},
	})
	emit(t, o.store, jane, `{"to":{"people":["j\u00F6rg-7f"]}}`, event.Metadata{audit.KeyOnBehalfOf: string(jorg)})
	emit(t, o.store, jane, `{"to":{"j\u00f6rg-7f":1}}`, event.Metadata{audit.KeyOnBehalfOf: string(jorg)})
	emit(t, o.store, jane, `{"to":"\u0041nn","n":[1]}`, event.Metadata{audit.KeyOnBehalfOf: string(jorg)})
	text, err := o.export(t, subject(), func(c *privacy.ExportConfig) { c.Events = o.store })
	require.NoError(t, err)
	for _, secret := range []string{"jörg", `\u00f6rg`} {
		assert.NotContains(t, strings.ToLower(text), secret)
	}
	_, entries := readExport(t, text)
	require.Len(t, entries, 6)
	assert.Equal(t, []string{"actor_id", "entity.id"}, entries[0].Masked)
	assert.Equal(t, audit.EntityRef{Type: "Session"}, entries[0].Entity)
	assert.Equal(t, []string{"metadata", "on_behalf_of"}, entries[2].Masked)
	assert.Equal(t, event.Metadata{"n": int64(7)}, entries[2].Metadata)
	assert.Contains(t, entries[3].Masked, "data")
	assert.Contains(t, entries[4].Masked, "data")
	assert.JSONEq(t, `{"to":"Ann","n":[1]}`, string(entries[5].Data))
}

func TestAnExportSaysWhatTheLogHasShortened(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	emit(t, o.store, jane, `{}`, event.Metadata{"letter": strings.Repeat("x", 2*audit.MaxMetadataString)})
	text, err := o.export(t, subject())
	require.NoError(t, err)
	_, entries := readExport(t, text)
	require.Len(t, entries, 1)
	assert.Equal(t, []string{"metadata.letter"}, entries[0].Reduced)
}

func TestAnExportWithoutAnEventIsNotWhole(t *testing.T) {
	t.Parallel()
	o, other := newOffice(t), newOffice(t)
	emit(t, o.store, jane, `{}`, nil)
	_, err := o.export(t, subject(), func(c *privacy.ExportConfig) { c.Events = other.store })
	require.ErrorIs(t, err, privacy.ErrUnknown)
	require.ErrorContains(t, err, "record at position 1")
}
