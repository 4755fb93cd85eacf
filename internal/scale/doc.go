// Package scale works out what measured figures of one store come to when there
// are many of them: partitions, waiting times, leader changes, sizes, rebuilds.
// docs/scale.md quotes its tables, `make scale` prints them.
//
// What is assumed stands in figures.go, each figure with where it was measured.
// [Queue] is the model of a partition: appends arrive at random, and are served
// at the rate that was measured with as many appends in progress. It uses no
// clock and draws from a seeded source, so it says the same in every run. Its
// tests hold it to closed forms: M/M/1, M/D/1, M/M/c, the general birth and death
// process, and Little's law.
package scale
