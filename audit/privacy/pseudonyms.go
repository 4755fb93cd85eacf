package privacy

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Limits, in bytes of UTF-8.
const (
	MaxPersonBytes = 512 // a person's own id
	MaxReasonBytes = 500 // of a cut or a hold
)

// Pseudonyms is the table that says which token in the log is which person. It
// is kept apart from the log, and its rows can be cut.
//
// Every such table makes these promises:
//
//  1. One token. A person of a tenant has one token at a time: TokenFor makes
//     it once, however many ask for it at once, and answers the same until it
//     is cut.
//  2. Opaque. A token is a random UUID. It is never handed out again, not after
//     a cut either.
//  3. Both ways. TokenOf and PersonOf lead from one to the other, exactly as
//     the person was written: persons whose ids differ by case, trailing space
//     or Unicode form are different.
//  4. Cut. Afterwards nothing that the table holds tells whose token it was,
//     not even whether a given person ever had one. The token stays as a
//     tombstone, with the time and the reason. Whoever comes again gets a new
//     token.
//  5. Idempotent. A cut of somebody who has no token changes nothing, and says
//     so by answering with no token.
//  6. Holds win. Whoever is under a hold that the same store keeps, personally
//     or with the whole tenant, is not cut: that is a [*HeldError]. The hold is
//     looked at in one step with the cut.
//  7. Tenants. Equal persons of two tenants have different tokens, and a token
//     of another tenant is unknown.
//  8. Listing is streamed, in the order of tokens, with the last token as
//     cursor. A break releases everything; an error is yielded once and ends it.
//  9. Bad input is refused before anything is stored, with an error that names
//     the field.
//
// A new token after a cut is the one policy there can be: to refuse a person who
// was cut, something would have to be kept by which to know them again.
//
// All methods are safe for concurrent use. Errors besides those stated are the
// store's own.
type Pseudonyms interface {
	// TokenFor returns the person's token, and makes one if there is none.
	TokenFor(ctx context.Context, tenant event.TenantID, person string) (uuid.UUID, error)
	// TokenOf returns the person's token, or [ErrUnknown].
	TokenOf(ctx context.Context, tenant event.TenantID, person string) (uuid.UUID, error)
	// PersonOf returns whose token it is, [ErrUnknown], or a [*CutError].
	PersonOf(ctx context.Context, tenant event.TenantID, token uuid.UUID) (string, error)
	// Cut removes the person from the table and returns the token that was
	// theirs, [uuid.Nil] if they had none. The reason is kept; one that names the
	// person is refused. Recording the cut is the caller's business: see [Officer.Cut].
	Cut(ctx context.Context, tenant event.TenantID, person, reason string) (uuid.UUID, error)
	// List yields the pseudonyms that match query.
	List(ctx context.Context, query PseudonymQuery) iter.Seq2[Pseudonym, error]
}

// Pseudonym is one row of the table.
type Pseudonym struct {
	TenantID  event.TenantID
	Token     uuid.UUID
	Person    string // "" once it was cut
	CreatedAt time.Time
	CutAt     time.Time // zero until it is cut
	Reason    string    // of the cut
}

// State says whether a pseudonym leads to a person.
type State uint8

// The states. As a condition the zero value matches both.
const (
	Whole State = iota + 1
	Cut
)

// State returns whether p leads to a person.
func (p Pseudonym) State() State {
	if p.CutAt.IsZero() {
		return Whole
	}
	return Cut
}

// PseudonymQuery selects pseudonyms. The zero value is all of them.
type PseudonymQuery struct {
	TenantID event.TenantID // "" for those of all tenants and of none
	State    State
	After    uuid.UUID // only tokens above this, byte by byte
	Limit    int       // how many at the most; 0 for no limit
}

// Validate refuses what nothing can match. The error names the field.
func (q PseudonymQuery) Validate() error {
	if q.Limit < 0 {
		return &event.InvalidError{Field: "limit", Reason: "must not be negative; 0 means no limit"}
	}
	if q.State > Cut {
		return &event.InvalidError{Field: "state", Reason: "must be privacy.Whole or privacy.Cut, or 0 for both"}
	}
	return q.TenantID.Validate()
}

// Matches reports whether p meets every condition. The limit is not looked at.
func (q PseudonymQuery) Matches(p Pseudonym) bool {
	return (q.TenantID == "" || p.TenantID == q.TenantID) &&
		(q.State == 0 || p.State() == q.State) &&
		bytes.Compare(p.Token[:], q.After[:]) > 0
}

// CheckPerson says whether a person may be called so; it is the first thing
// that a table does. The error names the field.
func CheckPerson(tenant event.TenantID, person string) error {
	if err := tenant.Validate(); err != nil {
		return err
	}
	if person == "" {
		return &event.InvalidError{Field: "person", Reason: "must not be empty"}
	}
	return event.ValidateText("person", person, MaxPersonBytes)
}

// CheckToken is [CheckPerson] for the way back.
func CheckToken(tenant event.TenantID, token uuid.UUID) error {
	if token == uuid.Nil {
		return &event.InvalidError{Field: "token", Reason: "must be set"}
	}
	return tenant.Validate()
}

// CheckCut is [CheckPerson] for a cut, whose reason outlives the person's name.
func CheckCut(tenant event.TenantID, person, reason string) error {
	if err := CheckPerson(tenant, person); err != nil {
		return err
	}
	if err := checkReason("reason", reason); err != nil {
		return err
	}
	if namesPerson(reason, person) {
		return &event.InvalidError{Field: "reason", Reason: "must not name the person: it is kept when the name is gone"}
	}
	return nil
}

// namesPerson reports whether a text has a person's id as words of its own. Ids
// of up to three characters are in too many texts.
func namesPerson(text, person string) bool {
	text, person = strings.ToLower(text), strings.ToLower(person)
	if utf8.RuneCountInString(person) < 4 {
		return false
	}
	for {
		before, after, found := strings.Cut(text, person)
		if !found {
			return false
		}
		last, _ := utf8.DecodeLastRuneInString(before)
		first, _ := utf8.DecodeRuneInString(after)
		if !isWordly(last) && !isWordly(first) {
			return true
		}
		text = after
	}
}

func isWordly(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

func checkReason(field, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return &event.InvalidError{Field: field, Reason: "must say why"}
	}
	return event.ValidateText(field, reason, MaxReasonBytes)
}

// NewToken returns a token for a new row: random, with nothing in it that tells
// when it was made.
func NewToken() (uuid.UUID, error) {
	token, err := uuid.NewRandom()
	if err != nil {
		return uuid.Nil, fmt.Errorf("make token: %w", err)
	}
	return token, nil
}
