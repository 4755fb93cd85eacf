package postgres

import (
	"context"
	"errors"
	"iter"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// BindTenant returns a view of the store that belongs to one tenant. Like that
// of [eventstore.BindTenant] it reads nothing of any other and refuses to append
// for any other; what is refused is a [*eventstore.TenantError]. Besides, each
// of its statements tells the database, in the same round trip, for which
// tenant it is: where row-level security is on ([Config.RowSecurity]), a second
// wall stands behind the first.
//
// The view's appends are calls of their own; they do not share one with those
// of others. Head and Wait are about the events of all tenants, so they tell how
// many there are and when one is stored. Close closes the store.
//
// In a transaction of your own, behind [Store.Within] or a [Tx], bind with
// [eventstore.BindTenant] and tell the database yourself:
// SELECT set_config('evident.tenant', 'acme', true).
func (s *Store) BindTenant(tenant event.TenantID) eventstore.Store {
	return eventstore.BindTenant(&tenantStore{Store: s, tenant: func(context.Context) event.TenantID { return tenant }}, tenant)
}

// RequireTenant is like [Store.BindTenant], but belongs, call by call, to the
// tenant that the context carries ([event.WithTenant]). Without one every call
// is refused.
func (s *Store) RequireTenant() eventstore.Store {
	return eventstore.RequireTenant(&tenantStore{Store: s, tenant: event.TenantFrom})
}

// tenantStore tells the database for which tenant its statements are. It does
// not check anything: it stands behind the view of package eventstore.
type tenantStore struct {
	*Store

	tenant func(ctx context.Context) event.TenantID
}

// inTenant is the premise of statements for one tenant. What it sets ends with
// the transaction.
func (b *tenantStore) inTenant(ctx context.Context) premise {
	return premise{
		sql:  b.schema.sql("SELECT set_config('evident.tenant', $1, true) = $1"),
		args: []string{string(b.tenant(ctx))},
		err:  errors.New("the tenant was not set"),
	}
}

// Append implements [eventstore.Store].
func (b *tenantStore) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	r, err := newRequest(b.config.Limits, appends)
	if err != nil {
		return eventstore.Result{}, err
	}
	if err := b.writable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	r.premises = []premise{b.inTenant(ctx)}
	defer b.watcher.stored()
	result, err := b.sendApart(ctx, r)
	if isDuplicate(err) { // of an event that this tenant cannot see
		return eventstore.Result{}, r.duplicate(err)
	}
	return result, err
}

// duplicate is what an append is told if one of its event ids is stored already
// by another tenant. Which of several it was cannot be known.
func (r *request) duplicate(err error) error {
	for i := range r.targets {
		if t := &r.targets[i]; len(t.Events) > 0 {
			id := uuid.Nil
			if r.events == 1 {
				id = t.Events[0].ID
			}
			return errors.Join(&eventstore.DuplicateEventError{EventID: id, Stream: t.Stream}, err)
		}
	}
	return err
}

// ReadStream implements [eventstore.Store].
func (b *tenantStore) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return b.readStream(ctx, b.behind([]premise{b.inTenant(ctx)}), true, stream, query)
}

// ReadAll implements [eventstore.Store].
func (b *tenantStore) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return b.readAll(ctx, query, b.inTenant(ctx))
}

// secure puts up the wall between tenants, if that is wanted or it stands
// already and tables were added that it does not cover. It never takes it down.
func (m migrator) secure(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, m.schema.sql(`
		SELECT evident.row_security(true) FROM pg_class
		 WHERE oid = 'evident.events'::regclass AND (relrowsecurity OR $1)`), m.rowSecurity)
	return err
}

// checkRowSecurity refuses a role that the wall between tenants does not stop.
func (s *Store) checkRowSecurity(ctx context.Context) error {
	var up, active bool
	var role string
	err := s.pool.QueryRow(ctx, s.sql(`
		SELECT relrowsecurity, row_security_active(oid), current_user::text FROM pg_class WHERE oid = 'evident.events'::regclass`)).
		Scan(&up, &active, &role)
	s.walled = up && active
	switch {
	case err != nil || !s.config.RowSecurity:
		return err
	case !up:
		return &event.InvalidError{Field: "row_security", Reason: "is not on in this database: call Migrate with it"}
	case !active:
		return &event.InvalidError{Field: "row_security", Value: role, Reason: "is a role that no policy stops: it owns the tables, is a superuser or has BYPASSRLS; open the store as a role that Grant was called for"}
	}
	return nil
}
