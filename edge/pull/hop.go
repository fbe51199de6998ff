package pull

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/httpcache"
	"meridian/edge/limit"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
)

// Regional asks regional nodes for what they, or an origin behind them, have of a
// pull zone.
type Regional struct {
	Node      string // our ID
	Secret    string // of the cluster
	Transport *http.Transport
	Limits    *limit.Set // of requests at once to each node, by URL
	Now       func() time.Time
	// Patience is how long a node may say nothing before it is asked whether it is
	// there at all, and how long it may then take to say so.
	Patience time.Duration
	// Idle is how long a node may send nothing of a body, ready as it may be.
	Idle time.Duration
}

// hopTimeouts are longer than those of the node that is asked, or an edge would
// give up on one that is about to say that its origin does not answer.
var hopTimeouts = Timeouts{Dial: 2 * time.Second, Header: 45 * time.Second}

// What a Regional has where nothing else is said. Idle is longer than an origin may
// be silent, whom the node asks.
const (
	hopPatience = 2 * time.Second
	hopIdle     = bodyIdle + 15*time.Second
)

// NewRegional returns a Regional; dial connects, a net.Dialer where it is nil.
func NewRegional(node, secret string, dial func(ctx context.Context, network, addr string) (net.Conn, error), limits *limit.Set, now func() time.Time) *Regional {
	if dial == nil {
		dial = (&net.Dialer{Timeout: hopTimeouts.Dial, KeepAlive: 15 * time.Second}).DialContext
	}
	return &Regional{Node: node, Secret: secret, Limits: limits, Now: now, Patience: hopPatience, Idle: hopIdle, Transport: &http.Transport{
		DialContext:            dial,
		TLSHandshakeTimeout:    hopTimeouts.Dial,
		ResponseHeaderTimeout:  hopTimeouts.Header,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    128,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		ReadBufferSize:         64 << 10,
	}}
}

// Close closes idle connections.
func (r *Regional) Close() { r.Transport.CloseIdleConnections() }

// The errors of Regional.Do.
var (
	// ErrFailed says that the node could not get an answer from any origin.
	ErrFailed = errors.New("no origin answers")
	// ErrElsewhere says that the node has not looked at the request, or that it is
	// safe, so that another may be asked.
	ErrElsewhere = errors.New("to be asked elsewhere")
	// ErrStalled is of reading a body: the node stopped sending, which is not for
	// its origin.
	ErrStalled = fmt.Errorf("the node stopped sending: %w", context.DeadlineExceeded)
)

// Do asks the node at base. applied is the position in the feed that its answer
// must include; forget only has the node forget the target. The caller closes the
// body.
func (r *Regional) Do(ctx context.Context, base string, z *Zone, a Ask, applied string, forget bool) (*http.Response, error) {
	release, err := r.Limits.Acquire(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrElsewhere, err)
	}
	resp, err := r.do(ctx, base, z, a, applied, forget)
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &held{resp.Body, release}
	return resp, nil
}

func (r *Regional) do(ctx context.Context, base string, z *Zone, a Ask, applied string, forget bool) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
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
	req, err := r.request(httptrace.WithClientTrace(ctx, trace), base, z, a, applied, forget)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	safe := a.Body == nil && (a.Method == http.MethodGet || a.Method == http.MethodHead || a.Method == http.MethodOptions)
	answered := func() {}
	if safe { // all else is not sent to another node anyway
		answered = r.watch(ctx, base, cancel)
	}
	resp, err := r.Transport.RoundTrip(req)
	answered()
	if cause := context.Cause(ctx); cause != nil {
		if err == nil {
			resp.Body.Close()
		}
		err = cause
	}
	if err != nil {
		cancel(nil)
		if safe || !sent.Load() && (a.Body == nil || a.Length == 0) {
			err = fmt.Errorf("%w: %w", ErrElsewhere, err)
		}
		return nil, err
	}
	said := resp.Header.Get(hop.Zone)
	for name := range resp.Header {
		if strings.HasPrefix(name, "X-Meridian-") && name != hop.ZoneOwn {
			delete(resp.Header, name)
		}
	}
	if said == hop.ZoneAnswer {
		resp.Body = &hopBody{ReadCloser: resp.Body, regional: r, base: base, ctx: ctx, cancel: cancel}
		return resp, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 8<<10)) // frees the connection
	resp.Body.Close()
	cancel(nil)
	switch {
	case said == hop.ZoneFailed && resp.StatusCode == http.StatusGatewayTimeout:
		return nil, fmt.Errorf("%w: %w", ErrFailed, context.DeadlineExceeded)
	case said == hop.ZoneFailed && resp.StatusCode == http.StatusServiceUnavailable:
		return nil, fmt.Errorf("%w: %w", ErrFailed, limit.ErrBusy)
	case said == hop.ZoneFailed:
		return nil, ErrFailed
	case a.Body == nil || a.Length == 0:
		return nil, fmt.Errorf("%w: status %d", ErrElsewhere, resp.StatusCode)
	}
	return nil, fmt.Errorf("status %d", resp.StatusCode)
}

