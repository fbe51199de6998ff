package httpserve

import (
	"context"
	"log/slog"
	"time"
	"unsafe"

	"meridian/internal/h1"
)

// hotLines logs the lines of requests that the loop in front of net/http has
// answered, as Access does those of the rest.
func hotLines(log *slog.Logger) func(*h1.Request, *h1.Answer) {
	ctx := context.Background() // of a log line: nobody is asked for anything
	if log == nil || !log.Enabled(ctx, slog.LevelInfo) {
		return nil
	}
	to := log.Handler()
	return func(r *h1.Request, a *h1.Answer) {
		method := "GET"
		if r.Head {
			method = "HEAD"
		}
		now := time.Now()
		line := slog.NewRecord(now, slog.LevelInfo, "request", 0)
		line.AddAttrs(
			slog.String("request_id", text(r.ID)),
			slog.String("method", method),
			slog.String("host", text(r.Host)),
			slog.String("path", text(r.Target)),
			slog.Int("status", a.Status),
			slog.Int64("bytes", a.Sent),
			slog.Duration("took", now.Sub(r.Start)),
			slog.String("remote", r.Remote),
			slog.String("cache", text(a.Cache)),
			slog.String("agent", text(r.Agent)))
		_ = to.Handle(ctx, line) // as slog does: there is nowhere to tell it
	}
}

// text is b as a string without a copy: handlers write a line out before Handle
// returns, or copy what they keep.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
