package promisetest

import (
	"runtime"
	"testing"
)

// recorder is a [T] that remembers a failure instead of failing the test.
type recorder struct {
	*testing.T

	failed bool
}

// Errorf implements [T].
func (r *recorder) Errorf(string, ...any) { r.failed = true }

// FailNow implements [T]. It ends the goroutine, as testing.T does.
func (r *recorder) FailNow() {
	r.failed = true
	runtime.Goexit()
}

// fails reports whether check fails. It runs in a goroutine of its own, which
// FailNow ends.
func fails(t *testing.T, check func(t T)) bool {
	t.Helper()
	r, done := &recorder{T: t}, make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r.failed
}
