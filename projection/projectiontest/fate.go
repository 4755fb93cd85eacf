package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/evident-go/evident/eventstore"
)

// mishap is what happens to one of a process's calls to its store.
type mishap uint8

const (
	refused      mishap = iota // it fails, and nothing is done
	unanswered                 // it is done, and fails
	killedBefore               // the process ends in front of it
	killedAfter                // the process ends behind it
	mishaps                    // how many there are
)

var (
	errRefused    = fmt.Errorf("refused by the game: %w", eventstore.ErrUnavailable)
	errUnanswered = fmt.Errorf("done, but not answered in the game: %w", eventstore.ErrUnavailable)
	errDead       = errors.New("the process was killed in the game")
)

// fate is what becomes of the calls of one process. The zero value lets all
// through.
type fate struct {
	mu    sync.Mutex
	armed bool
	left  int // calls until the mishap; 0 for none
	what  mishap
	dead  bool
	end   context.CancelFunc // ends what the process runs

	begins int           // transactions until the process is frozen; 0 for never
	frozen chan struct{} // closed when it is
	thaw   chan struct{} // closed when it shall go on
}

// doomed returns a fate with a mishap at the n-th call from now.
func doomed(n int, what mishap) *fate { return &fate{armed: true, left: n, what: what} }

// call lets do happen, or not, and says what the process hears of it.
func (f *fate) call(do func() error) error {
	what, now := f.next()
	switch {
	case !now:
		return do()
	case what == refused:
		return errRefused
	case what == unanswered:
		return errors.Join(do(), errUnanswered)
	case what == killedAfter:
		err := do()
		f.kill()
		return errors.Join(err, errDead)
	default:
		f.kill()
		return errDead
	}
}

// next counts a call and returns what happens to it, if anything does.
func (f *fate) next() (what mishap, now bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return killedBefore, true
	}
	if f.left == 0 {
		return 0, false
	}
	f.left--
	return f.what, f.left == 0
}

// asked is call for what has an answer.
func asked[V any](f *fate, do func() (V, error)) (answer V, err error) {
	err = f.call(func() error {
		answer, err = do()
		return err
	})
	return answer, err
}

// kill ends the process: nothing that it does from now on reaches the store.
func (f *fate) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	if f.end != nil {
		f.end()
	}
}

// mayHurt reports whether a call has failed, or may have.
func (f *fate) mayHurt() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead || f.armed
}

func (f *fate) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// freezeIn freezes the process in front of its n-th transaction from now on,
// until thaw is closed.
func (f *fate) freezeIn(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begins, f.frozen, f.thaw = n, make(chan struct{}), make(chan struct{})
}

// pass is called in front of each transaction.
func (f *fate) pass(ctx context.Context) {
	f.mu.Lock()
	if f.begins == 0 {
		f.mu.Unlock()
		return
	}
	f.begins--
	now, frozen, thaw := f.begins == 0, f.frozen, f.thaw
	f.mu.Unlock()
	if !now {
		return
	}
	close(frozen)
	select {
	case <-thaw:
	case <-ctx.Done():
	}
}
