package httpserve

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// DefaultHTTP3Connections take some 60 MiB where they are idle. Unlike those of
// TCP they need no descriptors, of which there is an end.
const DefaultHTTP3Connections = 1000

const (
	// quicSilence is how long a connection may bring nothing at all.
	quicSilence = 30 * time.Second
	// quicStreams is how many requests of a connection may run at once, as over
	// HTTP/2 about.
	quicStreams = 128
	// quicControls are the streams beside those of requests: of the three that
	// there are, and of some that are opened to be ignored.
	quicControls = 8
	// Of the bodies of requests, which are small at an edge, so much is taken
	// ahead for one and for all of a connection.
	quicStreamWindow, quicWindow = 1 << 20, 2 << 20
	// alternativeAge is how long a client remembers that there is HTTP/3.
	alternativeAge = 24 * time.Hour
	// farewell is how long nothing may come or go behind the last answer when the
	// server drains, before connections are closed: what was written may still be
	// on its way.
	farewell = time.Second
)

// errManyConnections refuses a connection.
var errManyConnections = errors.New("as many connections as there may be")

// alternative is the Alt-Svc that tells of HTTP/3 on a socket, which clients
// reach at port, or where that is zero at its own.
func alternative(socket net.PacketConn, port int) string {
	if port == 0 {
		port = socket.LocalAddr().(*net.UDPAddr).Port
	}
	return fmt.Sprintf(`h3=":%d"; ma=%d`, port, int(alternativeAge.Seconds()))
}

// tellHTTP3 adds Alt-Svc to the answers over TLS, if there is one to add.
func tellHTTP3(altSvc string, next http.Handler) http.Handler {
	if altSvc == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header().Set("Alt-Svc", altSvc)
		}
		next.ServeHTTP(w, r)
	})
}

// http3Server serves HTTP/3 on a socket. Nothing is taken before a handshake is
// complete: early data (0-RTT) can be sent again by whoever overhears it.
type http3Server struct {
	handler   http.Handler
	config    *tls.Config
	server    *http3.Server
	socket    net.PacketConn
	transport *quic.Transport
	most      int64         // connections
	accepted  atomic.Int64  // those that there are, or shake hands
	ended     chan struct{} // closed when the last of them may go
	end       func()
	requests  prometheus.Counter
	open      prometheus.Gauge

	mu      sync.Mutex
	conns   map[*quicConn]struct{}
	running int       // requests
	last    time.Time // when one of them ended, or packets moved during a drain
	packets uint64    // that have moved by then
}

// quicConn is a connection after its handshake; its fields are guarded by
// http3Server.mu.
type quicConn struct {
	conn    *quic.Conn
	running int       // requests
	asked   bool      // there was one
	since   time.Time // that none runs
}

type quicConnKey struct{}

func newHTTP3(o *Options) *http3Server {
	s := &http3Server{
		handler: o.Handler, config: http3.ConfigureTLSConfig(o.TLS), socket: o.HTTP3,
		most: int64(cmp.Or(o.HTTP3Connections, DefaultHTTP3Connections)), ended: make(chan struct{}), conns: map[*quicConn]struct{}{},
		requests: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_http3_requests_total", Help: "Requests by HTTP/3."}),
		open:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_http3_connections", Help: "Connections of HTTP/3."}),
	}
	s.end = sync.OnceFunc(func() { close(s.ended) })
	if o.Registry != nil {
		o.Registry.MustRegister(s.requests, s.open)
	}
	var reset quic.StatelessResetKey
	_, _ = rand.Read(reset[:]) // never fails: crypto/rand ends the program instead
	s.transport = &quic.Transport{
		Conn: o.HTTP3, StatelessResetKey: &reset, ConnContext: s.admit,
		// When there are many, who comes has to show that its address is its own.
		VerifySourceAddress: func(net.Addr) bool { return s.accepted.Load() > s.most/4 },
	}
	s.server = &http3.Server{Handler: s, MaxHeaderBytes: maxHeaderBytes, ConnContext: s.connected, Logger: o.Log}
	return s
}

