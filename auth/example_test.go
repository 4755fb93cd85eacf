package auth_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// A principal that was verified acts in the context: events carry its actor
// and its tenant.
func Example() {
	p := auth.Principal{ActorID: event.User("alice"), TenantID: "acme", Permissions: []auth.Permission{"task:create"}}
	ctx := auth.With(context.Background(), p)
	e, err := event.New(ctx, Created{Title: "Plan"})
	fmt.Println(e.ActorID, e.TenantID, err)
	fmt.Println(auth.Require(ctx, "task:create"))
	fmt.Println(auth.Require(ctx, "task:delete"))
	// Output:
	// user:alice acme <nil>
	// <nil>
	// user:alice: not allowed: lacks the permission task:delete
}

func ExampleGuarded() {
	type ship struct{ Order string }
	handle := auth.Guarded("order:ship", func(ctx context.Context, c auth.Command[ship]) (string, error) {
		return fmt.Sprintf("%s shipped by %s", c.Payload.Order, event.ActorFrom(ctx)), nil
	})
	ctx := context.Background()
	clerk := auth.Principal{ActorID: event.User("carol"), Permissions: []auth.Permission{"order:ship"}}
	fmt.Println(handle(ctx, auth.NewCommand(clerk, ship{"order 7"})))
	_, err := handle(ctx, auth.Command[ship]{Payload: ship{"order 7"}}) // decoded from a request: nobody's
	fmt.Println(err)
	// Output:
	// order 7 shipped by user:carol <nil>
	// not authenticated: no credential: lacks the permission order:ship
}

// auditLog is a log in memory.
func auditLog(ctx context.Context) (*memory.Store, *audit.Log, error) {
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return nil, nil, err
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	return store, log, err
}

func ExampleNewRecorder() {
	ctx := context.Background()
	_, log, err := auditLog(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx = auth.WithRecorder(ctx, recorder) // transports do
	bob := auth.Principal{ActorID: event.User("bob"), TenantID: "acme"}
	err = auth.Require(auth.With(ctx, bob), "task:delete")
	fmt.Println(errors.Is(err, auth.ErrDenied))
	for record, err := range log.ByActor(ctx, "user:bob", audit.Page{}) {
		fmt.Println(record.Action(), record.Outcome(), record.Reason(), err)
	}
	// Output:
	// true
	// auth.denied denied lacks the permission task:delete <nil>
}

func ExampleRepository() {
	ctx := context.Background()
	store, log, err := auditLog(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	repo, err := auth.NewRepository(auth.RepositoryConfig[TaskRoot]{
		Repository: aggregate.NewRepository[TaskRoot](store, tasks),
		Type:       "Task",
		Owner:      func(t *TaskRoot) event.ActorID { return t.State().Owner },
		Recorder:   recorder,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	as := func(name string, tenant event.TenantID) context.Context {
		return auth.With(ctx, auth.Principal{ActorID: event.User(name), TenantID: tenant})
	}
	id := event.NewID()
	alice := as("alice", "acme")
	fmt.Println("alice creates:", repo.Create(alice, id, func(t *TaskRoot) error { return t.Create(alice, "Plan", event.User("alice")) }))
	_, err = repo.Load(as("bob", "acme"), id)
	fmt.Println("bob is denied:", errors.Is(err, auth.ErrDenied))
	_, err = repo.Load(as("eve", "evil"), id)
	fmt.Println("for another tenant it does not exist:", errors.Is(err, aggregate.ErrNotFound))
	// Output:
	// alice creates: <nil>
	// bob is denied: true
	// for another tenant it does not exist: true
}

func ExampleAPIKeys() {
	ctx := context.Background()
	keys, err := auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{Prefix: "acme"})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, key, err := keys.Issue(ctx, auth.Principal{ActorID: event.Service("mailer")}, time.Time{})
	fmt.Println(len(text), text[:5], err) // show it once: it cannot be had again
	p, err := keys.Authenticate(ctx, text)
	fmt.Println(p.ActorID, p.Method, err)
	fmt.Println(keys.Revoke(ctx, key.ID))
	_, err = keys.Authenticate(ctx, text)
	fmt.Println(err)
	// Output:
	// 74 acme_ <nil>
	// service:mailer api_key <nil>
	// <nil>
	// not authenticated: credential refused (revoked)
}
