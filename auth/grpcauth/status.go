package grpcauth

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// StatusOf says how an error of this module is answered. The error itself goes
// to the context's [Logger]; a caller is told in a few fixed words why it was
// refused, and nothing of what an authenticator or a log said by a status of
// its own. Another error that has a status already, and one of somebody else's,
// is handed on as it is.
func StatusOf(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	code, text := refusalCode(err)
	if _, has := status.FromError(err); code == codes.OK && has {
		return err
	}
	if code == codes.OK {
		code, text = storeCode(err)
	}
	if code == codes.OK {
		return err
	}
	Logger(ctx).Info("call refused", zap.Stringer("code", code), zap.Error(err))
	return status.Error(code, text)
}

// refusalCode says how an error of letting somebody in is answered.
func refusalCode(err error) (code codes.Code, text string) {
	denied, isDenied := errors.AsType[*auth.DeniedError](err)
	switch {
	case errors.Is(err, auth.ErrNotRecorded):
		return codes.Unavailable, "the call cannot be answered now"
	case errors.Is(err, auth.ErrUnauthenticated):
		return codes.Unauthenticated, explain(err)
	case isDenied && denied.Permission != "":
		return codes.PermissionDenied, "the permission " + string(denied.Permission) + " is missing"
	case errors.Is(err, auth.ErrDenied):
		return codes.PermissionDenied, "you may not do this"
	case errors.Is(err, auth.ErrUnavailable):
		return codes.Unavailable, "credentials cannot be checked now"
	default:
		return codes.OK, ""
	}
}

// storeCode says how an error of loading or storing something is answered.
func storeCode(err error) (code codes.Code, text string) {
	invalid, isInvalid := errors.AsType[*event.InvalidError](err)
	tooLarge, isTooLarge := errors.AsType[*event.TooLargeError](err)
	switch {
	case errors.Is(err, aggregate.ErrNotFound):
		return codes.NotFound, "there is no such thing"
	case isInvalid:
		return codes.InvalidArgument, invalid.Error()
	case isTooLarge:
		return codes.InvalidArgument, tooLarge.Error()
	case errors.Is(err, eventstore.ErrConflict), errors.Is(err, aggregate.ErrContention):
		return codes.Aborted, "somebody else has changed it"
	case eventstore.IsRetryable(err):
		return codes.Unavailable, "the call cannot be answered now"
	default:
		return codes.OK, ""
	}
}

func explain(err error) string {
	refused, ok := errors.AsType[*auth.CredentialError](err)
	switch {
	case !ok:
		return "the credential was refused"
	case refused.Reason == auth.Missing:
		return "a credential is needed"
	default:
		return "the credential was refused: " + strings.ReplaceAll(string(refused.Reason), "_", " ")
	}
}
