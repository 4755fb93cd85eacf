package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// InlineError says which inline projection has refused an event, and with it
// the append.
type InlineError struct {
	Projection string
	EventID    uuid.UUID
	EventType  string
	Stream     eventstore.Stream
	Err        error
}

// Error implements error.
func (e *InlineError) Error() string {
	return fmt.Sprintf("append to stream %s was undone: inline projection %q failed at event %s (%s): %v", e.Stream, e.Projection, e.EventID, e.EventType, e.Err)
}

// Unwrap returns the handler's error.
func (e *InlineError) Unwrap() error { return e.Err }

// inline are the projections that run in each append's own transaction.
type inline struct {
	projections []projection.Projection
	types       [][]string // that each wants; nil for all
	// signature names them with their versions, in order of names, as the store's
	// row does. Every program that appends must have the same, or read models would
	// miss events.
	signature string
}

// rebuilding stands in the store's row behind a projection that appends pass
// over, because it is being rebuilt.
const rebuilding = " (rebuilding)"

func newInline(projections []projection.Projection) inline {
	in := inline{projections: projections, types: make([][]string, len(projections))}
	names := make([]string, len(projections))
	for i, p := range projections {
		in.types[i] = p.EventTypes()
		names[i] = inlineName(p)
	}
	slices.Sort(names)
	in.signature = strings.Join(names, ", ")
	return in
}

func inlineName(p projection.Projection) string { return fmt.Sprintf("%s v%d", p.Name(), p.Version()) }

// namesOf returns the names in a signature.
func namesOf(signature string) []string {
	if signature == "" {
		return nil
	}
	return strings.Split(signature, ", ")
}

// running returns those of the projections that appends apply, given what is
// deployed, under which signature; or that what is deployed is not these.
func (in inline) running(deployed string) (now inline, same bool) {
	names := namesOf(deployed)
	resting := make(map[string]bool)
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, rebuilding)
		resting[names[i]] = names[i] != name
	}
	if strings.Join(names, ", ") != in.signature {
		return inline{}, false
	}
	now.signature = deployed
	for i, p := range in.projections {
		if !resting[inlineName(p)] {
			now.projections, now.types = append(now.projections, p), append(now.types, in.types[i])
		}
	}
	return now, true
}

// validateInline refuses projections that cannot run in an append's transaction. The
// error is an [*event.InvalidError].
func validateInline(projections []projection.Projection) error {
	var names []string
	for _, p := range projections {
		if p == nil {
			return &event.InvalidError{Field: "inline", Reason: "has a projection that is nil"}
		}
		if v, ok := p.(projection.Validator); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("inline: %w", err)
			}
		}
		switch {
		case p.Guarantee() != projection.ExactlyOnce:
			return &event.InvalidError{Field: "inline", Value: p.Name(), Reason: "must be made by postgres.NewProjection: its handlers have to write in the append's transaction"}
		case p.Name() == "" || strings.ContainsAny(p.Name(), ",\n"):
			return &event.InvalidError{Field: "inline", Value: p.Name(), Reason: "must have a name, without commas"}
		case slices.Contains(names, p.Name()):
			return &event.InvalidError{Field: "inline", Value: p.Name(), Reason: "is named twice"}
		}
		names = append(names, p.Name())
	}
	return nil
}

// apply gives one event to the projections that want it.
func (in inline) apply(ctx context.Context, tx *Tx, e event.Event) error {
	for i, p := range in.projections {
		if wanted := in.types[i]; wanted != nil && !slices.Contains(wanted, e.Type) {
			continue
		}
		err := projection.Recovered(func() error { return p.Apply(ctx, tx, e) })
		if err == nil {
			err = tx.passedOver()
		}
		if err != nil {
			return &InlineError{Projection: p.Name(), EventID: e.ID, EventType: e.Type, Stream: eventstore.StreamOf(e), Err: err}
		}
	}
	return nil
}

// applyAll gives the events of an append that was accepted to all projections.
func (in inline) applyAll(ctx context.Context, tx *Tx, r *request, v verdict) error {
	n := uint64(0)
	for i := range r.targets {
		t := &r.targets[i]
		for k := range t.Events {
			e := eventstore.Place(t.Events[k], t.Stream, v.versions[i]+uint64(k)+1, v.first+n, v.recordedAt)
			if err := in.apply(ctx, tx, e); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// withInline calls f with the inline projections that appends apply now. The
// database refuses f's appends if others do since then, because a rebuild has
// begun or ended; then f is called again. Who asks q what is deployed must not
// be in f's way.
func (s *Store) withInline(ctx context.Context, q querier, f func(in *inline) error) error {
	for n := 1; ; n++ {
		err := f(s.running.Load())
		if code, _ := codeOf(err); code != codeInline || n == attempts || s.checkInline(ctx, q) != nil {
			return err
		}
	}
}

// sendInline is send in a transaction with the inline projections. Who of a
// batch is refused, by the database or by a projection, is undone alone.
func (s *Store) sendInline(ctx context.Context, batch []*request, patient bool) (verdicts []verdict, err error) {
	err = s.withInline(ctx, s.pool, func(in *inline) error {
		verdicts, err = s.transactInline(ctx, in, batch, patient)
		return err
	})
	return verdicts, err
}

func (s *Store) transactInline(ctx context.Context, in *inline, batch []*request, patient bool) ([]verdict, error) {
	base, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return nil, &undoneError{err}
	}
	t := &Tx{store: s, route: s.route, base: base, inner: base} // not on the list of those that Close aborts
	defer func() { _ = t.Rollback(ctx) }()                      // after Commit it does nothing
	verdicts, err := s.workInline(ctx, t, in, batch, patient)
	switch {
	case err != nil && errors.Is(err, ErrTxEnded):
		return nil, err // by a handler, nobody knows how
	case err != nil:
		return nil, &undoneError{err}
	case len(batch) == 1 && verdicts[0].err != nil:
		return verdicts, nil
	}
	if err := t.base.Commit(ctx); err != nil {
		return nil, &commitError{err}
	}
	return verdicts, nil
}

// workInline is what transactInline does before it commits.
func (s *Store) workInline(ctx context.Context, t *Tx, in *inline, batch []*request, patient bool) (verdicts []verdict, err error) {
	for _, p := range batch[0].premises {
		if err := p.holdIn(ctx, t.base); err != nil {
			return nil, err
		}
	}
	verdicts = make([]verdict, len(batch))
	for i, r := range batch {
		if verdicts[i], err = s.sendOneInline(ctx, t, in, r, len(batch) == 1, patient); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// sendOneInline sends one append of a transaction, if it is not alone there under
// a savepoint.
func (s *Store) sendOneInline(ctx context.Context, t *Tx, in *inline, r *request, alone, patient bool) (v verdict, err error) {
	step := func(ctx context.Context) error {
		verdicts, err := s.sendAll(ctx, t.route, t.base.Conn(), in.signature, []*request{r}, patient, nil)
		if err != nil {
			return err
		}
		v = verdicts[0]
		if !v.accepted {
			return nil
		}
		return in.applyAll(ctx, t, r, v)
	}
	if alone {
		err = step(ctx)
	} else {
		err = t.Savepoint(ctx, step)
	}
	if refusal, ok := errors.AsType[*InlineError](err); ok && !isLost(t) && !isNobodysFault(err) {
		return verdict{err: refusal}, nil
	}
	return v, err
}

// isNobodysFault reports whether a projection has failed for a reason that says
// nothing of the event, such as a deadlock; or it has ended the transaction.
func isNobodysFault(err error) bool {
	code, ok := codeOf(err)
	return errors.Is(err, ErrTxEnded) || ok && code != "" && errors.Is(meaningOf(code), eventstore.ErrUnavailable)
}

// isLost reports whether the transaction's connection is gone, so that nothing
// more can be done in it.
func isLost(t *Tx) bool { return t.base.Conn().IsClosed() }

// checkInline finds out which inline projections appends apply, and refuses a
// store whose inline projections are not the program's.
func (s *Store) checkInline(ctx context.Context, q querier) error {
	have, err := first[string](ctx, q, s.sql(selectInline))
	if err != nil {
		return err
	}
	now, same := s.inline.running(have)
	if !same {
		return s.mismatch(have)
	}
	s.running.Store(&now)
	return nil
}

const selectInline = "SELECT inline FROM evident.store"

func (s *Store) mismatch(have string) error {
	return &InlineMismatchError{Store: have, Program: s.inline.signature}
}

// InlineMismatchError says that a program has other inline projections than the
// store, so that their read models would miss what it appends.
type InlineMismatchError struct {
	Store   string // those of the store: "titles v1, totals v3 (rebuilding)"
	Program string
}

// Error implements error.
func (e *InlineMismatchError) Error() string {
	return fmt.Sprintf("store has inline projections [%s], this program [%s]: call DeployInline, and open all stores with the same Config.Inline", e.Store, e.Program)
}

// Is reports whether target is [eventstore.ErrSchema].
func (e *InlineMismatchError) Is(target error) bool { return target == eventstore.ErrSchema }
