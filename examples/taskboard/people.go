package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"golang.org/x/time/rate"

	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Person is somebody who may log in. The actor's id says nothing about the
// person: it is stored for ever, and a name can change.
type Person struct {
	Name        string
	ID          string // of the actor, without its kind
	Tenant      event.TenantID
	Role        string
	Permissions []auth.Permission

	salt, hash []byte // of the password
}

// ActorID is who acts when this person does.
func (p *Person) ActorID() event.ActorID { return event.User(p.ID) }

// The roles of the demo. Only that of administrators means something to the
// guarded repositories; what the others may do, their permissions say.
const (
	roleMember  = "member"
	roleAuditor = "auditor"
)

// cast is everybody who may log in, in two tenants.
func cast() []*Person {
	member := []auth.Permission{MayRead, MayCreate}
	auditor := []auth.Permission{MayRead, audithttp.Read, audithttp.Export}
	admin := []auth.Permission{MayRead, MayCreate, audithttp.Read, audithttp.Export, audithttp.Write}
	return []*Person{
		{Name: "ada", ID: "7f31", Tenant: "acme", Role: auth.RoleAdmin, Permissions: admin},
		{Name: "bob", ID: "2c90", Tenant: "acme", Role: roleMember, Permissions: member},
		{Name: "dan", ID: "51ae", Tenant: "acme", Role: roleMember, Permissions: member},
		{Name: "eve", ID: "b804", Tenant: "acme", Role: roleAuditor, Permissions: auditor},
		{Name: "gus", ID: "e6d2", Tenant: "globex", Role: auth.RoleAdmin, Permissions: admin},
	}
}

// People are those who may log in. It is safe for concurrent use.
type People struct {
	everybody []*Person
	byName    map[string]*Person
	rounds    int // how often a password is hashed
	hashing   chan struct{}
	seed      maphash.Seed
	attempts  [1024]*rate.Limiter // by a hash of the name, so that there are never more
}

// What a log-in is refused for.
var (
	ErrPassword = errors.New("name or password is wrong")
	ErrTooOften = errors.New("too many attempts to log in")
	ErrStranger = errors.New("nobody of your tenant has this name")
)

// newPeople gives everybody a password, which is nowhere but in what it returns.
func newPeople(rounds int) (*People, map[string]string, error) {
	people := &People{
		everybody: cast(), byName: map[string]*Person{}, rounds: rounds,
		hashing: make(chan struct{}, 1), seed: maphash.MakeSeed(),
	}
	for i := range people.attempts {
		people.attempts[i] = rate.NewLimiter(rate.Every(attemptPause), attemptBurst)
	}
	passwords := map[string]string{}
	for _, p := range people.everybody {
		password := rand.Text()
		p.salt = []byte(rand.Text())
		var err error
		if p.hash, err = people.hashed(password, p.salt); err != nil {
			return nil, nil, err
		}
		people.byName[p.Name], passwords[p.Name] = p, password
	}
	return people, passwords, nil
}

// defaultRounds make a guess expensive: it takes about 0.1 s, here and for
// whoever has stolen the hashes.
const defaultRounds = 600_000

func (p *People) hashed(password string, salt []byte) ([]byte, error) {
	return pbkdf2.Key(sha256.New, password, salt, p.rounds, sha256.Size)
}

// How often somebody may try to log in: so many times, and then after a pause.
const (
	attemptBurst = 5
	attemptPause = 10 * time.Second
)

// Verify returns whose name and password these are. Beside [ErrPassword] it
// returns whose name it is, or nil: for the record, not for the caller.
//
// A name that nobody has is treated as any other, and takes as long: nobody can
// find out who there is. One hash is made at a time, so that attempts cannot
// take all processors.
func (p *People) Verify(ctx context.Context, name, password string) (*Person, error) {
	known, there := p.byName[name]
	if !p.attempts[maphash.String(p.seed, name)%uint64(len(p.attempts))].Allow() {
		return known, ErrTooOften
	}
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
	case <-ctx.Done():
		return known, ctx.Err()
	}
	person := known
	if !there {
		person = &Person{} // has no hash, which is that of no password.
	}
	hash, err := p.hashed(password, person.salt)
	if err != nil {
		return known, fmt.Errorf("log in: %w", err)
	}
	if subtle.ConstantTimeCompare(hash, person.hash) != 1 {
		return known, ErrPassword
	}
	return known, nil
}

// Colleague returns somebody of the tenant of whoever acts.
func (p *People) Colleague(ctx context.Context, name string) (event.ActorID, error) {
	person, ok := p.byName[name]
	if !ok || person.Tenant != event.TenantFrom(ctx) {
		return "", ErrStranger
	}
	return person.ActorID(), nil
}
