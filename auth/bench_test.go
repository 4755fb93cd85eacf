package auth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/auth"
)

func BenchmarkRequire(b *testing.B) {
	ctx := auth.With(b.Context(), alice)
	b.ReportAllocs()
	for b.Loop() {
		if err := auth.Require(ctx, "task:create"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEnterWithAPIKey(b *testing.B) {
	keys, err := auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{})
	require.NoError(b, err)
	text, _, err := keys.Issue(b.Context(), auth.Principal{}, time.Time{})
	require.NoError(b, err)
	recorder, err := auth.NewRecorder(&logbook{}, auth.RecorderConfig{})
	require.NoError(b, err)
	gate, err := auth.NewGate(auth.GateConfig{APIKey: keys, Recorder: recorder})
	require.NoError(b, err)
	arrival := auth.Arrival{Peer: "192.0.2.1:1234", RequestID: []string{"r1"}, Traceparent: []string{traceparent}, UserAgent: "curl/8"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gate.Enter(b.Context(), arrival, auth.Presented{APIKey: []string{text}}); err != nil {
			b.Fatal(err)
		}
	}
}

// A flood that is counted, and not stored.
func BenchmarkFlood(b *testing.B) {
	recorder, err := auth.NewRecorder(&logbook{}, auth.RecorderConfig{Burst: 1, Window: time.Hour})
	require.NoError(b, err)
	ctx := fromAddress(b.Context(), "192.0.2.1")
	refused := &auth.CredentialError{Reason: auth.Signature}
	b.ReportAllocs()
	for b.Loop() {
		if err := recorder.Failed(ctx, "bearer", refused); err != nil {
			b.Fatal(err)
		}
	}
}
