package chaostest

import "time"

// within waits for something to happen, and reports whether it has in time.
func within(d time.Duration, happened <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-happened:
		return true
	case <-timer.C:
		return false
	}
}

func pause(d time.Duration) { within(d, nil) }
