package privacy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// How an [Officer] records what it does, and which entities are concerned.
const (
	HoldPlacedAction        = "legal_hold.placed"
	HoldReleasedAction      = "legal_hold.released"
	PseudonymCutAction      = "pseudonym.cut"
	RetentionStartedAction  = "retention.started"
	RetentionFinishedAction = "retention.finished"

	HoldEntity      = "LegalHold"
	PseudonymEntity = "Pseudonym"
	RetentionEntity = "RetentionRun"
)

// Config is what an [Officer] works with. All but Subject and Now must be given.
type Config struct {
	Pseudonyms Pseudonyms
	// Holds should be kept by the store that keeps Pseudonyms: then no cut can
	// overtake a hold on a person or a tenant that is placed at the same time.
	// One on an entity binds cuts that begin after it was placed.
	Holds Holds
	// Events is the log of events, for retention.
	Events eventstore.Store
	// Records tells who was active when, and what they had to do with. It must
	// have seen all of Events: [audit.Replay], or a home that has caught up.
	Records audit.Finder
	// Audit is the configuration of Records, by which a rule that archives tells
	// what an event is about.
	Audit audit.Config
	// Log is where everything is recorded.
	Log audit.Appender
	// Subject says as what the person behind a token stands in the log. Entities
	// are not looked at. Default [SubjectOf].
	Subject func(tenant event.TenantID, token uuid.UUID) Subject
	// Now is the time by which things are old. Default [time.Now].
	Now func() time.Time
}

// Validate refuses what is not whole. The error names the field.
func (c Config) Validate() error {
	for _, part := range []struct {
		field   string
		missing bool
	}{
		{"pseudonyms", c.Pseudonyms == nil},
		{"holds", c.Holds == nil},
		{"events", c.Events == nil},
		{"records", c.Records == nil},
		{"log", c.Log == nil},
	} {
		if part.missing {
			return &event.InvalidError{Field: part.field, Reason: "must be given"}
		}
	}
	return nil
}

// Officer places and releases holds, cuts pseudonyms and applies retention
// rules, and records all of it. Who does so must stand in the context
// ([event.WithActor]).
//
// A record comes before the deed, so that no deed goes unrecorded whatever
// crashes; only a hold is placed first and recorded then, so that it holds as
// soon as it can. All methods may be called again after a failure: what is done
// already is not done twice, nor recorded twice for the same actor and reason.
//
// An Officer is safe for concurrent use.
type Officer struct{ config Config }

// NewOfficer returns an officer. The error, an [*event.InvalidError], names the
// field.
func NewOfficer(config Config) (*Officer, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("privacy officer: %w", err)
	}
	if config.Subject == nil {
		config.Subject = SubjectOf
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Officer{config: config}, nil
}

// PersonScope returns the scope of a hold on a person, whose token it looks up.
// It is [ErrUnknown] for somebody who has none.
func (o *Officer) PersonScope(ctx context.Context, tenant event.TenantID, person string) (Scope, error) {
	token, err := o.config.Pseudonyms.TokenOf(ctx, tenant, person)
	return Scope{TenantID: tenant, Person: token}, err
}

// Place places a hold in the name of ctx's actor and records it. With an id of
// the caller's it can be called again.
func (o *Officer) Place(ctx context.Context, id uuid.UUID, scope Scope, reason string) (Hold, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return Hold{}, fmt.Errorf("place hold: %w", err)
	}
	hold, err := o.config.Holds.Place(ctx, Hold{ID: id, Scope: scope, Reason: reason, PlacedBy: actor})
	if err == nil {
		err = o.record(ctx, audit.Draft{
			ID: recordID(hold.ID, "placed", hold.PlacedBy, hold.Reason), TenantID: scope.TenantID, ActorID: hold.PlacedBy,
			Action: HoldPlacedAction, Entity: audit.EntityRef{Type: HoldEntity, ID: hold.ID.String()}, OwnerID: ownerOf(scope), Reason: hold.Reason,
			Metadata: event.Metadata{"scope": cutText(hold.Scope.String())},
		})
	}
	if err != nil {
		return hold, fmt.Errorf("place hold: %w", err)
	}
	return hold, nil
}

// Release records the end of a hold in the name of ctx's actor, and ends it.
func (o *Officer) Release(ctx context.Context, tenant event.TenantID, id uuid.UUID, reason string) (Hold, error) {
	actor, err := actorOf(ctx)
	if err == nil {
		err = CheckRelease(tenant, id, actor, reason)
	}
	if err != nil {
		return Hold{}, fmt.Errorf("release hold: %w", err)
	}
	hold, err := o.release(ctx, tenant, id, actor, reason)
	if err != nil {
		return Hold{}, fmt.Errorf("release hold: %w", err)
	}
	return hold, nil
}

func (o *Officer) release(ctx context.Context, tenant event.TenantID, id uuid.UUID, actor event.ActorID, reason string) (Hold, error) {
	hold, err := o.findHold(ctx, tenant, id)
	if err != nil {
		return Hold{}, err
	}
	if !hold.IsActive() {
		return hold, nil
	}
	err = o.record(ctx, audit.Draft{
		ID: recordID(id, "released", actor, reason), TenantID: tenant, ActorID: actor,
		Action: HoldReleasedAction, Entity: audit.EntityRef{Type: HoldEntity, ID: id.String()}, OwnerID: ownerOf(hold.Scope), Reason: reason,
		Metadata: event.Metadata{"scope": cutText(hold.Scope.String())},
	})
	if err != nil {
		return Hold{}, err
	}
	return o.config.Holds.Release(ctx, tenant, id, actor, reason)
}

