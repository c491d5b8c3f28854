package job

import (
	"context"
	"log/slog"
	"strings"
)

// troubleOnly passes warnings and errors of river, except for those about a
// job that returned an error, and for what one of river's services has to say
// when it was told to stop in the middle of a statement.
type troubleOnly struct{ slog.Handler }

func (h troubleOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h troubleOnly) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Err() != nil || strings.Contains(r.Message, ": Job errored") {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h troubleOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return troubleOnly{h.Handler.WithAttrs(attrs)}
}

func (h troubleOnly) WithGroup(name string) slog.Handler {
	return troubleOnly{h.Handler.WithGroup(name)}
}
