// Package auth says who acts, what they may do, and writes down who was
// refused. It knows neither HTTP nor JWT nor gRPC: packages httpauth, grpcauth
// and jwtauth do.
//
// A [Principal] is an identity that an [Authenticator] has verified. [With]
// puts it into the context, and every event that is emitted with that context
// carries its actor and its tenant. Nothing that a client claims about itself
// ends up there.
//
// There are three ways to hand the actor over. All of them end in the context:
//
//	func ship(ctx context.Context, p auth.Principal, …) error   // explicit argument: auth.Check, auth.With
//	func ship(ctx context.Context, …) error                     // context: auth.Require, auth.From
//	func ship(ctx context.Context, c auth.Command[Ship]) error  // command object: auth.Guarded
//
// [Repository] guards aggregates: their owner and administrators may load and
// change them, nobody else, and the aggregates of another tenant do not exist.
// [APIKeys] authenticates programs by keys that are stored as hashes.
//
// A [Recorder] appends an activity for every denial and for every failed
// authentication. It fails closed: when a refusal cannot be recorded, the
// error is a [*RecordError], which transports answer with "unavailable", so
// that nobody can try credentials while nobody is looking. A flood is counted
// instead of stored one by one; see [RecorderConfig] for the limit.
//
// [Gate] is the order of steps that transports share.
package auth
