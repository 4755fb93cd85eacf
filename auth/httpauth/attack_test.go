package httpauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/event"
)

func TestAttackAlgNone(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"none", "None", "nOnE", "NONE", ""} {
		s := serve(t, nil)
		head, err := json.Marshal(map[string]string{"alg": alg, "typ": "JWT", "kid": "k1"})
		require.NoError(t, err)
		payload, err := json.Marshal(claims(nil))
		require.NoError(t, err)
		b64 := base64.RawURLEncoding.EncodeToString
		s.refused(t, s.do(bearer(b64(head)+"."+b64(payload)+".")), auth.Algorithm)
	}
	s := serve(t, nil)
	s.refused(t, s.do(bearer(sign(t, "none", jwt.UnsafeAllowNoneSignatureType, "k1", claims(nil)))), auth.Algorithm)
}

func TestAttackPublicKeyAsSecret(t *testing.T) {
	t.Parallel()
	der, err := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	require.NoError(t, err)
	pkcs1 := x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)
	for _, secret := range [][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
		der, pkcs1, rsaKey().N.Bytes(),
	} {
		s := serve(t, nil)
		s.refused(t, s.do(bearer(sign(t, "HS256", secret, "k1", claims(nil)))), auth.Algorithm)
	}
}

func TestAttackExpired(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.refused(t, s.do(bearer(token(t, map[string]any{"exp": time.Now().Add(-time.Second).Unix()}))), auth.Expired)
}

func TestAttackNotYetValid(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.refused(t, s.do(bearer(token(t, map[string]any{"nbf": time.Now().Add(time.Minute).Unix()}))), auth.NotYetValid)
}

func TestAttackWrongIssuer(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.refused(t, s.do(bearer(token(t, map[string]any{"iss": "https://evil.example.com"}))), auth.Issuer)
}

func TestAttackWrongAudience(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.refused(t, s.do(bearer(token(t, map[string]any{"aud": "billing"}))), auth.Audience)
}

func TestAttackMissingExpiry(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.refused(t, s.do(bearer(token(t, map[string]any{"exp": nil}))), auth.Claims)
}

func TestAttackKeyIDWithPathOrSQL(t *testing.T) {
	t.Parallel()
	for _, kid := range []string{
		"../../../../dev/null", "/etc/passwd", "file:///dev/null", "k1/../k1", "https://evil.example.com/jwks.json",
		"k1' OR '1'='1", "x' UNION SELECT 'secret' --", "k1\x00", "k1; DROP TABLE keys", "",
		strings.Repeat("k", 4000), "k1\r\nX-Actor: root", "${jndi:ldap://evil}",
	} {
		s := serve(t, nil)
		response := s.do(bearer(sign(t, "RS256", rsaKey(), kid, claims(nil))))
		if kid == "" { // a token that names no key: there is one only, and it is signed by it
			assert.Equal(t, http.StatusNoContent, response.Code)
			continue
		}
		record := s.refused(t, response, auth.UnknownKey)
		if said, ok := record.Metadata()[auth.KeyKeyID]; ok {
			assert.Equal(t, kid, said)
			assert.NotContains(t, said, "\n")
		}
	}
}

func TestAttackHugeHeader(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	server := httptest.NewUnstartedServer(s)
	server.Config.MaxHeaderBytes = 4 << 20
	server.Start()
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+strings.Repeat("a.", 1<<19))
	response, err := server.Client().Do(r)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // it was read.
	var p httpauth.Problem
	require.NoError(t, json.NewDecoder(response.Body).Decode(&p))
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	assert.Equal(t, "The credential was refused: too large.", p.Detail)
	records := s.records(t)
	require.Len(t, records, 1)
	assert.Equal(t, string(auth.TooLarge), records[0].Metadata()[auth.KeyReason])
	assert.Less(t, len(fmt.Sprint(records[0].Draft())), 2000, "and is not in the record")
	assert.Zero(t, s.called)
}

func TestAttackTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	good := "Bearer " + token(t, nil)
	for _, header := range [][]string{
		{"Authorization", good, "Authorization", "Bearer " + token(t, map[string]any{"sub": "root"})},
		{"Authorization", good, "Authorization", good},
		{"Authorization", "Basic eDp5", "authorization", good},
		{"Authorization", good, "X-API-Key", "evk_x_y"},
	} {
		s := serve(t, nil)
		s.refused(t, s.do(request("/", header...)), auth.Ambiguous)
	}
	s := serve(t, nil)
	s.refused(t, s.do(request("/", "Authorization", good+", "+good)), auth.Malformed)
}

func TestAttackForgedActor(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	forged := `{"actor_id":"user:root","actor":"user:root","tenant_id":"evil","roles":["admin"],"on_behalf_of":"user:root"}`
	r := httptest.NewRequest(http.MethodPost, "/?actor_id=user:root&tenant_id=evil&access_token=x&actor=user:root", strings.NewReader(forged))
	for _, name := range []string{
		"X-Actor-Id", "X-Actor", "X-User", "X-User-Id", "X-Remote-User", "Remote-User", "X-Forwarded-User", "X-Tenant-Id", "X-Tenant",
		"X-On-Behalf-Of", "X-Roles", "On-Behalf-Of", "Actor",
	} {
		r.Header.Set(name, "user:root")
	}
	r.Header.Set("Cookie", "access_token="+token(t, map[string]any{"sub": "root"}))
	r.Header.Set("X-Forwarded-For", "10.0.0.1")
	anonymous := r.Clone(t.Context())

	r.Header.Set("Authorization", "Bearer "+token(t, nil))
	response := s.do(r)
	assert.Equal(t, http.StatusNoContent, response.Code)
	e, err := event.New(s.seen, created{})
	require.NoError(t, err)
	assert.Equal(t, event.User("alice"), e.ActorID)
	assert.Equal(t, event.TenantID("acme"), e.TenantID)
	assert.NotContains(t, fmt.Sprint(e.Metadata), "root")
	assert.Equal(t, "192.0.2.1", e.Metadata[audit.KeySourceAddress])
	p, _ := auth.From(s.seen)
	assert.Empty(t, p.Roles)
	assert.Empty(t, p.OnBehalfOf)
	assert.Empty(t, s.records(t), "who was let in as himself did nothing wrong")

	response = s.do(anonymous)
	assert.Equal(t, http.StatusUnauthorized, response.Code, "claims alone are no credential")
	assert.Equal(t, 1, s.called)

	response = s.do(request("/create", "Authorization", "Bearer "+token(t, nil), "X-Actor", "user:root"))
	assert.Equal(t, http.StatusForbidden, response.Code)
	records := s.records(t)
	require.Len(t, records, 1)
	assert.Equal(t, event.User("alice"), records[0].ActorID(), "what was tried is recorded with who did it")
}

type created struct{}

func (created) EventType() string { return "Created" }

func TestAttackTamperedSignature(t *testing.T) {
	t.Parallel()
	good := token(t, nil)
	parts := strings.Split(good, ".")
	forged, err := json.Marshal(claims(map[string]any{"sub": "root"}))
	require.NoError(t, err)
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	for i := range 16 { // one bit, here and there
		altered := bytes.Clone(signature)
		altered[i*15] ^= 1 << (i % 8)
		s := serve(t, nil)
		s.refused(t, s.do(bearer(parts[0]+"."+parts[1]+"."+base64.RawURLEncoding.EncodeToString(altered))), auth.Signature)
	}
	for _, text := range []string{
		parts[0] + "." + base64.RawURLEncoding.EncodeToString(forged) + "." + parts[2],
		parts[0] + "." + parts[1] + ".",
		parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature[:100]),
	} {
		s := serve(t, nil)
		record := s.refused(t, s.do(bearer(text)), auth.Signature)
		assert.NotContains(t, fmt.Sprint(record.Draft()), parts[1], "the token is not in the record")
		for _, entry := range s.logs.All() {
			assert.NotContains(t, fmt.Sprint(entry.ContextMap()), parts[1], "nor in the logs")
		}
	}
}

