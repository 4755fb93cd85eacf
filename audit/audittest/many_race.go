//go:build race

package audittest

// many is how many events [RunVerify] goes through. The race detector makes it
// ten times as slow, and finds nothing more in more of them; without it, as in
// make cover, there are ten times as many.
const many = 20_000
