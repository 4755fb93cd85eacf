package main

import (
	"context"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/jetstream"
)

// replicas is how the store is configured, for whoever creates or opens it.
func replicas() jetstream.Config { return jetstream.Config{Replicas: size} }

// openEvents opens the store, which must have been created.
func openEvents(ctx context.Context, js natsjs.JetStream) (store *jetstream.Store, err error) {
	err = answered(ctx, func() error {
		store, err = jetstream.Open(ctx, js, replicas())
		return err
	})
	return store, err
}

// answered does something until the servers have answered. A cluster that has
// just started, or that has lost a leader, may not.
func answered(ctx context.Context, do func() error) error {
	return until(ctx, func() (bool, error) {
		err := do()
		if jetstream.IsRetryable(err) {
			return false, nil
		}
		return err == nil, err
	})
}
