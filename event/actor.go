package event

import (
	"strings"
)

// ActorID says who or what caused an event, as "kind:name". The zero value
// means that nobody was named, which is different from [Anonymous]: somebody
// who did not say who they are.
//
// An id should be opaque: it is stored for ever in places that cannot be
// edited. [ActorID.Lint] warns of personal data.
type ActorID string

// Anonymous is the actor of whoever did not authenticate.
const Anonymous ActorID = "anonymous"

// The kinds of actor, the part of an [ActorID] before the colon.
const (
	KindUser      = "user"
	KindService   = "service"
	KindAPI       = "api"
	KindSystem    = "system"
	KindCron      = "cron"
	KindWebhook   = "webhook"
	KindImport    = "import"
	KindAnonymous = "anonymous"
)

// User is a person who authenticated, for example "user:550e8400-…".
func User(id string) ActorID { return ActorID(KindUser + ":" + id) }

// Service is another program with an account of its own, for example
// "service:payment-processor".
func Service(name string) ActorID { return ActorID(KindService + ":" + name) }

// API is whoever holds an API key, for example "api:key_abc123".
func API(keyID string) ActorID { return ActorID(KindAPI + ":" + keyID) }

// System is a process of the system itself, for example "system:daily-cleanup".
func System(process string) ActorID { return ActorID(KindSystem + ":" + process) }

// Cron is a scheduled job, for example "cron:expire-sessions".
func Cron(job string) ActorID { return ActorID(KindCron + ":" + job) }

// Webhook is a call from outside, for example "webhook:stripe".
func Webhook(source string) ActorID { return ActorID(KindWebhook + ":" + source) }

// Import is a bulk load, for example "import:csv-batch-42".
func Import(source string) ActorID { return ActorID(KindImport + ":" + source) }

// ParseActorID checks s and returns it as an actor id. The empty string is
// refused here; it is valid only as the zero value. Errors are [*InvalidError]
// and [*TooLargeError] for the field "actor_id".
func ParseActorID(s string) (ActorID, error) {
	if s == "" {
		return "", &InvalidError{Field: "actor_id", Reason: "must not be empty; use event.Anonymous for an actor who is not known"}
	}
	a := ActorID(s)
	if err := a.Validate(); err != nil {
		return "", err
	}
	return a, nil
}

// Kind returns the part before the colon, or "" for the zero value.
func (a ActorID) Kind() string {
	kind, _, _ := strings.Cut(string(a), ":")
	return kind
}

// Name returns the part after the first colon. It is empty for [Anonymous].
func (a ActorID) Name() string {
	_, name, _ := strings.Cut(string(a), ":")
	return name
}

// Validate reports whether a is the zero value, [Anonymous], or one of the
// known kinds with a name that is not blank. Kinds are a closed list, so that
// a mistyped one cannot hide somebody's actions from a search by kind.
func (a ActorID) Validate() error {
	if a == "" || a == Anonymous {
		return nil
	}
	kind, name, found := strings.Cut(string(a), ":")
	if !found || !knownKind(kind) {
		return &InvalidError{
			Field: "actor_id", Value: shorten(strings.ToValidUTF8(string(a), "\uFFFD")),
			Reason: `must be "anonymous" or start with user:, service:, api:, system:, cron:, webhook: or import:`,
		}
	}
	if strings.TrimSpace(name) == "" {
		return &InvalidError{Field: "actor_id", Value: shorten(string(a)), Reason: "has no name after the colon"}
	}
	return validateText("actor_id", string(a), MaxActorBytes)
}

func knownKind(kind string) bool {
	switch kind {
	case KindUser, KindService, KindAPI, KindSystem, KindCron, KindWebhook, KindImport:
		return true
	default:
		return false
	}
}

// Lint returns what is unwise about an id that is valid: today, one that
// looks like an e-mail address. It returns nil for an opaque id.
func (a ActorID) Lint() []string {
	if hasEmailAddress(string(a)) {
		return []string{"actor id " + shorten(string(a)) + " looks like an e-mail address: use an opaque id, events cannot be edited later"}
	}
	return nil
}

// hasEmailAddress finds "local@domain.tld", written out or percent-encoded.
func hasEmailAddress(s string) bool {
	local, domain, found := strings.Cut(strings.ReplaceAll(strings.ToLower(s), "%40", "@"), "@")
	if !found || local == "" || strings.HasSuffix(local, ":") {
		return false
	}
	dot := strings.LastIndexByte(domain, '.')
	return dot > 0 && dot < len(domain)-1
}
