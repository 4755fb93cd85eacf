package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// DeployInline makes the projections of config.Inline those that run in each
// append's own transaction, from now on and in every program: a [Store] that
// was opened with others can append no more, and has to be opened anew. A
// projection that is new, or has a new version, is reset, which creates its
// tables ([Table]), and given all events that there are; until that is done
// appends wait. One that is left out is not given events any more; its tables
// stay.
//
// What is deployed already, by name and version, is left as it is, so it may be
// called at each start. To rebuild a read model, deploy it with a new version, or
// without it and then with it again: a runner's Rebuild is not for inline
// projections, which have no checkpoint.
//
// It is one transaction: if it fails, nothing has changed. It needs the rights
// of [Migrate] and must come after it.
func DeployInline(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("deploy inline projections: %w", err)
	}
	s := newStore(config)
	pool, release, err := s.config.connect(ctx)
	if err != nil {
		return translate("deploy", s.config.Schema, err)
	}
	defer release()
	s.pool = pool
	s.life, s.end = context.WithCancelCause(ctx)
	defer s.end(nil)
	return s.failure("deploy", s.deploy(ctx))
}

func (s *Store) deploy(ctx context.Context) error {
	t, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit it does nothing
	have, err := s.lockInline(ctx, t)
	if err != nil || have == s.inline.signature {
		return err
	}
	known := strings.Split(have, ", ")
	for _, p := range s.inline.projections {
		if slices.Contains(known, inlineName(p)) {
			continue
		}
		if err := s.fill(ctx, t, p); err != nil {
			return err
		}
	}
	if _, err := t.base.Exec(ctx, s.sql("UPDATE evident.store SET inline = $1"), s.inline.signature); err != nil {
		return err
	}
	return t.Commit(ctx)
}

// lockInline waits for the appends that are on their way, lets no other begin
// before the transaction has ended, and returns what is deployed.
func (s *Store) lockInline(ctx context.Context, t *Tx) (string, error) {
	if _, err := t.base.Exec(ctx, s.sql("SELECT pg_advisory_xact_lock('evident.store'::regclass::oid::int, 0)")); err != nil {
		return "", err
	}
	return first[string](ctx, t.base, s.sql("SELECT inline FROM evident.store FOR UPDATE"))
}

// fill resets a projection and gives it all events. Nobody appends meanwhile,
// so everything that is there has been committed.
func (s *Store) fill(ctx context.Context, t *Tx, p projection.Projection) error {
	if err := projection.Recovered(func() error { return p.Reset(ctx, t) }); err != nil {
		return fmt.Errorf("reset inline projection %q: %w", p.Name(), err)
	}
	alone := newInline([]projection.Projection{p})
	r := reading{store: s, from: t.base, limit: math.MaxInt, high: math.MaxInt64}
	for e, err := range r.events(ctx, ofAll(eventstore.Query{Types: alone.types[0]}), byPosition) {
		if err != nil {
			return err
		}
		if err := alone.apply(ctx, t, e); err != nil {
			return err
		}
	}
	return nil
}
