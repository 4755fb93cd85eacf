package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/evident-go/evident/eventstore"
)

// markEvery is how often a keeper asks for the mark to be moved, at the most.
// The database moves it no more often than that, for all keepers together.
const markEvery = 100 * time.Millisecond

// keepMark follows the head with the mark until the store is closed. While the
// database cannot be reached, it looks from time to time whether it can again.
func (s *Store) keepMark(ctx context.Context) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = markEvery
	for mark := uint64(0); ; {
		var err error
		pause := markEvery
		if mark, err = s.moveMark(ctx, mark); errors.Is(err, eventstore.ErrClosed) {
			return
		} else if err != nil {
			pause = pauses.NextBackOff()
		} else {
			pauses.Reset()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// moveMark waits until the head is above the mark, lets the database move the
// mark, and returns where it stands then.
func (s *Store) moveMark(ctx context.Context, mark uint64) (uint64, error) {
	if _, err := s.Wait(ctx, mark); err != nil {
		return mark, err
	}
	stands, err := first[uint64](ctx, s.pool, s.sql("SELECT evident.keep_mark()"))
	if err != nil {
		return mark, s.failure("keep mark", err)
	}
	return stands, nil
}
