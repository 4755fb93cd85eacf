package main

import (
	"context"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/sqlite"
)

// store is where everything is kept: the events, and what is derived from them.
// The rest of the program does not know which database it is.
type store struct {
	events   eventstore.Store
	records  audit.LogHome
	activity audit.ActivityHome
}

//docs:begin stores

func openSQLite(ctx context.Context, path string) (*store, error) {
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return nil, err
	}
	s, err := sqlite.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	return &store{events: s, records: sqlite.NewAuditLog(s, audit.Config{}), activity: sqlite.NewUserActivity(s)}, nil
}

func openPostgres(ctx context.Context, url string) (*store, error) {
	config := postgres.Config{URL: url}
	if err := postgres.Migrate(ctx, config); err != nil {
		return nil, err
	}
	s, err := postgres.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	return &store{events: s, records: postgres.NewAuditLog(s, audit.Config{}), activity: postgres.NewUserActivity(s)}, nil
}

//docs:end stores
