package memory

import (
	"context"

	"github.com/evident-go/evident/audit"
)

// ActivityLog is an [audit.Log] on a store of its own, for the tests of an
// application: what was appended can be read at once, and is forgotten with it.
type ActivityLog struct {
	*audit.Log

	store *Store
}

// OpenActivityLog returns an empty log.
func OpenActivityLog(ctx context.Context, config audit.LogConfig) (*ActivityLog, error) {
	store, err := Open(ctx, Config{})
	if err != nil {
		return nil, err
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), config)
	if err != nil {
		return nil, err
	}
	return &ActivityLog{Log: log, store: store}, nil
}

// Store returns the store that the log appends to, for the aggregates of a test.
func (l *ActivityLog) Store() *Store { return l.store }

// Records returns all records, oldest first, those of the store's other events
// included.
func (l *ActivityLog) Records(ctx context.Context) ([]audit.ActivityRecord, error) {
	var records []audit.ActivityRecord
	for record, err := range l.Find(ctx, audit.Query{Page: audit.Page{OldestFirst: true}}) {
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}