// errMute is a node that takes requests and answers none.
var errMute = fmt.Errorf("the node answers nothing: %w", context.DeadlineExceeded)

// watch ends a request with errMute if the node does not answer it for a while, nor
// says then that it is ready: one that waits for a slow origin does. answered ends
// the watch.
func (r *Regional) watch(ctx context.Context, base string, end context.CancelCauseFunc) (answered func()) {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-time.After(r.Patience):
			case <-ctx.Done():
				return
			}
			if err := r.ready(ctx, base); err != nil && ctx.Err() == nil {
				end(errMute)
				return
			}
		}
	})
	return func() { stop(); watching.Wait() }
}

// hopBody ends a request whose node stops sending while somebody reads: one that does
// not even say that it is ready, soon.
type hopBody struct {
	io.ReadCloser
	regional *Regional
	base     string
	ctx      context.Context //nolint:containedctx // of the request that this is the answer to
	cancel   context.CancelCauseFunc
}

func (b *hopBody) Read(p []byte) (int, error) {
	began, over := time.Now(), make(chan struct{})
	quiet := time.AfterFunc(b.regional.Patience, func() { b.watch(began, over) })
	n, err := b.ReadCloser.Read(p)
	quiet.Stop()
	close(over)
	if err != nil && errors.Is(context.Cause(b.ctx), ErrStalled) {
		err = ErrStalled
	}
	return n, err
}

// watch ends the request unless a read that began then is over soon enough.
func (b *hopBody) watch(began time.Time, over <-chan struct{}) {
	for {
		if err := b.regional.ready(b.ctx, b.base); err != nil || time.Since(began) >= b.regional.Idle {
			select {
			case <-over:
			default:
				b.cancel(ErrStalled)
			}
			return
		}
		select {
		case <-time.After(b.regional.Patience):
		case <-over:
			return
		}
	}
}

func (b *hopBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

func (r *Regional) ready(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/readyz", nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "meridian")
	resp, err := r.Transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 8<<10)) // frees the connection
	return nil
}

// request carries the client's request in one that is signed as a node's.
func (r *Regional) request(ctx context.Context, base string, z *Zone, a Ask, applied string, forget bool) (*http.Request, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+hop.ZonePath+z.bucket, ""
	req := (&http.Request{
		Method: a.Method, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(a.Header)+12), Body: a.Body, ContentLength: a.Length,
	}).WithContext(ctx)
	h := req.Header
	for name, values := range a.Header {
		h[name] = values
	}
	for name, values := range a.Set {
		if h[name] = values; len(values) == 0 {
			delete(h, name)
		}
	}
	httpcache.RemoveHopByHop(h)
	delete(h, "Expect")
	carried := http.Header{}
	for name, values := range h {
		switch {
		case strings.HasPrefix(name, "X-Meridian-"):
			delete(h, name)
		case name == "Authorization", strings.HasPrefix(name, "X-Amz-"):
			delete(h, name)
			carried[hop.RequestCarried+name] = values
		}
	}
	for name, values := range carried {
		h[name] = values
	}
	if _, sent := h["User-Agent"]; !sent {
		h["User-Agent"] = nil // none of ours instead
	}
	scheme := "http"
	if a.TLS {
		scheme = "https"
	}
	for name, value := range map[string]string{
		hop.RequestTarget: a.Target.Name(), hop.RequestBase: scheme + "://" + a.Base, hop.RequestHost: a.Host, hop.RequestClient: a.Remote,
		hop.RequestNode: r.Node, hop.RequestApplied: applied,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if forget {
		h.Set(hop.RequestForget, "1")
	}
	if a.Body == nil {
		req.ContentLength = 0
	}
	sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: r.Secret}.Sign(req, sigv4.UnsignedPayload, r.Now())
	return req, nil
}

// Carried is a client's request as a node has carried it here, and host the name
// by which the zone was found, if it was. Whether the node may is for the caller
// to know.
func Carried(r *http.Request) (out *http.Request, host string, err error) {
	out = r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	for name := range r.Header {
		if name == "Authorization" || strings.HasPrefix(name, "X-Amz-") || strings.HasPrefix(name, "X-Meridian-") {
			delete(out.Header, name)
		}
	}
	for name, values := range r.Header {
		if of, ok := strings.CutPrefix(name, hop.RequestCarried); ok {
			out.Header[http.CanonicalHeaderKey(of)] = values
		}
	}
	target := r.Header.Get(hop.RequestTarget)
	base, err := url.Parse(r.Header.Get(hop.RequestBase))
	if err != nil || !strings.HasPrefix(target, "/") {
		return nil, "", fmt.Errorf("no target, or no base: %w", errors.Join(err, ErrPath))
	}
	path, query, _ := strings.Cut(target, "?")
	out.RequestURI, out.Host, out.RemoteAddr = target, base.Host, r.Header.Get(hop.RequestClient)
	out.URL = &url.URL{Opaque: path, RawQuery: query}
	if out.TLS = nil; base.Scheme == "https" {
		out.TLS = &tls.ConnectionState{}
	}
	return out, r.Header.Get(hop.RequestHost), nil
}
