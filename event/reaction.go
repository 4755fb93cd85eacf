package event

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/google/uuid"
)

// Reaction is what somebody does because of an event. It may be tried several
// times, after a crash, by a process that was frozen, or as a dead letter; what
// it appends is appended once, since the ids of its events follow from it.
//
// [WithReaction] puts one into a context, one for each try; package aggregate
// does the rest. The zero value is ready, and means nobody's reaction to
// nothing. It is safe for concurrent use, and must not be copied.
type Reaction struct {
	Reactor  string    // who reacts: a name that stays when its code changes
	Step     string    // which part of the reaction this is; "" if it has no parts
	Cause    uuid.UUID // the event that it reacts to
	Position uint64    // of the cause; 0 if unknown

	mu    sync.Mutex
	calls map[target]uint64 // how many calls there were for each stream
}

// target is the stream that a call is about.
type target struct {
	tenant        TenantID
	aggregateType string
	aggregateID   uuid.UUID
}

// WithReaction returns a context whose events are the reaction of reactor to
// cause, and were caused by it, see [WithCause]. Each call begins one try of
// the reaction: in every try the first decision about an aggregate counts as
// the same decision, and so do the second and all that follow.
func WithReaction(ctx context.Context, reactor string, cause Event) context.Context {
	o := OriginFrom(WithCause(ctx, cause))
	o.Reaction = &Reaction{Reactor: reactor, Cause: cause.ID, Position: cause.Position}
	return WithOrigin(ctx, o)
}

// WithStep returns a context for one part of the reaction that ctx carries,
// which is then the same part in every try, whatever comes before it. Steps of
// steps are joined by a slash. Decisions of the same step about one aggregate
// are counted from the first again, so a step must not be taken twice in one
// try. Without a reaction it returns ctx.
func WithStep(ctx context.Context, step string) context.Context {
	o := OriginFrom(ctx)
	whole := o.Reaction
	if whole == nil {
		return ctx
	}
	if whole.Step != "" {
		step = whole.Step + "/" + step
	}
	o.Reaction = &Reaction{Reactor: whole.Reactor, Step: step, Cause: whole.Cause, Position: whole.Position}
	return WithOrigin(ctx, o)
}

// ReactionFrom returns the reaction that ctx carries, or nil if none.
func ReactionFrom(ctx context.Context) *Reaction { return OriginFrom(ctx).Reaction }

// Key returns an id that is the same in every try of the reaction's step, and
// of no other: for a service that takes a key against repeated requests, or for
// the id of a message.
func (r *Reaction) Key() uuid.UUID { return r.EventID("", "", uuid.Nil, 0, 0) }

// EventID returns the id of an event that the reaction appends: that with the
// given ordinal, from 0, of the given call, from 0, for a stream. It is a UUID of
// version 8 (RFC 9562 §5.8): its first 48 bits are those of the cause's id, so
// that events which are written together stay together in an index; the others
// are the first of the SHA-256 hash of
//
//	"evident reaction 1", reactor, step, tenant, aggregate type,
//	cause, aggregate id, call, ordinal
//
// where each text stands behind its length, ids are 16 bytes, and lengths and
// numbers 8 bytes, the highest first. Stored events depend on it, so it never
// changes.
func (r *Reaction) EventID(tenant TenantID, aggregateType string, aggregateID uuid.UUID, call, ordinal uint64) uuid.UUID {
	var b []byte
	for _, text := range []string{"evident reaction 1", r.Reactor, r.Step, string(tenant), aggregateType} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = append(append(b, r.Cause[:]...), aggregateID[:]...)
	b = binary.BigEndian.AppendUint64(b, call)
	b = binary.BigEndian.AppendUint64(b, ordinal)
	sum := sha256.Sum256(b)

	var id uuid.UUID
	copy(id[:6], r.Cause[:6])
	copy(id[6:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Begin counts a call for a stream and returns its number, from 0. It is for
// those who append, as package aggregate does.
func (r *Reaction) Begin(tenant TenantID, aggregateType string, aggregateID uuid.UUID) (call uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = make(map[target]uint64)
	}
	t := target{tenant, aggregateType, aggregateID}
	call = r.calls[t]
	r.calls[t] = call + 1
	return call
}

// End says whether a call was made. One that was not, because the store could
// not be reached for example, gives its number back: the next is the same call,
// made again.
func (r *Reaction) End(tenant TenantID, aggregateType string, aggregateID uuid.UUID, call uint64, made bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = make(map[target]uint64)
	}
	t := target{tenant, aggregateType, aggregateID}
	switch next := r.calls[t]; {
	case made:
		r.calls[t] = max(next, call+1)
	case next == call+1:
		r.calls[t] = call
	}
}
