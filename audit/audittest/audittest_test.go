package audittest_test

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

func TestSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	audittest.RequireSameWords(t, "../home.go", "../activity.go")
}

func TestHonestHomesPass(t *testing.T) {
	t.Parallel()
	assert.Empty(t, audittest.FailingLog(t, logs(func(*log) {})))
	assert.Empty(t, audittest.FailingActivity(t, feeds(func(*feed) {})))
}

func TestAHomeWithoutAWayAroundItSaysWhy(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"nobody changes or deletes a record", "nobody tampers after a reset, either"},
		audittest.FailingLog(t, func(*testing.T) audittest.LogHarness {
			return audittest.LogHarness{Home: memory.NewAuditLog(audit.Config{})}
		}))
	home := memory.NewAuditLog(audit.Config{})
	assert.Contains(t, audittest.FailingLog(t, func(*testing.T) audittest.LogHarness {
		return audittest.LogHarness{Home: home, Tamper: map[string]func(context.Context) error{
			"DELETE": func(ctx context.Context) error { return home.Reset(ctx, nil) },
		}}
	}), "nobody changes or deletes a record")
}

// TestHomesThatTakePartInTransactions counts what the suite commits.
func TestHomesThatTakePartInTransactions(t *testing.T) {
	t.Parallel()
	assert.Empty(t, audittest.FailingLog(t, func(*testing.T) audittest.LogHarness {
		home := &exactlyOnce{AuditLog: memory.NewAuditLog(audit.Config{})}
		return audittest.LogHarness{Home: home, Begin: home.begin, NoTamper: "what it keeps is reached through it alone"}
	}))
}

// exactlyOnce refuses to do anything outside of a transaction in progress.
type exactlyOnce struct{ *memory.AuditLog }

type tx struct {
	projection.Tx

	ended bool
}

func (t *tx) Commit(ctx context.Context) error {
	t.ended = true
	return ctx.Err()
}

func (t *tx) Rollback(context.Context) error {
	t.ended = true
	return nil
}

func (h *exactlyOnce) begin(ctx context.Context) (projection.Tx, error) { return &tx{}, ctx.Err() }

func (h *exactlyOnce) Guarantee() projection.Guarantee { return projection.ExactlyOnce }

func (h *exactlyOnce) Apply(ctx context.Context, in projection.Tx, e event.Event) error {
	if t, ok := in.(*tx); !ok || t.ended {
		return errors.New("no transaction")
	}
	return h.AuditLog.Apply(ctx, nil, e)
}

// log is a log whose parts a test may break.
type log struct {
	*memory.AuditLog

	apply func(ctx context.Context, e event.Event) error
	find  func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error]
	uses  func(ctx context.Context, q audit.ActionQuery) iter.Seq2[audit.ActionUse, error]
	reset func(ctx context.Context) error
}

func (l *log) Apply(ctx context.Context, _ projection.Tx, e event.Event) error {
	return l.apply(ctx, e)
}

func (l *log) Find(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return l.find(ctx, q)
}

func (l *log) FindActions(ctx context.Context, q audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
	return l.uses(ctx, q)
}

func (l *log) Reset(ctx context.Context, _ projection.Tx) error { return l.reset(ctx) }

func logs(breakIt func(l *log)) audittest.LogFactory {
	return func(*testing.T) audittest.LogHarness {
		l := &log{AuditLog: memory.NewAuditLog(audit.Config{})}
		l.apply = func(ctx context.Context, e event.Event) error { return l.AuditLog.Apply(ctx, nil, e) }
		l.find, l.uses = l.AuditLog.Find, l.AuditLog.FindActions
		l.reset = func(ctx context.Context) error { return l.AuditLog.Reset(ctx, nil) }
		breakIt(l)
		return audittest.LogHarness{Home: l, NoTamper: "what it keeps is reached through it alone"}
	}
}

// asks breaks what queries are taken for.
func asks(change func(q *audit.Query)) func(l *log) {
	return func(l *log) {
		l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
			if err := q.Validate(); err == nil {
				change(&q)
			}
			return l.AuditLog.Find(ctx, q)
		}
	}
}

// lists breaks what queries for actions are taken for.
func lists(change func(q *audit.ActionQuery)) func(l *log) {
	return func(l *log) {
		l.uses = func(ctx context.Context, q audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
			change(&q)
			return l.AuditLog.FindActions(ctx, q)
		}
	}
}

// gives breaks the records that come back.
func gives(change func(d *audit.Draft)) func(l *log) {
	return func(l *log) {
		l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
			return func(yield func(audit.ActivityRecord, error) bool) {
				for record, err := range l.AuditLog.Find(ctx, q) {
					if err == nil {
						d := record.Draft()
						change(&d)
						record = audit.Restore(d)
					}
					if !yield(record, err) {
						return
					}
				}
			}
		}
	}
}

