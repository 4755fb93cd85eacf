package projection

import (
	"sync"
	"time"
)

// letterbox remembers whether a lane has letters and when to look at them next,
// so that a projection without any need not ask. It is right because nobody
// else can park while the lane is owned; what others can do, such as have a
// letter tried at once, they do to letters that are there.
type letterbox struct {
	mu   sync.Mutex
	some bool      // whether there may be letters
	next time.Time // when to look; zero for at once
}

// letterRound is how often a lane that has letters looks whether somebody wants
// them tried.
const letterRound = time.Second

// lookAgain has the letters looked at as soon as possible.
func (b *letterbox) lookAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.some, b.next = true, time.Time{}
}

// seen notes whether there are letters, and when the next is to be tried by
// itself; zero for never.
func (b *letterbox) seen(now time.Time, some bool, retry time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.some, b.next = some, now.Add(letterRound)
	if !retry.IsZero() && retry.Before(b.next) {
		b.next = retry
	}
}

// any reports whether there may be letters.
func (b *letterbox) any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.some
}

// parked notes that there are letters now, of which one is tried again by
// itself at retry; zero for none.
func (b *letterbox) parked(now, retry time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.some {
		b.some, b.next = true, now.Add(letterRound)
	}
	if !retry.IsZero() && retry.Before(b.next) {
		b.next = retry
	}
}

// due reports whether to look at the letters.
func (b *letterbox) due(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.some && (!now.Before(b.next) || b.next.Sub(now) > letterRound) // the clock was put back
}

// wait returns how long there is nothing to be done with letters, at least a
// moment and at most idleRound.
func (b *letterbox) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.some {
		return idleRound
	}
	return min(idleRound, max(b.next.Sub(now), time.Millisecond))
}
