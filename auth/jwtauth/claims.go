package jwtauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Method is the [auth.Principal]'s Method of whoever was authenticated by a token.
const Method = "jwt"

// Names of the claims that [DefaultPrincipal] reads.
const (
	ClaimSubject     = "sub"
	ClaimTenant      = "tenant_id"
	ClaimScope       = "scope"       // text with spaces between (RFC 8693 §4.2)
	ClaimPermissions = "permissions" // list
	ClaimRoles       = "roles"       // list
	ClaimTokenID     = "jti"
	ClaimSession     = "sid"
	ClaimActor       = "act" // object with a "sub" of its own (RFC 8693 §4.1)
)

// Claims are what a verified token says, as JSON has it.
type Claims map[string]any

// Text returns a claim that is a text, "" if it is not there.
func (c Claims) Text(name string) (string, error) {
	value, there := c[name]
	text, ok := value.(string)
	if there && !ok {
		return "", c.wrong(name, "a text")
	}
	return text, nil
}

// Texts returns a claim that is a list of texts, nil if it is not there or
// null, as which Go writes a list that is nil.
func (c Claims) Texts(name string) ([]string, error) {
	value := c[name]
	list, ok := value.([]any)
	if value != nil && !ok {
		return nil, c.wrong(name, "a list")
	}
	var texts []string
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, c.wrong(name, "a list of texts")
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// Object returns a claim that has claims of its own, nil if it is not there.
func (c Claims) Object(name string) (Claims, error) {
	value, there := c[name]
	object, ok := value.(map[string]any)
	if there && !ok {
		return nil, c.wrong(name, "an object")
	}
	return object, nil
}

func (c Claims) wrong(name, want string) error {
	return &event.InvalidError{Field: name, Reason: fmt.Sprintf("must be %s", want)}
}

// DefaultPrincipal says who a token is by the claims that are usual. The
// subject is "user:<sub>". If another party acts for the subject (RFC 8693),
// that one is the actor, "user:<act.sub>", and the subject is who it acts for;
// earlier actors of a chain are not looked at. Permissions are those of scope
// and permissions together.
//
// A claim of another JSON type than expected is an error, never left out.
func DefaultPrincipal(claims Claims) (auth.Principal, error) {
	texts := make(map[string]string)
	for _, name := range []string{ClaimSubject, ClaimTenant, ClaimScope, ClaimTokenID, ClaimSession} {
		text, err := claims.Text(name)
		if err != nil {
			return auth.Principal{}, err
		}
		texts[name] = text
	}
	if texts[ClaimSubject] == "" {
		return auth.Principal{}, &event.InvalidError{Field: ClaimSubject, Reason: "must be given"}
	}
	roles, rolesErr := claims.Texts(ClaimRoles)
	permissions, permissionsErr := claims.Texts(ClaimPermissions)
	p := auth.Principal{
		ActorID: event.User(texts[ClaimSubject]), TenantID: event.TenantID(texts[ClaimTenant]), Roles: roles,
		Method: Method, TokenID: texts[ClaimTokenID], SessionID: texts[ClaimSession],
	}
	for _, permission := range append(strings.Fields(texts[ClaimScope]), permissions...) {
		p.Permissions = append(p.Permissions, auth.Permission(permission))
	}
	if err := errors.Join(rolesErr, permissionsErr, delegated(&p, claims)); err != nil {
		return auth.Principal{}, err
	}
	return p, nil
}

// delegated makes the acting party the actor.
func delegated(p *auth.Principal, claims Claims) error {
	acting, err := claims.Object(ClaimActor)
	if err != nil || acting == nil {
		return err
	}
	subject, err := acting.Text(ClaimSubject)
	if err != nil || subject == "" {
		return &event.InvalidError{Field: ClaimActor + "." + ClaimSubject, Reason: "must be a text that is not empty"}
	}
	p.ActorID, p.OnBehalfOf = event.User(subject), p.ActorID
	return nil
}
