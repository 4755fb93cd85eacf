// Package report reads what `go test` prints and says what the Makefile wants
// to know: whether a test was skipped ([Tests]), how much of each room is
// covered ([Coverage]), and how near the benchmarks come to their limits
// ([Ratios]).
//
// It uses the standard library only, so that `make test` works in a fresh
// clone with nothing but Go.
package report
