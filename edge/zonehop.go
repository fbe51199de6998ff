package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/limit"
	"meridian/edge/pull"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// An edge asks the regional node of its region that owns a target, by the hash
// that objects are found by, before it asks the origin of a pull zone itself. The
// regional node is a cache like any other in front of the origin: its answer has
// an Age, may be confirmed, and is kept no longer than it says. What it needs to
// know of the client's request comes along, under the signature of a node.

// zoneAttempts is how many regional nodes are asked before the origin is.
const zoneAttempts = 2

// forgetTimeout bounds how long an answer waits for other nodes to forget.
const forgetTimeout = time.Second

// ask asks the next tier, or the origin, and tells how deep the answer comes from.
func (v *visit) ask(ctx context.Context, a pull.Ask) (*http.Response, tally.Depth, error) {
	for _, node := range v.regionals() {
		began := v.n.now()
		v.n.upstreams.Begin(node)
		resp, err := v.n.flights.hops.Do(ctx, node.URL, v.zone.Zone, a, v.applied(), false)
		report := err
		if errors.Is(err, pull.ErrFailed) {
			report = nil // it is the origin that failed
		} else if ctx.Err() != nil || errors.Is(err, limit.ErrBusy) {
			report = context.Canceled // our giving up, or not asking, says nothing of the node
		}
		if report == nil && v.n.flights.stalls.lately(node.ID, v.n.now()) {
			report = context.Canceled // a header tells nothing
		}
		v.n.upstreams.Report(node, v.n.now().Sub(began), report)
		switch {
		case err == nil:
			v.asked = node.ID
			resp.Body = &followed{ReadCloser: resp.Body, n: v.n, node: node, began: began}
			return resp, depthOf(resp.Header), nil
		case ctx.Err() != nil, !errors.Is(err, pull.ErrElsewhere):
			return nil, tally.Origin, fmt.Errorf("%s: %w", node.ID, err)
		}
		v.n.log.DebugContext(ctx, "pull zone asked elsewhere", "bucket", v.object.Bucket, "upstream", node.ID, "err", err)
	}
	resp, err := v.n.flights.client.Do(ctx, v.zone.Zone, a)
	return resp, tally.Origin, err
}

// applied is the position in the feed that an answer must include.
func (v *visit) applied() string {
	s := v.n.lease.seq()
	if heard := v.n.fills.latest(); heard.Compare(s) > 0 {
		s = heard
	}
	return s.String()
}

// regionals are the nodes to ask, best first; none where the origin is to be
// asked, as where all are down.
func (v *visit) regionals() []balance.Node {
	if v.n.cfg.Tier != metadata.TierEdge || v.zone.ByEdges() {
		return nil
	}
	view := v.n.view.Load()
	nodes := v.n.upstreams.PickUp(cache.Key{Class: cache.Head, Name: v.object.Bucket + "/" + v.object.Key}, zoneAttempts)
	return slices.DeleteFunc(nodes, func(b balance.Node) bool {
		return !slices.ContainsFunc(view.nodes, func(n metadata.Node) bool {
			return n.Tier == metadata.TierRegional && n.Region == v.n.cfg.Region && n.URL == b.URL
		})
	})
}

// forgetElsewhere tells the regional nodes of the region that have not passed an
// unsafe request on themselves that it has succeeded: who asked next might be
// answered by one of them. It reports whether all have heard of it.
func (v *visit) forgetElsewhere(ctx context.Context, targets []pull.Target) (told bool) {
	if v.n.cfg.Tier != metadata.TierEdge || v.zone.ByEdges() {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var failed atomic.Bool
	for _, n := range v.n.view.Load().nodes {
		if n.Tier != metadata.TierRegional || n.Region != v.n.cfg.Region || n.URL == "" || n.ID == v.asked || n.URL == v.asked {
			continue
		}
		for _, t := range targets {
			wg.Go(func() {
				a := pull.Ask{Method: http.MethodPost, Target: t, Remote: v.r.RemoteAddr, Base: v.r.Host, TLS: v.r.TLS != nil}
				resp, err := v.n.flights.hops.Do(ctx, n.URL, v.zone.Zone, a, v.applied(), true)
				if err != nil {
					failed.Store(true)
					v.n.log.WarnContext(ctx, "a regional cache was not told of an unsafe request", "bucket", v.object.Bucket, "key", t.Key, "upstream", n.ID, "err", err)
					return
				}
				resp.Body.Close()
			})
		}
	}
	wg.Wait()
	return !failed.Load()
}

// isZoneHop reports whether a request claims to be a node's for a pull zone. The
// path alone may be one of a zone that has a host of its own.
func isZoneHop(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, hop.ZonePath) && r.Header.Get(hop.RequestTarget) != ""
}

// serveZoneHop answers an edge that asks for its client.
func (x *exchange) serveZoneHop(ctx context.Context) (err error) {
	if x.caller, err = x.n.identify(x.r); err != nil {
		return err
	}
	if !x.caller.node {
		return errDenied()
	}
	name := strings.TrimPrefix(x.r.URL.Path, hop.ZonePath)
	if x.bucket, err = x.n.bucket(ctx, name); err != nil {
		return err
	}
	z := x.n.view.Load().zones[name]
	if z == nil {
		return errNoSuchBucket()
	}
	ctx, stop := x.readHops(ctx)
	defer stop()
	forget := x.r.Header.Get(hop.RequestForget) == "1"
	v := &visit{exchange: x, zone: z}
	carried, host, err := pull.Carried(x.r)
	if err != nil {
		return errInvalid("This hop carries no request.")
	}
	x.r, v.host = carried, host
	path, query, _ := strings.Cut(x.r.RequestURI, "?")
	if v.target, err = z.Target(path, query, nil); err != nil {
		return errInvalid("The path leads out of what this pull zone serves.")
	}
	x.object = purge.Object{Bucket: name, Key: v.target.Key}
	x.hopped = true
	if pull.Loops(x.r.Header, x.n.cfg.ID) {
		return errLoop()
	}
	if forget {
		x.n.invalidate(ctx, z, []pull.Target{v.target})
		x.w.Header().Set(hop.Zone, hop.ZoneAnswer)
		return v.sendEmpty(http.StatusNoContent)
	}
	return v.serve(ctx)
}

// zoneVerdict is what an edge is told of an answer that is an error.
func zoneVerdict(err error) string {
	if unavailable(err) || errors.Is(err, fetch.ErrUnavailable) {
		return hop.ZoneFailed
	}
	return hop.ZoneAnswer
}
