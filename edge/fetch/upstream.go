package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/limit"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
)

// attempts is how many upstreams a Fetch tries, hedges apart.
const attempts = 3

// Options describe an Upstream. Balancer, Secret and Now are required.
type Options struct {
	Balancer balance.Balancer
	Secret   string // of the cluster
	Node     string // ID of this node, for the other side's logs
	Timeouts Timeouts
	Dial     DialFunc    // nil: a net.Dialer
	TLS      *tls.Config // of https upstreams; nil: the default
	// Limits bound the requests at once to each node, by ID; nil bounds nothing.
	Limits *limit.Set
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
	limits   *limit.Set
	now      func() time.Time
	client   *http.Client

	budget    *budget
	latencies *latencies
	hearing   *hearing
	stuck     stuck
	counts    struct{ retries, refused, hedges, hedgesWon atomic.Int64 }
}

// Counts are what an Upstream asked beyond the first attempt of each Fetch, since
// it was made.
type Counts struct {
	Retries   int64 // at another node, after one failed
	Refused   int64 // neither retried nor hedged, for want of budget
	Hedges    int64 // at a second node, while the first was late
	HedgesWon int64 // of those: answered first
}

// Counts returns the counts so far.
func (u *Upstream) Counts() Counts {
	c := &u.counts
	return Counts{Retries: c.retries.Load(), Refused: c.refused.Load(), Hedges: c.hedges.Load(), HedgesWon: c.hedgesWon.Load()}
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
		limits:   o.Limits,
		now:      o.Now,

		budget:    newBudget(o.Now()),
		latencies: newLatencies(),
		hearing:   newHearing(),
		client: &http.Client{
			Transport:     newTransport(t, o.Dial, o.TLS),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes idle connections.
func (u *Upstream) Close() { u.client.CloseIdleConnections() }

// Fetch implements Fetcher. Where a node fails the next one is asked, and where
// one is late a second one beside it, as far as the retry budget goes.
func (u *Upstream) Fetch(ctx context.Context, r Request) (*Response, error) {
	start := u.now()
	u.budget.request()
	var errs []error
	// One name for all of an object, so that its head and slices are asked for
	// at one node.
	nodes := u.balancer.Pick(cache.Key{Class: cache.Head, Name: r.Bucket + "/" + r.Key}, attempts)
	for len(nodes) > 0 {
		resp, asked, failed := u.hedged(ctx, nodes, r)
		if resp != nil {
			resp.Took = u.now().Sub(start)
			return resp, nil
		}
		errs = append(errs, failed...)
		nodes = nodes[asked:]
		if ctx.Err() != nil || len(nodes) == 0 {
			break
		}
		if !u.mayRetry(errs[len(errs)-1]) {
			errs = append(errs, errBudget)
			break
		}
		u.counts.retries.Add(1)
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("fetch %s/%s: %w: none is known", r.Bucket, r.Key, ErrUnavailable)
	}
	return nil, fmt.Errorf("fetch %s/%s: %w: %w", r.Bucket, r.Key, ErrUnavailable, errors.Join(errs...))
}

// FetchFrom asks one node, whatever the balancer thinks of it, and tells the
// balancer how it went.
func (u *Upstream) FetchFrom(ctx context.Context, node balance.Node, r Request) (*Response, error) {
	resp, err := u.ask(ctx, node, r)
	if err != nil {
		return nil, fmt.Errorf("fetch %s/%s: %w: %w", r.Bucket, r.Key, ErrUnavailable, err)
	}
	return resp, nil
}

// mayRetry reports whether the next node may be asked after err. A connection
// that was refused gave nobody work, nor did a node that has as much as it may
// have, so that one more attempt is no more work than was asked for: a node that
// is gone costs no budget, however many find out at the same time.
func (u *Upstream) mayRetry(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || errors.Is(err, limit.ErrBusy) || u.budget.take(u.now()) {
		return true
	}
	u.counts.refused.Add(1)
	return false
}

// ask asks one node and tells the balancer how it went.
func (u *Upstream) ask(ctx context.Context, node balance.Node, r Request) (*Response, error) {
	release, err := u.limits.Acquire(ctx, node.ID)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", node.ID, err)
	}
	defer release()
	u.balancer.Begin(node)
	began := u.now()
	resp, err := u.attempt(ctx, node, r)
	took := u.now().Sub(began)
	report := err
	switch {
	case err == nil && resp.Body != nil:
		u.latencies.add(node, u.now(), took)
	case err != nil && errors.Is(context.Cause(ctx), errOvertaken):
		report = errOvertaken
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && took >= u.timeouts.Header:
		report = errLate // it had as long as any node should need
	case ctx.Err() != nil:
		report = context.Canceled // our giving up says nothing of the node
	}
	report = u.stuck.judge(node.ID, u.now(), r, resp, report)
	u.balancer.Report(node, took, report)
	return resp, err
}

// Probe asks a node whether it is ready. One that answers at all, if not with a
// failure, is: not every upstream knows the question.
func (u *Upstream) Probe(ctx context.Context, node balance.Node) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(node.URL, "/")+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("probe %s: %w", node.ID, err)
	}
	req.Header.Set("User-Agent", "meridian")
	resp, err := u.client.Do(req)
	if err != nil {
		return fmt.Errorf("probe %s: %w", node.ID, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 8<<10)) // frees the connection
	if resp.StatusCode >= 500 {
		return &StatusError{Node: node.ID, Status: resp.StatusCode}
	}
	return nil
}

