// Package httpserve runs HTTP servers the same way in every role: listen, serve,
// become not ready, drain, stop; with a request ID, one access-log line and a
// recovered panic for every request.
package httpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options describe a server. Handler is required.
type Options struct {
	Name    string // in logs
	Handler http.Handler
	Log     *slog.Logger
	// Drain is how long running requests may go on after Run's context ended;
	// 10 s where it is zero.
	Drain time.Duration
}

// Server serves one listener.
type Server struct {
	opts     Options
	listener net.Listener
	http     *http.Server
}

// New serves a listener that is bound already, so that the address is known, and
// a port in use is reported, before anything starts. Run closes it.
func New(l net.Listener, o Options) *Server {
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	return &Server{
		opts:     o,
		listener: l,
		http: &http.Server{
			Handler: endChunked(o.Handler),
			// Bodies have no overall limit, since a 5 GiB upload may take an
			// hour; handlers set deadlines by progress. Headers do.
			ReadHeaderTimeout: 15 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		},
	}
}

// Name is Options.Name.
func (s *Server) Name() string { return s.opts.Name }

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then drains: new connections are refused, running
// requests have Options.Drain to finish, and what is left is cut. It returns
// nil after a drain, cut or not.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }() // always ends with an error
	select {
	case err := <-served:
		return fmt.Errorf("%s: serve: %w", s.opts.Name, err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Drain)
	defer cancel()
	if err := s.http.Shutdown(drain); err != nil {
		s.opts.Log.Warn("requests cut at shutdown", "server", s.opts.Name, "err", err)
		err = s.http.Close()
		if err != nil && !errors.Is(err, net.ErrClosed) {
			s.opts.Log.Warn("close", "server", s.opts.Name, "err", err)
		}
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: serve: %w", s.opts.Name, err)
	}
	return nil
}

// endChunked closes the connection behind a request whose body came in chunks.
// net/http has dropped a Content-Length beside them by then, and a proxy in front
// that went by that would take the rest of the body for the next request: RFC
// 9112, section 6.1, asks for the end of the connection.
func endChunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
