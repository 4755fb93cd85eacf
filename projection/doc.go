// Package projection runs projections: code that turns the one log of events
// into read models, feeds and messages, and can be thrown away and rebuilt by
// replay.
package projection
