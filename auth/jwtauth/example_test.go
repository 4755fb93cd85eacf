package jwtauth_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/jwtauth"
)

func Example() {
	secret := []byte("a secret of at least 32 bytes, please")
	tokens, err := jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.HS256},
		Keys:       jwtauth.Keys{{ID: "2026-05", Algorithm: jwtauth.HS256, Material: secret}},
		Issuer:     "https://id.example.com",
		Audience:   []string{"taskboard"},
		Leeway:     10 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token := func(expires time.Time) string {
		t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"iss": "https://id.example.com", "aud": "taskboard", "sub": "alice", "tenant_id": "acme",
			"scope": "task:read task:create", "exp": expires.Unix(),
		})
		t.Header["kid"] = "2026-05"
		text, err := t.SignedString(secret)
		if err != nil {
			fmt.Println(err)
		}
		return text
	}
	p, err := tokens.Authenticate(context.Background(), token(time.Now().Add(time.Hour)))
	fmt.Println(p.ActorID, p.TenantID, p.Permissions, err)

	_, err = tokens.Authenticate(context.Background(), token(time.Now().Add(-time.Hour)))
	if refused, ok := errors.AsType[*auth.CredentialError](err); ok {
		fmt.Println(refused.Reason)
	}
	// Output:
	// user:alice acme [task:read task:create] <nil>
	// expired
}

func ExampleNewJWKS() {
	issuer, err := jwtauth.NewJWKS(jwtauth.JWKSConfig{URL: "https://id.example.com/.well-known/jwks.json"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.RS256, jwtauth.ES256},
		Keys:       issuer, // fetched when the first token comes
		Issuer:     "https://id.example.com",
		Audience:   []string{"taskboard"},
	})
	fmt.Println(err)

	_, err = jwtauth.NewJWKS(jwtauth.JWKSConfig{URL: "http://id.example.com/jwks.json"})
	fmt.Println(err)
	// Output:
	// <nil>
	// jwks config: invalid url: must be an https address, or an http address on this machine
}