// serve serves until shutdown or close; it always returns an error.
func (s *http3Server) serve() error {
	defer func() { _ = s.socket.Close() }() // it holds nothing that could be lost
	l, err := s.transport.Listen(s.config, &quic.Config{
		MaxIdleTimeout: quicSilence, MaxIncomingStreams: quicStreams, MaxIncomingUniStreams: quicControls,
		MaxStreamReceiveWindow: quicStreamWindow, MaxConnectionReceiveWindow: quicWindow,
	})
	if err != nil {
		return fmt.Errorf("HTTP/3: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	err = s.server.ServeListener(l)
	stop()
	watching.Wait()
	closed := l.Close() // refuses new connections; those that there are go on
	if errors.Is(err, http.ErrServerClosed) {
		<-s.ended
	}
	if bad := errors.Join(closed, s.transport.Close()); bad != nil {
		return fmt.Errorf("HTTP/3: close: %w", bad)
	}
	return err
}

// admit counts a connection that begins, and refuses one too many.
func (s *http3Server) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if s.accepted.Add(1) > s.most {
		s.accepted.Add(-1)
		return nil, errManyConnections
	}
	context.AfterFunc(ctx, func() { s.accepted.Add(-1) })
	return ctx, nil
}

// connected notes a connection, for as long as there is one.
func (s *http3Server) connected(ctx context.Context, conn *quic.Conn) context.Context {
	c := &quicConn{conn: conn, since: time.Now()}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.open.Inc()
	context.AfterFunc(conn.Context(), func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.open.Dec()
	})
	return context.WithValue(ctx, quicConnKey{}, c)
}

// ServeHTTP implements http.Handler.
func (s *http3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(quicConnKey{}).(*quicConn)
	s.requests.Inc()
	s.count(c, 1)
	defer s.count(c, -1)
	s.handler.ServeHTTP(w, r)
}

func (s *http3Server) count(c *quicConn, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += n
	c.running += n
	c.asked, c.since = true, time.Now()
	s.last = c.since
}

// watch closes connections that have asked for nothing for too long. Those that
// are silent altogether end by themselves.
func (s *http3Server) watch(ctx context.Context) {
	tick := time.NewTicker(headerTimeout / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range s.idle(now) {
				_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "idle")
			}
		}
	}
}

func (s *http3Server) idle(now time.Time) (conns []*quic.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		patience := idleTimeout
		if !c.asked {
			patience = headerTimeout // who connects has something to ask
		}
		if c.running == 0 && now.Sub(c.since) > patience {
			conns = append(conns, c.conn)
		}
	}
	return conns
}

// shutdown refuses what is new, lets running requests end and closes the
// connections behind them. When ctx ends it cuts what is left.
func (s *http3Server) shutdown(ctx context.Context) error {
	defer s.end()
	quiet, stop := context.WithCancel(ctx)
	begun := time.Now()
	var polling sync.WaitGroup
	defer polling.Wait()
	defer stop()
	polling.Go(func() {
		_ = await(quiet, func() bool { return s.quiet(time.Now(), begun) })
		stop()
	})
	if err := s.server.Shutdown(quiet); err != nil && ctx.Err() != nil {
		return fmt.Errorf("HTTP/3: %w", err)
	}
	return nil
}

// quiet reports whether nothing runs, and for so long nothing has run, come or gone
// that what was answered has arrived.
func (s *http3Server) quiet(now, begun time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	packets := uint64(0)
	for c := range s.conns {
		stats := c.conn.ConnectionStats()
		packets += stats.PacketsSent + stats.PacketsReceived
	}
	if packets != s.packets {
		s.packets, s.last = packets, now
	}
	if s.last.After(begun) {
		begun = s.last
	}
	return s.running == 0 && now.Sub(begun) >= farewell
}

// close ends everything at once.
func (s *http3Server) close() error {
	defer s.end()
	return s.server.Close()
}
