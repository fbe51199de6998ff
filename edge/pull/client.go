package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/edge/limit"
	"meridian/internal/hop"
	"meridian/metadata"
)

// Timeouts bound the steps of asking an origin.
type Timeouts struct {
	Dial   time.Duration // connecting, and again for the TLS handshake; 5 s where zero
	Header time.Duration // from the request to the header of its answer; 30 s where zero
}

// keepIdle is less than web servers keep idle connections for (Node and Apache
// have the shortest default, 5 s), so that we close them first: a request that is
// sent on one just being closed cannot be sent again.
const keepIdle = 4 * time.Second

// Client sends requests to origins.
type Client struct {
	node      string
	transport *http.Transport
	limits    *limit.Set
}

// NewClient returns a Client of the node of that ID. limits bound the requests at
// once to each origin, by its host and port; nil bounds nothing.
func NewClient(node string, t Timeouts, limits *limit.Set) *Client {
	if t.Dial == 0 {
		t.Dial = 5 * time.Second
	}
	if t.Header == 0 {
		t.Header = 30 * time.Second
	}
	dialer := &net.Dialer{Timeout: t.Dial, KeepAlive: 15 * time.Second, Control: checkAddress}
	return &Client{node: node, limits: limits, transport: &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    t.Dial,
		ResponseHeaderTimeout:  t.Header,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        keepIdle,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ReadBufferSize:         32 << 10,
	}}
}

// checkAddress refuses addresses that no zone may name, whatever name led there.
func checkAddress(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !metadata.AllowedOrigin(to.Addr().WithZone("")) {
		return fmt.Errorf("%s is not an address that a pull zone may ask", address)
	}
	return nil
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do asks the zone's origins in order until one can be reached, and returns what
// that one answers, whatever it is. Nothing is sent twice. The caller closes the
// body.
func (c *Client) Do(ctx context.Context, z *Zone, a Ask) (*http.Response, error) {
	var errs []error
	ctx, cancel := context.WithCancelCause(ctx)
	for _, origin := range z.origins {
		release, err := c.limits.Acquire(ctx, origin.Host)
		if err != nil {
			if errs = append(errs, fmt.Errorf("origin %s: %w", origin.Host, err)); ctx.Err() != nil {
				break
			}
			continue
		}
		var sent atomic.Bool
		trace := &httptrace.ClientTrace{
			WroteHeaders: func() { sent.Store(true) },
			Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				if a.Interim != nil && status != http.StatusContinue && status != http.StatusSwitchingProtocols {
					a.Interim(status, http.Header(h))
				}
				return nil
			},
		}
		resp, err := c.transport.RoundTrip(z.request(httptrace.WithClientTrace(ctx, trace), origin, a, c.node))
		if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
			resp.Body.Close() // nobody has asked to: Upgrade goes no further than to us
			err = errSwitched
		}
		if err == nil {
			resp.Header.Del(hop.ZoneOwn) // for nodes to say
			z.change(resp.Header)
			resp.Body = &held{&body{ReadCloser: resp.Body, cancel: cancel}, release}
			return resp, nil
		}
		release()
		errs = append(errs, fmt.Errorf("origin %s: %w", origin.Host, err))
		if sent.Load() || ctx.Err() != nil || a.Body != nil && a.Length != 0 {
			break
		}
	}
	cancel(nil)
	return nil, errors.Join(errs...)
}

// errSwitched is an origin that goes on in a protocol which nobody has asked for: the
// client would take what comes next on its connection for that.
var errSwitched = errors.New("the origin switches protocols unasked")

// held is a body whose end gives the place of its request back.
type held struct {
	io.ReadCloser
	release func()
}

func (h *held) Close() error {
	h.release()
	return h.ReadCloser.Close()
}

// bodyIdle is how long an origin may send nothing of a body.
const bodyIdle = 30 * time.Second

var errIdle = fmt.Errorf("origin stopped sending: %w", context.DeadlineExceeded)

// body ends a request whose origin stops sending while somebody reads.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *body) Read(p []byte) (int, error) {
	idle := time.AfterFunc(bodyIdle, func() { b.cancel(errIdle) })
	n, err := b.ReadCloser.Read(p)
	if !idle.Stop() && err != nil && !errors.Is(err, io.EOF) {
		err = errIdle
	}
	return n, err
}

func (b *body) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
