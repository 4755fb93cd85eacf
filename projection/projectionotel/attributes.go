package projectionotel

import (
	"math"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// system is what messaging.system says.
const system = "evident"

// Attributes that the conventions do not have.
const (
	keyName     = attribute.Key("evident.projection.name")
	keyVersion  = attribute.Key("evident.projection.version")
	keyLane     = attribute.Key("evident.projection.lane")
	keyOwner    = attribute.Key("evident.projection.owner")
	keyFirst    = attribute.Key("evident.projection.first_position")
	keyLast     = attribute.Key("evident.projection.last_position")
	keySequence = attribute.Key("evident.projection.sequence")
	keyOrder    = attribute.Key("evident.projection.order")
	keyApplied  = attribute.Key("evident.projection.applied")
	keyParked   = attribute.Key("evident.projection.parked")
	keySkipped  = attribute.Key("evident.projection.skipped")
	keyState    = attribute.Key("evident.projection.state")
	keyStage    = attribute.Key("evident.projection.stage")
	keyStep     = attribute.Key("evident.projection.step")
)

// operation is what messaging.operation.name says of a step, and how its span is
// called.
func operation(k projection.StepKind) string {
	if k == projection.ApplyStep {
		return "process"
	}
	return k.String()
}

// before are the attributes of a span that are known when its step begins.
func before(s projection.Step) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system),
		semconv.MessagingOperationName(operation(s.Kind)),
		semconv.MessagingDestinationName(s.Projection),
		keyVersion.Int(s.Version), keyLane.Int(s.Lane), keyOwner.String(s.Owner),
	}
	switch s.Kind {
	case projection.OrderStep: // no message is processed
		return append(all, keyOrder.String(s.Detail))
	case projection.RedriveStep:
		all = append(all, keySequence.String(s.Detail))
	default:
		all = append(all, semconv.MessagingBatchMessageCount(s.Events))
	}
	if s.Last > 0 {
		all = append(all, keyFirst.Int64(whole(s.First)), keyLast.Int64(whole(s.Last)))
	}
	return append(all, semconv.MessagingOperationTypeProcess)
}

// after are those that are known when it has ended.
func after(e projection.StepEnd) []attribute.KeyValue {
	all := []attribute.KeyValue{keyApplied.Int(e.Applied), keyParked.Int(e.Parked), keySkipped.Int(e.Skipped)}
	if failed(e) {
		all = append(all, errorType(e.Class))
	}
	return all
}

// measured are the attributes of the conventions' metrics. Lanes and owners are
// not among them: they would make many series out of one.
func measured(s projection.Step, e projection.StepEnd) attribute.Set {
	all := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system),
		semconv.MessagingOperationName(operation(s.Kind)),
		semconv.MessagingDestinationName(s.Projection),
		keyVersion.Int(s.Version),
	}
	if failed(e) {
		all = append(all, errorType(e.Class))
	}
	return attribute.NewSet(all...)
}

// named are the attributes of the other metrics.
func named(projection string, version int, more ...attribute.KeyValue) attribute.Set {
	return attribute.NewSet(append(more, keyName.String(projection), keyVersion.Int(version))...)
}

// failed reports whether a step failed. One that was cut off by the end of the
// run did not.
func failed(e projection.StepEnd) bool { return e.Err != nil && e.Class != projection.Cancelled }

// errorType is the class of an error.
func errorType(c projection.Class) attribute.KeyValue {
	text := c.String()
	if c == projection.Lost {
		text = "ownership_lost"
	}
	return semconv.ErrorTypeKey.String(text)
}

// stateName is a state as attributes have it.
func stateName(s projection.State) string {
	switch s {
	case projection.Waiting:
		return "waiting"
	case projection.CatchingUp:
		return "catching_up"
	default:
		return s.String()
	}
}

// states are all that a projection can be in.
func states() []projection.State {
	return []projection.State{
		projection.Idle, projection.Waiting, projection.CatchingUp, projection.Live, projection.Paused, projection.Failed,
	}
}

// stageName is a stage as attributes have it. A version without a record is new.
func stageName(s registry.State) string {
	switch s {
	case "":
		return "new"
	case registry.CaughtUp:
		return "caught_up"
	default:
		return string(s)
	}
}

// stages are all that a version goes through.
func stages() []registry.State {
	return []registry.State{"", registry.Building, registry.CaughtUp, registry.Live, registry.Replaced, registry.Retired}
}

// whole is a position as OpenTelemetry has numbers.
func whole(position uint64) int64 { return int64(min(position, math.MaxInt64)) }
