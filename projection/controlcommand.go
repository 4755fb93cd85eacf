package projection

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// CommandKind is what somebody asks a [Control] to do.
type CommandKind string

// The kinds of commands, each named after a method of [Control].
const (
	PauseCommand      CommandKind = "pause"
	ResumeCommand     CommandKind = "resume"
	RewindCommand     CommandKind = "rewind" // also of RewindTo
	RebuildCommand    CommandKind = "rebuild"
	SetLanesCommand   CommandKind = "set lanes"
	SwitchCommand     CommandKind = "switch"
	AbortCommand      CommandKind = "abort"
	RetireCommand     CommandKind = "retire"
	WithdrawCommand   CommandKind = "withdraw"
	RetryCommand      CommandKind = "retry" // also of RetryAll
	RetryUntilCommand CommandKind = "retry until"
	DiscardCommand    CommandKind = "discard" // also of DiscardAt
)

// MaxReasonBytes bounds the reason for a command, which is one line: as much as
// a record of the audit log holds.
const MaxReasonBytes = 500

// Command is what a [Control] was asked to do.
type Command struct {
	ID     uuid.UUID // of this command alone
	Kind   CommandKind
	Name   registry.Name
	Reason string        // "" for a retry
	Actor  event.ActorID // who has asked; "" if unknown
	At     time.Time

	Position uint64        // of Rewind: where it goes; of RetryUntil: how far; of Discard: the letter's
	Before   time.Time     // of RewindTo
	Lanes    int           // of SetLanes
	Replaces int           // of Switch: the version that was live, 0 if none was
	Order    registry.Kind // of Withdraw, and of Abort if it takes the place of one
	Keys     []string      // of sequences: those of a retry, none for all; that of Discard
	EventID  uuid.UUID     // of Discard

	// Err is nil in the record that is made before the command changes anything.
	// In a second one, which is made only if that fails, it says why.
	Err error
}

// CommandRecorder keeps commands, so that it can be answered who did what and
// why. It must be safe for concurrent use.
//
// RecordCommand is called before a command changes anything, and if it returns
// an error nothing is changed. It is called once more, with Err set, if the
// command fails afterwards.
type CommandRecorder interface {
	RecordCommand(ctx context.Context, cmd Command) error
}

// Unrecorded is a [CommandRecorder] that keeps nothing: the choice of whoever
// need not know who did what.
type Unrecorded struct{}

// RecordCommand does nothing.
func (Unrecorded) RecordCommand(context.Context, Command) error { return nil }

// stamp says of a command what its context and the clock say.
func (c *Control) stamp(ctx context.Context, cmd *Command) {
	cmd.At = event.Time(c.now())
	cmd.ID, cmd.Actor = event.NewIDAt(cmd.At), event.ActorFrom(ctx)
}

// validate refuses what no store would take.
func (cmd *Command) validate() error {
	if err := cmd.Name.Validate(); err != nil {
		return err
	}
	return cmd.Actor.Validate()
}

// validateReason is validate for a command that needs a reason.
func (cmd *Command) validateReason() error {
	if err := cmd.validate(); err != nil {
		return err
	}
	if strings.TrimSpace(cmd.Reason) == "" {
		return &event.InvalidError{Field: "reason", Reason: "must say why"}
	}
	return event.ValidateText("reason", cmd.Reason, MaxReasonBytes)
}
