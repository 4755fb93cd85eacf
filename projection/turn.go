package projection

import "context"

// turn is a lock whose waiting ends with a context. It is made by newTurn.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn, or for ctx to end.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Lock waits for the turn.
func (t turn) Lock() { t <- struct{}{} }

// TryLock takes the turn if nobody has it.
func (t turn) TryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock gives the turn up.
func (t turn) Unlock() { <-t }
