package edge

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/edge/purge"
	"meridian/internal/signedurl"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// zone is a bucket that is a pull zone, as a view has it.
type zone struct {
	*pull.Zone
	bucket *metadata.Bucket
}

// visit is a request to a pull zone.
type visit struct {
	*exchange
	zone    *zone
	target  pull.Target
	host    string // by which the zone was found, or ""
	primary string // cache key of the target, whatever it varies by
	demands httpcache.Demands
	ours    bool   // the node itself has judged who asks
	asked   string // ID of the regional node that answered last
}

// findZone returns the pull zone that a request is for, and the path in it. host
// is the name it was found by; where there is none, the path began with the
// bucket.
func (n *Node) findZone(r *http.Request) (z *zone, host, path string) {
	v := n.view.Load()
	if v == nil || len(v.zones) == 0 {
		return nil, "", ""
	}
	// The target as it came: net/url would escape some of it anew.
	path, _, _ = strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	if len(v.zoneHosts) > 0 {
		if host = pull.HostOf(r.Host); v.zoneHosts[host] != nil {
			return v.zoneHosts[host], host, path
		}
	}
	name, _, below := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	z = v.zones[name]
	if z == nil {
		return nil, "", ""
	}
	path = strings.TrimPrefix(path, "/"+name)
	if !below {
		path = "/"
	}
	return z, "", path
}

// serveZone answers a request to a pull zone.
func (x *exchange) serveZone(ctx context.Context, z *zone, host, path string) error {
	v := &visit{exchange: x, zone: z, host: host}
	x.bucket = z.bucket
	if x.r.Method == methodPurge {
		return x.purgeURL(ctx, "/"+z.bucket.Name+path)
	}
	var err error
	if v.target, err = z.Target(path, x.r.URL.RawQuery, v.ownParam); err != nil {
		return errInvalid("The path leads out of what this pull zone serves.")
	}
	x.object = purge.Object{Bucket: z.bucket.Name, Key: v.target.Key}
	switch {
	case !z.Allows(x.r.Method):
		e := errMethod()
		e.header.Set("Allow", z.Allow())
		return e
	case strings.EqualFold(x.r.Header.Get("Upgrade"), "websocket"):
		return &apiError{status: http.StatusNotImplemented, code: "NotImplemented", message: "A pull zone does not pass WebSocket connections on: connect to its origin."}
	case pull.Loops(x.r.Header, x.n.cfg.ID):
		return errLoop()
	}
	if err := v.admitVisitor(); err != nil {
		return err
	}
	return v.serve(ctx)
}

// serve answers a request that may be made.
func (v *visit) serve(ctx context.Context) error {
	x := v.exchange
	if h := httpcache.WithoutNamed(x.r.Header); len(h) < len(x.r.Header) {
		r := *x.r
		r.Header, x.r = h, &r
	}
	v.primary = v.primaryOf(v.target)
	v.demands = httpcache.ParseDemands(x.r.Header)
	x.counted, x.sample.Class = true, metadata.ClassOf(metadata.MediaType("", v.target.Key))
	// A GET with a body is none that an answer could be kept of.
	if m := x.r.Method; (m == http.MethodGet || m == http.MethodHead) && x.r.ContentLength == 0 {
		if err := v.read(ctx); v.started || !errors.Is(err, errCrowded) {
			return err
		}
		return v.pass(ctx, httpcache.ForwardBypass) // which holds next to nothing
	}
	return v.pass(ctx, httpcache.ForwardMethod)
}

// primaryOf is the cache key of a target. Origins that send clients of http on to
// https answer differently by scheme, and those that are told of the host that was
// asked write their links with it.
func (v *visit) primaryOf(t pull.Target) string {
	scheme := "http"
	if v.r.TLS != nil {
		scheme = "https"
	}
	return primaryName(v.zone, scheme, v.zone.ToldHost(v.host), t)
}

func primaryName(z *zone, scheme, host string, t pull.Target) string {
	return httpcache.Name{Bucket: z.bucket.Name, Key: t.Key, Variant: "pull " + scheme + " " + host + t.Name()}.HeadKey()
}

// primary is a cache key of a target, and what it is for.
type primary struct{ scheme, host, name string }

// primaries are all that a target may have.
func (z *zone) primaries(t pull.Target) (all []primary) {
	for _, scheme := range [...]string{"http", "https"} {
		for _, host := range z.hosts() {
			all = append(all, primary{scheme, host, primaryName(z, scheme, host, t)})
		}
	}
	return all
}

