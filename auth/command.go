package auth

import "context"

// Command is a command object: what is to be done, and who wants it. Who wants
// it can be set by [NewCommand] and [CommandFrom] only, so that a command which
// is decoded from what a client sent has nobody behind it, and is refused.
type Command[C any] struct {
	principal Principal
	Payload   C
}

// NewCommand returns a command of a principal that was verified.
func NewCommand[C any](p Principal, payload C) Command[C] {
	return Command[C]{principal: p, Payload: payload}
}

// CommandFrom returns a command of whoever acts in ctx. If nobody does, it is
// nobody's command, and every guarded handler refuses it.
func CommandFrom[C any](ctx context.Context, payload C) Command[C] {
	p, _ := From(ctx)
	return NewCommand(p, payload)
}

// Principal returns who wants it. It is zero if nobody does.
func (c Command[C]) Principal() Principal { return c.principal }

// Handler executes commands. R is what it answers; struct{} if nothing.
type Handler[C, R any] func(ctx context.Context, command Command[C]) (R, error)

// Guarded returns a handler that calls next only for commands of principals
// that have the permission, with a context in which they act. Errors are those
// of [Check] and of next.
func Guarded[C, R any](permission Permission, next Handler[C, R]) Handler[C, R] {
	return func(ctx context.Context, command Command[C]) (R, error) {
		if err := Check(ctx, command.principal, permission); err != nil {
			var none R
			return none, err
		}
		return next(With(ctx, command.principal), command)
	}
}
