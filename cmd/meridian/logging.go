package main

import (
	"io"
	"log/slog"

	"meridian/internal/httpserve"
)

// logOptions are the options of every role on logging.
type logOptions struct {
	level  slog.Level
	format string
	access bool
}

func (o *logOptions) declare(s *settings, access bool) {
	s.flags.TextVar(&o.level, "log-level", slog.LevelInfo, "least `level` logged: debug, info, warn, error")
	s.flags.StringVar(&o.format, "log-format", "text", "`format` of the log: text or json")
	s.flags.BoolVar(&o.access, "access-log", access, "log a line for every request")
}

func (o *logOptions) logger(w io.Writer) (*slog.Logger, error) {
	h := &slog.HandlerOptions{Level: o.level}
	switch o.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, h)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, h)), nil
	}
	return nil, usagef("--log-format is text or json, not %q", o.format)
}

// lines are those of requests that are answered ahead of net/http, in the format
// of the log; nil if there are none.
func (o *logOptions) lines(w io.Writer, attrs ...slog.Attr) *httpserve.Lines {
	if !o.access || o.level > slog.LevelInfo {
		return nil
	}
	return httpserve.NewLines(w, o.format == "json", attrs...)
}
