// Package relay hands tus requests on to the origin that is to answer them: a
// new upload to the nearest region that may hold it, any other to the region
// that holds its parts. Bodies are streamed. It also knows what all endpoints of
// tus have in common on the wire.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// Catalog is what the choice of a region needs.
type Catalog interface {
	Bucket(ctx context.Context, name string) (metadata.Bucket, error)
	Resumable(ctx context.Context, id string) (metadata.Resumable, error)
}

// Options describe a relay. Those not marked optional are required.
type Options struct {
	Catalog Catalog
	// Nodes lists the nodes of the cluster.
	Nodes func(ctx context.Context) ([]metadata.Node, error)
	// Region is our own.
	Region string
	// PublicURL is where clients reach us, if a proxy stands before us. Optional.
	PublicURL string
	// Secret is the cluster secret, of hop.NodeAccessKey.
	Secret string
	// Node is our ID, for the logs of the other side. Optional.
	Node string
	// Transport carries the requests. It must not have a deadline for an answer
	// below the time that a store takes to complete an upload, and wait for the word
	// to continue for ContinueTimeout.
	Transport http.RoundTripper
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
}

// ContinueTimeout is how long an origin is given to take or refuse a new upload
// before the bytes are sent all the same, after which no other can have them: longer
// than it takes to find that a store cannot be reached.
const ContinueTimeout = 30 * time.Second

// Relay hands requests on. Its methods may run at once.
type Relay struct {
	Options
	signer sigv4.Signer
	proxy  *httputil.ReverseProxy
}

// errNoOrigin says that no origin may be asked.
var errNoOrigin = errors.New("no origin that could take the upload is running")

// New returns a relay.
func New(o Options) *Relay {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Relay{Options: o, signer: sigv4.Signer{AccessKey: hop.NodeAccessKey, Secret: o.Secret}}
	r.proxy = &httputil.ReverseProxy{
		// Serve has written what goes out, and this alone is taken from it.
		Rewrite: func(p *httputil.ProxyRequest) {
			for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Host"} {
				p.Out.Header[name] = p.In.Header[name]
			}
		},
		Transport:     r,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		// The ID is ours, which the origin's would hide.
		ModifyResponse: func(resp *http.Response) error {
			if id := httpserve.RequestID(resp.Request.Context()); id != "" {
				resp.Header.Set(httpserve.RequestIDHeader, id)
			}
			return nil
		},
		ErrorHandler: r.fail,
	}
	return r
}

// Headers are those of every answer, for a caller that answers errors itself.
func (r *Relay) Headers(h http.Header) { Headers(h) }

// Describe answers OPTIONS.
func (r *Relay) Describe(w http.ResponseWriter, req *http.Request) { Describe(w, req) }

// Serve hands on a request of a caller who may write.
func (r *Relay) Serve(w http.ResponseWriter, req *http.Request, user string, admin bool) {
	id, ok := UploadID(req.URL.Path)
	if !ok {
		Problem(w, req, http.StatusNotFound, "no-such-path", "there is nothing at this path")
		return
	}
	targets, err := r.targets(req, id)
	if err != nil {
		r.fail(w, req, err)
		return
	}
	out := req.Clone(context.WithValue(req.Context(), targetsKey{}, targets))
	External(out, r.PublicURL)
	for name := range out.Header {
		// What we sign must be said by us.
		if strings.HasPrefix(name, "X-Amz-") || strings.HasPrefix(name, "X-Meridian-") {
			out.Header.Del(name)
		}
	}
	out.Header.Del("Authorization")
	out.Header.Del("Cookie")
	out.URL.RawQuery = ""
	Caller{User: user, Admin: admin}.write(out.Header)
	if r.Node != "" {
		out.Header.Set(hop.RequestNode, r.Node)
	}
	h := w.Header()
	h.Del(httpserve.RequestIDHeader)
	for name := range common { // the answer brings them
		h.Del(name)
	}
	r.proxy.ServeHTTP(w, out)
}

type targetsKey struct{}

// targets are the URLs of the origins that may answer, best first, and those
// whose store cannot be reached after all that are sound.
func (r *Relay) targets(req *http.Request, id string) ([]string, error) {
	nodes, err := r.Nodes(req.Context())
	if err != nil {
		return nil, err
	}
	var regions []string
	if id != "" {
		u, err := r.Catalog.Resumable(req.Context(), id)
		if err != nil {
			return nil, err
		}
		regions = []string{u.Region}
	} else if regions, err = r.regions(req, nodes); err != nil {
		return nil, err
	}
	var live, impaired, silent []string
	for _, region := range regions {
		for _, n := range nodes {
			switch {
			case n.Tier != metadata.TierOrigin || n.Region != region:
			case n.Live && n.State == metadata.NodeImpaired:
				impaired = append(impaired, n.URL)
			case n.Live:
				live = append(live, n.URL)
			default:
				silent = append(silent, n.URL)
			}
		}
	}
	live = append(live, impaired...)
	if id != "" { // one that just fell silent is still worth a try
		live = append(live, silent...)
	}
	if len(live) == 0 {
		return nil, fmt.Errorf("%w; regions: %s", errNoOrigin, strings.Join(regions, ", "))
	}
	return live, nil
}

