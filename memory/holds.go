package memory

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
)

// Holds returns the store's legal holds. They last as long as the store does,
// and their time is the store's clock.
func (s *Store) Holds() privacy.Holds { return holds{s.ports.people} }

// holds implements [privacy.Holds].
type holds struct{ *people }

// Place implements [privacy.Holds].
func (h holds) Place(ctx context.Context, hold privacy.Hold) (privacy.Hold, error) {
	if err := privacy.CheckHold(hold); err != nil {
		return privacy.Hold{}, err
	}
	if err := h.ports.usable(ctx); err != nil {
		return privacy.Hold{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if hold.ID == uuid.Nil {
		hold.ID = event.NewIDAt(h.ports.clock())
	}
	if i := h.index(hold.ID); i >= 0 {
		return privacy.SameHold(h.holds[i], hold)
	}
	hold.PlacedAt = h.ports.clock()
	h.holds = append(h.holds, hold)
	return hold, nil
}

// Release implements [privacy.Holds].
func (h holds) Release(ctx context.Context, tenant event.TenantID, id uuid.UUID, by event.ActorID, reason string) (privacy.Hold, error) {
	if err := privacy.CheckRelease(tenant, id, by, reason); err != nil {
		return privacy.Hold{}, err
	}
	if err := h.ports.usable(ctx); err != nil {
		return privacy.Hold{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.index(id)
	if i < 0 || h.holds[i].Scope.TenantID != tenant {
		return privacy.Hold{}, fmt.Errorf("hold %s: %w", id, privacy.ErrUnknown)
	}
	if hold := &h.holds[i]; hold.IsActive() {
		hold.ReleasedAt, hold.ReleasedBy, hold.ReleaseReason = h.ports.clock(), by, reason
	}
	return h.holds[i], nil
}

// List implements [privacy.Holds]. It yields the holds as they were when ranging
// began.
func (h holds) List(ctx context.Context, query privacy.HoldQuery) iter.Seq2[privacy.Hold, error] {
	return func(yield func(privacy.Hold, error) bool) {
		if err := query.Validate(); err != nil {
			yield(privacy.Hold{}, err)
			return
		}
		yieldAll(ctx, h.ports, h.matching(query), yield)
	}
}

func (h holds) matching(query privacy.HoldQuery) []privacy.Hold {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(h.holds), func(hold privacy.Hold) bool { return !query.Matches(hold) })
}

func (h holds) index(id uuid.UUID) int {
	return slices.IndexFunc(h.holds, func(hold privacy.Hold) bool { return hold.ID == id })
}
