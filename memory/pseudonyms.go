package memory

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
)

// Pseudonyms returns the store's table of pseudonyms. It lasts as long as the
// store does, and its time is the store's clock.
func (s *Store) Pseudonyms() privacy.Pseudonyms { return pseudonyms{s.ports.people} }

// people is everything that the store knows of people: pseudonyms and holds
// have one lock, so that no cut overtakes a hold.
type people struct {
	ports *ports

	mu       sync.RWMutex
	byToken  map[uuid.UUID]privacy.Pseudonym
	byPerson map[person]uuid.UUID // those that are not cut
	holds    []privacy.Hold       // in the order of placing
}

// person is somebody's own id.
type person struct {
	tenant event.TenantID
	id     string
}

// pseudonyms implements [privacy.Pseudonyms].
type pseudonyms struct{ *people }

// TokenFor implements [privacy.Pseudonyms].
func (p pseudonyms) TokenFor(ctx context.Context, tenant event.TenantID, id string) (uuid.UUID, error) {
	if err := p.check(ctx, tenant, id); err != nil {
		return uuid.Nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if token, known := p.byPerson[person{tenant, id}]; known {
		return token, nil
	}
	token, err := privacy.NewToken()
	if err != nil {
		return uuid.Nil, err
	}
	p.byPerson[person{tenant, id}] = token
	p.byToken[token] = privacy.Pseudonym{TenantID: tenant, Token: token, Person: id, CreatedAt: p.ports.clock()}
	return token, nil
}

// TokenOf implements [privacy.Pseudonyms].
func (p pseudonyms) TokenOf(ctx context.Context, tenant event.TenantID, id string) (uuid.UUID, error) {
	if err := p.check(ctx, tenant, id); err != nil {
		return uuid.Nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	token, known := p.byPerson[person{tenant, id}]
	if !known {
		return uuid.Nil, fmt.Errorf("person: %w", privacy.ErrUnknown)
	}
	return token, nil
}

// PersonOf implements [privacy.Pseudonyms].
func (p pseudonyms) PersonOf(ctx context.Context, tenant event.TenantID, token uuid.UUID) (string, error) {
	if err := privacy.CheckToken(tenant, token); err != nil {
		return "", err
	}
	if err := p.ports.usable(ctx); err != nil {
		return "", err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	found, known := p.byToken[token]
	switch {
	case !known || found.TenantID != tenant:
		return "", fmt.Errorf("token %s: %w", token, privacy.ErrUnknown)
	case found.State() == privacy.Cut:
		return "", &privacy.CutError{Token: token, CutAt: found.CutAt, Reason: found.Reason}
	default:
		return found.Person, nil
	}
}

// Cut implements [privacy.Pseudonyms].
func (p pseudonyms) Cut(ctx context.Context, tenant event.TenantID, id, reason string) (uuid.UUID, error) {
	if err := privacy.CheckCut(tenant, id, reason); err != nil {
		return uuid.Nil, err
	}
	if err := p.ports.usable(ctx); err != nil {
		return uuid.Nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	token, known := p.byPerson[person{tenant, id}]
	if !known {
		return uuid.Nil, nil
	}
	for _, hold := range p.holds {
		if hold.Covers(tenant, token) {
			return uuid.Nil, &privacy.HeldError{Hold: hold}
		}
	}
	row := p.byToken[token]
	row.Person, row.CutAt, row.Reason = "", p.ports.clock(), reason
	p.byToken[token] = row
	delete(p.byPerson, person{tenant, id})
	return token, nil
}

// List implements [privacy.Pseudonyms]. It yields the rows as they were when
// ranging began.
func (p pseudonyms) List(ctx context.Context, query privacy.PseudonymQuery) iter.Seq2[privacy.Pseudonym, error] {
	return func(yield func(privacy.Pseudonym, error) bool) {
		if err := query.Validate(); err != nil {
			yield(privacy.Pseudonym{}, err)
			return
		}
		rows := p.matching(query)
		if query.Limit > 0 {
			rows = rows[:min(query.Limit, len(rows))]
		}
		yieldAll(ctx, p.ports, rows, yield)
	}
}

func (p pseudonyms) matching(query privacy.PseudonymQuery) (rows []privacy.Pseudonym) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, row := range p.byToken {
		if query.Matches(row) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b privacy.Pseudonym) int { return bytes.Compare(a.Token[:], b.Token[:]) })
	return rows
}

func (p pseudonyms) check(ctx context.Context, tenant event.TenantID, id string) error {
	if err := privacy.CheckPerson(tenant, id); err != nil {
		return err
	}
	return p.ports.usable(ctx)
}

// yieldAll yields items as long as the store can be used.
func yieldAll[T any](ctx context.Context, p *ports, items []T, yield func(T, error) bool) {
	for _, item := range items {
		if err := p.usable(ctx); err != nil {
			yield(*new(T), err)
			return
		}
		if !yield(item, nil) {
			return
		}
	}
	if err := p.usable(ctx); err != nil {
		yield(*new(T), err)
	}
}