// regions are those that may take a new upload, best first: where the client
// is, the bucket's home, ours, and the others. A bucket that is not there is for
// the origin to refuse.
func (r *Relay) regions(req *http.Request, nodes []metadata.Node) ([]string, error) {
	meta, _ := ParseMetadata(req.Header.Get("Upload-Metadata")) // likewise
	var bucket metadata.Bucket
	if name := meta["bucket"]; name != "" {
		var err error
		bucket, err = r.Catalog.Bucket(req.Context(), name)
		if err != nil && !errors.Is(err, metadata.ErrNoSuchBucket) {
			return nil, err
		}
	}
	near := []string{req.Header.Get("X-Meridian-Client-Region"), bucket.Region, r.Region}
	var regions []string
	for _, n := range nodes {
		if n.Tier == metadata.TierOrigin && !slices.Contains(regions, n.Region) && bucket.Takes(n.Region) {
			regions = append(regions, n.Region)
		}
	}
	rank := func(region string) int {
		if i := slices.Index(near, region); i >= 0 {
			return i
		}
		return len(near)
	}
	slices.SortStableFunc(regions, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	return regions, nil
}

// RoundTrip asks the first target that can be reached. Once a connection stands
// the request is that origin's; but a new upload that it cannot take now is the
// next one's, as long as no byte of it was read.
func (r *Relay) RoundTrip(req *http.Request) (*http.Response, error) {
	targets, _ := req.Context().Value(targetsKey{}).([]string)
	id, _ := UploadID(req.URL.Path)
	creation := req.Method == http.MethodPost && id == ""
	if req.Body != nil {
		defer req.Body.Close()
	}
	var errs []error
	for i, target := range targets {
		out := req.Clone(req.Context())
		var lent *loan
		if req.Body != nil {
			lent = &loan{body: req.Body}
			out.Body = lent
			if creation {
				out.Header.Set("Expect", "100-continue") // who refuses does so before it is sent
			}
		}
		u, err := url.Parse(target)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out.URL.Scheme, out.URL.Host, out.Host = u.Scheme, u.Host, u.Host
		out.URL.Path, out.URL.RawPath = strings.TrimSuffix(u.Path, "/")+req.URL.Path, ""
		r.signer.Sign(out, sigv4.UnsignedPayload, r.Now())
		resp, err := r.Transport.RoundTrip(out)
		if err == nil {
			if creation && resp.StatusCode == http.StatusServiceUnavailable && i+1 < len(targets) && lent.end() {
				_ = resp.Body.Close() // the next one's answer counts
				r.Log.WarnContext(req.Context(), "an origin cannot take a new upload; asking the next", "origin", target)
				continue
			}
			return resp, nil
		}
		errs = append(errs, err)
		var dial *net.OpError
		if req.Context().Err() != nil || !errors.As(err, &dial) || dial.Op != "dial" {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// loan is a request's body in the hands of one target. It is not closed with it.
type loan struct {
	body  io.Reader
	mu    sync.Mutex
	began bool
	ended bool
}

// Read reads on, until the loan ends.
func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	l.began = true
	l.mu.Unlock()
	return l.body.Read(p)
}

// Close does nothing.
func (l *loan) Close() error { return nil }

// end takes the body back if none of it was read, and reports whether it was so.
// There may be no body at all.
func (l *loan) end() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = !l.began
	return l.ended
}

// fail answers what did not reach an origin.
func (r *Relay) fail(w http.ResponseWriter, req *http.Request, err error) {
	switch {
	case req.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client is gone
	case errors.Is(err, metadata.ErrNoSuchUpload):
		Problem(w, req, http.StatusNotFound, "no-such-upload", "there is no such upload; it may have expired")
	case errors.Is(err, errNoOrigin):
		Problem(w, req, http.StatusServiceUnavailable, "no-origin", err.Error())
	default:
		w.Header().Set(httpserve.RequestIDHeader, httpserve.RequestID(req.Context()))
		r.Log.ErrorContext(req.Context(), "tus request was not handed on", "request_id", httpserve.RequestID(req.Context()),
			"method", req.Method, "path", req.URL.Path, "error", err)
		Problem(w, req, http.StatusBadGateway, "origin-unreachable", "the origin that holds the upload did not answer; go on from the offset that HEAD tells")
	}
}