func (u *Upstream) attempt(ctx context.Context, node balance.Node, r Request) (*Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := u.request(ctx, node, r)
	if err != nil {
		return nil, err
	}
	if r.Peer { // which the next tier can stand in for, as long as there is time
		whole := time.AfterFunc(u.timeouts.Late, func() { cancel(errLate) })
		defer whole.Stop()
	}
	sent := u.now()
	resp, err := u.await(node, r, req, cancel)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", node.ID, causeOr(ctx, err))
	}
	defer resp.Body.Close()
	out := &Response{Status: resp.StatusCode, Header: resp.Header, Size: -1, Node: node, Sent: sent, Received: u.now()}
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests,
		// The next tier never refuses a node: it or its clock is out of order.
		resp.StatusCode == http.StatusForbidden && r.Customer == nil, resp.StatusCode == http.StatusUnauthorized:
		return nil, &StatusError{Node: node.ID, Status: resp.StatusCode}
	case resp.StatusCode == http.StatusOK && r.Head:
		out.Size = resp.ContentLength
		return out, nil
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent:
		err = u.readBody(ctx, cancel, u.hearing.of(node.ID), out, r, resp)
	default:
		out.Code, out.Message = errorOf(resp.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", node.ID, causeOr(ctx, err))
	}
	return out, nil
}

// await sends a request and waits for the header of its answer. Who has something
// stale to serve instead, or another to ask, does not wait for a node that is busy
// with others.
func (u *Upstream) await(node balance.Node, r Request, req *http.Request, cancel context.CancelCauseFunc) (*http.Response, error) {
	from := u.hearing.of(node.ID)
	patient := from
	if r.IfNoneMatch != "" || r.Peer {
		patient = nil
	}
	silence := await(u.timeouts.Header, patient, cancel)
	defer silence.broken()
	resp, err := u.client.Do(req)
	if err == nil && resp.StatusCode < 500 {
		from.note()
	}
	return resp, err
}

// causeOr is why an attempt ended of itself, or err.
func causeOr(ctx context.Context, err error) error {
	if c := context.Cause(ctx); isLate(c) {
		return c
	}
	return err
}

// request carries only what is set here: nothing that a client sent, but for a
// customer's key.
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
	for name, values := range r.Customer {
		req.Header[name] = values
	}
	set(hop.RequestVersion, r.Want)
	set(hop.RequestNode, u.node)
	set(hop.RequestApplied, r.Applied.String())
	if r.Peer {
		set(hop.RequestPeer, "1")
	}
	if r.Ahead {
		set(hop.RequestAhead, "1")
	}
	if deadline, ok := ctx.Deadline(); ok {
		set(hop.RequestTimeout, hop.FormatTimeout(time.Until(deadline)))
	}
	u.signer.Sign(req, sigv4.UnsignedPayload, u.now())
	return req, nil
}

// readBody reads the range that was asked for, all of it or nothing.
func (u *Upstream) readBody(ctx context.Context, cancel context.CancelCauseFunc, from *heard, out *Response, r Request, resp *http.Response) error {
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
		from.note()
		if read += k; read == len(body) {
			break
		}
		if err != nil {
			return fmt.Errorf("body ended after %d of %d bytes: %w", read, n, noEOF(err))
		}
	}
	if int64(len(body)) == resp.ContentLength {
		if sum := resp.Header.Get(hop.Sum); sum != "" && sum != hop.SumOf(body) {
			return fmt.Errorf("%w: the %d bytes from %d are not those that were sent", ErrBadAnswer, n, r.Offset)
		}
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

// isLate reports whether a node was given up on because it took too long.
func isLate(err error) bool {
	return errors.Is(err, errIdle) || errors.Is(err, errSilent) || errors.Is(err, errLate)
}

// IsTimeout reports whether err is about time rather than refusal: 504, not 502.
func IsTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || isLate(err) || errors.Is(err, errStuck) || errors.As(err, &n) && n.Timeout()
}
