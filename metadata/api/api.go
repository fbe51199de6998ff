// Package api is the JSON API of the metadata role: media records, buckets,
// access keys, purges and the hit report for people and apps; the feed, pushes
// and snapshots for nodes. package metadata/client asks the latter.
//
// Every endpoint is an entry of one table (routes.go) that says who may call it
// and what it takes and answers; /openapi.json is made from the same table.
// Errors are problem documents (RFC 9457).
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"meridian/internal/httpserve"
	"meridian/internal/seal"
	"meridian/internal/signedurl"
	"meridian/metadata"
	"meridian/metadata/notify/webhook"
	"meridian/upload/presign"
)

// Options describe an API. Store, ClusterSecret and Region are required.
type Options struct {
	Store metadata.Store
	// ClusterSecret is the secret of hop.NodeAccessKey. Session cookies and
	// signed URLs are made under keys derived from it, so that all processes of
	// the role accept each other's.
	ClusterSecret string
	// Region is where this process runs: the home of buckets that name none.
	Region string
	// Regions are the regions of the cluster, where that is known beforehand;
	// those of nodes that have reported are added. A bucket in any other is
	// refused, unless neither is known.
	Regions []string
	// PublicURL is where browsers reach the API, if a proxy stands before it.
	PublicURL string
	// TrustedProxies may tell the address of a client by X-Forwarded-For and
	// its scheme by X-Forwarded-Proto.
	TrustedProxies []netip.Prefix
	// Console is the web page, which answers the paths it owns that are no
	// endpoint; without it, "/" says what this is.
	Console Console
	// Distances tell which region is next where an edge of the own cannot be had.
	Distances metadata.Distances
	// ClientRegions say in which region clients of a network are, where they do
	// not say so themselves. Of several networks the smallest counts.
	ClientRegions map[netip.Prefix]string
	// Tus takes resumable uploads; there are none where it is nil.
	Tus Tus
	// Origins asks origins about uploads, and cache nodes about what they hold;
	// http.DefaultClient does where it is nil.
	Origins *http.Client
	// Webhooks reaches webhooks, to try them; where it is nil, none on this
	// machine.
	Webhooks *webhook.Client
	// Ready returns nil once the process can do its work, else what it waits
	// for. Always ready where it is nil.
	Ready func() error
	Log   *slog.Logger // nothing is logged where it is nil
	// AccessLog wants a line for every request. Where a handler around the API
	// has given the request an ID, it logs, and this is ignored.
	AccessLog bool
	// Registry is what /metrics tells; Registerer, Registry where it is nil,
	// gets the metrics of the API.
	Registry   *prometheus.Registry
	Registerer prometheus.Registerer
	// Version of the program, for /openapi.json.
	Version string
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
}

// Tus takes resumable uploads and hands them on to the origins.
type Tus interface {
	// Headers writes what every answer must have, errors too.
	Headers(h http.Header)
	// Describe answers OPTIONS, for whoever asks.
	Describe(w http.ResponseWriter, r *http.Request)
	// Serve answers a request of a user who may write; admin says whether the
	// uploads of others are theirs too.
	Serve(w http.ResponseWriter, r *http.Request, user string, admin bool)
}

// Console is a web page at the paths of the API's host that it owns.
type Console interface {
	http.Handler
	Owns(path string) bool
}

// API answers requests. Its Run must run beside it.
type API struct {
	opts      Options
	store     metadata.Store
	log       *slog.Logger
	now       func() time.Time
	engine    *gin.Engine
	handler   http.Handler
	ops       http.Handler
	sessions  *sessions
	attempts  *attempts
	origins   *http.CrossOriginProtection
	signer    *signedurl.Signer
	tickets   *seal.Sealer // of uploads
	presigner *presign.Client
	hub       *hub
	metrics   *metrics
	openapi   []byte
	secure    bool // browsers reach us by TLS alone
	stall     time.Duration
}

var _ http.Handler = (*API)(nil)

// New makes an API.
func New(o Options) (*API, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("api: no store")
	case o.ClusterSecret == "":
		return nil, errors.New("api: no cluster secret")
	case o.Region == "":
		return nil, errors.New("api: no region")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Webhooks == nil {
		o.Webhooks = webhook.NewClient(false)
	}
	if o.Origins == nil {
		o.Origins = http.DefaultClient
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Registerer == nil {
		o.Registerer = o.Registry
	}
	a := &API{
		opts: o, store: o.Store, log: o.Log, now: o.Now,
		ops:      httpserve.Ops(o.Registry, o.Ready, http.NotFoundHandler()),
		attempts: newAttempts(o.Now),
		origins:  http.NewCrossOriginProtection(),
		signer:   signedurl.New(o.ClusterSecret),
		metrics:  newMetrics(o.Registerer),
		stall:    feedStall,
	}
	a.hub = newHub(o.Store, o.Log, a.metrics)
	a.presigner = presign.New(o.Origins)
	var err error
	if a.tickets, err = newTicketSealer(o.ClusterSecret); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if a.sessions, err = newSessions(o.ClusterSecret, o.Now); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := a.trustPublicURL(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if a.openapi, err = openAPI(a.routes(), o.Version); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := a.newEngine(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return a, nil
}

// trustPublicURL accepts requests of pages served from there, whatever Host the
// proxy sends on.
func (a *API) trustPublicURL() error {
	if a.opts.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(a.opts.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return metadata.Invalidf("public URL %q is not an absolute http URL", a.opts.PublicURL)
	}
	a.secure = u.Scheme == "https"
	return a.origins.AddTrustedOrigin(u.Scheme + "://" + u.Host)
}

func (a *API) newEngine() error {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false // with a page in HTML
	e.HandleMethodNotAllowed = true
	proxies := make([]string, len(a.opts.TrustedProxies))
	for i, p := range a.opts.TrustedProxies {
		proxies[i] = p.String()
	}
	if err := e.SetTrustedProxies(proxies); err != nil {
		return fmt.Errorf("trusted proxies: %w", err)
	}
	for _, r := range a.routes() {
		h := a.handle(r)
		e.Handle(r.method, r.path, h)
		if r.path == tusPath { // a preflight may not be redirected
			e.Handle(r.method, strings.TrimSuffix(tusPath, "/"), h)
		}
		if r.method == http.MethodGet {
			e.Handle(http.MethodHead, r.path, h)
		}
	}
	e.NoRoute(a.handle(route{access: public, do: (*call).elsewhere}))
	e.NoMethod(a.handle(route{access: public, do: func(*call) error { return errNoMethod }}))
	a.engine = e
	inner := allowOrigins(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("X-Forwarded-Prefix") // which gin would put into redirects
		e.ServeHTTP(w, r)
	}))
	withID := httpserve.Access(a.log, a.opts.AccessLog, inner)
	a.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if httpserve.RequestID(r.Context()) != "" {
			inner.ServeHTTP(w, r)
			return
		}
		withID.ServeHTTP(w, r)
	})
	return nil
}

// Handler is the API as a handler.
func (a *API) Handler() http.Handler { return a }

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Run follows the feed on behalf of all its subscribers and forgets sessions
// and failed logins that have had their time. It returns nil when ctx ends, and
// all streams with it: end it before the server that they run on drains.
func (a *API) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { a.hub.run(ctx); return nil })
	g.Go(func() error {
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				a.sessions.prune()
				a.attempts.prune()
			}
		}
	})
	return g.Wait()
}