func (o *Officer) findHold(ctx context.Context, tenant event.TenantID, id uuid.UUID) (Hold, error) {
	for hold, err := range o.config.Holds.List(ctx, HoldQuery{TenantID: tenant}) {
		if err != nil {
			return Hold{}, err
		}
		if hold.ID == id && hold.Scope.TenantID == tenant {
			return hold, nil
		}
	}
	return Hold{}, fmt.Errorf("hold %s: %w", id, ErrUnknown)
}

// Cut records that a person's pseudonym is cut, in the name of ctx's actor, and
// cuts it: from then on nobody can tell whose token it was. It returns the
// token, [uuid.Nil] if there was nothing to cut.
//
// A hold on the person, on their tenant or on an entity that they had to do with
// is a [*HeldError]; the attempt is recorded as denied, and nothing is cut. While
// an entity is on hold, a log that is behind is a [*BehindError]: it cannot tell
// who had to do with it.
func (o *Officer) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (uuid.UUID, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return uuid.Nil, fmt.Errorf("cut pseudonym: %w", err)
	}
	if err := CheckCut(tenant, person, reason); err != nil {
		return uuid.Nil, fmt.Errorf("cut pseudonym: %w", err)
	}
	token, err := o.config.Pseudonyms.TokenOf(ctx, tenant, person)
	if errors.Is(err, ErrUnknown) {
		return uuid.Nil, nil
	}
	if err == nil {
		err = o.cut(ctx, Pseudonym{TenantID: tenant, Token: token, Person: person}, actor, reason, o.caughtUp)
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("cut pseudonym: %w", err)
	}
	return token, nil
}

func (o *Officer) cut(ctx context.Context, p Pseudonym, actor event.ActorID, reason string, seen check) error {
	hold, err := o.holdOn(ctx, p.TenantID, p.Token, seen)
	if err != nil {
		return err
	}
	if hold != nil {
		return o.denied(ctx, p, reason, &HeldError{Hold: *hold})
	}
	draft := cutDraft(p, reason)
	draft.ID = recordID(p.Token, "cut", actor, reason)
	if err := o.record(ctx, draft); err != nil {
		return err
	}
	token, err := o.config.Pseudonyms.Cut(ctx, p.TenantID, p.Person, reason)
	if held, ok := errors.AsType[*HeldError](err); ok { // it was placed in between
		return o.denied(ctx, p, reason, held)
	}
	if err == nil && token != uuid.Nil && token != p.Token { // they were cut and came again in between
		p.Token = token
		err = o.record(ctx, cutDraft(p, reason))
	}
	return err
}

// denied records that a hold has won.
func (o *Officer) denied(ctx context.Context, p Pseudonym, reason string, held *HeldError) error {
	draft := cutDraft(p, reason)
	draft.Outcome = audit.Denied
	draft.Metadata["hold_id"] = held.Hold.ID.String()
	if err := o.record(ctx, draft); err != nil {
		return errors.Join(held, err)
	}
	return held
}

func cutDraft(p Pseudonym, reason string) audit.Draft {
	return audit.Draft{
		TenantID: p.TenantID, OwnerID: p.Token.String(), Reason: reason,
		Action: PseudonymCutAction, Entity: audit.EntityRef{Type: PseudonymEntity, ID: p.Token.String()}, Metadata: event.Metadata{},
	}
}

// record appends a record, once if it has an id. Should something else stand
// under that id, whoever put it there, it gets another: it is recorded in any case.
func (o *Officer) record(ctx context.Context, draft audit.Draft) error {
	_, err := o.config.Log.Append(ctx, draft)
	if draft.ID != uuid.Nil && errors.Is(err, audit.ErrImmutable) {
		draft.ID = uuid.Nil
		_, err = o.config.Log.Append(ctx, draft)
	}
	return err
}

// recordID names the one record of what somebody does for a reason.
func recordID(of uuid.UUID, what string, by event.ActorID, reason string) uuid.UUID {
	return uuid.NewSHA1(of, []byte(what+"\x00"+string(by)+"\x00"+reason))
}

func ownerOf(s Scope) string {
	if s.Person == uuid.Nil {
		return ""
	}
	return s.Person.String()
}

// cutText keeps a text within what metadata takes.
func cutText(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), audit.MaxMetadataString)], "") // a character may have been cut
}

// check fails unless the log has seen what it must have.
type check func(ctx context.Context) error

// holdOn returns a hold that forbids to cut a person, nil if there is none. The
// log is asked only if it has seen everything.
func (o *Officer) holdOn(ctx context.Context, tenant event.TenantID, token uuid.UUID, seen check) (*Hold, error) {
	for hold, err := range o.config.Holds.List(ctx, HoldQuery{TenantID: tenant, Active: true}) {
		if err != nil {
			return nil, err
		}
		if hold.Covers(tenant, token) {
			return &hold, nil
		}
		if hold.Scope.TenantID != tenant || hold.Scope.Entity == (audit.EntityRef{}) {
			continue
		}
		if err := seen(ctx); err != nil {
			return nil, err
		}
		if touched, err := o.touched(ctx, tenant, token, hold.Scope.Entity); err != nil || touched {
			return &hold, err
		}
	}
	return nil, nil
}

// touched reports whether a person had to do with an entity.
func (o *Officer) touched(ctx context.Context, tenant event.TenantID, token uuid.UUID, entity audit.EntityRef) (bool, error) {
	subject := o.config.Subject(tenant, token)
	for _, query := range subject.queries() {
		if query.EntityID != "" {
			continue
		}
		query.EntityType, query.EntityID = entity.Type, entity.ID
		for record, err := range o.config.Records.Find(ctx, query) {
			if err != nil {
				return false, err
			}
			if len(subject.sectionsOf(record)) > 0 {
				return true, nil
			}
		}
	}
	return false, nil
}
