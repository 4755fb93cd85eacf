package privacy

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Likeness is what an id that should be opaque looks like.
type Likeness string

// What ids look like that tell who somebody is.
const (
	LikeEmail   Likeness = "e-mail address"
	LikePhone   Likeness = "telephone number"
	LikeAddress Likeness = "network address"
	LikeName    Likeness = "name" // "Jane Doe", "jane.doe"
)

// LooksLike says what an id gives away, "" if it looks opaque. It is a guess,
// made from the form alone: a word on its own, such as "alice", passes, and so
// does every number without a plus sign.
func LooksLike(id string) Likeness {
	switch {
	case len(event.ActorID(id).Lint()) > 0:
		return LikeEmail
	case isPhone(id):
		return LikePhone
	case isNetworkAddress(id):
		return LikeAddress
	case isName(id):
		return LikeName
	default:
		return ""
	}
}

func isPhone(id string) bool {
	digits, ok := strings.CutPrefix(strings.TrimPrefix(id, "tel:"), "+")
	if !ok {
		return false
	}
	n := 0
	for _, r := range digits {
		switch {
		case r >= '0' && r <= '9':
			n++
		case !strings.ContainsRune(" -./()", r):
			return false
		}
	}
	return n >= 7 && n <= 15
}

func isNetworkAddress(id string) bool {
	_, err := netip.ParseAddr(id)
	return err == nil
}

// isName reports whether an id is two to four words, all letters, with capitals
// or with nothing but dots between: "Jane Doe", "DOE, Jane", "jane.doe".
func isName(id string) bool {
	words := strings.FieldsFunc(id, func(r rune) bool { return strings.ContainsRune(" ._,-", r) })
	if len(words) < 2 || len(words) > 4 {
		return false
	}
	capitals := 0
	for i, word := range words {
		if strings.IndexFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' && r != '’' }) >= 0 {
			return false
		}
		letters := []rune(word)
		if len(letters) == 1 && i == len(words)-1 { // initials stand in front
			return false
		}
		if first := letters[0]; unicode.IsUpper(first) || unicode.Is(unicode.Lo, first) {
			capitals++
		}
	}
	dotted := !strings.ContainsAny(id, " _,-")
	return capitals == len(words) || capitals == 0 && dotted
}

// NotOpaqueError says which field has an id that tells who somebody is. The id
// is not in it, so that the error can be logged.
type NotOpaqueError struct {
	Field string
	Like  Likeness
}

// Error implements error.
func (e *NotOpaqueError) Error() string {
	return fmt.Sprintf("%s looks like a %s: use an opaque id, such as a token of privacy.Pseudonyms; the log cannot be edited later", e.Field, e.Like)
}

// Is reports whether target is [ErrNotOpaque].
func (e *NotOpaqueError) Is(target error) bool { return target == ErrNotOpaque }

// RequireOpaque returns a hook that refuses records whose actor, on-behalf-of,
// owner or entity id tells who somebody is. The error is a [*NotOpaqueError].
//
// It sees what is appended to an [audit.Log]. Events of aggregates do not pass
// it: [Lint] finds those, afterwards.
func RequireOpaque() audit.BeforeAppend {
	return func(_ context.Context, d *audit.Draft) error {
		for _, id := range identifiers(d.ActorID, d.OnBehalfOf, d.OwnerID, d.Entity.ID) {
			if like := id.like(); like != "" {
				return &NotOpaqueError{Field: id.field, Like: like}
			}
		}
		return nil
	}
}

// identifier is an id in a record that may be a person's.
type identifier struct {
	field, kind, name string
}

// identifiers returns those of a record. Of actors and owners the kind is split off.
func identifiers(actor, behalf event.ActorID, owner, entity string) []identifier {
	return []identifier{
		split("actor_id", string(actor)), split("on_behalf_of", string(behalf)), split("owner_id", owner),
		{field: "entity.id", kind: "entity", name: entity},
	}
}

func split(field, id string) identifier {
	if kind, name, found := strings.Cut(id, ":"); found {
		return identifier{field: field, kind: kind, name: name}
	}
	return identifier{field: field, kind: event.KindUser, name: id}
}

// like leaves alone what looks like a name but is no person's: services and
// things have names.
func (id identifier) like() Likeness {
	like := LooksLike(id.name)
	if like == LikeName && id.kind != event.KindUser {
		return ""
	}
	if like == LikeAddress && id.kind == "entity" {
		return ""
	}
	return like
}
