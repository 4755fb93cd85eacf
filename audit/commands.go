package audit

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// EntityProjection is the entity type of the records of commands to
// projections. The entity's id is name and version: "titles v1".
const EntityProjection = "Projection"

// CommandLog returns a recorder that keeps the commands of a
// [projection.Control] in an activity log:
//
//	control, err := projection.NewControl(store, projection.ControlConfig{Recorder: audit.CommandLog(auditLog)})
//
// A record has the action "projection.pause", "projection.set_lanes" and so on,
// after what was asked for, the projection as its entity, the reason that was
// given, the actor of the command, and what else it says as metadata. It is made
// before the command is carried out. If that fails, a second record with the
// outcome [Failure] has the error among its metadata, and the first as its cause.
func CommandLog(log Appender) projection.CommandRecorder { return commandLog{log: log} }

type commandLog struct{ log Appender }

// RecordCommand implements [projection.CommandRecorder].
func (c commandLog) RecordCommand(ctx context.Context, cmd projection.Command) error {
	if c.log == nil {
		return &event.InvalidError{Field: "log", Reason: "must not be nil: CommandLog was given none"}
	}
	_, err := c.log.Append(ctx, commandDraft(ctx, cmd))
	return err // it says that it appends an activity.
}

func commandDraft(ctx context.Context, cmd projection.Command) Draft {
	d := Draft{
		ID: cmd.ID, OccurredAt: cmd.At, ActorID: cmp.Or(cmd.Actor, event.Anonymous),
		Action: "projection." + strings.ReplaceAll(string(cmd.Kind), " ", "_"),
		Entity: EntityRef{Type: EntityProjection, ID: cmd.Name.String()}, Reason: cmd.Reason,
		Description: fmt.Sprintf("asked for: %s of projection %s", cmd.Kind, cmd.Name),
		Metadata:    commandFields(cmd),
	}
	if cmd.Err == nil {
		return d
	}
	d.ID, d.CausationID, d.OccurredAt = uuid.Nil, cmd.ID, time.Time{}
	d.CorrelationID = cmp.Or(event.CorrelationFrom(ctx), cmd.ID)
	d.Outcome = Failure
	d.Description = fmt.Sprintf("failed: %s of projection %s", cmd.Kind, cmd.Name)
	d.Metadata["error"] = short(cmd.Err.Error())
	return d
}

// commandFields returns what a command says, but for what has a field of its
// own in a record.
func commandFields(cmd projection.Command) event.Metadata {
	m := event.Metadata{"projection": cmd.Name.Projection, "version": cmd.Name.Version}
	for key, n := range map[string]int{"lanes": cmd.Lanes, "replaces": cmd.Replaces} {
		if n != 0 {
			m[key] = n
		}
	}
	switch cmd.Kind {
	case projection.RewindCommand, projection.RetryUntilCommand, projection.DiscardCommand:
		m["position"] = cmd.Position
	default:
	}
	if !cmd.Before.IsZero() {
		m["before"] = cmd.Before.UTC().Format(time.RFC3339Nano)
	}
	if cmd.Order != "" {
		m["order"] = string(cmd.Order)
	}
	if cmd.EventID != uuid.Nil {
		m["event_id"] = cmd.EventID.String()
	}
	switch len(cmd.Keys) {
	case 0:
	case 1:
		m["sequence"] = short(cmd.Keys[0])
	default:
		m["sequences"] = short(strings.Join(cmd.Keys, ", "))
	}
	return m
}

// short returns as much of s as a metadata text holds, in one line, and says if
// that is not all.
func short(s string) string {
	s = printable(strings.ReplaceAll(s, "\n", "; "))
	if len(s) <= MaxMetadataString {
		return s
	}
	const more = "…"
	return cut(s, MaxMetadataString-len(more)) + more
}
