// Package httpserve runs HTTP servers the same way in every role: listen, serve,
// become not ready, drain, stop; with a request ID, one access-log line and a
// recovered panic for every request.
package httpserve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"meridian/internal/h1"
)

// Options describe a server. Handler is required.
type Options struct {
	Name    string // in logs
	Handler http.Handler
	Log     *slog.Logger
	// Drain is how long running requests may go on after Run's context ended;
	// 10 s where it is zero.
	Drain time.Duration
	// TLS makes the server speak it; see Certificates.
	TLS *tls.Config
	// TLSListener is where it speaks TLS, if that is not the listener of New,
	// which then is for plain HTTP. Run closes it.
	TLSListener net.Listener
	// HTTP3 is a socket of UDP on which it speaks HTTP/3, with the certificates of
	// TLS; nil: it does not. Run closes it. Answers over TLS tell of it by Alt-Svc,
	// under the port HTTP3Port, which is that of the socket where it is zero.
	HTTP3     net.PacketConn
	HTTP3Port int
	// HTTP3Connections is how many connections of HTTP/3 there may be, with those
	// that shake hands; DefaultHTTP3Connections where it is zero. A browser that
	// is refused goes on by TCP.
	HTTP3Connections int
	// Registry takes the metrics of HTTP/3.
	Registry prometheus.Registerer
	// Hot answers what it can from memory before Handler is asked; nil: nothing.
	Hot h1.Handler
	// HotLines is where the lines of those requests go; nil: nowhere.
	HotLines *Lines
	// SlowClient is how long a client may take nothing of an answer of Hot
	// before it is cut; 30 s where zero.
	SlowClient time.Duration
}

const (
	headerTimeout = 15 * time.Second
	idleTimeout   = 2 * time.Minute
	// lastWords is how long who has connected, and not asked all that they want to,
	// is listened to when the server drains: as long as net/http would. It begins
	// anew while an answer is on its way, behind which something may have been asked.
	lastWords = 5 * time.Second

	maxHeaderBytes = 64 << 10
)

// Server serves one listener, or one for plain HTTP and one for TLS, and HTTP/3
// beside them.
type Server struct {
	opts     Options
	listener net.Listener
	http     *http.Server
	hot      *h1.Loop     // nil without Options.Hot
	http3    *http3Server // nil without Options.HTTP3
}

// New serves a listener that is bound already, so that the address is known, and
// a port in use is reported, before anything starts. Run closes it.
func New(l net.Listener, o Options) *Server {
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	altSvc := ""
	if o.HTTP3 != nil {
		altSvc = alternative(o.HTTP3, o.HTTP3Port)
	}
	s := &Server{
		opts:     o,
		listener: l,
		http: &http.Server{
			// Bodies have no overall limit, since a 5 GiB upload may take an
			// hour; handlers set deadlines by progress. Headers do.
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
			TLSConfig:         o.TLS,
		},
	}
	s.http.Handler = s.ends(tellHTTP3(altSvc, o.Handler))
	if o.Hot == nil {
		s.http.ConnContext = withHeld
	} else {
		hot := h1.Options{
			Handler: o.Hot, HeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, SlowClient: cmp.Or(o.SlowClient, 30*time.Second),
			Failed: func(why any) {
				o.Log.Error("panic ahead of net/http", "server", o.Name, "panic", why, "stack", string(debug.Stack()))
			},
		}
		if altSvc != "" {
			hot.SecureFields = "Alt-Svc: " + altSvc + "\r\n"
		}
		if o.HotLines != nil {
			hot.Line, hot.Lines = o.HotLines.line, o.HotLines.to
		}
		s.hot = h1.New(hot)
		s.http.ConnState = h1.ConnState
	}
	if o.HTTP3 != nil {
		s.http3 = newHTTP3(&o)
	}
	return s
}

// serving are what serves each socket until the server is shut down; they always
// return an error.
func (s *Server) serving() (all []func() error) {
	plain, secure := s.listener, s.opts.TLSListener
	if secure == nil && s.opts.TLS != nil {
		plain, secure = nil, plain
	}
	if plain != nil {
		all = append(all, func() error {
			if s.hot != nil {
				return s.http.Serve(s.hot.Listen(plain))
			}
			return s.http.Serve(holdable{plain})
		})
	}
	if secure != nil {
		all = append(all, func() error {
			if s.hot != nil {
				return s.http.Serve(s.hot.ListenTLS(secure, s.opts.TLS))
			}
			return s.http.ServeTLS(secure, "", "")
		})
	}
	if s.http3 != nil {
		all = append(all, s.http3.serve)
	}
	return all
}

// shutdown waits until nothing runs any more, or ctx ends.
func (s *Server) shutdown(ctx context.Context) error {
	var all errgroup.Group
	all.Go(func() error { return s.shutdownTCP(ctx) })
	if s.http3 != nil {
		all.Go(func() error { return s.http3.shutdown(ctx) })
	}
	return all.Wait()
}

func (s *Server) shutdownTCP(ctx context.Context) error {
	if s.hot == nil {
		return s.http.Shutdown(ctx)
	}
	s.hot.Drain()
	// Once it shuts down, or keeps no connections alive, net/http closes those that it
	// takes for idle, and answers nothing that it has not read by then.
	enough := time.Now().Add(lastWords)
	_ = await(ctx, func() bool {
		if s.hot.Busy() {
			enough = time.Now().Add(lastWords)
		}
		return s.hot.Settled() || time.Now().After(enough)
	})
	if err := s.http.Shutdown(ctx); err != nil {
		return err
	}
	// To net/http a connection is idle while Hot answers.
	return await(ctx, func() bool { return !s.hot.Busy() })
}

// await returns nil as soon as done does.
func await(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// cut ends what still runs.
func (s *Server) cut() error {
	if s.hot != nil {
		s.hot.Cut()
	}
	err := s.http.Close()
	if s.http3 != nil {
		err = errors.Join(err, s.http3.close())
	}
	return err
}

// Name is Options.Name.
func (s *Server) Name() string { return s.opts.Name }

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then drains: new connections are refused, running
// requests have Options.Drain to finish, and what is left is cut. It returns
// nil after a drain, cut or not.
func (s *Server) Run(ctx context.Context) error {
	if s.hot != nil {
		defer s.hot.Close()
	}
	var sockets errgroup.Group
	failed := make(chan struct{}) // one of them did
	once := sync.OnceFunc(func() { close(failed) })
	for _, serve := range s.serving() {
		sockets.Go(func() error {
			defer once()
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("%s: serve: %w", s.opts.Name, err)
			}
			return nil
		})
	}
	select {
	case <-failed:
		return errors.Join(s.cut(), sockets.Wait())
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Drain)
	defer cancel()
	if err := s.shutdown(drain); err != nil {
		s.opts.Log.Warn("requests cut at shutdown", "server", s.opts.Name, "err", err)
		err = s.cut()
		if err != nil && !errors.Is(err, net.ErrClosed) {
			s.opts.Log.Warn("close", "server", s.opts.Name, "err", err)
		}
	}
	return sockets.Wait()
}

// ends closes the connection behind the last answer of a drain, and behind a
// request whose body came in chunks. net/http has dropped a Content-Length beside
// them by then, and a proxy in front that went by that would take the rest of the
// body for the next request: RFC 9112, section 6.1, asks for the end of the
// connection.
func (s *Server) ends(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// net/http learns of a drain after Hot, which may have handed it a request
		// in between.
		if draining := s.hot != nil && s.hot.Draining(); draining || len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