func TestAttackKeyOfWrongType(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for algorithm, key := range map[string]any{"ES256": ec, "RS384": rsaKey(), "PS256": rsaKey()} {
		s := serve(t, nil)
		s.refused(t, s.do(bearer(sign(t, algorithm, key, "k1", claims(nil)))), auth.Algorithm)
	}
	s := serve(t, nil)
	s.refused(t, s.do(bearer(sign(t, "RS256", other, "k1", claims(nil)))), auth.Signature)
}

// Another key inside of the token, or the address of one, is not looked at.
func TestAttackKeyInToken(t *testing.T) {
	t.Parallel()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	fetched := false
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched = true }))
	defer evil.Close()
	text := jwt.NewWithClaims(jwt.SigningMethodRS256, claims(nil))
	text.Header["kid"], text.Header["jku"], text.Header["x5u"] = "k1", evil.URL, evil.URL
	text.Header["jwk"] = map[string]string{"kty": "RSA", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(other.N.Bytes())}
	signed, err := text.SignedString(other)
	require.NoError(t, err)
	s := serve(t, nil)
	s.refused(t, s.do(bearer(signed)), auth.Signature)
	assert.False(t, fetched)
}

func TestAttackTokenOfAnotherTenant(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	repo, err := auth.NewRepository(auth.RepositoryConfig[note]{
		Repository: aggregate.NewRepository[note](s.store, notes), Type: "Note", Recorder: recorder,
		Owner: func(n *note) event.ActorID { return n.State().Owner },
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /{id}", func(w http.ResponseWriter, r *http.Request) {
		err := repo.Create(r.Context(), uuid.MustParse(r.PathValue("id")), func(n *note) error { return n.Emit(r.Context(), created{}) })
		if err != nil {
			httpauth.WriteProblem(w, r, err)
		}
	})
	mux.HandleFunc("GET /{id}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := repo.Load(r.Context(), uuid.MustParse(r.PathValue("id"))); err != nil {
			httpauth.WriteProblem(w, r, err)
		}
	})
	s.Handler = s.middleware.Handler(mux)
	id := event.NewID()
	do := func(method string, change map[string]any) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/"+id.String()+"?tenant_id=acme", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token(t, change))
		r.Header.Set("X-Tenant-Id", "acme")
		return s.do(r)
	}
	require.Equal(t, http.StatusOK, do(http.MethodPut, nil).Code)
	require.Equal(t, http.StatusOK, do(http.MethodGet, nil).Code)

	p := body(t, do(http.MethodGet, map[string]any{"tenant_id": "evil", "roles": []string{"admin"}}))
	assert.Equal(t, http.StatusNotFound, p.Status, "for another tenant it does not exist")
	assert.Equal(t, httpauth.CodeNotFound, p.Code)
	p = body(t, do(http.MethodGet, map[string]any{"sub": "bob"}))
	assert.Equal(t, http.StatusForbidden, p.Status, "within the tenant it is not allowed")

	var denials []audit.ActivityRecord
	for record, err := range s.log.ByAction(t.Context(), auth.ActionDenied, audit.Page{OldestFirst: true}) {
		require.NoError(t, err)
		denials = append(denials, record)
	}
	require.Len(t, denials, 2)
	assert.Equal(t, event.TenantID("evil"), denials[0].TenantID())
	assert.Equal(t, audit.Aggregate("Note", id), denials[0].Entity())
	assert.Equal(t, event.User("bob"), denials[1].ActorID())
}

type noteState struct{ Owner event.ActorID }

var notes = aggregate.Define("Note", aggregate.On(func(s *noteState, e event.Of[created]) { s.Owner = e.ActorID }))

type note struct {
	aggregate.AggregateRoot[noteState]
}