// hosts are those that origins may be told of; "" is none.
func (z *zone) hosts() []string {
	hosts := []string{""}
	for _, h := range z.bucket.Pull.Hosts {
		if h = z.ToldHost(h); h != "" {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// ownParam tells which parameters of a query are for the node: those of signed
// URLs to a private zone.
func (v *visit) ownParam(name string) bool {
	if v.n.everybody(v.zone.bucket.Name) {
		return false
	}
	_, override := signedurl.Overrides[name]
	return override || name == "expires" || name == "sig" || name == "prefix" || strings.HasPrefix(name, "X-Amz-")
}

// admitVisitor lets everybody into a public zone; credentials are for its origin.
// A private one is open to those to whom a private bucket is.
func (v *visit) admitVisitor() (err error) {
	if v.n.everybody(v.zone.bucket.Name) {
		v.admitDebugger()
		return nil
	}
	v.ours = sigv4.Present(v.r)
	if v.caller, err = v.n.identify(v.r); err != nil {
		return err
	}
	pending, err := v.n.authorize(&v.caller, v.object, v.r)
	if pending != nil {
		return errDenied() // a zone has no objects that could say otherwise
	}
	return err
}

// read answers GET and HEAD, from the cache where that is allowed.
func (v *visit) read(ctx context.Context) error {
	held := v.lookup(ctx)
	if !v.need.IsZero() {
		held = lookedUp(held) // a purge that is yet to come may be of just this
	}
	decision := httpcache.Revalidate
	if held.head != nil {
		decision = v.demands.Decide(held.head, v.n.now(), v.trusted())
	}
	switch {
	case decision == httpcache.Serve:
		return v.serveHeld(ctx, held, tally.Hit)
	case v.demands.OnlyIfCached:
		return &apiError{status: http.StatusGatewayTimeout, code: "NotCached", message: "The request wants an answer from the cache only, and there is none."}
	case decision == httpcache.ServeStale:
		v.refresh(ctx, held)
		return v.serveHeld(ctx, held, tally.Stale)
	case v.r.Method == http.MethodHead:
		err := v.pass(ctx, httpcache.ForwardMethod)
		v.noteMiss(ctx, held, nil, miss{led: true}, err)
		return err
	}
	err := v.fetchAndAnswer(ctx, held, decision == httpcache.RevalidateOrServe)
	if err == nil || v.started || decision != httpcache.RevalidateOrServe || !unavailable(err) {
		return err
	}
	v.n.log.InfoContext(ctx, "served stale for want of an origin", "bucket", v.object.Bucket, "key", v.object.Key, "err", err)
	return v.serveHeld(ctx, held, tally.Stale)
}

// serveHeld answers from the cache. What is held but cannot be had whole any more
// is forgotten, and asked for anew.
func (v *visit) serveHeld(ctx context.Context, held held, result tally.Result) error {
	err := v.serveFound(ctx, held.head, result)
	if !errors.Is(err, errVersionGone) || v.started {
		return err
	}
	v.n.dropHead(ctx, held.name)
	return v.fetchAndAnswer(ctx, lookedUp(held), false)
}

func (v *visit) serveFound(ctx context.Context, h *httpcache.Head, result tally.Result) error {
	v.sample.Result, v.sample.Depth = result, tally.Self
	status := v.member()
	status.Hit = true
	status.SetTTL(h.TTL(v.n.now()))
	return v.answerZone(ctx, h, status, &zoneBody{visit: v, head: h})
}

// lookedUp is held without what was not good enough.
func lookedUp(h held) held { return held{name: h.name, varies: h.varies} }

// fetchAndAnswer asks the origin for what is not held, or to confirm it. What it
// confirms, but cannot be had whole any more, is asked for anew.
func (v *visit) fetchAndAnswer(ctx context.Context, held held, orStale bool) error {
	err := v.fetchOnce(ctx, held, orStale)
	if !errors.Is(err, errVersionGone) || v.started {
		return err
	}
	v.n.dropHead(ctx, held.name)
	return v.fetchOnce(ctx, lookedUp(held), false)
}

// fetchOnce asks the origin together with all who want the same.
func (v *visit) fetchOnce(ctx context.Context, held held, orStale bool) error {
	v.sample.Result, v.sample.Depth = tally.Miss, tally.Origin
	began := v.n.now()
	why := v.whyMissing(held)
	f, err := v.fetch(ctx, held, orStale)
	v.took += v.n.now().Sub(began)
	v.noteMiss(ctx, held, f.flight, miss{why: why, led: f.led}, err)
	if err != nil {
		return err
	}
	defer f.leave()
	v.sample.Depth = f.depth
	if f.held {
		return v.serveFound(ctx, f.head, tally.Hit)
	}
	status := v.member()
	status.Forward, status.Stored, status.Collapsed = held.why(), f.stored, !f.led
	switch {
	case f.revalidated:
		v.sample.Result, status.ForwardStatus = tally.Revalidated, http.StatusNotModified
	case !f.stored:
		v.sample.Result = tally.Pass
	}
	if f.status != http.StatusOK && !f.revalidated {
		status.ForwardStatus = f.status
	}
	body := &zoneBody{visit: v, head: f.head, flight: f.flight, reader: f.reader, givenIndex: f.index}
	if given := f.slice.Load(); given != nil {
		body.given = *given
	}
	if f.led {
		body.own = f.own
	}
	if err := v.answerZone(ctx, f.head, status, body); err != nil {
		return err
	}
	f.settle(ctx)
	return nil
}

// member is the node's own in Cache-Status.
func (v *visit) member() httpcache.Status {
	return httpcache.Status{Cache: "meridian-" + v.n.cfg.Tier + "-" + v.n.cfg.Region}
}
