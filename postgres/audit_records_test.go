package postgres_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// auditStart is when the first of the events below occurred. They lie
// [auditStep] apart.
var auditStart = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

const auditStep = 3 * time.Second // a million events are 35 days

// auditEvents makes up the events of a system with many tenants: a few large
// and many small ones, people who belong to one tenant and services that act
// for all, types that are frequent and some that are rare, explicit activities,
// and clocks that are late now and then. Equal positions give equal events.
type auditEvents struct{ random *rand.ChaCha8 }

func newAuditEvents() auditEvents { return auditEvents{random: rand.NewChaCha8([32]byte{})} }

// The names that queries ask for, with how often they occur.
const (
	largeTenant  event.TenantID = "acme"           // 30 %
	middleTenant event.TenantID = "globex"         // 15 %
	smallTenant  event.TenantID = "tenant-0007"    // 1 of 2,000
	busyService  event.ActorID  = "system:cleanup" // 10 %, not for globex
	person       event.ActorID  = "user:acme-0007" // of acme, 1 of 3,000
	rareActor    event.ActorID  = "user:auditor"   // 3 times, at the beginning
)

func (a auditEvents) below(n int) int { return int(a.random.Uint64() % uint64(n)) }

func (a auditEvents) at(position uint64) event.Event {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], position)
	a.random.Seed(seed)
	e := event.Event{
		ID: a.id(), SchemaVersion: 1, AggregateVersion: 1 + uint64(a.below(20)), Position: position,
		TenantID: a.tenant(), CorrelationID: a.idOf(0xc0, int(position/5)), AggregateID: a.idOf(0xa0, a.below(100_000)),
		RecordedAt: auditStart.Add(time.Duration(position)*auditStep + time.Second),
		OccurredAt: auditStart.Add(time.Duration(position)*auditStep - time.Duration(a.below(2000))*time.Millisecond),
		Data:       []byte(`{}`),
		Metadata:   event.Metadata{"channel": "web", audit.KeyRequest: "req_abc123", audit.KeySourceAddress: "192.0.2.17"},
	}
	a.kind(&e)
	e.ActorID = a.actor(e.TenantID)
	if a.below(2) == 0 {
		e.Metadata[audit.KeyOwner] = fmt.Sprintf("user:%s-%04d", e.TenantID, a.below(3000))
	}
	if a.below(50) == 0 { // somebody was offline
		e.OccurredAt = e.OccurredAt.Add(-time.Duration(a.below(20*24)) * time.Hour)
	}
	if position <= 3 {
		e.Type, e.AggregateType, e.ActorID = "AuditBegun", "Audit", rareActor
	}
	if a.below(10) == 0 {
		a.explicit(&e)
	}
	return e
}

func (a auditEvents) id() (id uuid.UUID) {
	_, _ = a.random.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func (a auditEvents) idOf(kind byte, n int) (id uuid.UUID) {
	id[0], id[6], id[8] = kind, 0x40, 0x80
	binary.BigEndian.PutUint32(id[10:], uint32(n))
	return id
}

func (a auditEvents) tenant() event.TenantID {
	switch n := a.below(100); {
	case n < 30:
		return largeTenant
	case n < 45:
		return middleTenant
	case n < 50:
		return "" // of the whole system
	default:
		return event.TenantID(fmt.Sprintf("tenant-%04d", a.below(1000)))
	}
}

func (a auditEvents) actor(tenant event.TenantID) event.ActorID {
	switch n := a.below(100); {
	case n < 10 && tenant != middleTenant:
		return busyService
	case n < 20:
		return "" // anonymous
	case n < 25:
		return "service:billing"
	default:
		return event.ActorID(fmt.Sprintf("user:%s-%04d", tenant, a.below(1000)))
	}
}

func (a auditEvents) kind(e *event.Event) {
	kinds := []string{"Created", "Viewed", "Viewed", "Viewed", "Changed", "Changed", "Renamed", "Archived"}
	e.AggregateType = []string{"Document", "Document", "Order", "Invoice"}[a.below(4)]
	e.Type = e.AggregateType + kinds[a.below(len(kinds))]
	if a.below(100_000) == 0 {
		e.Type, e.AggregateType = "KeyRotated", "Key"
	}
}

func (a auditEvents) explicit(e *event.Event) {
	type entity struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
	said := struct {
		Action      string        `json:"action"`
		Entity      entity        `json:"entity"`
		Outcome     audit.Outcome `json:"outcome"`
		OnBehalfOf  string        `json:"on_behalf_of,omitempty"`
		Description string        `json:"description"`
	}{Action: "report.export", Entity: entity{"Report", fmt.Sprintf("report/%d", a.below(1000))}, Outcome: audit.Success, Description: "exported a report"}
	switch n := a.below(100); {
	case n < 10 && e.TenantID != middleTenant:
		said.Outcome = audit.Denied
	case n == 11:
		said.Outcome = audit.Failure
	case n < 20:
		said.OnBehalfOf = fmt.Sprintf("user:%s-%04d", e.TenantID, a.below(100))
	}
	e.Type, e.AggregateType, e.AggregateID = audit.RecordedType, audit.ActivityStream, e.ID
	e.Data, _ = json.Marshal(said)
}

// fillAudit applies so many of them to a home, as a runner would.
func fillAudit(tb testing.TB, store *home, p projection.Batcher, first, last uint64) {
	tb.Helper()
	const batch = 2000
	made := newAuditEvents()
	events := make([]event.Event, 0, batch)
	for position := first; position <= last; position++ {
		if events = append(events, made.at(position)); len(events) < batch && position < last {
			continue
		}
		tx, err := store.Begin(tb.Context())
		require.NoError(tb, err)
		require.NoError(tb, p.ApplyBatch(tb.Context(), tx, events))
		require.NoError(tb, tx.Commit(tb.Context()))
		events = events[:0]
	}
}
