// Package peer reads blobs of other regions through their S3 endpoints, as the
// cluster's own node, for the objects whose bytes the own region does not have.
package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin"
)

// Options describe how other regions are reached. Those not marked optional are
// required.
type Options struct {
	// Endpoints are the URLs of a region's S3 endpoints, best first; none where
	// the region is not known.
	Endpoints func(region string) []string
	// Secret is the cluster secret, of hop.NodeAccessKey.
	Secret string
	// Node is our ID, for the logs of the other side. Optional.
	Node string
	// Transport carries the requests; one of its own where it is nil.
	Transport http.RoundTripper
	// HeaderTimeout is how long an endpoint may take to answer, IdleTimeout how
	// long it may send no byte of a body; 10 s and 15 s where they are zero.
	HeaderTimeout, IdleTimeout time.Duration
	// Tries is how often a body that broke off is asked for again from where it
	// did, without a byte in between; 3 where it is zero.
	Tries int
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

// Peers is origin.Peers over HTTP. Its methods may run at once.
type Peers struct {
	Options
	client *http.Client
	signer sigv4.Signer
}

var _ origin.Peers = (*Peers)(nil)

// Defaults of Options.
const (
	defaultHeaderTimeout = 10 * time.Second
	defaultIdleTimeout   = 15 * time.Second
	defaultTries         = 3
)

// errAnswer says that an endpoint answered with something other than the bytes
// that it was asked for.
var errAnswer = errors.New("unexpected answer")

// New returns the peers of a region.
func New(o Options) *Peers {
	if o.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true
		t.MaxIdleConnsPerHost = 64
		o.Transport = t
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = defaultHeaderTimeout
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	if o.Tries == 0 {
		o.Tries = defaultTries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Peers{
		Options: o,
		client: &http.Client{
			Transport: o.Transport,
			// An endpoint has no reason to send us elsewhere, and the signature
			// would not hold there.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		signer: sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: o.Secret},
	}
}

// Open implements origin.Peers. The first endpoint of the region that sends the
// bytes is read; where that breaks off, the reading goes on at the next byte,
// from any of them.
func (p *Peers) Open(ctx context.Context, region string, v metadata.Version, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("read %s at %d: %w", v.Blob, off, fs.ErrInvalid)
	}
	rest := max(v.StoredSize()-off, 0)
	if n < 0 || n > rest {
		n = rest
	}
	b := &body{peers: p, ctx: ctx, region: region, version: v, off: off, left: n}
	if n == 0 {
		return b, nil
	}
	if err := b.open(); err != nil { //nolint:contextcheck // b has the context
		return nil, err
	}
	return b, nil
}

// ask requests n bytes from offset off of v at one endpoint. stop ends the
// request, and the reading of its body, with the cause it is given.
func (p *Peers) ask(ctx context.Context, stop context.CancelCauseFunc, endpoint string, v *metadata.Version, off, n int64) (io.ReadCloser, error) {
	r, err := p.request(ctx, endpoint, v, off, n)
	if err != nil {
		return nil, err
	}
	slow := time.AfterFunc(p.HeaderTimeout, func() { stop(errSlow) })
	resp, err := p.client.Do(r)
	inTime := slow.Stop()
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case !inTime: // it came in the moment in which it was given up
		_ = resp.Body.Close()
		return nil, errSlow
	}
	if err := check(resp, v, off, n); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp.Body, nil
}
