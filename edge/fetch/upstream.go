package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
)

// attempts is how many upstreams a Fetch tries.
const attempts = 3

// Options describe an Upstream. Balancer, Secret and Now are required.
type Options struct {
	Balancer balance.Balancer
	Secret   string // of the cluster
	Node     string // ID of this node, for the other side's logs
	Timeouts Timeouts
	Dial     DialFunc // nil: a net.Dialer
	// Buffers bounds the bytes of bodies being read at once; 32 MiB where zero.
	Buffers int64
	Now     func() time.Time
}

// Upstream is a Fetcher over HTTP.
type Upstream struct {
	balancer balance.Balancer
	signer   sigv4.Signer
	node     string
	timeouts Timeouts
	buffers  *semaphore.Weighted
	now      func() time.Time
	client   *http.Client
}

var _ Fetcher = (*Upstream)(nil)

// NewUpstream returns a Fetcher; it asks nobody yet.
func NewUpstream(o Options) *Upstream {
	if o.Buffers == 0 {
		o.Buffers = 32 << 20
	}
	t := o.Timeouts.orDefault()
	return &Upstream{
		balancer: o.Balancer,
		signer:   sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: o.Secret},
		node:     o.Node,
		timeouts: t,
		buffers:  semaphore.NewWeighted(max(o.Buffers, cache.SliceSize)),
		now:      o.Now,
		client: &http.Client{
			Transport:     newTransport(t, o.Dial),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes idle connections.
func (u *Upstream) Close() { u.client.CloseIdleConnections() }

// Fetch implements Fetcher.
func (u *Upstream) Fetch(ctx context.Context, r Request) (*Response, error) {
	start := u.now()
	var errs []error
	// One name for all of an object, so that its head and slices are asked for
	// at one node.
	for _, node := range u.balancer.Pick(cache.Key{Class: cache.Head, Name: r.Bucket + "/" + r.Key}, attempts) {
		u.balancer.Begin(node)
		began := u.now()
		resp, err := u.attempt(ctx, node, r)
		report := err
		if ctx.Err() != nil {
			report = context.Canceled // our giving up says nothing of the node
		}
		u.balancer.Report(node, u.now().Sub(began), report)
		if err == nil {
			resp.Took = u.now().Sub(start)
			return resp, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("fetch %s/%s: %w: none is known", r.Bucket, r.Key, ErrUnavailable)
	}
	return nil, fmt.Errorf("fetch %s/%s: %w: %w", r.Bucket, r.Key, ErrUnavailable, errors.Join(errs...))
}

func (u *Upstream) attempt(ctx context.Context, node balance.Node, r Request) (*Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := u.request(ctx, node, r)
	if err != nil {
		return nil, err
	}
	sent := u.now()
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", node.ID, err)
	}
	defer resp.Body.Close()
	out := &Response{Status: resp.StatusCode, Header: resp.Header, Size: -1, Node: node, Sent: sent, Received: u.now()}
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests,
		// The next tier never refuses a node: it or its clock is out of order.
		resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusUnauthorized:
		return nil, &StatusError{Node: node.ID, Status: resp.StatusCode}
	case resp.StatusCode == http.StatusOK && r.Head:
		out.Size = resp.ContentLength
		return out, nil
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent:
		err = u.readBody(ctx, cancel, out, r, resp)
	default:
		out.Code = errorCode(resp.Body)
	}
	if err != nil {
		if c := context.Cause(ctx); errors.Is(c, errIdle) {
			err = c
		}
		return nil, fmt.Errorf("upstream %s: %w", node.ID, err)
	}
	return out, nil
}

// request carries only what is set here: nothing that a client sent.
func (u *Upstream) request(ctx context.Context, node balance.Node, r Request) (*http.Request, error) {
	base, err := url.Parse(node.URL)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", node.ID, err)
	}
	prefix := strings.TrimRight(base.Path, "/")
	target := &url.URL{
		Scheme: base.Scheme, Host: base.Host,
		Path:    prefix + "/" + r.Bucket + "/" + r.Key,
		RawPath: escapePath(prefix + "/" + r.Bucket + "/" + r.Key),
	}
	if r.VersionID != "" {
		target.RawQuery = "versionId=" + url.QueryEscape(r.VersionID)
	}
	method := http.MethodGet
	if r.Head {
		method = http.MethodHead
	}
	req := (&http.Request{
		Method: method, URL: target, Host: base.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"meridian"}, "Accept-Encoding": {"identity"}},
	}).WithContext(ctx)
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.Length > 0 && !r.Head {
		set("Range", "bytes="+strconv.FormatInt(r.Offset, 10)+"-"+strconv.FormatInt(r.Offset+r.Length-1, 10))
	}
	set("If-None-Match", r.IfNoneMatch)
	set(hop.RequestVersion, r.Want)
	set(hop.RequestNode, u.node)
	set(hop.RequestApplied, r.Applied.String())
	u.signer.Sign(req, sigv4.UnsignedPayload, u.now())
	return req, nil
}

// readBody reads the range that was asked for, all of it or nothing.
func (u *Upstream) readBody(ctx context.Context, cancel context.CancelCauseFunc, out *Response, r Request, resp *http.Response) error {
	if resp.Header.Get("Transfer-Encoding") != "" || resp.ContentLength < 0 {
		return fmt.Errorf("%w: no Content-Length", ErrBadAnswer)
	}
	var n int64
	if resp.StatusCode == http.StatusOK {
		out.Size = resp.ContentLength
		if r.Offset > 0 {
			return fmt.Errorf("%w: the whole object where a range was asked for", ErrBadAnswer)
		}
		n = min(out.Size, cache.SliceSize)
		if r.Length > 0 {
			n = min(n, r.Length)
		}
	} else {
		first, last, size, ok := parseContentRange(resp.Header.Get("Content-Range"))
		want := min(r.Offset+r.Length, size) - 1
		if !ok || r.Length == 0 || first != r.Offset || last != want || resp.ContentLength != last-first+1 {
			return fmt.Errorf("%w: %q, %d bytes, for %d bytes from %d", ErrBadAnswer,
				resp.Header.Get("Content-Range"), resp.ContentLength, r.Length, r.Offset)
		}
		out.Size, n = size, resp.ContentLength
	}
	if n == 0 {
		out.Body = []byte{}
		return nil
	}
	// Until there is room the bytes wait in the socket.
	if err := u.buffers.Acquire(ctx, n); err != nil {
		return err
	}
	defer u.buffers.Release(n)
	body := make([]byte, n)
	idle := time.AfterFunc(u.timeouts.Idle, func() { cancel(errIdle) })
	defer idle.Stop()
	for read := 0; read < len(body); {
		k, err := resp.Body.Read(body[read:])
		idle.Reset(u.timeouts.Idle)
		if read += k; read == len(body) {
			break
		}
		if err != nil {
			return fmt.Errorf("body ended after %d of %d bytes: %w", read, n, noEOF(err))
		}
	}
	if int64(len(body)) == resp.ContentLength {
		_, _ = resp.Body.Read(make([]byte, 1)) // sees EOF, which frees the connection
	}
	out.Body = body
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// IsTimeout reports whether err is about time rather than refusal: 504, not 502.
func IsTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errIdle) || errors.As(err, &n) && n.Timeout()
}
