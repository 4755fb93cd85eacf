package eventstoretest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/internal/promisetest"
)

func TestSuiteHasThePromisesOfTheInterface(t *testing.T) {
	t.Parallel()
	eventstoretest.RequireStated(t, promisetest.Stated(t, "../store.go", "Store"))
}

func TestSuitePassesASecondHandle(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, open,
		eventstoretest.Second(func(_ *testing.T, store eventstore.Store) eventstore.Store { return eventstoretest.NewFaults(store) }),
		eventstoretest.Declined(map[string]string{
			"whatever is done agrees with a model": "it takes a second and is run elsewhere",
		}))
}

func TestSuiteRunsOnABoundStore(t *testing.T) {
	t.Parallel()
	for number := 1; number <= 14; number++ {
		assert.Empty(t, eventstoretest.Failing(t, number, func(t *testing.T) eventstore.Store {
			t.Helper()
			return eventstore.BindTenant(open(t), "acme")
		}, eventstoretest.Bound("acme")), number)
	}
}

func TestDeclinedClauses(t *testing.T) {
	t.Parallel()
	const known = "close may be called twice"
	require.NoError(t, eventstoretest.Refused(eventstoretest.Declined(map[string]string{known: "once is enough"})))
	for name, declined := range map[string]map[string]string{
		"without a reason": {known: ""},
		"that is none":     {"close may be called thrice": "once is enough"},
	} {
		err := eventstoretest.Refused(eventstoretest.Declined(declined))
		var invalid *event.InvalidError
		require.ErrorAs(t, err, &invalid, name)
		assert.Equal(t, "declined", invalid.Field)
	}
	failing := eventstoretest.Failing(t, 14, func(t *testing.T) eventstore.Store {
		t.Helper()
		return &broken{Store: open(t), read: silent}
	}, eventstoretest.Declined(map[string]string{
		"every call after close says that the store is closed": "it is silent",
		"close ends reads, appends and waits in progress":      "it is silent",
	}))
	assert.Empty(t, failing, "what is declined is not run")
}
