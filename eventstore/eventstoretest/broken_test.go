package eventstoretest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/memory"
)

type events = iter.Seq2[event.Event, error]

// broken is a store that breaks its promises where a function is given.
type broken struct {
	eventstore.Store

	append     func(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error)
	reading    func(ctx context.Context) context.Context
	stream     func(q *eventstore.StreamQuery)
	all        func(q *eventstore.Query)
	read       func(events) events
	wait       func(ctx context.Context, s eventstore.Store, after uint64) (uint64, error)
	head       func(head uint64) uint64
	close      func(s eventstore.Store) error
	limits     func() eventstore.Limits
	identified func(*eventstore.Stream)
}

func (b *broken) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	if b.identified != nil {
		appends = slices.Clone(appends)
		for i := range appends {
			b.identified(&appends[i].Stream)
		}
	}
	if b.append != nil {
		return b.append(ctx, b.Store, appends)
	}
	return b.Store.Append(ctx, appends...)
}

func (b *broken) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) events {
	if b.identified != nil {
		b.identified(&stream)
	}
	if b.stream != nil {
		b.stream(&query)
	}
	return b.spoilt(b.Store.ReadStream(b.readingIn(ctx), stream, query))
}

func (b *broken) ReadAll(ctx context.Context, query eventstore.Query) events {
	if b.all != nil {
		b.all(&query)
	}
	return b.spoilt(b.Store.ReadAll(b.readingIn(ctx), query))
}

func (b *broken) readingIn(ctx context.Context) context.Context {
	if b.reading != nil {
		return b.reading(ctx)
	}
	return ctx
}

func (b *broken) spoilt(read events) events {
	if b.read != nil {
		return b.read(read)
	}
	return read
}

func (b *broken) Wait(ctx context.Context, after uint64) (uint64, error) {
	if b.wait != nil {
		return b.wait(ctx, b.Store, after)
	}
	return b.Store.Wait(ctx, after)
}

func (b *broken) Head(ctx context.Context) (uint64, error) {
	head, err := b.Store.Head(ctx)
	if b.head != nil {
		head = b.head(head)
	}
	return head, err
}

func (b *broken) Limits() eventstore.Limits {
	if b.limits != nil {
		return b.limits()
	}
	return b.Store.Limits()
}

func (b *broken) Close() error {
	if b.close != nil {
		return b.close(b.Store)
	}
	return b.Store.Close()
}