// takes breaks the events that are recorded.
func takes(change func(e *event.Event)) func(l *log) {
	return func(l *log) {
		l.apply = func(ctx context.Context, e event.Event) error {
			change(&e)
			return l.AuditLog.Apply(ctx, nil, e)
		}
	}
}

// sorted breaks the order of what was found.
func sorted(l *log) {
	l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
		return func(yield func(audit.ActivityRecord, error) bool) {
			var all []audit.ActivityRecord
			for record, err := range l.AuditLog.Find(ctx, q) {
				if err != nil {
					yield(record, err)
					return
				}
				all = append(all, record)
			}
			slices.SortStableFunc(all, func(a, b audit.ActivityRecord) int { return cmp.Compare(b.OccurredAt().Unix(), a.OccurredAt().Unix()) })
			for _, record := range all {
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}

func TestBrokenLogsFail(t *testing.T) {
	t.Parallel()
	for _, broken := range []struct {
		clause string
		how    func(l *log)
	}{
		{"every field comes back as it was", gives(func(d *audit.Draft) { d.Purpose = "" })},
		{"an explicit activity is recorded as it was said", takes(func(e *event.Event) { e.AggregateType += "?" })},
		{"an event that says nothing is recorded as anonymous", takes(func(e *event.Event) { e.ActorID = cmp.Or(e.ActorID, "system:system") })},
		{"metadata keeps its types", gives(func(d *audit.Draft) { toFloats(d.Metadata) })},
		{"an event beyond every limit is recorded", refusesLarge},
		{"the usual questions", asks(func(q *audit.Query) { q.OwnerID = "" })},
		{"recent is a hundred by default", asks(func(q *audit.Query) { q.Limit = min(q.Limit, 50) })},
		{"an event that is applied again changes nothing", refusesAgain},
		{"another record in its place is refused", ignoresAgain},
		{"the same record in another place is refused", ignoresAgain},
		{"clocks that run backwards", sorted},
		{"an event that comes late stands in its place", func(l *log) { takes(arrival())(l) }},
		{"each condition", asks(func(q *audit.Query) { q.Action = "" })},
		{"each condition", asks(func(q *audit.Query) { q.Outcome = "" })},
		{"each condition", asks(func(q *audit.Query) { q.EventType = "" })},
		{"each condition", asks(func(q *audit.Query) { q.OnBehalfOf = "" })},
		{"conditions are combined", asks(func(q *audit.Query) {
			if q.ActorID != "" && q.TenantID != "" {
				q.ActorID = ""
			}
		})},
		{"random questions", asks(func(q *audit.Query) {
			if q.EntityType != "" && q.OldestFirst {
				q.EntityType = ""
			}
		})},
		{"random questions", lists(func(q *audit.ActionQuery) {
			if q.TenantID != "" && q.Before > 0 {
				q.TenantID = ""
			}
		})},
		{"near-equal names are different", takes(func(e *event.Event) { e.AggregateType = strings.TrimSpace(strings.ToLower(e.AggregateType)) })},
		{"time ranges include their start and not their end", asks(func(q *audit.Query) {
			if !q.OccurredUntil.IsZero() {
				q.OccurredUntil = q.OccurredUntil.Add(1000)
			}
		})},
		{"what no record can match is refused", lenient},
		{"limits and bounds", asks(func(q *audit.Query) { q.After = 0 })},
		{"paging while records are appended", asks(func(q *audit.Query) {
			if q.Before > 0 {
				q.Before++
			}
		})},
		{"polling with the oldest first misses nothing", asks(func(q *audit.Query) {
			if q.After > 0 {
				q.After++
			}
		})},
		{"a sequence ends where the log ended", followsOn},
		{"a break releases everything", locks},
		{"a sequence can be ranged over again", once},
		{"an ended context ends it", func(l *log) {
			l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
				return l.AuditLog.Find(context.WithoutCancel(ctx), q)
			}
		}},
		{"reads inside reads", locks},
		{"a reset leaves nothing behind", func(l *log) { l.reset = func(context.Context) error { return nil } }},
		{"a replay gives an equal log", afterReset(func(d *audit.Draft) { d.Description = "again" })},
		{"a log that was reset takes other events", func(l *log) { l.reset = func(context.Context) error { return nil } }},
		{"a query for a tenant sees that tenant's records only", asks(func(q *audit.Query) { q.TenantID = "" })},
		{"a reader bound to a tenant fails closed", asks(func(q *audit.Query) { q.TenantID = "" })},
		{"every action, with its last use", func(l *log) {
			l.uses = func(ctx context.Context, _ audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
				return audit.GroupActions(l.AuditLog.Find(ctx, audit.Query{Page: audit.Page{Before: 6}}), audit.Page{})
			}
		}},
		{"actions within bounds, and how many", func(l *log) {
			l.uses = func(ctx context.Context, q audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
				return audit.GroupActions(l.AuditLog.Find(ctx, audit.Query{Page: q.Page}), q.Page) // limits the records
			}
		}},
		{"actions are those of the records", lists(func(q *audit.ActionQuery) { q.OldestFirst = false })},
		{"a tenant's actions, and no others", lists(func(q *audit.ActionQuery) { q.TenantID = "" })},
		{"errors and breaks are those of a query for records", lists(func(q *audit.ActionQuery) { q.Limit = max(q.Limit, 0) })},
	} {
		t.Run(broken.clause, func(t *testing.T) {
			t.Parallel()
			assert.True(t, audittest.LogFails(t, broken.clause, logs(broken.how)))
		})
	}
}

func toFloats(m event.Metadata) {
	for key, value := range m {
		if n, ok := value.(int64); ok {
			m[key] = float64(n)
		}
	}
}

func refusesLarge(l *log) {
	l.apply = func(ctx context.Context, e event.Event) error {
		if len(e.Metadata) > audit.MaxMetadataKeys {
			return audit.ErrTooLarge
		}
		return l.AuditLog.Apply(ctx, nil, e)
	}
}

// refusesAgain takes an event that comes again for another one.
func refusesAgain(l *log) {
	l.apply = func(ctx context.Context, e event.Event) error {
		before := len(l.Records())
		err := l.AuditLog.Apply(ctx, nil, e)
		if err == nil && len(l.Records()) == before {
			return audit.ErrImmutable
		}
		return err
	}
}

// ignoresAgain does what ON CONFLICT DO NOTHING does.
func ignoresAgain(l *log) {
	l.apply = func(ctx context.Context, e event.Event) error {
		if err := l.AuditLog.Apply(ctx, nil, e); !errors.Is(err, audit.ErrImmutable) {
			return err
		}
		return nil
	}
}

// arrival numbers events as they come.
func arrival() func(e *event.Event) {
	var position uint64
	return func(e *event.Event) {
		position++
		e.Position = position
	}
}

// lenient answers queries that no record can match.
func lenient(l *log) {
	l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
		if q.Validate() != nil {
			q = audit.Query{}
		}
		return l.AuditLog.Find(ctx, q)
	}
}

