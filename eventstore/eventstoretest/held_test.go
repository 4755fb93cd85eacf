package eventstoretest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
)

// drawing is a store whose positions are drawn when an append begins, as from
// a sequence, though it may be held open. With a floor it shows nothing above
// the lowest position that is held open; without one it is what naive readers
// read.
type drawing struct {
	eventstore.Store

	floored bool
	lasting bool // whether a floor stays when its append is rolled back
	leaking bool // whether what was rolled back is shown

	mu     sync.Mutex
	floors map[*heldAppend]uint64
	hidden map[uuid.UUID]bool
	ended  chan struct{} // closed when a floor is lifted
}

func newDrawing(store eventstore.Store) *drawing {
	return &drawing{Store: store, floored: true, floors: make(map[*heldAppend]uint64), hidden: make(map[uuid.UUID]bool), ended: make(chan struct{})}
}

type heldAppend struct {
	of  *drawing
	ids []uuid.UUID
}

// open draws positions and keeps what has them hidden.
func (d *drawing) open(ctx context.Context, _ eventstore.Store, appends ...eventstore.Append) (eventstoretest.Held, error) {
	h := &heldAppend{of: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range appends {
		for _, e := range a.Events {
			h.ids = append(h.ids, e.ID)
			d.hidden[e.ID] = true
		}
	}
	floor, err := d.Store.Head(ctx)
	if err != nil {
		return nil, err
	}
	d.floors[h] = floor
	_, err = d.Append(ctx, appends...)
	return h, err
}

// Commit implements eventstoretest.Held.
func (h *heldAppend) Commit(context.Context) error {
	h.end(true, false)
	return nil
}

// Rollback implements eventstoretest.Held.
func (h *heldAppend) Rollback(context.Context) error {
	h.end(h.of.leaking, h.of.lasting)
	return nil
}

func (h *heldAppend) end(shown, lasting bool) {
	d := h.of
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, open := d.floors[h]; !open || lasting {
		return
	}
	delete(d.floors, h)
	for _, id := range h.ids {
		if shown {
			delete(d.hidden, id)
		}
	}
	close(d.ended)
	d.ended = make(chan struct{})
}

// below returns the head, no higher than any floor.
func (d *drawing) below(head uint64) (uint64, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.floored {
		for _, floor := range d.floors {
			head = min(head, floor)
		}
	}
	return head, d.ended
}

func (d *drawing) Head(ctx context.Context) (uint64, error) {
	head, err := d.Store.Head(ctx)
	head, _ = d.below(head)
	return head, err
}

func (d *drawing) Wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		head, err := d.Store.Wait(ctx, after)
		if err != nil {
			return 0, err
		}
		head, ended := d.below(head)
		if head > after {
			return head, nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (d *drawing) ReadAll(ctx context.Context, query eventstore.Query) events {
	return func(yield func(event.Event, error) bool) {
		head, err := d.Head(ctx)
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		for e, err := range d.Store.ReadAll(ctx, query) {
			d.mu.Lock()
			hidden := d.hidden[e.ID]
			d.mu.Unlock()
			if err == nil && (hidden || e.Position > head) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

const (
	commitsLate = "a writer that is held open and commits late is not skipped"
	rollsBack   = "a writer that is held open and rolls back leaves nothing and holds nobody up"
	commitOrder = "writers that are held open and commit in another order are not skipped"
)

func TestSuiteHoldsWritersOpen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(d *drawing)
		fails map[string]bool
	}{
		"a floor":                   {func(*drawing) {}, map[string]bool{}},
		"naive readers":             {func(d *drawing) { d.floored = false }, map[string]bool{commitsLate: true, commitOrder: true}},
		"a floor that is never let": {func(d *drawing) { d.lasting = true }, map[string]bool{rollsBack: true}},
		"a rollback that is shown":  {func(d *drawing) { d.floored, d.leaking = false, true }, map[string]bool{commitsLate: true, rollsBack: true, commitOrder: true}},
	} {
		for _, clause := range []string{commitsLate, rollsBack, commitOrder} {
			t.Run(name+": "+clause, func(t *testing.T) {
				t.Parallel()
				patience := 30 * time.Second
				if c.fails[clause] {
					patience = 500 * time.Millisecond
				}
				fails := eventstoretest.Fails(t, clause, func(t *testing.T) eventstore.Store {
					t.Helper()
					d := newDrawing(open(t))
					c.spoil(d)
					return d
				}, eventstoretest.Patience(patience), eventstoretest.HeldOpen(holdOpen))
				assert.Equal(t, c.fails[clause], fails)
			})
		}
	}
}

// holdOpen is how the suite gets at a store's own transactions.
func holdOpen(ctx context.Context, store eventstore.Store, appends ...eventstore.Append) (eventstoretest.Held, error) {
	d, ok := store.(*drawing)
	if !ok {
		return nil, errFault
	}
	return d.open(ctx, store, appends...)
}

// A writer that waits for the one that is held open is found too.
func TestSuiteFindsWritersThatWaitForOneAnother(t *testing.T) {
	t.Parallel()
	for _, clause := range []string{commitsLate, rollsBack, commitOrder} {
		var one sync.Mutex
		fails := eventstoretest.Fails(t, clause, func(t *testing.T) eventstore.Store {
			t.Helper()
			return &broken{Store: open(t), append: func(ctx context.Context, s eventstore.Store, appends []eventstore.Append) (eventstore.Result, error) {
				if !one.TryLock() {
					<-ctx.Done()
					return eventstore.Result{}, ctx.Err()
				}
				defer one.Unlock()
				return s.Append(ctx, appends...)
			}}
		}, eventstoretest.Patience(100*time.Millisecond), eventstoretest.HeldOpen(func(context.Context, eventstore.Store, ...eventstore.Append) (eventstoretest.Held, error) {
			one.Lock()
			return heldLock{unlock: sync.OnceFunc(one.Unlock)}, nil
		}))
		assert.True(t, fails, clause)
	}
}

type heldLock struct{ unlock func() }

func (h heldLock) Commit(context.Context) error   { h.unlock(); return nil }
func (h heldLock) Rollback(context.Context) error { h.unlock(); return nil }
