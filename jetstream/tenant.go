package jetstream

import (
	"strconv"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// BindTenant returns a view of the store that belongs to one tenant, see
// [eventstore.BindTenant]. Head and Wait are about the events of all tenants, so
// they tell how many there are and when one is stored. Close closes the store.
//
// A tenant is one part of an event's subject. A wall between tenants that the
// server keeps is an account for each: the right to read a stream is the right to
// read all of it.
func (s *Store) BindTenant(tenant event.TenantID) eventstore.Store {
	return eventstore.BindTenant(s, tenant)
}

// RequireTenant is like BindTenant, but belongs, call by call, to the tenant that
// the context carries ([event.WithTenant]).
func (s *Store) RequireTenant() eventstore.Store { return eventstore.RequireTenant(s) }

// checkTenant refuses what is not for the tenant that the store is bound to.
func (s *Store) checkTenant(given event.TenantID) error {
	if bound := s.config.TenantID; bound != "" && bound != given {
		return &eventstore.TenantError{Bound: bound, Given: given}
	}
	return nil
}

func (s *Store) checkTenants(appends []eventstore.Append) error {
	for i := range appends {
		if err := s.checkTenant(appends[i].Stream.TenantID); err != nil {
			return err
		}
	}
	return nil
}

func byteCount(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }
