package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// RepositoryConfig says who may do what with aggregates of type A.
type RepositoryConfig[A any] struct {
	// Repository keeps them. Required.
	Repository *aggregate.Repository[A]
	// Type is the aggregates' type, for records. Required.
	Type string
	// Owner returns who owns an aggregate that has events. "" is nobody.
	// Required, unless May is given.
	Owner func(a *A) event.ActorID
	// Admin reports who may do everything. Default: whoever has [RoleAdmin].
	Admin func(p Principal) bool
	// May reports who may load, change and make an aggregate, for other rules
	// than owner or administrator, for example owner or assignee. Whatever it
	// says, the aggregate is of p's tenant. [AnyoneOfTenant] is one.
	// Default: the owner, and whoever Admin lets.
	May func(p Principal, a *A) bool
	// Create is the permission to make new ones. "": whoever is authenticated
	// may, for himself.
	Create Permission
	// Recorder records denials. Required.
	Recorder *Recorder
}

// Validate checks that everything required is there. The error names the field.
func (c RepositoryConfig[A]) Validate() error {
	for _, f := range []struct {
		field   string
		missing bool
	}{
		{"repository", c.Repository == nil}, {"owner", c.Owner == nil && c.May == nil}, {"recorder", c.Recorder == nil},
	} {
		if f.missing {
			return &event.InvalidError{Field: f.field, Reason: "must be given"}
		}
	}
	if _, ok := any(new(A)).(aggregate.Root); !ok {
		return &event.InvalidError{Field: "repository", Reason: "must be of a type that embeds aggregate.AggregateRoot"}
	}
	return event.ValidateName("type", c.Type)
}

// AnyoneOfTenant is a rule for [RepositoryConfig.May]: who is of the
// aggregate's tenant may.
func AnyoneOfTenant[A any](Principal, *A) bool { return true }

// Repository is a repository for whoever acts in the context:
//
//  1. Nobody gets nothing: without a principal every call is refused with an
//     error that matches [ErrUnauthenticated].
//  2. Owner or administrator, or whoever [RepositoryConfig.May] says. Others are
//     refused with a [*DeniedError]. Of somebody who acts for another, that
//     other's rights count ([Principal.Subject]).
//  3. Tenants. The context must name the principal's tenant and no other.
//     Another tenant's aggregate is [aggregate.ErrNotFound], as if it did not
//     exist; so is every aggregate of a store that is bound to a tenant for a
//     principal that belongs to none.
//  4. Whoever makes an aggregate owns it, unless an administrator makes it. Only
//     Create and Save make one: an id that is not known is never taken for a new one.
//  5. Every refusal is recorded, and so is every id that was not found. If it
//     cannot be, the error is a [*RecordError]; the caller gets nothing either way.
//
// It is safe for concurrent use.
type Repository[A any] struct {
	config RepositoryConfig[A]
	reason string // of a denial
}

func (c RepositoryConfig[A]) ownerOrAdmin(p Principal, a *A) bool {
	if c.Admin(p) {
		return true
	}
	owner := c.Owner(a)
	return owner != "" && owner != event.Anonymous && owner == p.Subject()
}

// NewRepository returns a guarded repository. The error names the field.
func NewRepository[A any](config RepositoryConfig[A]) (*Repository[A], error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("guarded repository: %w", err)
	}
	if config.Admin == nil {
		config.Admin = func(p Principal) bool { return p.Has(RoleAdmin) }
	}
	if config.May == nil {
		config.May = config.ownerOrAdmin
		return &Repository[A]{config: config, reason: "is neither owner nor administrator"}, nil
	}
	return &Repository[A]{config: config, reason: "is none of those who may"}, nil
}

// New returns an aggregate without events. Whether it may be made is decided
// when it is saved.
func (r *Repository[A]) New(id uuid.UUID) *A { return r.config.Repository.New(id) }

// Load is [aggregate.Repository.Load] for owner and administrators.
func (r *Repository[A]) Load(ctx context.Context, id uuid.UUID) (*A, error) {
	p, err := r.enter(ctx, id)
	if err != nil {
		return nil, err
	}
	a, err := r.config.Repository.Load(ctx, id)
	if err != nil {
		return nil, r.missing(ctx, p, id, err)
	}
	if err := r.access(ctx, p, id, a); err != nil {
		return nil, err
	}
	return a, nil
}

// Create makes an aggregate: decide is called with one that has no events, if
// whoever acts may make it. One that exists is an [eventstore.ErrConflict].
func (r *Repository[A]) Create(ctx context.Context, id uuid.UUID, decide func(*A) error) error {
	return r.update(ctx, id, decide, func(p Principal, a *A) error {
		if found := rootOf(a).SavedVersion(); found > 0 {
			return &eventstore.ConflictError{Stream: r.stream(p, id), Expected: eventstore.NoStream(), Actual: found}
		}
		if err := r.mayCreate(ctx, p, id); err != nil {
			return err
		}
		if err := decide(a); err != nil {
			return err
		}
		return r.made(ctx, p, id, a)
	})
}