// followsOn goes on when the log has grown.
func followsOn(l *log) {
	l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
		return func(yield func(audit.ActivityRecord, error) bool) {
			for more := q.OldestFirst && q.Limit == 0; ; {
				found := false
				for record, err := range l.AuditLog.Find(ctx, q) {
					if !yield(record, err) || err != nil {
						return
					}
					q.After, found = record.Position(), true
				}
				if !more || !found {
					return
				}
			}
		}
	}
}

// locks has one connection, which a break does not give back.
func locks(l *log) {
	free := make(chan struct{}, 1)
	free <- struct{}{}
	l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
		return func(yield func(audit.ActivityRecord, error) bool) {
			select {
			case <-free:
			default:
				yield(audit.ActivityRecord{}, errors.New("no connection is free"))
				return
			}
			for record, err := range l.AuditLog.Find(ctx, q) {
				if !yield(record, err) {
					return
				}
			}
			free <- struct{}{}
		}
	}
}

// once can be ranged over one time only.
func once(l *log) {
	l.find = func(ctx context.Context, q audit.Query) iter.Seq2[audit.ActivityRecord, error] {
		next, stop := iter.Pull2(l.AuditLog.Find(ctx, q))
		return func(yield func(audit.ActivityRecord, error) bool) {
			defer stop()
			for {
				record, err, ok := next()
				if !ok || !yield(record, err) {
					return
				}
			}
		}
	}
}

// afterReset breaks the records of a log that was reset.
func afterReset(change func(d *audit.Draft)) func(l *log) {
	return func(l *log) {
		l.reset = func(ctx context.Context) error {
			gives(change)(l)
			return l.AuditLog.Reset(ctx, nil)
		}
	}
}

// feed is a home of feeds whose parts a test may break.
type feed struct {
	*memory.UserActivity

	apply  func(ctx context.Context, e event.Event) error
	find   func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.Activity, error]
	actors func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error]
	reset  func(ctx context.Context) error
}

func (f *feed) Apply(ctx context.Context, _ projection.Tx, e event.Event) error {
	return f.apply(ctx, e)
}

func (f *feed) FindActivities(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
	return f.find(ctx, q)
}

func (f *feed) FindActors(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
	return f.actors(ctx, q)
}

func (f *feed) Reset(ctx context.Context, _ projection.Tx) error { return f.reset(ctx) }

