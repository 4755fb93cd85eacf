package aggregate

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Repository loads and saves aggregates of type A. It is safe for concurrent
// use; the aggregates that it hands out are not, and are never handed out
// twice.
//
// Streams belong to the tenant that the context carries ([event.WithTenant]),
// or to the one that the store is bound to ([eventstore.BindTenant]).
type Repository[A any] struct {
	home   *home
	config Config
	fresh  func(uuid.UUID) (*A, Root)
	root   func(*A) Root
	err    error // of the store, the definition or the config
}

// NewRepository returns a repository of the aggregates that definition
// describes:
//
//	repo := aggregate.NewRepository[Document](store, documents)
//
// If the definition contradicts itself, every method says so.
func NewRepository[A, S any, P Rooted[A, S]](store eventstore.Store, definition *Definition[S]) *Repository[A] {
	return newRepository[A, S, P](store, definition, Config{})
}

// NewRepositoryWith is [NewRepository] with a config. Errors are
// [*event.InvalidError], which names the config's field, and
// [*event.DefinitionError].
func NewRepositoryWith[A, S any, P Rooted[A, S]](store eventstore.Store, definition *Definition[S], config Config) (*Repository[A], error) {
	r := newRepository[A, S, P](store, definition, config)
	if r.err != nil {
		return nil, r.err
	}
	return r, nil
}

func newRepository[A, S any, P Rooted[A, S]](store eventstore.Store, definition *Definition[S], config Config) *Repository[A] {
	h, err := newHome(store, config)
	if err == nil {
		err = definition.Validate()
	}
	if err == nil {
		err = checkEmbedded[A, S, P](definition)
	}
	return &Repository[A]{
		home:   h,
		config: config.orDefault(),
		err:    err,
		root:   func(a *A) Root { return P(a) },
		fresh: func(id uuid.UUID) (*A, Root) {
			a := new(A)
			p := P(a)
			p.bind(definition, h, id)
			return a, p
		},
	}
}

// checkEmbedded refuses an aggregate type that embeds a pointer to
// [AggregateRoot]: its zero value has no root.
func checkEmbedded[A, S any, P Rooted[A, S]](definition *Definition[S]) (err error) {
	defer func() {
		if recover() != nil {
			err = &event.DefinitionError{Subject: definition.Type(), Reason: fmt.Sprintf("%T must embed aggregate.AggregateRoot itself, not a pointer to it", *new(A))}
		}
	}()
	P(new(A)).SavedVersion()
	return nil
}

func newHome(store eventstore.Store, config Config) (*home, error) {
	if store == nil {
		return nil, &event.InvalidError{Field: "store", Reason: "must not be nil"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.orDefault()
	cache, err := newCache(config.CacheSize)
	if err != nil {
		return nil, err
	}
	return &home{
		store: store, now: config.Now, bound: tenantedStore(store),
		cache: cache, snapshots: newSnapshots(store.ID(), config),
	}, nil
}

// New returns an aggregate without events.
func (r *Repository[A]) New(id uuid.UUID) *A {
	a, _ := r.fresh(id)
	return a
}

// Tenant returns the tenant whose aggregates calls with ctx are about: the one
// that ctx carries, or else the one that the store is bound to; "" for none.
func (r *Repository[A]) Tenant(ctx context.Context) event.TenantID {
	return r.home.tenantOr(ctx, event.TenantFrom(ctx))
}

// Load returns the aggregate as the store has it now. Errors: [*NotFoundError],
// [*UnknownEventError], [*event.DecodeError], [*ApplyError], [*StreamError] for
// a stream with a hole, and the store's own. There is never an aggregate
// beside an error.
func (r *Repository[A]) Load(ctx context.Context, id uuid.UUID) (*A, error) {
	a, root, err := r.load(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if root.SavedVersion() == 0 {
		return nil, &NotFoundError{Stream: r.home.streamOf(ctx, root)}
	}
	return a, nil
}

// LoadAt returns the aggregate as it was at a version, from 1. It is meant for
// looking at: what it emits meets a conflict when it is saved, unless the
// version is still the last. Errors are those of [Repository.Load]; a version
// that does not exist yet is a [*NotFoundError].
func (r *Repository[A]) LoadAt(ctx context.Context, id uuid.UUID, version uint64) (*A, error) {
	if version == 0 {
		return nil, &event.InvalidError{Field: "version", Reason: "must be 1 or more"}
	}
	a, root, err := r.load(ctx, id, version)
	if err != nil {
		return nil, err
	}
	if last := root.SavedVersion(); last < version {
		return nil, &NotFoundError{Stream: r.home.streamOf(ctx, root), Version: version, Last: last}
	}
	return a, nil
}

// load returns an aggregate with the events up to a version, or with all if
// that is 0. An aggregate without events is no error here.
func (r *Repository[A]) load(ctx context.Context, id uuid.UUID, to uint64) (*A, Root, error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	a, root := r.fresh(id)
	if err := r.home.load(ctx, root, to); err != nil {
		return nil, nil, err
	}
	return a, root, nil
}

// Exists reports whether the aggregate has any events. It decodes none.
func (r *Repository[A]) Exists(ctx context.Context, id uuid.UUID) (bool, error) {
	if r.err != nil {
		return false, r.err
	}
	_, root := r.fresh(id)
	return r.home.exists(ctx, r.home.streamOf(ctx, root))
}

// Close waits until the snapshots that saves asked for are written; none is
// taken afterwards. Everything else goes on working. When ctx ends first,
// those not yet begun are dropped and ctx's error is returned. A repository
// without snapshots need not be closed.
func (r *Repository[A]) Close(ctx context.Context) error {
	if snapshots := r.snapshots(); snapshots != nil {
		return snapshots.close(ctx)
	}
	return nil
}

// SnapshotStats says how well snapshots served so far. It is zero for a
// repository without them.
func (r *Repository[A]) SnapshotStats() SnapshotStats {
	if snapshots := r.snapshots(); snapshots != nil {
		return snapshots.counts.stats()
	}
	return SnapshotStats{}
}

func (r *Repository[A]) snapshots() *snapshots {
	if r.home == nil {
		return nil
	}
	return r.home.snapshots
}
