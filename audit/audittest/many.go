//go:build !race

package audittest

// many is how many events [RunVerify] goes through.
const many = 200_000
