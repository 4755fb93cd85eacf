// Package aggregate holds the write side: aggregates that decide, emit events
// and are rebuilt from them, and the repository that loads and saves them.
package aggregate
