package edge

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"meridian/edge/fetch"
	"meridian/edge/purge"
	"meridian/internal/cors"
	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/access"
	"meridian/metadata/tally"
)

// catchUp is how long a node that is behind its caller waits for the feed.
const catchUp = 250 * time.Millisecond

// subresources are the parameters by which a client of S3 asks for something else
// than an object, or for a part of one. To answer with the object would be wrong;
// in URLs that no such client has signed they are names like any other.
var subresources = []string{
	"acl", "attributes", "legal-hold", "partNumber", "retention", "tagging", "torrent", "uploadId", "uploads",
}

// exchange is one request and what is known of its answer.
type exchange struct {
	n     *Node
	w     http.ResponseWriter
	r     *http.Request
	start time.Time

	caller    caller
	pending   *access.Request // whether the caller may read the object, once it is known
	bucket    *metadata.Bucket
	object    purge.Object
	versionID string
	query     url.Values
	want      string       // version that a node asks for
	need      metadata.Seq // that the answer must include, beyond what is applied
	fromPeer  bool         // another edge of the region asks
	customer  http.Header  // the key of the object's owner, if it came
	hopped    bool         // an edge asks for a client of a pull zone
	ahead     bool         // an edge asks ahead of its clients

	counted bool // the cache was asked
	started bool // the header is out
	sample  tally.Sample
	// took is the time spent waiting for the next tier.
	took time.Duration
}

// ServeHTTP answers a request and counts it once.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !n.gate.enter() {
		writeError(w, r, asAPIError(fetch.ErrClosed))
		return
	}
	defer n.gate.leave()
	switch {
	case r.URL.RawPath != "":
	case r.URL.Path == hop.ExplainPath:
		n.serveExplain(w, r)
		return
	case r.URL.Path == hop.PopularPath:
		n.servePopular(w, r)
		return
	}
	x := &exchange{n: n, w: w, r: r, start: n.now()}
	defer x.finish() // also when the connection is cut by a panic
	if err := x.serve(r.Context()); err != nil {
		x.fail(r.Context(), err)
	}
}