// changed spoils each event that is read.
func changed(f func(e *event.Event)) func(events) events {
	return func(read events) events {
		return func(yield func(event.Event, error) bool) {
			for e, err := range read {
				if err == nil {
					f(&e)
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// each passes the events of an append through f.
func each(f func(e *event.Event)) func(context.Context, eventstore.Store, []eventstore.Append) (eventstore.Result, error) {
	return func(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
		appends = slices.Clone(appends)
		for i := range appends {
			appends[i].Events = slices.Clone(appends[i].Events)
			for j := range appends[i].Events {
				f(&appends[i].Events[j])
			}
		}
		return s.Append(ctx, appends...)
	}
}

// answered passes the answer of an append through f.
func answered(f func(r *eventstore.Result, err error) error) func(context.Context, eventstore.Store, []eventstore.Append) (eventstore.Result, error) {
	return func(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
		result, err := s.Append(ctx, appends...)
		err = f(&result, err)
		return result, err
	}
}

func oneByOne(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (last eventstore.Result, err error) {
	var versions []uint64
	for _, a := range appends {
		if last, err = s.Append(ctx, a); err != nil {
			return last, err
		}
		dawdle()
		versions = append(versions, last.Versions...)
	}
	last.Versions = versions
	return last, nil
}

// lateVisible shows an event some time after it has its position, and later
// ones before it: what a sequence does whose numbers are handed out before the
// commit.
func lateVisible() *broken {
	var hidden sync.Map
	b := &broken{}
	b.append = func(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
		for _, a := range appends {
			for _, e := range a.Events {
				hidden.Store(e.ID, true)
			}
		}
		result, err := s.Append(ctx, appends...)
		dawdle()
		hidden.Clear()
		return result, err
	}
	b.read = func(read events) events {
		return func(yield func(event.Event, error) bool) {
			for e, err := range read {
				if _, late := hidden.Load(e.ID); late {
					continue
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
	return b
}

func swapped(read events) events {
	return func(yield func(event.Event, error) bool) {
		var held *event.Event
		for e, err := range read {
			if err == nil && held == nil && e.Position%3 == 0 {
				held = &e
				continue
			}
			if !yield(e, err) {
				return
			}
			if held != nil && !yield(*held, nil) {
				return
			}
			held = nil
		}
		if held != nil {
			yield(*held, nil)
		}
	}
}

func allAtOnce(read events) events {
	return func(yield func(event.Event, error) bool) {
		var all []event.Event
		for e, err := range read {
			if err != nil {
				yield(e, err)
				return
			}
			all = append(all, e)
		}
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// errorTwice yields an error twice.
func errorTwice(read events) events {
	return func(yield func(event.Event, error) bool) {
		for e, err := range read {
			if !yield(e, err) || err != nil && !yield(e, err) {
				return
			}
		}
	}
}

// silent ends at an error without saying so.
func silent(read events) events {
	return func(yield func(event.Event, error) bool) {
		for e, err := range read {
			if err != nil || !yield(e, nil) {
				return
			}
		}
	}
}

// onceOnly yields nothing when it is ranged over again.
func onceOnly(read events) events {
	var used atomic.Bool
	return func(yield func(event.Event, error) bool) {
		if !used.Swap(true) {
			read(yield)
		}
	}
}

// cached gives every reader the same bytes.
func cached() func(events) events {
	var data sync.Map
	return changed(func(e *event.Event) {
		first, _ := data.LoadOrStore(e.ID, e.Data)
		e.Data, _ = first.([]byte)
	})
}

// burning uses up a position for each conflict.
func burning(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
	result, err := s.Append(ctx, appends...)
	if errors.Is(err, eventstore.ErrConflict) {
		e := event.Event{ID: event.NewID(), Type: "Burnt", SchemaVersion: 1, OccurredAt: time.Unix(0, 0)}
		_, _ = s.Append(ctx, eventstore.Append{
			Stream: eventstore.Stream{TenantID: appends[0].Stream.TenantID, AggregateType: "Burnt", AggregateID: e.ID}, Events: []event.Event{e},
		})
	}
	return result, err
}

func withoutExpectations(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
	appends = slices.Clone(appends)
	for i := range appends {
		appends[i].Expected = eventstore.Any()
	}
	return s.Append(ctx, appends...)
}

func withoutChecks(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
	appends = slices.Clone(appends)
	for i := range appends {
		if len(appends[i].Events) == 0 {
			appends[i].Expected = eventstore.Any()
		}
	}
	return s.Append(ctx, appends...)
}

// checkThenWrite asks first and writes later.
func checkThenWrite(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
	for _, a := range appends {
		if _, err := s.Append(ctx, eventstore.Append{Stream: a.Stream, Expected: a.Expected}); err != nil {
			return eventstore.Result{}, err
		}
	}
	dawdle()
	return withoutExpectations(ctx, s, appends)
}

// dawdle lets others come in between.
func dawdle() {
	for range 50 {
		runtime.Gosched()
	}
}

// inTheBackground goes on when the caller's context has ended.
func inTheBackground(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
	result, err := s.Append(context.WithoutCancel(ctx), appends...)
	dawdle()
	if ctx.Err() != nil {
		return eventstore.Result{}, ctx.Err()
	}
	return result, err
}

// deaf waits until its context ends.
func deaf(ctx context.Context, s eventstore.Store, after uint64) (uint64, error) {
	if head, err := s.Head(ctx); err != nil || head > after {
		return head, err
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

// TestSuiteFindsWhatIsBroken breaks each promise in several ways.
func TestSuiteFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		promise int
		clause  string // that has to fail
		store   func() *broken
	}{
		"streams one by one": {1, "a failed expectation on one stream stores nothing of the others", func() *broken {
			return &broken{append: oneByOne}
		}},
		"streams one by one, refused": {1, "an event that is refused stores nothing of the others", func() *broken {
			return &broken{append: oneByOne}
		}},
		"streams one by one, seen": {1, "a reader sees an append whole or not at all", func() *broken {
			return &broken{append: oneByOne}
		}},
		"no expectations": {2, "each expectation holds for the streams that it should", func() *broken {
			return &broken{append: withoutExpectations}
		}},
		"no expectations, racing": {2, "racing writers: exactly one wins each version", func() *broken {
			return &broken{append: withoutExpectations}
		}},
		"no expectations, history": {2, "racing writers and readers are linearizable", func() *broken {
			return &broken{append: withoutExpectations}
		}},
		"conflicts swallowed": {2, "racing writers: exactly one wins each version", func() *broken {
			return &broken{append: answered(func(_ *eventstore.Result, err error) error {
				if errors.Is(err, eventstore.ErrConflict) {
					return nil
				}
				return err
			})}
		}},
		"conflicts without fields": {2, "a conflict says what was expected of which stream and what was found", func() *broken {
			return &broken{append: answered(func(_ *eventstore.Result, err error) error {
				if errors.Is(err, eventstore.ErrConflict) {
					return eventstore.ErrConflict
				}
				return err
			})}
		}},
		"positions burnt": {2, "a conflict burns no position", func() *broken { return &broken{append: burning} }},
		"checks ignored": {2, "an expectation on a stream that is not written", func() *broken {
			return &broken{append: withoutChecks}
		}},
		"checks ignored, racing": {2, "of two appends that each expect the other not to have happened one wins", func() *broken {
			return &broken{append: withoutChecks}
		}},
		"check, then write": {2, "racing writers: exactly one wins each version", func() *broken {
			return &broken{append: checkThenWrite}
		}},
		"a version left out": {3, "batches of any size follow each other", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.AggregateVersion += e.AggregateVersion / 4 })}
		}},
		"versions from zero": {3, "failed appends leave no hole", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.AggregateVersion-- })}
		}},
		"a version for everybody": {3, "racing writers without expectation leave no hole", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.AggregateVersion = e.Position })}
		}},
		"any version goes": {3, "a version that is given has to fit", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.AggregateVersion = 0 })}
		}},
		"sent again is a conflict": {4, "an append that is sent again is answered as at first", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.ID = event.NewID() })}
		}},
		"another time when sent again": {4, "an append of several streams that is sent again", func() *broken {
			var n atomic.Int64
			return &broken{append: answered(func(r *eventstore.Result, err error) error {
				r.RecordedAt = r.RecordedAt.Add(time.Duration(n.Add(1)))
				return err
			})}
		}},
		"duplicates dropped": {4, "an id that is stored at another place is refused", func() *broken {
			return &broken{append: answered(func(_ *eventstore.Result, err error) error {
				if errors.Is(err, eventstore.ErrDuplicateEvent) {
					return nil
				}
				return err
			})}
		}},
		"duplicates dropped in part": {4, "an append that is stored in part is refused", func() *broken {
			return &broken{append: answered(func(_ *eventstore.Result, err error) error {
				if errors.Is(err, eventstore.ErrDuplicateEvent) {
					return nil
				}
				return err
			})}
		}},
		"stored after all": {4, "a cancelled append: the error tells whether it may be stored", func() *broken {
			return &broken{append: inTheBackground}
		}},
		"success without storing": {4, "what was appended is there for everybody", func() *broken {
			return &broken{append: func(_ context.Context, _ eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
				return eventstore.Result{Position: 1, Versions: make([]uint64, len(appends))}, nil
			}}
		}},
		"lost after all": {4, "a lost answer: sending again stores once", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.ID = event.NewID() })}
		}},
		"a limit forgotten": {4, "whatever is done agrees with a model", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.Limit = 0 }}
		}},
		"visible late": {5, "subscribers beside 16 writers skip nothing and see one order", lateVisible},
		"out of order": {5, "positions rise, and both directions agree", func() *broken {
			return &broken{read: swapped}
		}},
		"a head too high": {5, "the head is the last position and never falls", func() *broken {
			return &broken{head: func(head uint64) uint64 { return head + 1 }}
		}},
		"a head that falls": {5, "the head is the last position and never falls", func() *broken {
			return &broken{head: func(head uint64) uint64 { return head - head%4 }}
		}},
		"versions out of order": {6, "version n stands before n+1", func() *broken {
			return &broken{read: swapped}
		}},
		"effects before causes": {6, "an effect stands after the cause that was read", func() *broken {
			return &broken{read: swapped}
		}},
		"no actor": {7, "every field comes back", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.ActorID = "" })}
		}},
		"a schema version lost": {7, "every field comes back", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.SchemaVersion = 1 })}
		}},
		"absent is anonymous": {7, "what is absent stays absent", func() *broken {
			return &broken{read: changed(func(e *event.Event) {
				if e.ActorID == "" {
					e.ActorID = event.Anonymous
				}
			})}
		}},
		"empty is not absent": {7, "what is absent stays absent", func() *broken {
			return &broken{read: changed(func(e *event.Event) {
				if e.Metadata == nil {
					e.Metadata = event.Metadata{}
				}
			})}
		}},
		"a default tenant": {7, "an event without a tenant stays without", func() *broken {
			return &broken{read: changed(func(e *event.Event) {
				if e.TenantID == "" {
					e.TenantID = "default"
				}
			})}
		}},
		"milliseconds": {7, "times come back in UTC to the microsecond", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.OccurredAt = e.OccurredAt.Truncate(time.Millisecond) })}
		}},
		"another zone": {7, "times come back in UTC to the microsecond", func() *broken {
			return &broken{read: changed(func(e *event.Event) { e.OccurredAt = e.OccurredAt.In(time.FixedZone("", 3600)) })}
		}},
		"numbers become floats": {7, "metadata comes back with its types", func() *broken {
			return &broken{read: changed(func(e *event.Event) {
				data, _ := json.Marshal(e.Metadata)
				e.Metadata = nil
				_ = json.Unmarshal(data, &e.Metadata)
			})}
		}},
		"whole floats become integers": {7, "metadata comes back with its types", func() *broken {
			return &broken{read: changed(func(e *event.Event) {
				if e.Metadata["whole float"] == 3.0 {
					e.Metadata["whole float"] = int64(3)
				}
			})}
		}},
		"compact JSON": {7, "a payload comes back byte for byte", func() *broken {
			return &broken{append: each(func(e *event.Event) {
				var compact bytes.Buffer
				_ = json.Compact(&compact, e.Data)
				e.Data = compact.Bytes()
			})}
		}},
		"JSON parsed and written": {7, "a payload comes back byte for byte", func() *broken {
			return &broken{append: each(func(e *event.Event) {
				var v any
				_ = json.Unmarshal(e.Data, &v)
				e.Data, _ = json.Marshal(v)
			})}
		}},
		"ids of version 7 only": {7, "ids of any version come back", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.CausationID[6] = e.CausationID[6]&0x0f | 0x70 })}
		}},
		"bytes shared by readers": {7, "changing what was read changes nothing that is stored", func() *broken {
			return &broken{read: cached()}
		}},
		"metadata shared with the writer": {7, "changing an append afterwards changes nothing that is stored", func() *broken {
			var metadata sync.Map
			return &broken{
				append: each(func(e *event.Event) { metadata.Store(e.ID, e.Metadata) }),
				read: changed(func(e *event.Event) {
					first, _ := metadata.Load(e.ID)
					e.Metadata, _ = first.(event.Metadata)
				}),
			}
		}},
		"bytes shared with the writer": {7, "changing a payload's bytes afterwards changes nothing that is stored", func() *broken {
			var data sync.Map
			return &broken{
				append: each(func(e *event.Event) { data.Store(e.ID, e.Data) }),
				read: changed(func(e *event.Event) {
					first, _ := data.Load(e.ID)
					e.Data, _ = first.([]byte)
				}),
			}
		}},
		"aggregate types without case": {8, "aggregate types that are nearly equal stay distinct", func() *broken {
			return &broken{identified: func(s *eventstore.Stream) { s.AggregateType = strings.ToLower(s.AggregateType) }}
		}},
		"event types trimmed": {8, "event types that are nearly equal stay distinct", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.Type = strings.TrimSpace(e.Type) })}
		}},
		"actors without case": {8, "actors that are nearly equal stay distinct", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.ActorID = event.ActorID(strings.ToLower(string(e.ActorID))) })}
		}},
		"tenants trimmed": {8, "tenants that are nearly equal stay distinct", func() *broken {
			return &broken{identified: func(s *eventstore.Stream) { s.TenantID = event.TenantID(strings.TrimSpace(string(s.TenantID))) }}
		}},
		"bad characters dropped": {8, "what is refused is refused before anything is stored", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.Type = strings.ReplaceAll(e.Type, "\x00", "") })}
		}},
		"names cut": {8, "a name of the greatest length is taken", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.Type = e.Type[:min(64, len(e.Type))] })}
		}},
		"all in memory": {9, "a large stream does not come into memory as a whole", func() *broken {
			return &broken{read: allAtOnce}
		}},
		"read once only": {9, "a sequence may be ranged over again and reads anew", func() *broken {
			return &broken{read: onceOnly}
		}},
		"reads never cancelled": {9, "a context that ends while reading", func() *broken {
			return &broken{reading: context.WithoutCancel}
		}},
		"calls never cancelled": {9, "a context that has ended", func() *broken {
			return &broken{reading: context.WithoutCancel}
		}},
		"errors twice": {9, "a context that ends while reading", func() *broken {
			return &broken{read: errorTwice}
		}},
		"errors swallowed": {9, "a context that has ended", func() *broken {
			return &broken{read: silent}
		}},
		"one reader at a time": {9, "reads and appends inside of reads", func() *broken {
			var reading sync.Mutex
			return &broken{read: func(read events) events {
				return func(yield func(event.Event, error) bool) {
					if !reading.TryLock() {
						yield(event.Event{}, errors.New("would wait for ever"))
						return
					}
					defer reading.Unlock()
					read(yield)
				}
			}}
		}},
		"a break that keeps the reader": {9, "breaking out of a range releases everything", func() *broken {
			var open atomic.Int64
			return &broken{
				read: func(read events) events {
					return func(yield func(event.Event, error) bool) {
						open.Add(1)
						for e, err := range read {
							if !yield(e, err) {
								return
							}
						}
						open.Add(-1)
					}
				},
				close: func(s eventstore.Store) error {
					if open.Load() > 0 {
						return errors.New("still in use")
					}
					return s.Close()
				},
			}
		}},
		"the actor ignored": {10, "each filter alone", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.ActorID = "" }}
		}},
		"the direction ignored": {10, "each filter alone", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.Direction = eventstore.Forward }}
		}},
		"one type of several": {10, "random queries mean what Query.Matches says", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.Types = q.Types[:min(1, len(q.Types))] }}
		}},
		"the stream's limit ignored": {10, "bounds, limits and directions of one stream", func() *broken {
			return &broken{stream: func(q *eventstore.StreamQuery) { q.Limit = 0 }}
		}},
		"times rounded": {10, "a range of time is exact", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.OccurredFrom = q.OccurredFrom.Truncate(time.Microsecond) }}
		}},
		"after counted in": {10, "positions at the edges", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.After = max(q.After, 1) - 1 }}
		}},
		"negative limits taken": {10, "an invalid query is refused", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.Limit = max(q.Limit, 0) }}
		}},
		"deaf": {11, "one append wakes everybody", func() *broken { return &broken{wait: deaf} }},
		"deaf, racing": {11, "no append is missed, however close it is to the call", func() *broken {
			return &broken{wait: deaf}
		}},
		"too early": {11, "it does not return before the head is above", func() *broken {
			return &broken{wait: func(ctx context.Context, s eventstore.Store, _ uint64) (uint64, error) { return s.Wait(ctx, 0) }}
		}},
		"a wait that never ends": {11, "it ends with its context", func() *broken {
			return &broken{wait: func(_ context.Context, _ eventstore.Store, after uint64) (uint64, error) { return after + 1, nil }}
		}},
		"the tenant ignored": {12, "a bound store reads its tenant's events and nothing else", func() *broken {
			return &broken{all: func(q *eventstore.Query) { q.TenantID = "" }}
		}},
		"tenants share streams": {12, "streams of two tenants with one type and id are two streams", func() *broken {
			return &broken{identified: func(s *eventstore.Stream) { s.TenantID = "all" }}
		}},
		"limits not kept": {13, "what is larger is refused as too large", func() *broken {
			return &broken{limits: func() eventstore.Limits {
				return eventstore.Limits{PayloadBytes: 10, EventsPerAppend: 10, StreamsPerAppend: 10}
			}}
		}},
		"limits not reached": {13, "what is as large as it may be is stored", func() *broken {
			return &broken{limits: func() eventstore.Limits {
				return eventstore.Limits{PayloadBytes: 2 << 20, EventsPerAppend: 10, StreamsPerAppend: 10}
			}}
		}},
		"invalid made valid": {13, "what is invalid is refused and the field is named", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.SchemaVersion = max(e.SchemaVersion, 1) })}
		}},
		"events moved": {13, "an event that says it belongs elsewhere is refused", func() *broken {
			return &broken{append: each(func(e *event.Event) { e.AggregateType = "" })}
		}},
		"nothing is fine": {13, "an append has to make sense", func() *broken {
			return &broken{append: func(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
				if len(appends) == 0 {
					return eventstore.Result{}, nil
				}
				return s.Append(ctx, appends...)
			}}
		}},
		"never closed": {14, "every call after close says that the store is closed", func() *broken {
			return &broken{close: func(eventstore.Store) error { return nil }}
		}},
		"closed and silent": {14, "every call after close says that the store is closed", func() *broken {
			return &broken{read: silent}
		}},
		"closed once only": {14, "close may be called twice", func() *broken {
			var closed atomic.Bool
			return &broken{close: func(s eventstore.Store) error {
				if closed.Swap(true) {
					return eventstore.ErrClosed
				}
				return s.Close()
			}}
		}},
		"closed once only, by many": {14, "close may be called from many goroutines", func() *broken {
			var closed atomic.Bool
			return &broken{close: func(s eventstore.Store) error {
				if closed.Swap(true) {
					return eventstore.ErrClosed
				}
				return s.Close()
			}}
		}},
		"closed, and reads go quiet": {14, "close ends reads, appends and waits in progress", func() *broken {
			return &broken{read: silent}
		}},
	} {
		t.Run(fmt.Sprintf("%d %s", c.promise, name), func(t *testing.T) {
			t.Parallel()
			fails := eventstoretest.Fails(t, c.clause, func(t *testing.T) eventstore.Store {
				t.Helper()
				b := c.store()
				b.Store = open(t)
				return b
			}, eventstoretest.Patience(500*time.Millisecond))
			assert.True(t, fails, c.clause)
		})
	}
}

func open(t *testing.T) eventstore.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func newMemory() (eventstore.Store, error) {
	return memory.Open(context.Background(), memory.Config{})
}

func timeOfTests() time.Time { return time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC) }
