package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/jwtauth"
	"github.com/evident-go/evident/event"
)

// Names that a token must carry.
const (
	issuer   = "taskboard"
	audience = "taskboard"
	keyID    = "demo"
)

// lifetime is how long a token is accepted. It cannot be taken back.
const lifetime = 15 * time.Minute

//docs:begin tokens

// tokens makes tokens, and verifies them. Its key ends with the process.
type tokens struct {
	auth.Authenticator

	key ed25519.PrivateKey
}

func newTokens() (*tokens, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	verifier, err := jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.EdDSA},
		Keys:       jwtauth.Keys{{ID: keyID, Algorithm: jwtauth.EdDSA, Material: public}},
		Issuer:     issuer,
		Audience:   []string{audience},
		MaxAge:     lifetime,
	})
	return &tokens{Authenticator: verifier, key: private}, err
}

// issue makes a token that says who a person is and what they may do.
func (t *tokens) issue(p *Person, now time.Time) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": issuer, "aud": audience, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
		jwtauth.ClaimTokenID:     event.NewID().String(),
		jwtauth.ClaimSubject:     p.ID,
		jwtauth.ClaimTenant:      string(p.Tenant),
		jwtauth.ClaimRoles:       []string{p.Role},
		jwtauth.ClaimPermissions: p.Permissions,
	})
	token.Header["kid"] = keyID
	return token.SignedString(t.key)
}

//docs:end tokens

// desk is where people log in.
type desk struct {
	people   *People
	tokens   *tokens
	log      audit.Appender
	recorder *auth.Recorder
	now      func() time.Time
}

// credentials are what somebody logs in with.
type credentials struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// granted is the answer to a log-in, as OAuth has it (RFC 6749 §5.1).
type granted struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// logIn answers POST /login.
func (d *desk) logIn(r *http.Request) (answer, error) {
	var given credentials
	if err := decode(r, &given); err != nil {
		return answer{}, err
	}
	person, err := d.people.Verify(r.Context(), given.Name, given.Password)
	if recordErr := d.record(r.Context(), person, err); recordErr != nil {
		return answer{}, recordErr
	}
	if err != nil {
		return answer{}, err
	}
	token, err := d.tokens.issue(person, d.now())
	if err != nil {
		return answer{}, fmt.Errorf("make a token: %w", err)
	}
	return answer{status: http.StatusOK, body: granted{AccessToken: token, TokenType: "Bearer", ExpiresIn: int(lifetime.Seconds())}}, nil
}

//docs:begin log-in-recorded

// record writes down who logged in, or tried to: no event says that, so the
// program does. It does not help to hang up before, and what cannot be recorded
// is refused.
//
// Whoever fails is anonymous, since anybody can claim a name. If there is such a
// person the record belongs to their tenant, where administrators see it.
func (d *desk) record(ctx context.Context, person *Person, refused error) error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var err error
	switch {
	case refused == nil:
		_, err = d.log.Append(ctx, logIn(person))
	case !errors.Is(refused, ErrPassword): // nobody has looked at the password.
	case person == nil: // the name is not written down: it may be somebody's password.
		err = d.recorder.Failed(ctx, "password", &auth.CredentialError{Reason: auth.Unknown, Err: refused})
	default:
		failed := logIn(person)
		failed.ActorID, failed.Outcome, failed.Reason = event.Anonymous, audit.Failure, refused.Error()
		_, err = d.log.Append(ctx, failed)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", auth.ErrNotRecorded, err)
	}
	return nil
}

func logIn(p *Person) audit.Draft {
	return audit.Draft{
		TenantID: p.Tenant,
		ActorID:  p.ActorID(),
		OwnerID:  string(p.ActorID()),
		Action:   "log_in",
		Entity:   audit.EntityRef{Type: "User", ID: p.ID},
	}
}

//docs:end log-in-recorded