// Update is [aggregate.Repository.Update] for those who may. decide is called
// only with an aggregate that has events; for any other id the error is
// [aggregate.ErrNotFound], and recorded.
func (r *Repository[A]) Update(ctx context.Context, id uuid.UUID, decide func(*A) error) error {
	return r.update(ctx, id, decide, func(p Principal, a *A) error {
		if rootOf(a).SavedVersion() == 0 {
			return r.missing(ctx, p, id, aggregate.ErrNotFound)
		}
		if err := r.access(ctx, p, id, a); err != nil {
			return err
		}
		return decide(a)
	})
}

func (r *Repository[A]) update(ctx context.Context, id uuid.UUID, decide func(*A) error, guarded func(Principal, *A) error) error {
	p, err := r.enter(ctx, id)
	if err != nil {
		return err
	}
	if decide == nil {
		return &event.InvalidError{Field: "decide", Reason: "must not be nil"}
	}
	err = r.config.Repository.Update(ctx, id, func(a *A) error { return guarded(p, a) })
	return r.hidden(ctx, p, id, err)
}

// Save is [aggregate.Repository.Save] for owner and administrators. It loads
// what is stored, to see who owns that; Update does without.
func (r *Repository[A]) Save(ctx context.Context, a *A) error {
	if a == nil {
		return &event.InvalidError{Field: "aggregate", Reason: "must not be nil"}
	}
	root := rootOf(a)
	p, err := r.enter(ctx, root.ID())
	if err != nil {
		return err
	}
	if err := r.maySave(ctx, p, a, root); err != nil {
		return err
	}
	return r.hidden(ctx, p, root.ID(), r.config.Repository.Save(ctx, a))
}

func (r *Repository[A]) maySave(ctx context.Context, p Principal, a *A, root aggregate.Root) error {
	if root.SavedVersion() == 0 {
		if err := r.mayCreate(ctx, p, root.ID()); err != nil {
			return err
		}
		return r.made(ctx, p, root.ID(), a)
	}
	stored, err := r.config.Repository.Load(ctx, root.ID())
	if err != nil {
		return r.missing(ctx, p, root.ID(), err)
	}
	return r.access(ctx, p, root.ID(), stored)
}

// enter returns who acts, if its tenant is the context's.
func (r *Repository[A]) enter(ctx context.Context, id uuid.UUID) (Principal, error) {
	p, ok := From(ctx)
	if !ok {
		return Principal{}, r.refuse(ctx, p.deniedFor(r.entity(id), "nobody is authenticated"))
	}
	if event.TenantFrom(ctx) != p.TenantID {
		return Principal{}, r.refuse(ctx, p.deniedFor(r.entity(id), "the context names another tenant"))
	}
	if r.config.Repository.Tenant(ctx) != p.TenantID { // the store would fill in its own
		return Principal{}, r.missing(ctx, p, id, aggregate.ErrNotFound)
	}
	return p, nil
}

func (r *Repository[A]) access(ctx context.Context, p Principal, id uuid.UUID, a *A) error {
	if r.config.May(p, a) {
		return nil
	}
	return r.refuse(ctx, p.deniedFor(r.entity(id), r.reason))
}

func (r *Repository[A]) mayCreate(ctx context.Context, p Principal, id uuid.UUID) error {
	if r.config.Create == "" || p.Can(r.config.Create) || r.config.Admin(p) {
		return nil
	}
	denied := p.deniedFor(r.entity(id), fmt.Sprintf("lacks the permission %s", r.config.Create))
	denied.Permission = r.config.Create
	return r.refuse(ctx, denied)
}

// made refuses an aggregate that was made for somebody else.
func (r *Repository[A]) made(ctx context.Context, p Principal, id uuid.UUID, a *A) error {
	if rootOf(a).Version() == 0 {
		return nil
	}
	return r.access(ctx, p, id, a)
}

func (r *Repository[A]) refuse(ctx context.Context, denied *DeniedError) error {
	return r.config.Recorder.refuse(ctx, denied, denied.answer())
}

// hidden is missing for errors of which only another tenant's must not be seen.
func (r *Repository[A]) hidden(ctx context.Context, p Principal, id uuid.UUID, err error) error {
	if errors.Is(err, eventstore.ErrTenant) {
		return r.missing(ctx, p, id, err)
	}
	return err
}

// missing records that somebody asked for what is not there, or is another
// tenant's: from outside the two look the same.
func (r *Repository[A]) missing(ctx context.Context, p Principal, id uuid.UUID, err error) error {
	if !errors.Is(err, aggregate.ErrNotFound) && !errors.Is(err, eventstore.ErrTenant) {
		return err
	}
	answer := &aggregate.NotFoundError{Stream: r.stream(p, id)}
	return r.config.Recorder.refuse(ctx, p.deniedFor(r.entity(id), "not found for this tenant"), answer)
}

func (r *Repository[A]) stream(p Principal, id uuid.UUID) eventstore.Stream {
	return eventstore.Stream{TenantID: p.TenantID, AggregateType: r.config.Type, AggregateID: id}
}

func (r *Repository[A]) entity(id uuid.UUID) audit.EntityRef {
	return audit.Aggregate(r.config.Type, id)
}

func rootOf[A any](a *A) aggregate.Root {
	root, _ := any(a).(aggregate.Root) // Validate has seen that it is one.
	return root
}
