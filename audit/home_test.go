package audit_test

import (
	"testing"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/memory"
)

// The homes in memory are the reference: what they cannot keep is a wrong promise.

func TestTheReferenceLogKeepsItsPromises(t *testing.T) {
	t.Parallel()
	audittest.RunLog(t, func(*testing.T) audittest.LogHarness {
		return audittest.LogHarness{Home: memory.NewAuditLog(audit.Config{}), NoTamper: "what it keeps is reached through it alone"}
	})
}

func TestTheReferenceFeedsKeepTheirPromises(t *testing.T) {
	t.Parallel()
	audittest.RunActivity(t, func(*testing.T) audittest.ActivityHarness {
		return audittest.ActivityHarness{Home: memory.NewUserActivity()}
	})
}
