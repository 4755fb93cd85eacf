package auth

import (
	"context"

	"go.uber.org/zap"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

type loggerKey struct{}

// WithLogger returns a context that carries a logger.
func WithLogger(ctx context.Context, logger *zap.Logger) context.Context {
	return context.WithValue(ctx, loggerKey{}, logger)
}

// Logger returns the logger that ctx carries, with fields that say who acts as
// of now: actor_id, on_behalf_of, tenant_id, request_id and correlation_id, as
// far as they are known. Without one it returns a logger that writes nothing.
func Logger(ctx context.Context) *zap.Logger {
	logger, ok := ctx.Value(loggerKey{}).(*zap.Logger)
	if !ok || logger == nil {
		return zap.NewNop()
	}
	return logger.With(loggerFields(ctx)...)
}

func loggerFields(ctx context.Context) []zap.Field {
	origin := event.OriginFrom(ctx)
	fields := make([]zap.Field, 0, 5)
	for _, f := range []struct{ key, value string }{
		{"actor_id", string(origin.ActorID)},
		{audit.KeyOnBehalfOf, metadataText(origin.Metadata, audit.KeyOnBehalfOf)},
		{"tenant_id", string(origin.TenantID)},
		{audit.KeyRequest, metadataText(origin.Metadata, audit.KeyRequest)},
		{"correlation_id", idText(origin.CorrelationID)},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	return fields
}
