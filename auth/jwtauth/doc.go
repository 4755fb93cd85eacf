// Package jwtauth verifies JSON Web Tokens.
//
// An [Authenticator] accepts what its [Config] pins and nothing else:
// algorithms, keys, issuer, audience. A key belongs to one algorithm, so that
// no token can choose how a key is used. Keys are given ([Keys]), or fetched
// from an issuer's JWK Set ([JWKS]).
//
//	issuer, err := jwtauth.NewJWKS(jwtauth.JWKSConfig{URL: "https://id.example.com/jwks.json"})
//	…
//	tokens, err := jwtauth.New(jwtauth.Config{
//		Algorithms: []string{jwtauth.RS256},
//		Keys:       issuer,
//		Issuer:     "https://id.example.com",
//		Audience:   []string{"taskboard"},
//	})
package jwtauth