func feeds(breakIt func(f *feed)) audittest.ActivityFactory {
	return func(*testing.T) audittest.ActivityHarness {
		f := &feed{UserActivity: memory.NewUserActivity()}
		f.apply = func(ctx context.Context, e event.Event) error { return f.UserActivity.Apply(ctx, nil, e) }
		f.find, f.actors = f.UserActivity.FindActivities, f.UserActivity.FindActors
		f.reset = func(ctx context.Context) error { return f.UserActivity.Reset(ctx, nil) }
		breakIt(f)
		return audittest.ActivityHarness{Home: f}
	}
}

// wants breaks what queries are taken for.
func wants(change func(q *audit.ActivityQuery)) func(f *feed) {
	return func(f *feed) {
		f.find = func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
			change(&q)
			return f.UserActivity.FindActivities(ctx, q)
		}
		f.actors = func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
			change(&q)
			return f.UserActivity.FindActors(ctx, q)
		}
	}
}

func receives(change func(e *event.Event)) func(f *feed) {
	return func(f *feed) {
		f.apply = func(ctx context.Context, e event.Event) error {
			change(&e)
			return f.UserActivity.Apply(ctx, nil, e)
		}
	}
}

// byTime orders a feed as the actors' clocks say.
func byTime(f *feed) {
	f.find = func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.Activity, error] {
		return func(yield func(audit.Activity, error) bool) {
			var all []audit.Activity
			for activity, err := range f.UserActivity.FindActivities(ctx, q) {
				if err != nil {
					yield(activity, err)
					return
				}
				all = append(all, activity)
			}
			slices.SortFunc(all, func(a, b audit.Activity) int { return b.OccurredAt.Compare(a.OccurredAt) })
			for _, activity := range all {
				if !yield(activity, nil) {
					return
				}
			}
		}
	}
}

func TestBrokenFeedsFail(t *testing.T) {
	t.Parallel()
	for _, broken := range []struct {
		clause string
		how    func(f *feed)
	}{
		{"every field comes back as it was", receives(func(e *event.Event) { e.CorrelationID = e.ID })},
		{"whoever was not named is anonymous", receives(func(e *event.Event) { e.ActorID = cmp.Or(e.ActorID, "system:cleanup") })},
		{"an explicit activity has its own action and entity", receives(func(e *event.Event) { e.AggregateType += "?" })},
		{"an event that is applied again changes nothing", func(f *feed) { receives(arrival())(f) }},
		{"another entry in its place is refused", func(f *feed) {
			f.apply = func(ctx context.Context, e event.Event) error {
				_ = f.UserActivity.Apply(ctx, nil, e)
				return ctx.Err()
			}
		}},
		{"clocks that run backwards, and an event that comes late", byTime},
		{"near-equal actors are different", receives(func(e *event.Event) { e.ActorID = event.ActorID(strings.TrimSpace(string(e.ActorID))) })},
		{"conditions are combined", wants(func(q *audit.ActivityQuery) { q.After = 0 })},
		{"random questions", wants(func(q *audit.ActivityQuery) {
			if q.ActorID != "" && !q.OccurredUntil.IsZero() {
				q.OccurredUntil = q.OccurredUntil.Truncate(24 * time.Hour)
			}
		})},
		{"what nothing can match is refused", wants(func(q *audit.ActivityQuery) { q.Limit = max(q.Limit, 0) })},
		{"a feed is fifty by default", wants(func(q *audit.ActivityQuery) { q.Limit = min(q.Limit, 49) })},
		{"paging while entries are appended", wants(func(q *audit.ActivityQuery) {
			if q.Before > 0 {
				q.Before++
			}
		})},
		{"active since", wants(func(q *audit.ActivityQuery) {
			if !q.OccurredFrom.IsZero() {
				q.OccurredFrom = q.OccurredFrom.Add(1000)
			}
		})},
		{"limits, bounds and direction", func(f *feed) {
			f.actors = func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
				return audit.CountActors(f.UserActivity.FindActivities(ctx, q), q.Page) // limits the activities
			}
		}},
		{"an ended context ends it", func(f *feed) {
			f.actors = func(ctx context.Context, q audit.ActivityQuery) iter.Seq2[audit.ActiveActor, error] {
				return f.UserActivity.FindActors(context.WithoutCancel(ctx), q)
			}
		}},
		{"a reset leaves nothing behind, and a replay gives equal feeds", func(f *feed) { f.reset = func(context.Context) error { return nil } }},
		{"a query for a tenant sees that tenant's entries only", receives(func(e *event.Event) { e.TenantID = "" })},
	} {
		t.Run(broken.clause, func(t *testing.T) {
			t.Parallel()
			assert.True(t, audittest.ActivityFails(t, broken.clause, feeds(broken.how)))
		})
	}
}
