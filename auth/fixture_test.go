package auth_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("store is down")

// logbook is an [audit.Appender] that keeps what it is given in memory, and
// refuses what a log would refuse.
type logbook struct {
	mu      sync.Mutex
	records []audit.ActivityRecord
	origins []event.Origin
	down    bool
	ctxErr  error
	tried   int
}

func (l *logbook) Append(ctx context.Context, drafts ...audit.Draft) (audit.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctxErr = ctx.Err()
	l.tried++
	if l.down {
		return audit.Receipt{}, errDown
	}
	for _, d := range drafts {
		record, err := audit.NewRecord(d)
		if err != nil {
			return audit.Receipt{}, err
		}
		l.records = append(l.records, record)
		l.origins = append(l.origins, event.OriginFrom(ctx))
	}
	return audit.Receipt{}, nil
}

func (l *logbook) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *logbook) attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tried
}

func (l *logbook) all() []audit.ActivityRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]audit.ActivityRecord(nil), l.records...)
}

// only returns the one record that there is.
func (l *logbook) only(t *testing.T) audit.ActivityRecord {
	t.Helper()
	records := l.all()
	require.Len(t, records, 1)
	return records[0]
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRecorder(t *testing.T, log audit.Appender, config auth.RecorderConfig) *auth.Recorder {
	t.Helper()
	r, err := auth.NewRecorder(log, config)
	require.NoError(t, err)
	return r
}

var (
	alice = auth.Principal{
		ActorID: event.User("alice"), TenantID: "acme", Permissions: []auth.Permission{"task:create"},
		Method: "jwt", TokenID: "t1", SessionID: "s1",
	}
	bob   = auth.Principal{ActorID: event.User("bob"), TenantID: "acme"}
	admin = auth.Principal{ActorID: event.User("root"), TenantID: "acme", Roles: []string{auth.RoleAdmin}}
	eve   = auth.Principal{ActorID: event.User("eve"), TenantID: "evil", Roles: []string{auth.RoleAdmin}}
)

// Created and Renamed are what happens to tasks.
type Created struct {
	Title string        `json:"title"`
	Owner event.ActorID `json:"owner"`
}

func (Created) EventType() string { return "TaskCreated" }

type Renamed struct {
	Title string `json:"title"`
}

func (Renamed) EventType() string { return "TaskRenamed" }

type Task struct {
	Title string
	Owner event.ActorID
}

var tasks = aggregate.Define("Task",
	aggregate.On(func(t *Task, e event.Of[Created]) { t.Title, t.Owner = e.Payload.Title, e.Payload.Owner }),
	aggregate.On(func(t *Task, e event.Of[Renamed]) { t.Title = e.Payload.Title }),
)

type TaskRoot struct{ aggregate.AggregateRoot[Task] }

func (t *TaskRoot) Create(ctx context.Context, title string, owner event.ActorID) error {
	return t.Emit(ctx, Created{Title: title, Owner: owner})
}

func (t *TaskRoot) Rename(ctx context.Context, title string) error {
	return t.Emit(ctx, Renamed{Title: title})
}

func openStore(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}
