package eventstore

import "strconv"

// Expectation is what an append expects of a stream before it is changed. The
// zero value is [Any].
type Expectation struct {
	kind    expectationKind
	version uint64
}

type expectationKind uint8

const (
	expectAny expectationKind = iota
	expectNoStream
	expectExists
	expectExact
)

// Any expects nothing.
func Any() Expectation { return Expectation{} }

// NoStream expects that the stream has no events.
func NoStream() Expectation { return Expectation{kind: expectNoStream} }

// StreamExists expects that the stream has at least one event.
func StreamExists() Expectation { return Expectation{kind: expectExists} }

// Exact expects that the stream's last version is exactly version. Exact(0)
// is [NoStream].
func Exact(version uint64) Expectation {
	if version == 0 {
		return NoStream()
	}
	return Expectation{kind: expectExact, version: version}
}

// Holds reports whether a stream at version actual meets the expectation.
func (x Expectation) Holds(actual uint64) bool {
	switch x.kind {
	case expectNoStream:
		return actual == 0
	case expectExists:
		return actual > 0
	case expectExact:
		return actual == x.version
	default:
		return true
	}
}

// Version returns the exact version that is expected, 0 for [NoStream], and
// whether there is one: [Any] and [StreamExists] name none.
func (x Expectation) Version() (uint64, bool) {
	return x.version, x.kind == expectExact || x.kind == expectNoStream
}

// String returns "any", "no stream", "stream exists" or "version 7".
func (x Expectation) String() string {
	switch x.kind {
	case expectNoStream:
		return "no stream"
	case expectExists:
		return "stream exists"
	case expectExact:
		return "version " + strconv.FormatUint(x.version, 10)
	default:
		return "any"
	}
}
