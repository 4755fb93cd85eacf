package aggregatetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// Outcome is what became of a scenario. Its methods fail the test if it is not
// what they say, and return it, so that several can be asked of one outcome.
type Outcome[A, S any] struct {
	// Aggregate is what was acted on, for checks of your own.
	Aggregate *A
	// Err is what the action returned.
	Err error

	t          TB
	definition *aggregate.Definition[S]
	root       aggregate.Root
}

// Then expects that the action succeeded and that exactly these events were
// emitted, in this order.
func (o *Outcome[A, S]) Then(want ...event.Payload) *Outcome[A, S] {
	o.t.Helper()
	if o.succeeded() {
		o.compare(want)
	}
	return o
}

// ThenNothing expects that the action succeeded and emitted nothing.
func (o *Outcome[A, S]) ThenNothing() *Outcome[A, S] {
	o.t.Helper()
	return o.Then()
}

// ThenError expects that the action failed with target, as [errors.Is] sees
// it, and emitted nothing.
func (o *Outcome[A, S]) ThenError(target error) *Outcome[A, S] {
	o.t.Helper()
	switch {
	case o.Err == nil:
		o.t.Errorf("then: want error: %v\ngot: %s", target, o.described())
	case !errors.Is(o.Err, target):
		o.t.Errorf("then: want error: %v\ngot error: %v", target, o.Err)
	default:
		o.compare(nil)
	}
	return o
}

// ThenState expects that the action succeeded and that the state is want
// afterwards.
func (o *Outcome[A, S]) ThenState(want S) *Outcome[A, S] {
	o.t.Helper()
	if !o.succeeded() {
		return o
	}
	root, ok := o.root.(interface{ State() S })
	if !ok {
		o.t.Errorf("then: %T has a State method of its own", o.Aggregate)
		return o
	}
	if diff := difference(want, root.State()); diff != "" {
		o.t.Errorf("then: state differs (-want +got):\n%s", diff)
	}
	return o
}

// ThenEvents gives the events that were emitted to check, for example to look
// at their actor or metadata.
func (o *Outcome[A, S]) ThenEvents(check func(events []event.Event)) *Outcome[A, S] {
	o.t.Helper()
	if o.succeeded() {
		check(o.root.Pending())
	}
	return o
}

func (o *Outcome[A, S]) succeeded() bool {
	o.t.Helper()
	if o.Err != nil {
		o.t.Errorf("then: unexpected error: %v", o.Err)
	}
	return o.Err == nil
}

func (o *Outcome[A, S]) compare(want []event.Payload) {
	o.t.Helper()
	got, err := o.emitted()
	if err != nil {
		o.t.Errorf("then: %v", err)
		return
	}
	if diff := difference(values(want), values(got)); diff != "" {
		o.t.Errorf("then: events differ (-want +got):\n%s", diff)
	}
}

// emitted returns the payloads as a store would give them back.
func (o *Outcome[A, S]) emitted() ([]event.Payload, error) {
	var payloads []event.Payload
	for _, e := range o.root.Pending() {
		p, err := o.definition.Decode(e)
		if err != nil {
			return nil, fmt.Errorf("what was emitted cannot be read again: %w", err)
		}
		payloads = append(payloads, p...)
	}
	return payloads, nil
}

func (o *Outcome[A, S]) described() string {
	events := o.root.Pending()
	if len(events) == 0 {
		return "success, nothing emitted"
	}
	types := make([]string, len(events))
	for i, e := range events {
		types[i] = e.Type
	}
	return "success, emitted " + strings.Join(types, ", ")
}

// values takes pointers to payloads for what they point to.
func values(payloads []event.Payload) []any {
	list := make([]any, len(payloads))
	for i, p := range payloads {
		list[i] = p
		if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && !v.IsNil() {
			list[i] = v.Elem().Interface()
		}
	}
	return list
}

func difference(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true }))
}