// fail answers with an error. Once the header is out, all that can be said is to
// cut the connection: a clean end would pass for the whole body.
func (x *exchange) fail(ctx context.Context, err error) {
	if x.started {
		if ctx.Err() == nil && !errors.Is(err, errClientGone) {
			x.n.log.WarnContext(ctx, "answer cut short", "bucket", x.object.Bucket, "key", x.object.Key, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	e := asAPIError(err)
	if e.status >= http.StatusInternalServerError && ctx.Err() == nil {
		x.n.log.WarnContext(ctx, "request failed", "bucket", x.object.Bucket, "key", x.object.Key, "status", e.status, "err", err)
	}
	if !x.caller.node { // an error tells nothing that its reader may not know
		x.n.corsRules(x.object.Bucket).Brief(x.w.Header(), x.r)
	}
	if x.hopped && !errors.Is(err, fetch.ErrClosed) {
		x.w.Header().Set(hop.Zone, zoneVerdict(err))
	}
	x.headerOut()
	x.sample.Bytes += writeError(x.w, x.r, e)
}

// headerOut notes that the answer begins.
func (x *exchange) headerOut() {
	x.started = true
	x.sample.FirstByte = x.n.now().Sub(x.start)
}

// finish counts what was answered, if the cache was asked at all.
func (x *exchange) finish() {
	if !x.counted {
		if x.r.Method != http.MethodOptions {
			x.n.metrics.refused.Inc()
		}
		return
	}
	s := &x.sample
	s.Bucket, s.Key = x.object.Bucket, x.object.Key
	if s.Class == "" {
		s.Class = metadata.ClassOther
	}
	if !x.started {
		s.FirstByte = x.n.now().Sub(x.start) // the client left before
	}
	if x.n.cfg.Tier != metadata.TierEdge {
		s.Depth = tally.Self // counted at edges
	}
	if x.ahead {
		// No client is behind it.
		x.n.metrics.aheadRequests.WithLabelValues(s.Result.String()).Inc()
		return
	}
	if x.fromPeer {
		// The edge that the client asked counts the request.
		x.n.metrics.peerRequests.WithLabelValues(s.Result.String()).Inc()
		return
	}
	x.n.tally.Add(x.n.now(), s)
	x.n.metrics.count(s)
}

func (x *exchange) serve(ctx context.Context) error {
	if isZoneHop(x.r) {
		return x.serveZoneHop(ctx)
	}
	if z, host, path := x.n.findZone(x.r); z != nil {
		return x.serveZone(ctx, z, host, path)
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		return x.preflight(ctx)
	case methodPurge:
		return x.purge(ctx)
	default:
		return errMethod()
	}
	if err := x.admit(ctx); err != nil {
		return err
	}
	if x.caller.node {
		var stop context.CancelFunc
		ctx, stop = x.readHops(ctx)
		defer stop()
	}
	x.customer = customerKey(x.r)
	x.counted = true
	x.allowOrigin()
	return x.answer(ctx)
}

// admit finds what is asked for and whether the caller may read it.
func (x *exchange) admit(ctx context.Context) (err error) {
	if x.object, err = parseObject(x.r); err != nil {
		return err
	}
	if x.query, err = url.ParseQuery(x.r.URL.RawQuery); err != nil {
		// Signatures cover the query as it is; one that reads differently to
		// two parsers is not worth guessing at.
		return errInvalid("The query of the URL is malformed.")
	}
	if v := x.query["versionId"]; len(v) > 0 {
		if len(v) > 1 || !metadata.IsVersionID(v[0]) {
			return errInvalid("Invalid version id specified")
		}
		x.versionID = v[0]
	}
	if x.caller, err = x.n.identify(x.r); err != nil {
		return err
	}
	if x.caller.User != "" {
		for _, name := range subresources {
			if x.query.Has(name) {
				return &apiError{status: http.StatusNotImplemented, code: "NotImplemented", message: "A cache node answers with objects, not with " + name + " of one: ask an S3 endpoint."}
			}
		}
	}
	if x.bucket, err = x.n.bucket(ctx, x.object.Bucket); err != nil {
		return err
	}
	x.pending, err = x.n.authorize(&x.caller, x.object, x.r)
	return err
}

// readHops obeys the headers of a request of another node. The context it returns
// ends when that node gives up.
func (x *exchange) readHops(ctx context.Context) (context.Context, context.CancelFunc) {
	stop := context.CancelFunc(func() {})
	if d, ok := hop.ParseTimeout(x.r.Header.Get(hop.RequestTimeout)); ok {
		ctx, stop = context.WithTimeout(ctx, d)
	}
	x.want = x.r.Header.Get(hop.RequestVersion)
	x.fromPeer = x.r.Header.Get(hop.RequestPeer) == "1"
	x.ahead = x.r.Header.Get(hop.RequestAhead) == "1"
	s, err := metadata.ParseSeq(x.r.Header.Get(hop.RequestApplied))
	if err == nil && !x.n.lease.wait(ctx, s, catchUp) {
		x.need = s
	}
	return ctx, stop
}

// trusted reports whether heads may be served without asking upstream.
func (x *exchange) trusted() bool { return x.need.IsZero() && x.n.lease.held() }

// tell sets what every answer from the cache carries, for callers to see where
// the time went.
func (x *exchange) tell(h http.Header) {
	timing := "cache;desc=" + x.sample.Result.String()
	if x.took > 0 {
		timing += ", upstream;dur=" + strconv.FormatFloat(float64(x.took.Microseconds())/1000, 'f', 1, 64)
	}
	h.Set("Server-Timing", timing)
}

// allowOrigin lets pages of other origins read the answer, by the rules of the
// bucket. Where it has none, who has a link may read by it, from whatever page;
// what was read with somebody's credentials is for their own.
func (x *exchange) allowOrigin() {
	rules := x.n.corsRules(x.object.Bucket)
	if x.caller.node || rules == nil && x.caller.User != "" && !x.caller.link && !x.n.everybody(x.object.Bucket) {
		return
	}
	rules.Brief(x.w.Header(), x.r)
}

// preflight tells a browser which requests a page of another origin may make. By
// default that is all reading: whether a page may see the answer is for the
// answer to say.
func (x *exchange) preflight(ctx context.Context) (err error) {
	if x.r.Header.Get("Origin") == "" || x.r.Header.Get("Access-Control-Request-Method") == "" {
		return errMethod()
	}
	if x.object, err = parseObject(x.r); err != nil {
		return err
	}
	if _, err := x.n.bucket(ctx, x.object.Bucket); err != nil {
		return &apiError{status: http.StatusForbidden, code: "AccessForbidden", message: "CORSResponse: Bucket not found"}
	}
	rules, h := x.n.corsRules(x.object.Bucket), x.w.Header()
	switch err := rules.Preflight(h, x.r); {
	case errors.Is(err, cors.ErrForbidden):
		return &apiError{status: http.StatusForbidden, code: "AccessForbidden", message: err.Error()}
	case err != nil:
		return &apiError{status: http.StatusBadRequest, code: "BadRequest", message: err.Error()}
	}
	if rules == nil {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	}
	x.headerOut()
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
