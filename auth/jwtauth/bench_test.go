package jwtauth_test

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/auth/jwtauth"
)

func BenchmarkAuthenticate(b *testing.B) {
	for _, algorithm := range []string{jwtauth.HS256, jwtauth.RS256, jwtauth.ES256, jwtauth.EdDSA} {
		b.Run(algorithm, func(b *testing.B) {
			p := pairs()[algorithm]
			text := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), claims(nil))
			text.Header["kid"] = p.ID
			signed, err := text.SignedString(p.private)
			require.NoError(b, err)
			a, err := jwtauth.New(config(algorithm))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), signed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
