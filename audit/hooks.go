package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// HookTimeout is how long [LogConfig.Before] may take by default, all hooks of
// a record together.
const HookTimeout = 50 * time.Millisecond

// BeforeAppend looks at a record before it is stored. An error is a veto:
// nothing of the append is stored, and the caller is told ([*VetoError]).
//
// A hook may change the draft's Metadata, Reason, Purpose, Description and
// Request, for example to redact them; who did what, to which thing, when and
// for whom is not its to change, and doing so is refused. Hooks run in the
// order in which they are configured, each on what the one before left. They
// must be quick and do no I/O; the context ends when their time is over. They
// are called from several goroutines.
type BeforeAppend func(ctx context.Context, draft *Draft) error

// AfterAppend is told of a record after it was stored: once for each append
// that succeeded in this process. It may do what takes time. Its error, or
// panic, undoes nothing: it is reported to [LogConfig.Report].
//
// What must happen for every record, whatever crashes, is the business of a
// projection instead.
type AfterAppend func(ctx context.Context, record ActivityRecord) error

// Sentinels of hooks for errors.Is.
var (
	// ErrVetoed says that a hook refused a record.
	ErrVetoed = errors.New("record was refused by a hook")
	// ErrAfterAppend says that a hook failed after a record was stored.
	ErrAfterAppend = errors.New("hook failed after the record was stored")
)

// VetoError says which hook refused a record, and why. Nothing was stored.
type VetoError struct {
	Hook   int // its index in [LogConfig.Before]
	Action string
	Err    error // what the hook returned, or what it did wrong
}

// Error implements error.
func (e *VetoError) Error() string {
	return fmt.Sprintf("%s: refused by before-append hook %d: %v", e.Action, e.Hook, e.Err)
}

// Is reports whether target is [ErrVetoed].
func (e *VetoError) Is(target error) bool { return target == ErrVetoed }

// Unwrap returns what the hook returned.
func (e *VetoError) Unwrap() error { return e.Err }

// AfterError says which hook failed for which record, which is stored all the same.
type AfterError struct {
	Hook     int // its index in [LogConfig.After]
	RecordID uuid.UUID
	Err      error
}

// Error implements error.
func (e *AfterError) Error() string {
	return fmt.Sprintf("record %s is stored, but after-append hook %d failed: %v", e.RecordID, e.Hook, e.Err)
}

// Is reports whether target is [ErrAfterAppend].
func (e *AfterError) Is(target error) bool { return target == ErrAfterAppend }

// Unwrap returns what the hook returned.
func (e *AfterError) Unwrap() error { return e.Err }

// beforeHooks are run one after the other on a copy of a draft.
type beforeHooks struct {
	hooks   []BeforeAppend
	timeout time.Duration
}

// run returns the draft as the hooks leave it. A hook that does not return in
// time refuses the record; what it does to its copy later is seen by nobody.
func (b beforeHooks) run(ctx context.Context, draft Draft) (Draft, error) {
	if len(b.hooks) == 0 {
		return draft, nil
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	done := make(chan hooked, 1)
	at := make(chan int, len(b.hooks))
	go func() { done <- b.runAll(ctx, draft.clone(), at) }()
	select {
	case result := <-done:
		return result.draft, result.err
	case <-ctx.Done():
		if err := caller.Err(); err != nil {
			return Draft{}, err // no hook is at fault.
		}
		return Draft{}, &VetoError{Hook: latest(at), Action: draft.Action, Err: fmt.Errorf("took longer than %s: %w", b.timeout, ctx.Err())}
	}
}

// hooked is what hooks made of a draft.
type hooked struct {
	draft Draft
	err   error
}

func (b beforeHooks) runAll(ctx context.Context, draft Draft, at chan<- int) hooked {
	for i, hook := range b.hooks {
		at <- i
		before := draft.clone()
		err := guarded(func() error { return hook(ctx, &draft) })
		if err == nil {
			err = before.keeps(draft)
		}
		if err != nil {
			return hooked{err: &VetoError{Hook: i, Action: before.Action, Err: err}}
		}
	}
	return hooked{draft: draft}
}

// latest returns the last number in a channel that nobody waits at.
func latest(numbers <-chan int) (last int) {
	for {
		select {
		case last = <-numbers:
		default:
			return last
		}
	}
}

// keeps refuses changes of what hooks must leave alone.
func (d Draft) keeps(after Draft) error {
	after.Metadata, after.Reason, after.Purpose, after.Description, after.Request = d.Metadata, d.Reason, d.Purpose, d.Description, d.Request
	if changed := Restore(d).Changes(Restore(after)); len(changed) > 0 {
		return &event.InvalidError{
			Field: changed[0].Field, Value: changed[0].B,
			Reason: "a hook may change metadata, reason, purpose, description and request only",
		}
	}
	return nil
}

// runAfter tells the hooks of a record, all of them whatever one does.
func runAfter(ctx context.Context, hooks []AfterAppend, record ActivityRecord, report func(context.Context, error)) {
	for i, hook := range hooks {
		err := guarded(func() error { return hook(ctx, record) })
		if err != nil {
			// A report that panics is heard by nobody; the record is stored all the same.
			_ = guarded(func() error {
				report(ctx, &AfterError{Hook: i, RecordID: record.ID(), Err: err})
				return nil
			})
		}
	}
}

// guarded calls f and turns a panic into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v}
		}
	}()
	return f()
}

// PanicError is a hook's panic.
type PanicError struct{ Value any }

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
